"""Where to go after signing in: a path of this site, whatever stands in the address."""

import re
from urllib.parse import quote

# One slash, then no second slash or backslash, which browsers take for another host; no control characters, which
# they drop before they look.
_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,1000}")


def local(value: str) -> str:
    """The path if it leads to a page of this site, or the front page."""
    return value if _LOCAL.fullmatch(value) else "/"


def with_next(path: str, value: str) -> str:
    """A path that remembers where to go on."""
    return path if local(value) == "/" else f"{path}?next={quote(value, safe='/')}"
