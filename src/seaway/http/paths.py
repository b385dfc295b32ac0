"""
The path of a request, split from the bytes that the client sent.

Frameworks decode the whole path and then split it, so that `%2F` becomes a separator. Here each segment is decoded
once, after splitting. A path is invalid if a segment is `.` or `..` or contains a separator, a control character such
as NUL, or bytes that are not UTF-8. `+` is not decoded.
"""

from urllib.parse import unquote_to_bytes

from starlette.types import Scope


def raw(scope: Scope) -> bytes:
    """Return the path as sent, possibly with the query string."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path


def segments(scope: Scope) -> tuple[str, ...] | None:
    """Return the segments of the path, or None for an invalid path."""
    return split(raw(scope))


def split(path: bytes) -> tuple[str, ...] | None:
    """Split a raw path like `segments`."""
    parts = path.split(b"?", 1)[0].split(b"/")[1:]
    decoded = [_decode(part) for part in parts]
    return None if None in decoded else tuple(part for part in decoded if part is not None)


def _decode(part: bytes) -> str | None:
    try:
        text = unquote_to_bytes(part).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if text in (".", "..") or "/" in text or "\\" in text or "%" in text or ";" in text or not text.isprintable():
        return None
    return text
