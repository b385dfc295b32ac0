"""Versions in the order that clients give them (CEP 33), by rattler."""

import functools

import rattler
from rattler.exceptions import InvalidVersionError


def parse(text: str) -> rattler.Version | None:
    """The version, or None when clients could not order it."""
    try:
        return rattler.Version(text)
    except InvalidVersionError:
        return None


@functools.lru_cache(8_192)
def of_published(text: str) -> rattler.Version:
    """The version of a file that was published, which could be ordered when it came."""
    return rattler.Version(text)
