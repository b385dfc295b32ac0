"""Seaway: a fast, modern, self-hosted server for conda packages."""

from importlib.metadata import version

__version__ = version("seaway")
