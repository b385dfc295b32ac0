"""Blobs in memory, for tests and trials; they are lost when the process ends."""

import io
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import BinaryIO

from seaway.storage.blobs import BlobStat


class MemoryBlobs:
    """A store in a dictionary."""

    def __init__(self) -> None:
        self._contents: dict[str, tuple[bytes, int, str]] = {}
        self._versions = count()

    def create(self) -> None:
        """Do nothing."""

    def write(self, key: str, content: bytes) -> None:
        self._contents[key] = (content, int(time.time() * 1000), str(next(self._versions)))

    def prepare_file(self, path: Path) -> None:
        """Do nothing."""

    def put_file(self, key: str, path: Path) -> bool:
        content = path.read_bytes()
        if key in self._contents and self._contents[key][0] == content:
            return False
        self.write(key, content)
        return True

    def put_files(self, files: Mapping[str, Path]) -> set[str]:
        return {key for key, path in files.items() if self.put_file(key, path)}

    def open(self, key: str, start: int = 0) -> BinaryIO:
        if key not in self._contents:
            raise FileNotFoundError(key)
        return io.BytesIO(self._contents[key][0][start:])

    def stat(self, key: str) -> BlobStat | None:
        if key not in self._contents:
            return None
        content, modified_ms, version = self._contents[key]
        return BlobStat(key, len(content), modified_ms, version)

    def local_path(self, key: str) -> Path | None:
        return None

    def signed_url(self, key: str, seconds: int) -> str | None:
        return None

    def delete(self, key: str) -> None:
        self._contents.pop(key, None)

    def copy(self, key: str, target: str) -> None:
        with self.open(key) as file:
            self.write(target, file.read())

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        for key in list(self._contents):
            if (not folder or key.startswith(f"{folder}/")) and (stat := self.stat(key)):
                yield stat
