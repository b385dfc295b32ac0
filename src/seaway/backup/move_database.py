"""
Move all rows of a site from one database to another.

1. No writes happen meanwhile: one write transaction locks the source. Uploads get 503, and none is lost.
2. A database that is being filled cannot be served: its schema revision says that it is unfinished.
3. Two sites are never mixed. A target is empty, or contains an unfinished move from this same site (identified by its
   first audit entry) in the state that the site still has (identified by its last audit entry). If the state differs,
   the move starts over.
4. A move that was killed continues after the last committed row of each table.
5. The move is complete when a hash over all rows of each table, read from both sides in key order, is the same.
6. The new database gets the next counter of the identity that it shares with the store. Its first start writes the
   counter to the store; from then on the old database is behind the store and deletes nothing.
"""

import hashlib
from dataclasses import dataclass
from itertools import zip_longest

from sqlalchemy import (
    BigInteger,
    Column,
    LargeBinary,
    MetaData,
    Table,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)

from seaway.backup import tables
from seaway.backup.blob_copy import DamagedData
from seaway.backup.rows import Row, by_key, encode, in_batches, insert_rows, key_of, streamed
from seaway.database.engine import Database, Tx
from seaway.database.migrate import NEWEST, UNFINISHED
from seaway.database.rows import from_row
from seaway.database.tables import audit, metadata
from seaway.errors import BadSetting

# Tables that change without an audit entry and that nothing refers to: copied again when a move continues.
_UNAUDITED_TABLES = (
    "documents", "jobs", "schedules", "retired_shards", "damaged_blobs", "kept_blobs", "manifest_marks", "site_values",
    "downloads", "file_downloads", "package_downloads", "daily_package_downloads", "daily_channel_downloads",
    "daily_storage",
)  # fmt: skip
_UNKNOWN_STATE = -1

_marks = Table(
    "unfinished_move",
    MetaData(),
    Column("parts", LargeBinary(32), nullable=False),
    Column("state", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class _Mark:
    """The site that a target is being filled from, and the state of that site."""

    parts: bytes
    state: int


def move_database(source: Database, target: Database) -> dict[str, int]:
    """Copy all rows and verify that they are the same; return the row count of each table."""
    _require_usable(target)
    with source.write_site() as tx:
        _begin(target, _mark_of(tx))
        for table in metadata.sorted_tables:
            _copy(tx, target, table)
        counts = {table.name: _compare(tx, target, table) for table in metadata.sorted_tables}
        _finish(target, tables.last_ids(tx))
        return counts


def _require_usable(target: Database) -> None:
    """Refuse a target that is in use before locking the source: it may be the source itself."""
    with target.read() as tx:
        if _find_mark(tx) is None:
            tables.require_empty(tx)


def _mark_of(tx: Tx) -> _Mark:
    first_line = [tuple(row) for row in tx.execute(select(audit).order_by(audit.c.id).limit(1))]
    state = tx.execute(select(func.max(audit.c.id))).scalar() or 0
    return _Mark(hashlib.sha256(encode(first_line)).digest(), state)


def _begin(target: Database, mark: _Mark) -> None:
    """Create the tables of the target, or keep the tables that a killed move has begun to fill."""
    with target.write_site() as tx:
        existing_mark = _find_mark(tx)
        if existing_mark is None:
            tables.require_empty(tx)
        elif existing_mark.parts != mark.parts:
            raise BadSetting("The database contains an unfinished move from another site.", "Use an empty database.")
        if existing_mark == mark:
            for name in _UNAUDITED_TABLES:
                tx.execute(delete(metadata.tables[name]))
            return
        tables.create_tables(tx, NEWEST)
        _marks.drop(tx, checkfirst=True)
        _marks.create(tx)
        tx.execute(insert(_marks).values(parts=mark.parts, state=mark.state))
        _set_revision(tx, UNFINISHED)


def _find_mark(tx: Tx) -> _Mark | None:
    if not inspect(tx).has_table(_marks.name):
        return None
    return from_row(_Mark, tx.execute(select(_marks)).one())


def _copy(tx: Tx, target: Database, table: Table) -> None:
    with target.read() as target_tx:
        after = _last_key(target_tx, table)
    with streamed(tx, by_key(tx, table, after=after)) as rows:
        for batch in in_batches(rows):
            with target.write_site() as target_tx:
                insert_rows(target_tx, table, table.c.keys(), batch)


def _last_key(tx: Tx, table: Table) -> Row | None:
    key = key_of(tx, table)
    last = tx.execute(select(*key).order_by(*(column.desc() for column in key)).limit(1)).first()
    return None if last is None else tuple(last)


def _compare(tx: Tx, target: Database, table: Table) -> int:
    """Return the number of rows if they are the same on both sides; otherwise make the next run start over."""
    source_hash, target_hash, count = hashlib.sha256(), hashlib.sha256(), 0
    with (
        target.read() as target_tx,
        streamed(tx, by_key(tx, table)) as source_rows,
        streamed(target_tx, by_key(target_tx, table)) as target_rows,
    ):
        # Both sides in turn: a database server aborts a transaction that is idle for minutes.
        for source_batch, target_batch in zip_longest(in_batches(source_rows), in_batches(target_rows), fillvalue=()):
            source_hash.update(encode(source_batch))
            target_hash.update(encode(target_batch))
            count += len(source_batch)
    if source_hash.digest() != target_hash.digest():
        with target.write_site() as target_tx:
            target_tx.execute(update(_marks).values(state=_UNKNOWN_STATE))
        raise DamagedData(
            f"The rows of {table.name} differ between the two databases.", "Run this again; it starts over."
        )
    return count


def _finish(target: Database, last_ids: dict[str, int]) -> None:
    with target.write_site() as tx:
        tables.put_last_ids(tx, last_ids)
        _marks.drop(tx)
        _set_revision(tx, NEWEST)


def _set_revision(tx: Tx, revision: str) -> None:
    tx.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
