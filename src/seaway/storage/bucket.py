"""
Blobs in a bucket: S3 and what speaks like it, Google Cloud Storage, Azure.

Content addresses make a bucket's weak promises enough: two puts of one key carry the same bytes, so it does not
matter which of them lasts. What goes to S3 is sent with its sha256, so that the server refuses bytes that changed on
their way (`opening`). obstore's synchronous calls are used from threads; its asynchronous ones can abort the
interpreter when a process ends soon after an await.
"""

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PermissionDeniedError
from obstore.store import AzureStore, GCSStore, S3Store

from seaway.errors import NotWritable, Unavailable
from seaway.storage import keys
from seaway.storage.blobs import BlobStat
from seaway.storage.digest import sha256_of

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

# Up to this size one request puts a blob unless it is there; a larger one is asked for first and sent in parts.
_ONE_REQUEST_BYTES = 8 * 1024 * 1024
_PART_BYTES = 16 * 1024 * 1024
_PARTS_AT_ONCE = 4
_FILES_AT_ONCE = 8
_READ_BYTES = 1024 * 1024

CLIENT: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=20),
    "timeout": timedelta(hours=2),  # of a whole request: a large download to a slow reader
}
# Uploads hold a thread while we retry, and clients retry themselves after a 503.
RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}

Store = S3Store | GCSStore | AzureStore


class BucketBlobs:
    """A bucket, or a folder of it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self) -> None:
        """Nothing: its owner made the bucket."""

    def write(self, key: str, content: bytes) -> None:
        with _explained(key):
            obstore.put(self._store, key, content, use_multipart=False)

    def prepare_file(self, path: Path) -> None:
        """Nothing: what is refused is not to be sent."""

    def put_file(self, key: str, path: Path) -> bool:
        size = path.stat().st_size
        with _explained():
            if size > _ONE_REQUEST_BYTES:
                return self._put_parts(key, path, size)
            try:
                obstore.put(self._store, key, path, mode="create", use_multipart=False)
            except AlreadyExistsError:
                if self._is_whole(key, path, size):
                    return False
                obstore.put(self._store, key, path, use_multipart=False)
            return True

    def put_files(self, files: Mapping[str, Path]) -> set[str]:
        with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="putting") as threads:
            are_new = threads.map(self.put_file, files.keys(), files.values())
            return {key for key, is_new in zip(files, are_new, strict=True) if is_new}

    def open(self, key: str, start: int = 0) -> BinaryIO:
        with _explained(key):
            if start == 0:
                found = obstore.get(self._store, key)
            else:
                found = obstore.get(self._store, key, options={"range": {"offset": start}})
            return cast(
                "BinaryIO", io.BufferedReader(_Stream(iter(found.stream(min_chunk_size=_READ_BYTES))), _READ_BYTES)
            )

    def stat(self, key: str) -> BlobStat | None:
        try:
            with _explained(key):
                return _stat(obstore.head(self._store, key))
        except FileNotFoundError:
            return None

    def local_path(self, key: str) -> Path | None:
        return None

    def signed_url(self, key: str, seconds: int) -> str | None:
        with _explained():
            return obstore.sign(self._store, "GET", key, timedelta(seconds=seconds))

    def delete(self, key: str) -> None:
        try:
            with _explained(key):
                obstore.delete(self._store, key)
        except FileNotFoundError:
            pass

    def copy(self, key: str, target: str) -> None:
        with _explained(key):
            obstore.copy(self._store, key, target)

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        with _explained():
            for found in obstore.list(self._store, folder or None):
                yield from map(_stat, found)

    def _put_parts(self, key: str, path: Path, size: int) -> bool:
        if self._is_whole(key, path, size):
            return False
        obstore.put(self._store, key, path, use_multipart=True, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        return True

    def _is_whole(self, key: str, path: Path, size: int) -> bool:
        """Whether the content of the file is there under this key, by the ETag or else by reading it back."""
        there = self.stat(key)
        if there is None or there.size != size:
            return False
        if there.version.strip('"') == _etag_of(path, size, like=there.version.strip('"')):
            return True
        # Not every ETag is a hash of the bytes: not in GCS and Azure, and not in S3 with keys of KMS.
        try:
            with self.open(key) as file:
                return sha256_of(file) == (keys.sha256_of(key) or _hash(path, "sha256"))
        except FileNotFoundError:  # deleted meanwhile
            return False


class _Stream(io.RawIOBase):
    """The chunks of one GET as a file that is read in order."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            with _explained():
                chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _stat(found: Any) -> BlobStat:
    modified_ms = int(found["last_modified"].timestamp() * 1000)
    return BlobStat(found["path"], found["size"], modified_ms, found.get("e_tag") or str(modified_ms))


_MD5 = re.compile(r"[0-9a-f]{32}(?:-(\d+))?")


def _etag_of(path: Path, size: int, *, like: str) -> str | None:
    """
    The ETag that S3 computes from the bytes of this file, of the kind of another one; None for a kind that we do not know.

    One request: the MD5. Several parts: the MD5 of their MD5s, and how many there are.
    """
    found = _MD5.fullmatch(like)
    if found is None:
        return None
    if found[1] is None:
        return _hash(path, "md5").hex()
    if int(found[1]) != -(-size // _PART_BYTES):
        return None
    of_parts = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(_PART_BYTES):
            of_parts.update(hashlib.md5(part, usedforsecurity=False).digest())
    return f"{of_parts.hexdigest()}-{found[1]}"


def _hash(path: Path, name: str) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).digest()


@contextmanager
def _explained(key: str = "") -> Iterator[None]:
    """Turn what the client library raises into what `Blobs` promises."""
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise FileNotFoundError(key) from None
    except PermissionDeniedError as error:
        raise NotWritable("The storage denies access.", "Tell the operator of the server.", cause=str(error)) from error
    except BaseError as error:
        raise Unavailable("The storage does not answer.", "Try again in a moment.", cause=str(error)) from error
