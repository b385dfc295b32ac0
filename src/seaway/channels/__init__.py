"""Channels, their members, and permission checks."""
