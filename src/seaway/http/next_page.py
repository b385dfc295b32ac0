"""The page to open after sign-in: always a path of this site, to prevent open redirects."""

import re
from urllib.parse import quote

# Browsers read `//` and `/\` at the start as another host, and remove control characters before parsing.
_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,1000}")


def local_path(value: str) -> str:
    """Return the path if it is a page of this site, else "/"."""
    return value if _LOCAL.fullmatch(value) else "/"


def with_next(path: str, value: str) -> str:
    """Return a path with the page to open next as its `next` parameter."""
    return path if local_path(value) == "/" else f"{path}?next={quote(value, safe='/')}"
