"""
Verified copies of blobs between stores and backups.

1. A blob is stored only after all its bytes were read and have the hash in its name.
2. A blob that exists under its name with other bytes is replaced atomically, once its replacement is available.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from seaway.errors import SeawayError
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from seaway.storage.digest import sha256_of
from seaway.storage.spool import Spool

CHUNK_BYTES = 1024 * 1024
STORE_NAME = "the store"
_USE_ANOTHER = "Use another backup."
_CONCURRENCY = 8  # a bucket responds after milliseconds, and to many requests at once

Item = TypeVar("Item")
Result = TypeVar("Result")


class DamagedData(SeawayError):
    """Bytes or rows are damaged or missing."""

    code = "damaged"


class MissingBlob(DamagedData):
    """A blob that should exist is missing."""


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """A blob to copy."""

    sha256: bytes
    size: int

    @property
    def key(self) -> str:
        return keys.blob(self.sha256)


def copy_blob(
    blob: BlobEntry,
    open_source: Callable[[], BinaryIO],
    location: str,
    target: BlobStore,
    spool: Spool,
    *,
    verify: bool,
) -> bool:
    """
    Copy one blob from `location` to the target unless it is already there; return whether it was sent.

    With `verify`, an existing blob is read back and hashed; otherwise its size is enough.
    """
    if is_there(target, blob, verify=verify):
        return False
    try:
        source = open_source()
    except FileNotFoundError:
        raise missing(blob, location) from None
    with source, verified_spool_file(source, blob.sha256, spool, damaged(blob, location)) as path:
        target.put_file(blob.key, path)
    return True


def is_there(blobs: BlobStore, blob: BlobEntry, *, verify: bool) -> bool:
    """Return whether the store has this blob; with `verify` compare the bytes, otherwise only the size."""
    stat = blobs.stat(blob.key)
    if stat is None or stat.size != blob.size:
        return False
    if not verify:
        return True
    with blobs.open(blob.key) as file:
        return sha256_of(file) == blob.sha256


def damaged(blob: BlobEntry, location: str) -> DamagedData:
    """Return the error for a blob whose bytes do not match its name."""
    hint = (
        "Run `seaway check` to find its file, then delete the file or restore the blob."
        if location == STORE_NAME
        else _USE_ANOTHER
    )
    return DamagedData(f"The blob {blob.sha256.hex()} in {location} is damaged.", hint)


def missing(blob: BlobEntry, location: str) -> MissingBlob:
    """Return the error for a missing blob."""
    hint = "If its file has just been deleted, run this again; otherwise run `seaway check` to find the file."
    return MissingBlob(
        f"The blob {blob.sha256.hex()} is not in {location}.", hint if location == STORE_NAME else _USE_ANOTHER
    )


def map_concurrently(
    work: Callable[[Item], Result], items: Iterable[Item], *, at_once: int = _CONCURRENCY
) -> Iterator[Result]:
    """Yield the results in order; work on several items at once, with few of them in memory."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(at_once, thread_name_prefix="moving") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def verified_spool_file(source: BinaryIO, sha256: bytes, spool: Spool, refusal: DamagedData) -> Iterator[Path]:
    """Yield the content as a spool file after checking its hash; raise `refusal` if the hash differs."""
    with spool.file() as file:
        hasher = hashlib.sha256()
        while chunk := source.read(CHUNK_BYTES):
            hasher.update(chunk)
            file.write(chunk)
        if hasher.digest() != sha256:
            raise refusal
        file.flush()
        yield Path(file.name)
