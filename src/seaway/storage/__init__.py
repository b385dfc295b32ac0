"""Bytes at rest: one protocol, one place that draws the keys, one implementation a file."""
