"""
What the rest of Seaway asks of a store of bytes.

1. A key is visible only with all its bytes: nobody reads half a blob.
2. When `put_file` or `put_files` has returned, the bytes survive a crash of the process and of the machine.
3. Keys are content addresses: putting a key again changes nothing that a reader could see, unless the bytes there are
   damaged. `put_file` and `put_files` rely on a blob that is there only after its hash, or a checksum that the store
   computed from its bytes, was compared; a matching size is not enough. A damaged blob is replaced.
4. Deleting a blob does not disturb a reader that has opened it.
5. A store that is full, slow or away is `Unavailable`, not an error of ours.
6. A store is made by `create` and by nothing else: a folder that is gone (not mounted, moved, deleted) is
   `Unavailable`, and nothing is made in its place.

Beside content-addressed blobs a store holds a few small objects under fixed keys (`write`): its identity, the secret
key, manifests. They are replaced in one step, and only the owner of the store may read them.
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
    version: str = ""  # another one after each put under this key


class DamagedBlob(FileNotFoundError):
    """The bytes of a blob are not those that its key names, so it is as good as missing."""


class Blobs(Protocol):
    """A store of bytes; every method blocks and is called off the event loop."""

    def create(self) -> None:
        """Make the place where blobs are kept, if it is not there; for a new store only (6)."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Keep a small object under a fixed key, in place of an older one; durable on return, private to the owner."""
        ...

    def prepare_file(self, path: Path) -> None:
        """Begin what `put_file` will have to do with this file, which is written and may yet be refused."""
        ...

    def put_file(self, key: str, path: Path) -> bool:
        """
        Keep the content of the file at `path` as the blob `key`; the file itself stays the caller's.

        False when the blob was there before, whole. Either way somebody may delete it before a row names it, so whoever
        names it confirms it and puts it again if it is gone (`indexing.claims`).
        """
        ...

    def put_files(self, files: Mapping[str, Path]) -> set[str]:
        """`put_file` for many, all of which last when it returns; the keys that were not there before."""
        ...

    def open(self, key: str, start: int = 0) -> BinaryIO:
        """The blob for reading in order, from byte `start` on; FileNotFoundError when there is none."""
        ...

    def stat(self, key: str) -> BlobStat | None:
        """Size and age of a blob, or None."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Where the blob lies as a file of this machine, for servers that send files by path; None elsewhere."""
        ...

    def signed_url(self, key: str, seconds: int) -> str | None:
        """An address under which anybody may read this one blob for so long; None where the store has none to give."""
        ...

    def delete(self, key: str) -> None:
        """Remove a blob; nothing happens when there is none."""
        ...

    def copy(self, key: str, target: str) -> None:
        """Keep the bytes of `key` under `target` too, in place of what is there; FileNotFoundError when there are none."""
        ...

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        """Every blob and object, or those below one folder of the store, in no order; all of them, or `Unavailable`."""
        ...


def read_whole(blobs: Blobs, key: str) -> bytes:
    """Read a small blob; `DamagedBlob` when its bytes do not have the sha256 that its key names."""
    with blobs.open(key) as file:
        content = file.read()
    if hashlib.sha256(content).digest() != keys.sha256_of(key):
        raise DamagedBlob(key)
    return content
