"""
Blobs in a bucket: S3 and compatible stores, Google Cloud Storage, Azure.

The weak guarantees of buckets are sufficient for content-addressed blobs: two puts of one key have the same bytes, so
it does not matter which one wins. Uploads to S3 include their sha256, so that the server refuses bytes that were
corrupted in transit. obstore's synchronous calls are used from threads; its asynchronous ones can abort the
interpreter if a process ends soon after an await.
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

# Up to this size, one conditional request puts a blob; a larger blob is looked up first and sent in parts.
_ONE_REQUEST_BYTES = 8 * 1024 * 1024
_PART_BYTES = 16 * 1024 * 1024
_PARTS_AT_ONCE = 4
_FILES_AT_ONCE = 8
_READ_BYTES = 1024 * 1024

CLIENT: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=20),
    "timeout": timedelta(hours=2),  # for a whole request, such as a large download to a slow reader
}
# Retries are short because an upload occupies a thread during retries, and clients retry after a 503.
RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}

Store = S3Store | GCSStore | AzureStore


class BucketBlobs:
    """A bucket, or a folder of it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self) -> None:
        """Do nothing: the operator creates the bucket."""

    def write(self, key: str, content: bytes) -> None:
        with _converted_errors(key):
            obstore.put(self._store, key, content, use_multipart=False)

    def prepare_file(self, path: Path) -> None:
        """Do nothing: a file that can still be refused must not be sent."""

    def put_file(self, key: str, path: Path) -> bool:
        size = path.stat().st_size
        with _converted_errors():
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
        with _converted_errors(key):
            if start == 0:
                found = obstore.get(self._store, key)
            else:
                found = obstore.get(self._store, key, options={"range": {"offset": start}})
            return cast(
                "BinaryIO", io.BufferedReader(_Stream(iter(found.stream(min_chunk_size=_READ_BYTES))), _READ_BYTES)
            )

    def stat(self, key: str) -> BlobStat | None:
        try:
            with _converted_errors(key):
                return _stat(obstore.head(self._store, key))
        except FileNotFoundError:
            return None

    def local_path(self, key: str) -> Path | None:
        return None

    def signed_url(self, key: str, seconds: int) -> str | None:
        with _converted_errors():
            return obstore.sign(self._store, "GET", key, timedelta(seconds=seconds))

    def delete(self, key: str) -> None:
        try:
            with _converted_errors(key):
                obstore.delete(self._store, key)
        except FileNotFoundError:
            pass

    def copy(self, key: str, target: str) -> None:
        with _converted_errors(key):
            obstore.copy(self._store, key, target)

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        with _converted_errors():
            for found in obstore.list(self._store, folder or None):
                yield from map(_stat, found)

    def _put_parts(self, key: str, path: Path, size: int) -> bool:
        if self._is_whole(key, path, size):
            return False
        obstore.put(self._store, key, path, use_multipart=True, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        return True

    def _is_whole(self, key: str, path: Path, size: int) -> bool:
        """Return whether the key has the content of the file, by its ETag or else by reading it back."""
        existing = self.stat(key)
        if existing is None or existing.size != size:
            return False
        if existing.version.strip('"') == _etag_of(path, size, like=existing.version.strip('"')):
            return True
        # Not every ETag is a hash of the bytes: not in GCS and Azure, nor in S3 with KMS encryption.
        try:
            with self.open(key) as file:
                return sha256_of(file) == (keys.sha256_of(key) or _hash(path, "sha256"))
        except FileNotFoundError:  # deleted concurrently
            return False


class _Stream(io.RawIOBase):
    """The chunks of one GET response as a file for sequential reading."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            with _converted_errors():
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
    Return the ETag that S3 computes for this file, in the format of the ETag `like`; None for an unknown format.

    One request: the MD5. Several parts: the MD5 of the parts' MD5s, and the number of parts.
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
def _converted_errors(key: str = "") -> Iterator[None]:
    """Convert the client library's errors to the errors of `BlobStore`."""
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise FileNotFoundError(key) from None
    except PermissionDeniedError as error:
        raise NotWritable("The storage denies access.", "Tell the operator of the server.", cause=str(error)) from error
    except BaseError as error:
        raise Unavailable("The storage does not respond.", "Try again in a moment.", cause=str(error)) from error
