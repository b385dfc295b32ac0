"""Storage usage, computed from rows: listing a bucket of millions of blobs would take too long."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, func, select, true

from seaway.database.engine import Tx
from seaway.database.rows import total
from seaway.database.tables import channels, documents, files, subdirs
from seaway.indexing.file_rows import FileState


@dataclass(frozen=True, slots=True)
class BlobUsage:
    """Number and bytes of blobs; content that several rows name counts once."""

    blobs: int
    size: int


def of_packages(tx: Tx) -> BlobUsage:
    """Return the usage of package files that can be downloaded."""
    return _usage(tx, files, files.c.state != FileState.DELETED.value)


def of_documents(tx: Tx) -> BlobUsage:
    """Return the usage of whole index documents."""
    return _usage(tx, documents, true())


@dataclass(frozen=True, slots=True)
class ChannelUsage:
    """Usage of one channel; content that several channels contain counts in each."""

    channel: str
    files: int
    size: int
    documents: int
    documents_size: int


def bytes_of_packages(tx: Tx) -> int:
    """Return the bytes of package files; content in several channels counts in each."""
    return total(tx, subdirs.c.size)


def by_channel(tx: Tx, *, skip: int = 0, limit: int) -> list[ChannelUsage]:
    """Return the usage of the channels, largest first, in one statement."""
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
    # The sum of big integers is a decimal in PostgreSQL.
    return [
        ChannelUsage(row.name, int(row.files), int(row.size), int(row.documents), int(row.documents_size))
        for row in rows
    ]


def _usage(tx: Tx, table: Table, condition: ColumnElement[bool]) -> BlobUsage:
    distinct = select(func.max(table.c.size).label("size")).where(condition).group_by(table.c.sha256).subquery()
    count, size = tx.execute(select(func.count(), func.coalesce(func.sum(distinct.c.size), 0))).one()
    return BlobUsage(count, int(size))
