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


def order(text: str) -> tuple[rattler.Version, str]:
    """Return the sort key of a published version; versions that are equal for clients (1.0, 1.0.0) sort by their text."""
    return parse_published(text), text


@functools.lru_cache(8_192)
def parse_published(text: str) -> rattler.Version:
    """Return the parsed version of a published file, which was checked at upload; `ValueError` if it is damaged."""
    parsed = parse(text)
    if parsed is None:
        raise ValueError(f"{text!r} is not a version")
    return parsed
