"""An AWS region on one machine: stands in for AWS, and for nothing of ours."""
