"""Callers of a gateway: one text at a time, or a file of them."""
