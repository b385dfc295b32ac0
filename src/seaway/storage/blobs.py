"""
The protocol of blob stores.

1. A key is visible only with all its bytes: readers never see a partial blob.
2. When `put_file` or `put_files` has returned, the bytes survive a crash of the process and of the machine.
3. Keys are content addresses: putting a key again changes nothing that a reader can see, unless the stored bytes are
   damaged. `put_file` and `put_files` keep an existing blob only after comparing its hash, or a checksum that the store
   computed from its bytes; a matching size is not enough. A damaged blob is replaced.
4. Deleting a blob does not affect a reader that has already opened it.
5. A store that is full, slow or unreachable raises `Unavailable`, not an internal error.
6. A store is created only by `create`: if its folder is missing (not mounted, moved, deleted), calls raise
   `Unavailable` and do not create it again.

Besides content-addressed blobs, a store has a few small objects under fixed keys (`write`): its identity, the secret
key, manifests. They are replaced atomically, and only the owner of the store can read them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from seaway.storage import keys


@dataclass(frozen=True, slots=True)
class BlobStat:
    """A blob as the store lists it."""

    key: str
    size: int
    modified_ms: int
    version: str = ""  # changes with each put under this key


class DamagedBlob(FileNotFoundError):
    """The bytes of a blob do not have the hash in its key; the blob counts as missing."""


class BlobStore(Protocol):
    """A blob store; every method blocks and must be called off the event loop."""

    def create(self) -> None:
        """Create the store's location if it does not exist; for a new store only (6)."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Write a small object under a fixed key, replacing an older one; durable on return, private to the owner."""
        ...

    def prepare_file(self, path: Path) -> None:
        """Start early on the work of `put_file` for a complete file that can still be refused."""
        ...

    def put_file(self, key: str, path: Path) -> bool:
        """
        Store the content of the file at `path` as the blob `key`; the caller keeps the file itself.

        Return False if the undamaged blob already existed. In both cases it can be deleted before a row names it, so
        code that adds such a row must confirm the blob and put it again if it is missing (`indexing.blob_references`).
        """
        ...

    def put_files(self, files: Mapping[str, Path]) -> set[str]:
        """Store many files, all durable on return; return the keys that did not exist before."""
        ...

    def open(self, key: str, start: int = 0) -> BinaryIO:
        """Open the blob for sequential reading from byte `start`; FileNotFoundError if it does not exist."""
        ...

    def stat(self, key: str) -> BlobStat | None:
        """Return size and time of a blob, or None if it does not exist."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Return the blob's path on this machine, for servers that send files by path; None for other stores."""
        ...

    def signed_url(self, key: str, seconds: int) -> str | None:
        """Return a URL with which anyone can read this blob for `seconds`; None if the store has no such URLs."""
        ...

    def delete(self, key: str) -> None:
        """Delete a blob if it exists."""
        ...

    def copy(self, key: str, target: str) -> None:
        """Copy the bytes of `key` to `target`, replacing it; FileNotFoundError if `key` does not exist."""
        ...

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        """Yield every blob and object, or those in one folder, in no order; a partial listing raises `Unavailable`."""
        ...


def read_whole(blobs: BlobStore, key: str) -> bytes:
    """Read a small blob; `DamagedBlob` if its bytes do not have the sha256 in its key."""
    with blobs.open(key) as file:
        content = file.read()
    if hashlib.sha256(content).digest() != keys.sha256_of(key):
        raise DamagedBlob(key)
    return content
