"""
Transfer of rows: read in key order, written to parts, read from parts, inserted.

A part is a row of column names and then the rows, in frames: four bytes of length, then zstd of msgpack. Equal rows
give equal bytes, whichever database they come from; at most some hundred rows are in memory.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
from sqlalchemy import ColumnElement, Select, String, Table, collate, insert, select, tuple_
from sqlalchemy.exc import DataError, IntegrityError

from seaway.backup.blob_copy import DamagedData
from seaway.conda import zstd
from seaway.database.engine import Tx

_FETCH_ROWS = 100
_BATCH_ROWS = 500
_BATCH_BYTES = 4 * 1024 * 1024
_LENGTH_BYTES = 4

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class BackupPart:
    """Rows, bytes and sha256 of one part, for the manifest."""

    rows: int
    bytes: int
    sha256: str


@contextmanager
def streamed(tx: Tx, query: Select[Any]) -> Iterator[Iterator[Row]]:
    """Yield the rows of a query, fetched in batches."""
    with tx.execute(query.execution_options(yield_per=_FETCH_ROWS)) as found:
        yield map(tuple, found)


def by_key(tx: Tx, table: Table, *, after: Row | None = None) -> Select[Any]:
    """Return a query of the rows of a table in the order of its primary key, all or only the rows after one key."""
    key = key_of(tx, table)
    query = select(table).order_by(*key)
    return query if after is None else query.where(tuple_(*key) > tuple_(*after))


def key_of(tx: Tx, table: Table) -> list[ColumnElement[Any]]:
    """Return the columns of the primary key, ordered by bytes in both databases."""
    in_locale = tx.dialect.name == "postgresql"
    return [
        collate(column, "C") if in_locale and isinstance(column.type, String) else column
        for column in table.primary_key.columns
    ]


def insert_rows(tx: Tx, table: Table, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Insert rows unchanged."""
    try:
        tx.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in rows])
    except (IntegrityError, DataError) as error:
        reason = str(error.orig).partition("\n")[0].rstrip(".")
        raise DamagedData(
            f"The database rejected a row of {table.name} ({reason}).",
            "Keep the source and the target, and report this.",
        ) from None


def in_batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows in batches, limited by number and bytes."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def encode(rows: Sequence[Row]) -> bytes:
    """Encode rows; the bytes are equal if and only if the rows are equal."""
    return msgspec.msgpack.encode(rows)


def write_part(file: BinaryIO, columns: Sequence[str], rows: Iterable[Row]) -> BackupPart:
    """Write rows as a part, frame by frame."""
    sha256, size, count = hashlib.sha256(), 0, 0
    for number, batch in enumerate(_with_header(columns, rows)):
        packed = zstd.compress_frame(encode(batch))
        frame = len(packed).to_bytes(_LENGTH_BYTES, "big") + packed
        file.write(frame)
        sha256.update(frame)
        size += len(frame)
        count += len(batch) if number else 0
    file.flush()
    return BackupPart(count, size, sha256.hexdigest())


def read_part(file: BinaryIO) -> tuple[Sequence[str], Iterator[list[Row]]]:
    """Return the columns of a part, and its rows in batches."""
    batches = _frames(file)
    return next(batches, [[]])[0], batches


def _with_header(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[list[Row]]:
    yield [columns]
    yield from in_batches(rows)


def _frames(file: BinaryIO) -> Iterator[list[Row]]:
    while head := file.read(_LENGTH_BYTES):
        packed = file.read(int.from_bytes(head, "big"))
        try:
            yield msgspec.msgpack.decode(zstd.decompress_frame(packed), type=list[list[Any]])
        except (zstd.ZstdError, msgspec.MsgspecError):
            raise DamagedData("A part of the backup cannot be read.", "Use another backup.") from None
