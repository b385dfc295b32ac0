"""The platform folders of a channel: those that rattler knows, among which are all of conda's and mamba's."""

import rattler

NOARCH = "noarch"

KNOWN_SUBDIRS = tuple(str(subdir) for subdir in rattler.Subdir.all())

_KNOWN = frozenset(KNOWN_SUBDIRS)


def is_known(subdir: str) -> bool:
    """Whether clients know this platform; index documents of a known one always exist."""
    return subdir in _KNOWN
