"""Seaway: fast, modern hosting for conda packages that a team runs itself."""

from importlib.metadata import version

__version__ = version("seaway")
