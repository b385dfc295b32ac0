"""
Check for the paths and file names in a package that clients join to a folder.

1. Every value that a client turns into a path must pass `is_safe`: members of the archive and targets of its hard
   links, paths.json and the lists of old packages, entry points, environments and executables of link.json, the
   site-packages folder of a Python (CEP 17), and the names in menu files.
2. A path that passes stays below the folder that it is joined to, on every platform, even if a client replaces its
   first component (`site-packages/` and `python-scripts/` of noarch python packages).
3. Common file systems allow at most 255 bytes per component, so a longer component is refused.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from seaway.conda.refusals import RefusalReason, Refused

MAX_BYTES = 4096
MAX_COMPONENT_BYTES = 255

_MAX_SHOWN = 3
# Forbidden characters, a dot or space at the end of a component, and device names, with or without an extension.
_INVALID_ON_WINDOWS = re.compile(
    r"[<>:\"|?*]|[. ](?:/|\Z)|(?:\A|/)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])[ ]*(?:\.[^/]*)?(?:/|\Z)",
    re.IGNORECASE,
)
_SPECIAL_COMPONENTS = frozenset({"", ".", ".."})
# Windows joins `a` and `C:x` to `C:x`. In later components a colon is part of a name: man3/B::Deparse.3, share/doc/a:b.
_DRIVE = re.compile(r"(?:(?:site-packages|python-scripts)/)?.:")


def is_safe(path: str, max_bytes: int = MAX_BYTES) -> bool:
    """Return whether a path is relative, printable, without `.` and `..` components, and at most `max_bytes` long."""
    parts = path.split("/")
    return (
        # Windows strips spaces and dots at the end of a component; list readers strip spaces around the whole path.
        _SPECIAL_COMPONENTS.isdisjoint(parts)
        and (" " not in path or all(" " not in part or part.strip(" .") for part in parts))
        and "\\" not in path
        and _DRIVE.match(path) is None
        and path.isprintable()
        and len(path.encode()) <= max_bytes
    )


def portability_warnings(paths: Iterable[str]) -> list[str]:
    """Return a warning for paths that Windows cannot store, and one for paths equal but for case or Unicode form."""
    unusable: list[str] = []
    alike: list[str] = []
    first: dict[str, str] = {}
    for path in paths:
        if _INVALID_ON_WINDOWS.search(path):
            unusable.append(path)
        earlier = first.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
        if earlier is not path:
            alike += [earlier, path]
    warnings = []
    if unusable:
        warnings.append(
            f"The package is noarch, but Windows cannot store {format_paths(unusable)}, so it cannot be installed there."
        )
    if alike:
        warnings.append(
            f"The package is noarch, but Windows and macOS treat {format_paths(alike)} as the same file and keep only one of them."
        )
    return warnings


def format_paths(paths: Sequence[str]) -> str:
    """Return the first of the paths as text, with the number of the others."""
    shown = ", ".join(ascii(path[:120]) for path in paths[:_MAX_SHOWN])
    more = len(paths) - _MAX_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown


def is_safe_name(name: str) -> bool:
    """Return whether a name is a single component of a safe path."""
    return "/" not in name and is_safe(name)


def check(path: str, what: str = "The package contains the path", *, max_bytes: int = MAX_BYTES) -> None:
    """Refuse a path that could leave its folder or that some system cannot write; `what` starts the message."""
    if not is_safe(path, max_bytes):
        raise Refused(
            RefusalReason.UNSAFE_PATH,
            f"{what} {path[:120]!a}, which cannot be written safely on every system.",
            "Use relative paths without .., drive letters, backslashes or control characters, then build the package again.",
        )
    check_lengths(path, what)


def check_lengths(path: str, what: str) -> None:
    """Refuse a path with a component of more than 255 bytes (invariant 3)."""
    if len(path.encode()) <= MAX_COMPONENT_BYTES:
        return
    for part in path.split("/"):
        if len(part.encode()) > MAX_COMPONENT_BYTES:
            raise Refused(
                RefusalReason.UNSAFE_PATH,
                f"{what} {path[:120]!a}, in which the name {part[:40]!a}... is longer than {MAX_COMPONENT_BYTES} bytes, the limit of file systems.",
                "Shorten the name, then build the package again.",
            )
