"""Known subdirs (platforms) of a channel: those of rattler, which include all of conda's and mamba's."""

import rattler

KNOWN_SUBDIRS = tuple(str(subdir) for subdir in rattler.Subdir.all())

_KNOWN = frozenset(KNOWN_SUBDIRS)


def is_known_subdir(subdir: str) -> bool:
    """Return whether clients know this subdir; index documents of a known subdir always exist."""
    return subdir in _KNOWN
