"""A store that can be used only while it is paired with the database (`pairing.pairing`)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from seaway.pairing.pairing import Pairing
from seaway.storage.blobs import BlobStat, BlobStore


class PairedBlobs:
    """
    `BlobStore` that checks the pairing.

    A blob reported as missing is missing from the right store: a store that is unavailable, empty or not the database's
    raises `Unavailable` instead. If deletions are not allowed, `delete` does nothing.
    """

    def __init__(self, blobs: BlobStore, pairing: Pairing) -> None:
        self.inner = blobs
        self._pairing = pairing

    def create(self) -> None:
        """Do nothing: `Pairing` creates the store."""

    def prepare_file(self, path: Path) -> None:
        self.inner.prepare_file(path)

    def put_file(self, key: str, path: Path) -> bool:
        self._pairing.require_store()
        is_new = self.inner.put_file(key, path)
        self._pairing.require_store()
        return is_new

    def put_files(self, files: Mapping[str, Path]) -> set[str]:
        self._pairing.require_store()
        new = self.inner.put_files(files)
        self._pairing.require_store()
        return new

    def write(self, key: str, content: bytes) -> None:
        self._pairing.require_store()
        self.inner.write(key, content)
        self._pairing.require_store()

    def open(self, key: str, start: int = 0) -> BinaryIO:
        try:
            return self.inner.open(key, start)
        except FileNotFoundError:
            self._pairing.require_store()
            raise

    def stat(self, key: str) -> BlobStat | None:
        found = self.inner.stat(key)
        if found is None:
            self._pairing.require_store()
        return found

    def copy(self, key: str, target: str) -> None:
        self._pairing.require_store()
        self.inner.copy(key, target)

    def local_path(self, key: str) -> Path | None:
        return self.inner.local_path(key)

    def signed_url(self, key: str, seconds: int) -> str | None:
        return self.inner.signed_url(key, seconds)

    def delete(self, key: str) -> None:
        if self._pairing.can_delete():
            self.inner.delete(key)

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        self._pairing.require_store()
        yield from self.inner.list(folder)
