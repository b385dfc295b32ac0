"""Versions in the order that clients use (CEP 33), parsed by rattler."""

import functools

import rattler
from rattler.exceptions import InvalidVersionError


def parse(text: str) -> rattler.Version | None:
    """Return the parsed version, or None if clients cannot order it."""
    try:
        return rattler.Version(text)
    except InvalidVersionError:
        return None


@functools.lru_cache(8_192)
def parse_published(text: str) -> rattler.Version:
    """Return the parsed version of a published file, which was checked at upload."""
    return rattler.Version(text)
