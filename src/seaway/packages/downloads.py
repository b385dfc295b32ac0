"""Download counts of package files: kept per file and day, added up on request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.dialects import postgresql, sqlite

from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.tables import downloads, files, packages, subdirs

_BATCH_ROWS = 1_000  # rows per statement; SQLite allows 32,766 values


@dataclass(frozen=True, slots=True)
class Day:
    """The downloads of one day (days since 1970 UTC)."""

    day: int
    count: int


def day_of(at_ms: int) -> int:
    """Return the day of a time (days since 1970 UTC)."""
    return at_ms // DAY_MS


def add(tx: Tx, counted: Mapping[tuple[int, int], int]) -> None:
    """Add counts by (file, day). Skip deleted files. All workers add in sorted order, or they would deadlock."""
    for batch in _batches(sorted(counted)):
        existing = set(
            tx.execute(select(files.c.id).where(files.c.id.in_({file_id for file_id, _ in batch}))).scalars()
        )
        rows = [{"file_id": key[0], "day": key[1], "count": counted[key]} for key in batch if key[0] in existing]
        if rows:
            dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
            statement = dialect.insert(downloads).values(rows)
            tx.execute(
                statement.on_conflict_do_update(
                    index_elements=["file_id", "day"], set_={"count": downloads.c.count + statement.excluded.count}
                )
            )


def of_file(tx: Tx, file_id: int) -> int:
    """Return the downloads of a file."""
    return _total(tx, _sum().where(downloads.c.file_id == file_id))


def of_files(tx: Tx, channel_id: int, package: str) -> dict[tuple[str, str], int]:
    """Return the downloads of each file of a package by (subdir, file name), without files that have none."""
    rows = tx.execute(
        select(subdirs.c.name, files.c.file_name, func.sum(downloads.c.count).label("total"))
        .join(files, files.c.id == downloads.c.file_id)
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .join(packages, packages.c.id == files.c.package_id)
        .where(packages.c.channel_id == channel_id, packages.c.name == package)
        .group_by(subdirs.c.name, files.c.file_name)
    )
    return {(row.name, row.file_name): int(row.total) for row in rows}


def of_package(tx: Tx, channel_id: int, package: str) -> int:
    """Return the downloads of all files of a package, including deleted files."""
    return _total(tx, _of_channel(_sum(), channel_id).where(packages.c.name == package))


def of_packages(tx: Tx, channel_id: int) -> dict[str, int]:
    """Return the downloads of each package of a channel by name, without packages that have none."""
    query = select(packages.c.name, func.sum(downloads.c.count)).select_from(downloads)
    rows = tx.execute(_of_channel(query, channel_id).group_by(packages.c.name))
    return {name: int(count) for name, count in rows}


def of_channel(tx: Tx, channel_id: int) -> int:
    """Return the downloads of all files of a channel."""
    return _total(tx, _of_channel(_sum(), channel_id))


def by_day(tx: Tx, channel_id: int, first: int, last: int, *, package: str | None = None) -> list[Day]:
    """Return the days from `first` to `last` that have downloads of the channel, or of one package, in order."""
    counts: Select[Any] = select(downloads.c.day, func.sum(downloads.c.count)).select_from(downloads)
    query = _of_channel(counts, channel_id).where(downloads.c.day.between(first, last))
    if package is not None:
        query = query.where(packages.c.name == package)
    return [
        Day(day, int(count)) for day, count in tx.execute(query.group_by(downloads.c.day).order_by(downloads.c.day))
    ]


def _sum() -> Select[Any]:
    return select(func.coalesce(func.sum(downloads.c.count), 0)).select_from(downloads)


def _of_channel(query: Select[Any], channel_id: int) -> Select[Any]:
    return (
        query.join(files, files.c.id == downloads.c.file_id)
        .join(packages, packages.c.id == files.c.package_id)
        .where(packages.c.channel_id == channel_id)
    )


def _total(tx: Tx, query: Select[Any]) -> int:
    return int(tx.execute(query).scalar_one())


def _batches(keys: Sequence[tuple[int, int]]) -> list[Sequence[tuple[int, int]]]:
    return [keys[start : start + _BATCH_ROWS] for start in range(0, len(keys), _BATCH_ROWS)]
