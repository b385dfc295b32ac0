"""
Paths and file names that a package states and that clients join to a folder: one check for all of them.

1. Whatever a client turns into a path passes `is_safe`: members of the archive and targets of its hard links, paths.json
   and the lists of old packages, entry points, environments and executables of link.json, the site-packages folder of
   a Python (CEP 17), and the names in menu files.
2. A path that passes stays below the folder that it is joined to, on every platform, also when a client first replaces
   its first component (`site-packages/` and `python-scripts/` of noarch python packages).
3. No file system in use takes a component of more than 255 bytes, so such a path is refused.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from seaway.conda.refusals import Reason, Refused

MAX_BYTES = 4096
MAX_COMPONENT_BYTES = 255

_MOST_NAMED = 3
# Forbidden characters, a dot or space at the end of a component, and names of devices, also with an extension.
_NOT_FOR_WINDOWS = re.compile(
    r"[<>:\"|?*]|[. ](?:/|\Z)|(?:\A|/)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])[ ]*(?:\.[^/]*)?(?:/|\Z)",
    re.IGNORECASE,
)
_NO_NAMES = frozenset({"", ".", ".."})
# Windows joins `a` and `C:x` to `C:x`. Further down, a colon is part of a name: man3/B::Deparse.3, share/doc/a:b.
_DRIVE = re.compile(r"(?:(?:site-packages|python-scripts)/)?.:")


def is_safe(path: str, max_bytes: int = MAX_BYTES) -> bool:
    """Whether a path is relative, plain and never climbs."""
    parts = path.split("/")
    return (
        # Windows drops blanks and dots at the end of a component, and readers of lists blanks around the whole path.
        _NO_NAMES.isdisjoint(parts)
        and (" " not in path or all(" " not in part or part.strip(" .") for part in parts))
        and "\\" not in path
        and _DRIVE.match(path) is None
        and path.isprintable()
        and len(path.encode()) <= max_bytes
    )


def portability_warnings(paths: Iterable[str]) -> list[str]:
    """Return a warning for the paths that Windows cannot store, and one for those that Windows or macOS treats as one file."""
    unusable: list[str] = []
    alike: list[str] = []
    first: dict[str, str] = {}
    for path in paths:
        if _NOT_FOR_WINDOWS.search(path):
            unusable.append(path)
        earlier = first.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
        if earlier is not path:
            alike += [earlier, path]
    warnings = []
    if unusable:
        warnings.append(
            f"The package is noarch, but Windows cannot store {named(unusable)}, so it cannot be installed there."
        )
    if alike:
        warnings.append(
            f"The package is noarch, but Windows and macOS treat {named(alike)} as the same file and keep only one of them."
        )
    return warnings


def named(paths: Sequence[str]) -> str:
    """Return text with the first of these paths, and how many more there are."""
    shown = ", ".join(ascii(path[:120]) for path in paths[:_MOST_NAMED])
    more = len(paths) - _MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown


def is_safe_name(name: str) -> bool:
    """Whether a name is one component of a safe path."""
    return "/" not in name and is_safe(name)


def check(path: str, what: str = "The package holds the path", *, max_bytes: int = MAX_BYTES) -> None:
    """Refuse a path that could leave its folder or that some system cannot write; `what` introduces it in the message."""
    if not is_safe(path, max_bytes):
        raise Refused(
            Reason.UNSAFE_PATH,
            f"{what} {path[:120]!a}, which cannot be written safely on every system.",
            "Use relative paths without .., drive letters, backslashes or control characters, then build the package again.",
        )
    check_lengths(path, what)


def check_lengths(path: str, what: str) -> None:
    """Refuse a path with a component that is too long for file systems (invariant 3)."""
    if len(path.encode()) <= MAX_COMPONENT_BYTES:
        return
    for part in path.split("/"):
        if len(part.encode()) > MAX_COMPONENT_BYTES:
            raise Refused(
                Reason.UNSAFE_PATH,
                f"{what} {path[:120]!a}, in which the name {part[:40]!a}... is longer than {MAX_COMPONENT_BYTES} bytes, the limit of file systems.",
                "Shorten the name, then build the package again.",
            )
