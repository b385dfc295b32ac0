"""Free space of the disks that the server writes to."""

import os
from dataclasses import dataclass
from pathlib import Path

_LOW_SHARE = 10  # a disk is nearly full if less than one part in this many is free


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Size and free bytes of a file system."""

    total: int
    free: int

    @property
    def is_low(self) -> bool:
        """Return whether the disk is nearly full."""
        return self.free * _LOW_SHARE < self.total


def space_of(folder: Path) -> DiskSpace | None:
    """Return the space of the file system that contains a folder; None if it cannot be read."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return DiskSpace(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)
