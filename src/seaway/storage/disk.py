"""Blobs in a folder on this machine."""

import ctypes
import errno
import functools
import hashlib
import os
import secrets
import stat as file_modes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from seaway.errors import Unavailable
from seaway.storage import keys
from seaway.storage.blobs import BlobStat
from seaway.storage.digest import sha256_of

_COPY_BYTES = 1024 * 1024


class DiskBlobs:
    """A store in a folder; spool files on the same file system are hard-linked, others are copied."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, key: str, content: bytes) -> None:
        target = self._root / key
        self._make_folders_of(target)
        temporary = _temporary_path(target)
        try:
            with create_private(temporary) as file:
                file.write(content)
                _sync(file)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)

    def prepare_file(self, path: Path) -> None:
        _sync_file(path)

    def put_file(self, key: str, path: Path) -> bool:
        if self._is_whole(key, path):
            return False
        _sync_file(path)
        self._link_in(path, key)
        sync_folder((self._root / key).parent)
        return True

    def put_files(self, files: Mapping[str, Path]) -> set[str]:
        """Store files and sync the file system once; a sync for each file and folder takes two milliseconds a file."""
        if not _can_sync_file_systems():
            return {key for key, path in files.items() if self.put_file(key, path)}
        new = {key for key, path in files.items() if not self._is_whole(key, path)}
        for key in new:
            self._link_in(files[key], key)
        if new:
            _sync_file_system(self._root)
        return new

    def open(self, key: str, start: int = 0) -> BinaryIO:
        file = (self._root / key).open("rb")
        file.seek(start)
        return file

    def stat(self, key: str) -> BlobStat | None:
        try:
            found = os.stat(f"{self._root}/{key}")  # noqa: PTH116  creating a Path takes longer than stat
        except FileNotFoundError:
            return None
        return BlobStat(key, found.st_size, int(found.st_mtime * 1000), f"{found.st_ino}-{found.st_mtime_ns}")

    def local_path(self, key: str) -> Path:
        return self._root / key

    def signed_url(self, key: str, seconds: int) -> str | None:
        return None

    def delete(self, key: str) -> None:
        (self._root / key).unlink(missing_ok=True)

    def copy(self, key: str, target: str) -> None:
        target_path = self._root / target
        self._make_folders_of(target_path)
        _link_over(self._root / key, target_path, None)
        sync_folder(target_path.parent)

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        for directory, _, names in os.walk(self._root / folder, onerror=self._refuse_to_list):
            for name in names:
                path = Path(directory, name)
                try:
                    stat = self.stat(path.relative_to(self._root).as_posix())
                except OSError as error:
                    raise self._listing_error(error) from error
                if stat is not None:  # otherwise deleted by a sweep since the folder was read
                    yield stat

    def _refuse_to_list(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a missing folder is empty, or was removed during the listing
            raise self._listing_error(error) from error

    def _listing_error(self, error: OSError) -> Unavailable:
        """Return the error for a partial listing; treated as complete, it would make existing blobs look missing."""
        path = Path(error.filename).relative_to(self._root).as_posix()
        return Unavailable(
            f"The store cannot be listed: {path} cannot be read.",
            "Repair this folder or file, or move it out of the store, and try again.",
            cause=str(error),
        )

    def _link_in(self, path: Path, key: str) -> None:
        """Hard-link the file into the store, or copy it if hard links are not possible."""
        target, sha256 = self._root / key, keys.sha256_of(key)
        try:
            os.link(path, target)
        except FileNotFoundError:
            self._make_folders_of(target)
            _link_over(path, target, sha256)
        except OSError:
            _link_over(path, target, sha256)

    def _make_folders_of(self, target: Path) -> None:
        """Create and sync the folders between the store's root and a file, but never the root (`storage.blobs` 6)."""
        if not self._root.is_dir():
            raise Unavailable("The folder of the store is missing.", "Mount or restore it.", cause=str(self._root))
        missing = [folder for folder in target.relative_to(self._root).parents if not (self._root / folder).is_dir()]
        for folder in reversed(missing):
            (self._root / folder).mkdir(exist_ok=True)
            sync_folder((self._root / folder).parent)

    def _is_whole(self, key: str, path: Path) -> bool:
        """Return whether the key has the content of the file, by hashing the stored bytes."""
        existing = self.stat(key)
        if existing is None or existing.size != path.stat().st_size:
            return False
        try:
            return _sha256(self._root / key) == (keys.sha256_of(key) or _sha256(path))
        except FileNotFoundError:  # deleted by a sweep meanwhile
            return False
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False  # the disk can no longer read the blob


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return sha256_of(file)


def _link_over(path: Path, target: Path, sha256: bytes | None) -> None:
    """Link or copy the file to the target, replacing a damaged blob or equal bytes that were put concurrently."""
    # With a rename, readers never find the target missing or partially copied.
    temporary = _temporary_path(target)
    try:
        try:
            os.link(path, temporary)
        except OSError:  # the spool is on another file system, or this one has no hard links
            _copy(path, temporary, sha256)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # a rename does nothing if both names link to the same file


def _temporary_path(target: Path) -> Path:
    """Return a temporary name next to the target, which the sweep recognizes (`keys.is_swept`)."""
    return target.with_name(f"{keys.UNFINISHED}{target.name}-{secrets.token_hex(4)}")


def create_private(path: Path) -> BinaryIO:
    """Create a file that only its owner can read, for writing."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _copy(path: Path, copy: Path, sha256: bytes | None) -> None:
    """Copy bytes and permissions (a private file stays private on every file system); verify the hash if given."""
    digest = hashlib.sha256()
    with path.open("rb") as source, create_private(copy) as target:
        while chunk := source.read(_COPY_BYTES):
            target.write(chunk)
            if sha256 is not None:
                digest.update(chunk)
        if sha256 not in (None, digest.digest()):
            raise Unavailable(
                "The file changed while it was copied into the store.", "Upload it again.", cause=str(path)
            )
        os.fchmod(target.fileno(), file_modes.S_IMODE(os.fstat(source.fileno()).st_mode))
        _sync(target)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


sync_folder = _sync_file  # a folder is synced by the same call


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _can_sync_file_systems() -> bool:
    """Return whether `syncfs` exists (Linux): it waits for all writes and reports errors; Python does not wrap it."""
    return hasattr(_libc(), "syncfs")


def _sync_file_system(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if _libc().syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
