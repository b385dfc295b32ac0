"""
The path of a request, split once from the bytes that the client sent.

A framework decodes the whole path first and splits it afterwards, so that `%2F` becomes a separator. Here
each segment is decoded by itself, once, and a segment that could be anything but one plain name is no path:
`..`, empty segments, separators, NUL and other control characters, bytes that are not UTF-8. `+` is itself.
"""

from urllib.parse import unquote_to_bytes

from starlette.types import Scope


def raw(scope: Scope) -> bytes:
    """The path as it was sent, perhaps with the query behind it."""
    sent: bytes = scope.get("raw_path") or scope["path"].encode()
    return sent


def segments(scope: Scope) -> tuple[str, ...] | None:
    """The segments of the path, or None for a path at which nothing can ever be."""
    return split(raw(scope))


def split(path: bytes) -> tuple[str, ...] | None:
    """The segments of a raw path, as `segments`."""
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
