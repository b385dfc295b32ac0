"""
The spool: uploads are written here first and moved into the store after they pass the checks.

1. A spool file or folder is locked (flock) from its creation to its end; the lock ends with the process.
2. Unlocked files and folders were left by a killed process; `clear_orphans` deletes them. So several processes can
   share one folder, and a kill -9 at any line wastes disk space only until the next start.
3. A deleted spool folder is created again, but only if its parent folder is still the one from the start: if that was
   unmounted or replaced, uploads would silently go to another disk.
"""

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from seaway.errors import Unavailable


class Spool:
    """A folder of spool files, shared by the processes of one machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._parent = _identity(folder.parent)

    @property
    def path(self) -> Path:
        """Return the folder."""
        return self._folder

    @contextmanager
    def file(self) -> Iterator[BinaryIO]:
        """Create a locked file, open for writing and reading; it is deleted at the end unless it was moved."""
        file = self._create()
        try:
            yield file
        finally:
            try:
                Path(file.name).unlink(missing_ok=True)
            finally:
                file.close()

    @contextmanager
    def private_file(self) -> Iterator[BinaryIO]:
        """Create a locked file that only its owner can read, also after it was moved."""
        with self.file() as file:
            os.fchmod(file.fileno(), 0o600)
            yield file

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Create a locked folder for many files; it is deleted at the end with its content."""
        path, descriptor = self._create_folder()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)

    def usage(self) -> tuple[int, int]:
        """Return the number of spool files, including those in folders, and their total bytes."""
        sizes = [size for path in self._folder.rglob("*") if (size := _size_of(path)) is not None]
        return len(sizes), sum(sizes)

    def clear_orphans(self) -> int:
        """Delete files and folders left by killed processes; return the count."""
        removed = 0
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                if _lock(descriptor):
                    _remove(path)
                    removed += 1
            finally:
                os.close(descriptor)
        return removed

    def _new_path(self) -> Path:
        """Return an unused path in the spool folder; create the folder again if it was deleted (invariant 3)."""
        if not self._folder.is_dir():
            try:
                if _identity(self._folder.parent) != self._parent:
                    raise FileNotFoundError(
                        errno.ENOENT, "the parent folder of the spool was replaced", str(self._folder)
                    )
                self._folder.mkdir(exist_ok=True)
            except FileNotFoundError as error:
                hint = "Try again later, or tell the operator of the server."
                raise Unavailable("The spool folder of the server is missing.", hint, cause=str(error)) from error
        return self._folder / secrets.token_hex(16)

    def _create_folder(self) -> tuple[Path, int]:
        while True:
            path = self._new_path()
            path.mkdir()
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            if _lock(descriptor) and _is_at(descriptor, path):
                return path, descriptor
            os.close(descriptor)

    def _create(self) -> BinaryIO:
        while True:
            path = self._new_path()
            file = path.open("x+b")
            # Between creation and locking, another process may delete the file as an orphan.
            if _lock(file.fileno()) and _is_at(file.fileno(), path):
                return file
            file.close()


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _size_of(path: Path) -> int | None:
    """Return the size of a file in bytes; None for a folder or a file deleted meanwhile."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
