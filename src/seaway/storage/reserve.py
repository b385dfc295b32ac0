"""
Room in the data folder for what makes room: on a full disk packages can still be deleted and yanked.

1. The reserve is a file whose blocks are allocated, so that nothing else on the disk can use them.
2. It is emptied only for a change that takes packages away, or for opening the database, that failed because there was
   no room; it is then done once more.
3. An empty file says that the reserve was used. Until it is filled again, uploads are refused before their bytes are
   read while less than its size is free, so that they do not use up the room of the next deletion.
4. It is filled when there is room for it twice: uploads that are accepted then do not have to be refused at once.

Processes share the file and take turns by a lock (flock), which dies with its process.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import structlog

from seaway import system_errors
from seaway.errors import NoRoom, Unavailable

log = structlog.get_logger()

T = TypeVar("T")


class Reserve:
    """The reserve in the file at `path`; a size of 0 switches it off."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def fill(self) -> None:
        """Allocate the file, if it is not and there is room; remove it where it is switched off."""
        try:
            if self._size == 0:
                self._path.unlink(missing_ok=True)
            elif self._length() != self._size and self._free() >= 2 * self._size:
                self._allocate()
        except OSError as error:  # nothing else depends on it
            log.warning("reserve.not_filled", error=str(error))

    def with_room(self, act: Callable[[], T]) -> T:
        """Do what takes packages away; if there is no room for it, empty the reserve and do it once more."""
        try:
            return act()
        except (Unavailable, OSError) as error:
            if not self._lacks_room(error) or not self._empty():
                raise
        log.warning("reserve.used")
        return act()

    def require_room(self) -> None:
        """Raise `NoRoom` while the reserve is used and the room that is left is needed for deletions."""
        if self._length() == 0 and self._free() < self._size:
            raise NoRoom(
                "The disk is full: the server has no room for this now.",
                "Try again later, or tell the operator of the server.",
                cause="the reserve is used and less than its size is free",
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
        # SQLite tells of some full disks as an I/O error: then what is free says more.
        is_full = isinstance(system_errors.unavailable(error) or error, NoRoom)
        return self._length() is not None and (is_full or self._free() < self._size)

    def _empty(self) -> bool:
        """Give the room back; True also where another process has done so just now."""
        try:
            with self._locked() as descriptor:
                os.ftruncate(descriptor, 0)
                os.fsync(descriptor)
        except OSError as error:
            log.warning("reserve.not_emptied", error=str(error))
            return False
        return True

    def _length(self) -> int | None:
        """The bytes of the file; None where there is none, or none is wanted."""
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
