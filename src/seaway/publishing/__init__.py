"""Uploads: receive a package file, examine it and add it to a channel."""
