"""Storage usage, computed from rows: listing a bucket of millions of blobs would take too long."""

from dataclasses import dataclass
from enum import Enum

from sqlalchemy import BigInteger, ColumnElement, Table, cast, func, literal, select, true
from sqlalchemy.dialects import postgresql, sqlite

from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.rows import total
from seaway.database.tables import channels, daily_storage, documents, files, shards, subdirs
from seaway.indexing.file_rows import FileState
from seaway.search_terms import search_terms


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


def bytes_of_documents(tx: Tx) -> int:
    """Return the bytes of index documents; equal documents count separately."""
    return total(tx, documents.c.size)


class UsageOrder(Enum):
    """Orders of channels; all but the names start with the largest."""

    SIZE = "size"
    FILES = "files"
    DOCUMENTS = "documents"
    NAME = "name"


def count_channels(tx: Tx, words: str = "") -> int:
    """Return the number of channels with all of the words in their name."""
    found: int = tx.execute(select(func.count()).select_from(channels).where(*_named(words))).scalar_one()
    return found


def by_channel(
    tx: Tx, words: str = "", order: UsageOrder = UsageOrder.SIZE, *, skip: int = 0, limit: int
) -> list[ChannelUsage]:
    """Return the usage of the channels with all of the words in their name, in one statement."""
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
    size, number = func.coalesce(held.c.size, 0), func.coalesce(held.c.files, 0)
    documents_size = func.coalesce(built.c.size, 0)
    sorted_by = {
        UsageOrder.SIZE: (size.desc(),),
        UsageOrder.FILES: (number.desc(),),
        UsageOrder.DOCUMENTS: (documents_size.desc(),),
        UsageOrder.NAME: (),
    }
    rows = tx.execute(
        select(
            channels.c.name,
            number.label("files"),
            size.label("size"),
            func.coalesce(built.c.count, 0).label("documents"),
            documents_size.label("documents_size"),
        )
        .outerjoin(held, held.c.channel_id == channels.c.id)
        .outerjoin(built, built.c.channel_id == channels.c.id)
        .where(*_named(words))
        .order_by(*sorted_by[order], channels.c.name)
        .offset(skip)
        .limit(limit)
    )
    # The sum of big integers is a decimal in PostgreSQL.
    return [
        ChannelUsage(row.name, int(row.files), int(row.size), int(row.documents), int(row.documents_size))
        for row in rows
    ]


def _named(words: str) -> list[ColumnElement[bool]]:
    return [channels.c.name.contains(word, autoescape=True) for word in search_terms(words)]


@dataclass(frozen=True, slots=True)
class StorageSample:
    """Size of a channel at the beginning of a day (days since 1970 UTC), or when it was created on that day."""

    day: int
    size: int
    files: int
    packages: int


def sample(tx: Tx, today: int) -> None:
    """Store the size of each channel once for today. Only counters are read, no rows of files."""
    noted = select(daily_storage.c.channel_id).where(
        daily_storage.c.channel_id == channels.c.id, daily_storage.c.day == today
    )
    of_channel = subdirs.c.channel_id == channels.c.id
    package_count = (
        select(func.count(func.distinct(shards.c.name)))
        .join(subdirs, subdirs.c.id == shards.c.subdir_id)
        .where(of_channel, shards.c.sha256.is_not(None))
    )
    # The sum of big integers is a decimal in PostgreSQL.
    size, file_count = (
        select(cast(func.coalesce(func.sum(column), 0), BigInteger)).where(of_channel)
        for column in (subdirs.c.size, subdirs.c.record_count)
    )
    values = select(
        channels.c.id, literal(today), *(query.scalar_subquery() for query in (size, file_count, package_count))
    ).where(~noted.exists(), channels.c.created_at < (today + 1) * DAY_MS)  # the clock may be behind
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(daily_storage).from_select(["channel_id", "day", "size", "files", "packages"], values)
    tx.execute(statement.on_conflict_do_nothing())


def samples(tx: Tx, channel_id: int, *, today: int, days: int) -> list[StorageSample]:
    """Return the daily sizes of a channel on the last days, oldest first; days without a sample are left out."""
    query = select(daily_storage.c.day, daily_storage.c.size, daily_storage.c.files, daily_storage.c.packages).where(
        daily_storage.c.channel_id == channel_id, daily_storage.c.day > today - days, daily_storage.c.day <= today
    )
    return [StorageSample(*row) for row in tx.execute(query.order_by(daily_storage.c.day))]


def _usage(tx: Tx, table: Table, condition: ColumnElement[bool]) -> BlobUsage:
    distinct = select(func.max(table.c.size).label("size")).where(condition).group_by(table.c.sha256).subquery()
    count, size = tx.execute(select(func.count(), func.coalesce(func.sum(distinct.c.size), 0))).one()
    return BlobUsage(count, int(size))
