"""
Reserved disk space in the data folder, so that packages can be deleted and yanked when the disk is full.

1. The reserve is a file with allocated blocks, so that nothing else on the disk can use them.
2. It is emptied only if deleting or yanking packages, or opening the database, failed because the disk is full; the
   operation is then repeated once.
3. An empty file means that the reserve was used. Until it is filled again, uploads are refused before their bytes are
   read while less than its size is free, so that they do not use up the space for the next deletion.
4. It is filled when twice its size is free, so that uploads accepted afterwards are not refused at once.

Processes share the file and lock it (flock); a lock ends with its process.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import structlog

from seaway import os_errors
from seaway.errors import DiskFull, Unavailable

log = structlog.get_logger()

T = TypeVar("T")


class Reserve:
    """The reserve in the file at `path`; a size of 0 disables it."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def fill(self) -> None:
        """Allocate the file if it is not allocated and there is room; delete it if the reserve is disabled."""
        try:
            if self._size == 0:
                self._path.unlink(missing_ok=True)
            elif self._length() != self._size and self._free() >= 2 * self._size:
                self._allocate()
        except OSError as error:  # the server works without a reserve
            log.warning("reserve.not_filled", error=str(error))

    def retry_with_reserve(self, act: Callable[[], T]) -> T:
        """Call `act`, which deletes or yanks packages; if the disk is full, empty the reserve and call it once more."""
        try:
            return act()
        except (Unavailable, OSError) as error:
            if not self._lacks_room(error) or not self._empty():
                raise
        log.warning("reserve.used")
        return act()

    def require_room(self) -> None:
        """Raise `DiskFull` while the reserve is used and the remaining space is needed for deletions."""
        if self._length() == 0 and self._free() < self._size:
            raise DiskFull(
                "The disk is full: the server has no room for this now.",
                "Try again later, or tell the operator of the server.",
                cause="the reserve was used and less than its size is free",
            )

    def _allocate(self) -> None:
        with self._locked(os.O_CREAT) as descriptor:
            if os.fstat(descriptor).st_size == self._size:  # another process was faster
                return
            os.ftruncate(descriptor, 0)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            except OSError:
                os.ftruncate(descriptor, 0)
                raise
            os.fsync(descriptor)

    def _lacks_room(self, error: Exception) -> bool:
        # SQLite reports some full disks as an I/O error, so the free space is checked too.
        is_full = isinstance(os_errors.as_unavailable(error) or error, DiskFull)
        return self._length() is not None and (is_full or self._free() < self._size)

    def _empty(self) -> bool:
        """Free the reserved space; return True also if another process has just done it."""
        try:
            with self._locked() as descriptor:
                os.ftruncate(descriptor, 0)
                os.fsync(descriptor)
        except OSError as error:
            log.warning("reserve.not_emptied", error=str(error))
            return False
        return True

    def _length(self) -> int | None:
        """Return the size of the file in bytes; None if it does not exist or the reserve is disabled."""
        if self._size == 0:
            return None
        with suppress(FileNotFoundError):
            return self._path.stat().st_size
        return None

    def _free(self) -> int:
        found = os.statvfs(self._path.parent)
        return found.f_bavail * found.f_frsize

    @contextmanager
    def _locked(self, flags: int = 0) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
