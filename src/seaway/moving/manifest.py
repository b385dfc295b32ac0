"""
What a backup says of itself: of which schema it is, and each of its parts with its rows, bytes and hash.

A line of JSON, then the sha256 of that line: whatever of a backup has changed since it was made is noticed.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from seaway.database import migrate
from seaway.moving.content import Damaged, Listed, fetched
from seaway.moving.rows import Part, read_part
from seaway.storage.spool import Spool

FORMAT = 1
CONTENTS = "contents"  # the part that lists the blobs
SECRET_KEY = "secret-key"  # the part with the key that secrets in the rows are encrypted with; it may be empty
MAX_BYTES = 1024 * 1024
_ROWS = "rows/"
_PART = re.compile(r"contents|secret-key|rows/[a-z_]+")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The head of a backup."""

    format: int
    seaway: str
    schema: str
    time: str
    parts: dict[str, Part]
    blob_bytes: int
    last_ids: dict[str, int]  # the highest id that each table ever gave out, so that none is given out again

    @property
    def blobs(self) -> int:
        return self.parts[CONTENTS].rows

    @property
    def tables(self) -> dict[str, Part]:
        """The parts that are rows of tables."""
        return {name.removeprefix(_ROWS): part for name, part in self.parts.items() if name.startswith(_ROWS)}

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.tables.values())


@dataclass(frozen=True, slots=True)
class _Head:
    format: int


def rows_of(table: str) -> str:
    """The name of the part with the rows of a table."""
    return _ROWS + table


def encode(manifest: Manifest) -> bytes:
    """The bytes of a manifest."""
    line = msgspec.json.encode(manifest)
    return line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"


def decode(content: bytes, place: str) -> Manifest:
    """A manifest that this Seaway can restore, or a sentence."""
    line, _, sha256 = content.partition(b"\n")
    try:
        head = msgspec.json.decode(line, type=_Head)
        if hashlib.sha256(line).hexdigest().encode() != sha256.strip():
            raise damaged(place)
        if head.format != FORMAT:
            raise Damaged(f"{place} is a backup of a newer Seaway.", "Restore it with that Seaway.")
        manifest = msgspec.json.decode(line, type=Manifest)
    except msgspec.MsgspecError:
        raise damaged(place) from None
    if CONTENTS not in manifest.parts or not all(map(_PART.fullmatch, manifest.parts)):
        raise damaged(place)
    migrate.require_known(manifest.schema, "backup")
    return manifest


def damaged(place: str) -> Damaged:
    """The sentence about a backup that cannot be used."""
    return Damaged(f"{place} is not a whole backup.", "Take another one.")


def fetched_part(file: BinaryIO, part: Part, place: str, spool: Spool) -> AbstractContextManager[Path]:
    """A part as a spool file, after a look at its hash."""
    return fetched(file, bytes.fromhex(part.sha256), spool, damaged(place))


def listed(contents: Path) -> Iterator[Listed]:
    """The blobs that a part of contents lists."""
    with contents.open("rb") as file:
        for batch in read_part(file)[1]:
            for sha256, size in batch:
                yield Listed(sha256, size)
