"""Blobs in a folder of this machine."""

import ctypes
import functools
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from seaway.storage.blobs import BlobStat


class DiskBlobs:
    """A store in a folder; spool files of the same file system are linked in, others are copied."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def prepare_file(self, path: Path) -> None:
        _sync_file(path)

    def put_file(self, key: str, path: Path) -> bool:
        if self._has(key, path):
            return False
        _sync_file(path)
        target = self._root / key
        if _link_in(path, target):
            _sync_folder(target.parent.parent)
        _sync_folder(target.parent)
        return True

    def put_files(self, files: Mapping[str, Path]) -> set[str]:
        """The file system is synced once: a sync for each file and folder would take two milliseconds a file."""
        if not _can_sync_file_systems():
            return {key for key, path in files.items() if self.put_file(key, path)}
        new = {key for key, path in files.items() if not self._has(key, path)}
        for key in new:
            _link_in(files[key], self._root / key)
        if new:
            _sync_file_system(self._root)
        return new

    def open(self, key: str, start: int = 0) -> BinaryIO:
        file = (self._root / key).open("rb")
        file.seek(start)
        return file

    def stat(self, key: str) -> BlobStat | None:
        try:
            found = os.stat(f"{self._root}/{key}")  # noqa: PTH116  a Path costs more than the question
        except FileNotFoundError:
            return None
        return BlobStat(key, found.st_size, int(found.st_mtime * 1000))

    def local_path(self, key: str) -> Path:
        return self._root / key

    def signed_url(self, key: str, seconds: int) -> str | None:
        return None

    def delete(self, key: str) -> None:
        (self._root / key).unlink(missing_ok=True)

    def list(self) -> Iterator[BlobStat]:
        for folder, _, names in os.walk(self._root):
            for name in names:
                path = Path(folder, name)
                stat = self.stat(path.relative_to(self._root).as_posix())
                if stat is not None:  # swept by someone else since the folder was read
                    yield stat

    def _has(self, key: str, path: Path) -> bool:
        there = self.stat(key)
        return there is not None and there.size == path.stat().st_size


def _link_in(path: Path, target: Path) -> bool:
    """Give the file its second name, or copy it where it can have none; whether its folder had to be made."""
    try:
        os.link(path, target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_over(path, target)
        return True
    except OSError:
        _link_over(path, target)
    return False


def _link_over(path: Path, target: Path) -> None:
    """Take the place of whatever is there (a damaged blob, equal bytes that came at the same moment)."""
    # A rename leaves no moment at which readers find nothing, nor half a copy.
    near = target.with_name(f".near-{target.name}-{secrets.token_hex(4)}")
    try:
        os.link(path, near)
    except OSError:  # the spool lies on another file system, or this one knows no links
        shutil.copyfile(path, near)
        _sync_file(near)
    near.replace(target)
    near.unlink(missing_ok=True)  # rename leaves a name that links to the very file it was to replace


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_sync_folder = _sync_file  # a folder is synced by the same call


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _can_sync_file_systems() -> bool:
    """Linux has `syncfs`, which waits until all is written and tells what failed; Python has no name for it."""
    return hasattr(_libc(), "syncfs")


def _sync_file_system(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if _libc().syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
