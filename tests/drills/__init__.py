"""Fault drills: every fault that a deployment may meet, in a local region, as tests."""
