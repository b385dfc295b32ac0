"""Versions in the order that clients give them (CEP 33), by rattler."""

import rattler
from rattler.exceptions import InvalidVersionError


def parse(text: str) -> rattler.Version | None:
    """The version, or None when clients could not order it."""
    try:
        return rattler.Version(text)
    except InvalidVersionError:
        return None
