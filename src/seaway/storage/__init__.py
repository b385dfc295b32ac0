"""Blob storage: one protocol, one module that builds the keys, one module for each implementation."""
