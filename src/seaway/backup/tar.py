"""
A backup as one file: a tar of the manifest, the parts, and the blobs in the order of the contents.

It is written and read once from its beginning to its end. Names are short, so the header of each member is one block;
`tarfile` only makes and reads headers, without a list of the members, of which there can be millions.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tarfile import TarInfo
from typing import Any, BinaryIO, cast

from seaway.backup import manifest as manifests
from seaway.backup.backup import Snapshot
from seaway.backup.blob_copy import CHUNK_BYTES, STORE_NAME, BlobEntry, damaged, missing
from seaway.backup.restore import CopyBlob
from seaway.errors import BadSetting
from seaway.storage.blobs import BlobStore
from seaway.storage.disk import create_private, sync_folder
from seaway.storage.spool import Spool

SUFFIX = ".tar"
_MANIFEST = "manifest"
_PRIVATE = 0o600  # it contains hashes of passwords and keys, and private packages


class TarTarget:
    """Backup target that is a tar file; an existing file is replaced once the new one is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, snapshot: Snapshot, blobs: BlobStore, spool: Spool) -> int:
        manifest, sent = snapshot.manifest, 0
        head = manifests.encode(manifest)
        with self._replaced() as file:
            _add(file, _MANIFEST, len(head), io.BytesIO(head))
            for name, path in snapshot.parts.items():
                with path.open("rb") as part:
                    _add(file, name, manifest.parts[name].bytes, part)
            for blob in snapshot.blobs():
                _add_blob(file, blob, blobs)
                sent += 1
            file.write(bytes(2 * tarfile.BLOCKSIZE))
        return sent

    @contextmanager
    def _replaced(self) -> Iterator[BinaryIO]:
        partial_path = self._path.with_name(f".{self._path.name}.part")
        partial_path.unlink(missing_ok=True)  # left by a killed backup
        try:
            with create_private(partial_path) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial_path.replace(self._path)
        finally:
            partial_path.unlink(missing_ok=True)
        sync_folder(self._path.absolute().parent)


class TarSource:
    """Backup source that is a tar file, read in order."""

    def __init__(self, file: BinaryIO, location: str) -> None:
        self._file, self._location = file, location
        self._next_at = 0
        head = self._next(_MANIFEST).read(manifests.MAX_BYTES)
        self.manifest = manifests.decode(head, location)

    def fetch_parts(self, spool: Spool, stack: ExitStack) -> dict[str, Path]:
        return {
            name: stack.enter_context(manifests.fetched_part(self._next(name), part, self._location, spool))
            for name, part in self.manifest.parts.items()
        }

    def copy_blobs(self, contents: Iterable[BlobEntry], keep: CopyBlob) -> int:
        return sum(keep(blob, partial(_unchanged, self._next(blob.key)), self._location) for blob in contents)

    def _next(self, name: str) -> BinaryIO:
        """Return the next member, which must have this name."""
        self._file.seek(self._next_at)
        try:
            info = TarInfo.frombuf(self._file.read(tarfile.BLOCKSIZE), "ascii", "strict")
        except (tarfile.TarError, UnicodeError):
            raise manifests.damaged(self._location) from None
        if info.name != name:
            raise manifests.damaged(self._location)
        self._next_at += tarfile.BLOCKSIZE + info.size + _padding(info.size)
        return cast("BinaryIO", _Member(self._file, info.size))


@contextmanager
def open_backup(path: Path) -> Iterator[TarSource]:
    """Open the backup in this file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise BadSetting(f"There is no backup {path}.", "Use a file that `seaway backup` wrote.") from None
    with file:
        yield TarSource(file, str(path))


class _Member(io.RawIOBase):
    """The bytes of one member, read in order."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._file.read(min(len(buffer), self._left))
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)


def _unchanged(member: BinaryIO) -> BinaryIO:
    return member


def _add_blob(file: BinaryIO, blob: BlobEntry, blobs: BlobStore) -> None:
    try:
        source = blobs.open(blob.key)
    except FileNotFoundError:
        raise missing(blob, STORE_NAME) from None
    with source:
        if _add(file, blob.key, blob.size, source) != blob.sha256:
            raise damaged(blob, STORE_NAME)


def _add(file: BinaryIO, name: str, size: int, content: BinaryIO) -> bytes:
    """Write one member; return the sha256 of its bytes."""
    info = TarInfo(name)
    info.size, info.mode = size, _PRIVATE
    file.write(info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict"))
    sha256 = hashlib.sha256()
    while size and (chunk := content.read(min(size, CHUNK_BYTES))):
        sha256.update(chunk)
        file.write(chunk)
        size -= len(chunk)
    file.write(bytes(_padding(info.size)))
    return sha256.digest()


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE
