"""
Manifest of a backup: its schema, and the rows, bytes and hash of each part.

It is a line of JSON followed by the sha256 of that line, so that any change to a backup is detected.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from seaway.backup.blob_copy import BlobEntry, DamagedData, verified_spool_file
from seaway.backup.rows import BackupPart, read_part
from seaway.database import migrate
from seaway.storage.spool import Spool

FORMAT = 1
CONTENTS = "contents"  # the part that lists the blobs
SECRET_KEY = "secret-key"  # the part with the key that encrypts secrets in the rows; it may be empty
MAX_BYTES = 1024 * 1024
_ROWS = "rows/"
_PART = re.compile(r"contents|secret-key|rows/[a-z_]+")


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """Manifest of a backup."""

    format: int
    seaway: str
    schema: str
    time: str
    parts: dict[str, BackupPart]
    blob_bytes: int
    last_ids: dict[str, int]  # the highest id that each table ever assigned, so that no id is assigned again

    @property
    def blobs(self) -> int:
        return self.parts[CONTENTS].rows

    @property
    def tables(self) -> dict[str, BackupPart]:
        """The parts with rows, by table name."""
        return {name.removeprefix(_ROWS): part for name, part in self.parts.items() if name.startswith(_ROWS)}

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.tables.values())


@dataclass(frozen=True, slots=True)
class _Head:
    format: int


def rows_part(table: str) -> str:
    """Return the name of the part with the rows of a table."""
    return _ROWS + table


def encode(manifest: BackupManifest) -> bytes:
    """Return the bytes of a manifest."""
    line = msgspec.json.encode(manifest)
    return line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"


def decode(content: bytes, location: str) -> BackupManifest:
    """Decode a manifest; raise if it is damaged or this version of Seaway cannot restore it."""
    line, _, sha256 = content.partition(b"\n")
    try:
        head = msgspec.json.decode(line, type=_Head)
        if hashlib.sha256(line).hexdigest().encode() != sha256.strip():
            raise damaged(location)
        if head.format != FORMAT:
            raise DamagedData(f"{location} was made by a newer version of Seaway.", "Restore it with that version.")
        manifest = msgspec.json.decode(line, type=BackupManifest)
    except msgspec.MsgspecError:
        raise damaged(location) from None
    if CONTENTS not in manifest.parts or not all(map(_PART.fullmatch, manifest.parts)):
        raise damaged(location)
    migrate.require_known(manifest.schema, "backup")
    return manifest


def damaged(location: str) -> DamagedData:
    """Return the error for an incomplete or damaged backup."""
    return DamagedData(f"{location} is not a complete backup.", "Use another backup.")


def fetched_part(file: BinaryIO, part: BackupPart, location: str, spool: Spool) -> AbstractContextManager[Path]:
    """Yield a part as a spool file after checking its hash."""
    return verified_spool_file(file, bytes.fromhex(part.sha256), spool, damaged(location))


def read_contents(contents: Path) -> Iterator[BlobEntry]:
    """Yield the blobs that the contents part lists."""
    with contents.open("rb") as file:
        for batch in read_part(file)[1]:
            for sha256, size in batch:
                yield BlobEntry(sha256, size)
