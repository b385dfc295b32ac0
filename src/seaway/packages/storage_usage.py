"""
Storage usage, computed from rows: listing a bucket of millions of blobs would take too long.

The usage of the whole site reads every row of a file, because content that several rows name counts once. A job notes it
every hour, and a large site shows what was noted.
"""

from dataclasses import dataclass
from enum import Enum

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Table, cast, func, literal, select, true
from sqlalchemy.dialects import postgresql, sqlite

from seaway.clock import DAY_MS
from seaway.database import site_values
from seaway.database.engine import Tx
from seaway.database.rows import total
from seaway.database.tables import channels, daily_storage, documents, files, shards, subdirs
from seaway.indexing.file_rows import FileState
from seaway.search_terms import search_terms

_SITE_USAGE_KEY = "site_usage"
_COUNTED_FILES = 10_000  # of a site whose usage is counted at each request


@dataclass(frozen=True, slots=True)
class BlobUsage:
    """Number and bytes of blobs; content that several rows name counts once."""

    blobs: int
    size: int


@dataclass(frozen=True, slots=True)
class SiteUsage:
    """Usage of the whole site at a time."""

    at_ms: int
    packages: BlobUsage  # package files that can be downloaded
    documents: BlobUsage  # whole index documents
    named_bytes: int  # of package files; content that several channels contain counts in each
    package_count: int

    @property
    def blobs(self) -> int:
        """Number of blobs of package files and documents."""
        return self.packages.blobs + self.documents.blobs

    @property
    def size(self) -> int:
        """Bytes of package files and documents."""
        return self.packages.size + self.documents.size

    @property
    def saved_bytes(self) -> int:
        """Bytes saved because equal content is stored once."""
        return self.named_bytes - self.packages.size


def of_site(tx: Tx, now_ms: int, *, counted_files: int = _COUNTED_FILES) -> SiteUsage:
    """Return the usage of the site: of a small one now, of a large one when it was last noted."""
    noted = site_values.get(tx, _SITE_USAGE_KEY)
    if noted is None or total(tx, subdirs.c.record_count) <= counted_files:
        return count(tx, now_ms)
    return msgspec.json.decode(noted, type=SiteUsage)


def note(tx: Tx, usage: SiteUsage) -> None:
    """Store the usage of the site for `of_site`."""
    site_values.put(tx, _SITE_USAGE_KEY, msgspec.json.encode(usage))


def count(tx: Tx, now_ms: int) -> SiteUsage:
    """Return the usage of the site now; reads every row of a file."""
    return SiteUsage(
        at_ms=now_ms,
        packages=_usage(tx, files, files.c.state != FileState.DELETED.value),
        documents=_usage(tx, documents, true()),
        named_bytes=total(tx, subdirs.c.size),
        package_count=_package_count(tx),
    )


@dataclass(frozen=True, slots=True)
class ChannelUsage:
    """Usage of one channel; content that several channels contain counts in each."""

    channel: str
    files: int
    size: int
    documents: int
    documents_size: int


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
    blobs, size = tx.execute(select(func.count(), func.coalesce(func.sum(distinct.c.size), 0))).one()
    return BlobUsage(blobs, int(size))


def _package_count(tx: Tx) -> int:
    """Return the number of packages in all channels that have a file."""
    listed = (
        select(subdirs.c.channel_id, shards.c.name)
        .join(subdirs, subdirs.c.id == shards.c.subdir_id)
        .where(shards.c.sha256.is_not(None))
        .distinct()
        .subquery()
    )
    found: int = tx.execute(select(func.count()).select_from(listed)).scalar_one()
    return found
