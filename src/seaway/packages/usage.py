"""How much the store has to hold, by the rows that name it: a bucket of millions of blobs is not listed for that."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, func, select, true

from seaway.database.engine import Tx
from seaway.database.tables import channels, documents, files, subdirs
from seaway.indexing.rows import State


@dataclass(frozen=True, slots=True)
class Usage:
    """Blobs and their bytes; content that several rows name is there once."""

    blobs: int
    size: int


def of_packages(tx: Tx) -> Usage:
    """Package files that readers may download."""
    return _usage(tx, files, files.c.state != State.DELETED.value)


def of_documents(tx: Tx) -> Usage:
    """Whole index documents."""
    return _usage(tx, documents, true())


@dataclass(frozen=True, slots=True)
class ChannelUsage:
    """What one channel holds; content that other channels hold too counts in each."""

    channel: str
    files: int
    size: int
    documents: int
    documents_size: int


def named_by_packages(tx: Tx) -> int:
    """Bytes of package files, as often as channels have them."""
    return int(tx.execute(select(func.coalesce(func.sum(subdirs.c.size), 0))).scalar_one())


def by_channel(tx: Tx, *, skip: int = 0, limit: int) -> list[ChannelUsage]:
    """The channels by what they hold, the largest first, in one statement."""
    held = (
        select(
            subdirs.c.channel_id,
            func.sum(subdirs.c.record_count).label("files"),
            func.sum(subdirs.c.size).label("size"),
        )
        .group_by(subdirs.c.channel_id)
        .subquery()
    )
    built = (
        select(
            subdirs.c.channel_id,
            func.count(documents.c.sha256).label("count"),
            func.sum(documents.c.size).label("size"),
        )
        .join(documents, documents.c.subdir_id == subdirs.c.id)
        .group_by(subdirs.c.channel_id)
        .subquery()
    )
    size = func.coalesce(held.c.size, 0)
    rows = tx.execute(
        select(
            channels.c.name,
            func.coalesce(held.c.files, 0).label("files"),
            size.label("size"),
            func.coalesce(built.c.count, 0).label("documents"),
            func.coalesce(built.c.size, 0).label("documents_size"),
        )
        .outerjoin(held, held.c.channel_id == channels.c.id)
        .outerjoin(built, built.c.channel_id == channels.c.id)
        .order_by(size.desc(), channels.c.name)
        .offset(skip)
        .limit(limit)
    )
    # PostgreSQL adds large integers up to a decimal.
    return [
        ChannelUsage(row.name, int(row.files), int(row.size), int(row.documents), int(row.documents_size))
        for row in rows
    ]


def _usage(tx: Tx, table: Table, which: ColumnElement[bool]) -> Usage:
    distinct = select(func.max(table.c.size).label("size")).where(which).group_by(table.c.sha256).subquery()
    count, size = tx.execute(select(func.count(), func.coalesce(func.sum(distinct.c.size), 0))).one()
    return Usage(count, int(size))
