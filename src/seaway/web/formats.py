"""Formats of sizes, URLs and descriptions, and initials and colors of names."""

import re
import zlib
from collections.abc import Mapping

from markupsafe import Markup, escape

_MAX_DESCRIPTION = 160  # characters; search engines show about as many
_IDS = ("publisher", "publishers", "login", "token", "matched")  # details of audit log entries, for scripts
_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(count: int) -> str:
    """Format a number of bytes in the unit that leaves up to three digits before the decimal point."""
    value = float(abs(count))
    unit = 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    digits = f"{value:.0f}" if unit == 0 or value >= 99.95 else f"{value:.1f}"
    return f"{'−' if count < 0 else ''}{digits} {_UNITS[unit]}"


def breakable_url(text: str) -> Markup:
    """Return a URL without `https://`, with possible line breaks after its slashes."""
    return Markup("/<wbr>").join(escape(part) for part in text.removeprefix("https://").split("/"))


def meta_description(text: str) -> str:
    """Return a text in one line of at most 160 characters, for the `meta` element that describes a page."""
    line = " ".join(text.split())
    if len(line) <= _MAX_DESCRIPTION:
        return line
    cut = line[: _MAX_DESCRIPTION - 1]
    return f"{cut.rpartition(' ')[0] or cut}…"


def size_difference(count: int) -> str:
    """Format a difference in bytes with its sign."""
    return "unchanged" if count == 0 else f"+{size(count)}" if count > 0 else size(count)


def initials(name: str) -> str:
    """Return two letters for a name: the initials of its first two words, or the start of its only word."""
    found: list[str] = re.findall(r"[^\W_]+", name) or [name]
    return found[0][:1] + found[1][:1] if len(found) > 1 else found[0][:2]


def color_index(name: str) -> int:
    """Return which of eight colors represents a name; it is always the same one."""
    return zlib.crc32(name.encode()) % 8


def quoted_key(actor: str) -> str:
    """Return an actor of the audit log with the name of its key in quotes: `ada (key "key 0")`."""
    return re.sub(r" \(key (.*)\)$", r' (key "\1")', actor)


def is_long_detail(value: object, name: str = "") -> bool:
    """
    Return whether a detail of an audit log entry is folded away.

    These are ids, whose names are in the entry, hashes, long texts, and maps of many or of hashes.
    """
    if name in _IDS:
        return True
    if isinstance(value, Mapping):
        return len(value) > 3 or any(is_long_detail(item) for item in value.values())
    return isinstance(value, str) and (len(value) > 200 or re.fullmatch(r"[0-9a-f]{32,}", value) is not None)
