"""
Count downloads of package files: by file, day and client family, and the sums that pages show.

1. All sums are written in the transaction of the counts, so they never differ from them.
2. A page that shows months of downloads reads a few rows a day: per package and per channel there is one row a day for
   each version, subdir or client family that was downloaded, however many files there are.
3. The downloads of a package in the last 30 days are a column, so that the most downloaded packages are found by an
   index. Counting adds to it; `add_up_recent` removes the days that are over.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import Table, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.rows import in_batches
from seaway.database.tables import (
    channels,
    daily_channel_downloads,
    daily_package_downloads,
    downloads,
    file_downloads,
    files,
    package_downloads,
    subdirs,
)
from seaway.packages.client_families import ClientFamily

RECENT_DAYS = 30
_BATCH_ROWS = 1_000  # rows per statement; SQLite allows 32,766 values


class Split(Enum):
    """Property that downloads are split by."""

    PACKAGE = "package"
    VERSION = "version"
    SUBDIR = "subdir"
    CLIENT = "client"


class DownloadKey(NamedTuple):
    """Key of a count: downloads of a file on a day (days since 1970 UTC) by clients of a family."""

    file_id: int
    day: int
    client: ClientFamily


@dataclass(frozen=True, slots=True)
class _Place:
    """Position of a file: its channel, package, version and subdir."""

    channel_id: int
    package_id: int
    version: str
    subdir: str


def day_of(at_ms: int) -> int:
    """Return the day of a time (days since 1970 UTC)."""
    return at_ms // DAY_MS


def add(tx: Tx, counted: Mapping[DownloadKey, int], *, today: int) -> None:
    """Add counts. Skip deleted files. All workers lock channels and add rows in sorted order, or they would deadlock."""
    places = _places(tx, {key.file_id for key in counted})
    _lock(tx, {place.channel_id for place in places.values()})
    by_file, file_totals = Counter[Any](), Counter[Any]()
    by_package, by_channel, recent = Counter[Any](), Counter[Any](), Counter[Any]()
    for key, count in counted.items():
        place = places.get(key.file_id)
        if place is None:
            continue
        file_id, day, client = key.file_id, key.day, key.client.value
        by_file[file_id, day, client] += count
        file_totals[file_id,] += count
        for split, name in (Split.VERSION, place.version), (Split.SUBDIR, place.subdir), (Split.CLIENT, client):
            by_package[place.package_id, split.value, day, name] += count
        for split, name in (Split.SUBDIR, place.subdir), (Split.CLIENT, client):
            by_channel[place.channel_id, split.value, day, name] += count
        if today - RECENT_DAYS < day <= today:
            recent[place.package_id, place.channel_id, today] += count
    _increase(tx, downloads, ("file_id", "day", "client"), by_file)
    _increase(tx, file_downloads, ("file_id",), file_totals)
    _increase(tx, daily_package_downloads, ("package_id", "split", "day", "key"), by_package)
    _increase(tx, daily_channel_downloads, ("channel_id", "split", "day", "key"), by_channel)
    _increase(
        tx, package_downloads, ("package_id", "channel_id", "recent_day"), recent, key=("package_id",), value="recent"
    )


def add_up_recent(tx: Tx, today: int) -> bool:
    """Add up the last 30 days of some packages whose sum is of another day; return whether there are more."""
    outdated = (
        select(package_downloads.c.package_id)
        # Sums of 0 too: a clock that was behind for a while may have written them.
        .where(package_downloads.c.recent_day != today)
        .order_by(package_downloads.c.package_id)
        .limit(_BATCH_ROWS)
        .with_for_update()
    )
    package_ids = tx.execute(outdated).scalars().all()
    of_days = (
        select(func.coalesce(func.sum(daily_package_downloads.c.count), 0))
        .where(
            daily_package_downloads.c.package_id == package_downloads.c.package_id,
            daily_package_downloads.c.split == Split.CLIENT.value,
            daily_package_downloads.c.day > today - RECENT_DAYS,
            daily_package_downloads.c.day <= today,
        )
        .scalar_subquery()
    )
    of_packages = package_downloads.c.package_id.in_(package_ids)
    tx.execute(update(package_downloads).where(of_packages).values(recent=of_days, recent_day=today))
    return len(package_ids) == _BATCH_ROWS


def _places(tx: Tx, file_ids: Collection[int]) -> dict[int, _Place]:
    """Return the places of the files that still have a row."""
    query = select(files.c.id, subdirs.c.channel_id, files.c.package_id, files.c.version, subdirs.c.name).join(
        subdirs, subdirs.c.id == files.c.subdir_id
    )
    found: dict[int, _Place] = {}
    for batch in in_batches(sorted(file_ids), _BATCH_ROWS):
        found |= {file_id: _Place(*place) for file_id, *place in tx.execute(query.where(files.c.id.in_(batch)))}
    return found


def _lock(tx: Tx, channel_ids: Collection[int]) -> None:
    """Keep the channels from being deleted until commit: their deletion locks the same rows in another order."""
    for batch in in_batches(sorted(channel_ids), _BATCH_ROWS):
        query = select(channels.c.id).where(channels.c.id.in_(batch)).order_by(channels.c.id)
        tx.execute(query.with_for_update(read=True, key_share=True)).all()


def _increase(
    tx: Tx,
    table: Table,
    columns: Iterable[str],
    counts: Mapping[tuple[Any, ...], int],
    *,
    key: tuple[str, ...] | None = None,
    value: str = "count",
) -> None:
    """Add counts to the rows with these columns; `key` is the primary key, if it is only some of them."""
    names = (*columns, value)
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    total = table.c[value] + statement.excluded[value]
    increase = statement.on_conflict_do_update(index_elements=key or names[:-1], set_={value: total})
    # Values in the statement would be compiled anew for each batch, which takes ten times as long as the execution.
    if counts:
        tx.execute(increase, [dict(zip(names, (*row, counts[row]), strict=True)) for row in sorted(counts)])


def any_in(tx: Tx, channel_ids: Collection[int]) -> bool:
    """Return whether downloads of these channels were counted."""
    found = exists(select(daily_channel_downloads.c.day).where(daily_channel_downloads.c.channel_id.in_(channel_ids)))
    return bool(tx.execute(select(found)).scalar())
