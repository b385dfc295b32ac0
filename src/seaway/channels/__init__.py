"""Channels, their members, and the one answer to «may I?»."""
