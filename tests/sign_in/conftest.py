"""Fixtures: accounts with email addresses and passwords."""

from tests.support.accounts import accounts

__all__ = ["accounts"]
