"""Downloads by day of a package or a channel, split by version, platform, client or package."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, literal, select

from seaway.database.engine import Tx
from seaway.database.tables import (
    daily_channel_downloads,
    daily_package_downloads,
    downloads,
    files,
    package_downloads,
    packages,
    shards,
    subdirs,
)
from seaway.packages.downloads import RECENT_DAYS, Split
from seaway.packages.files import in_package

MAX_SERIES = 6
TOP_PACKAGES = 5  # of a chart by package


@dataclass(frozen=True, slots=True)
class DownloadSeries:
    """Downloads by day (days since 1970 UTC) of one version, subdir, client family or package."""

    name: str
    by_day: Mapping[int, int]

    @property
    def total(self) -> int:
        """Downloads of all these days."""
        return sum(self.by_day.values())


@dataclass(frozen=True, slots=True)
class DownloadHistory:
    """Downloads on the last days including `today`: of each day, and of the largest series, largest first."""

    today: int
    days: int
    split: Split | None
    by_day: Mapping[int, int]  # days without downloads are left out
    series: tuple[DownloadSeries, ...]

    @property
    def total(self) -> int:
        """Downloads of all these days."""
        return sum(self.by_day.values())


@dataclass(frozen=True, slots=True)
class PackageCount:
    """A package and its downloads in the last 30 days."""

    package: str
    downloads: int


def of_package(
    tx: Tx,
    channel_id: int,
    package: str,
    *,
    today: int,
    days: int,
    split: Split | None = None,
    version: str | None = None,
) -> DownloadHistory:
    """Return the downloads of a package, or of one of its versions, on each of the last days."""
    if version is not None and split in (Split.SUBDIR, Split.CLIENT):
        return _history(
            today, days, split, tx.execute(_rows_of_files(channel_id, package, version, split, today, days))
        )
    table = daily_package_downloads
    package_id = select(packages.c.id).where(packages.c.channel_id == channel_id, packages.c.name == package)
    stored_split = Split.VERSION if version is not None else split or Split.CLIENT
    is_searched: list[ColumnElement[bool]] = [
        table.c.package_id == package_id.scalar_subquery(),
        table.c.split == stored_split.value,
        table.c.day > today - days,
        table.c.day <= today,
    ]
    if version is not None:
        is_searched.append(table.c.key == version)
    rows = tx.execute(select(table.c.day, table.c.key, table.c.count).where(*is_searched))
    return _history(today, days, split, rows)


def of_channel(tx: Tx, channel_id: int, *, today: int, days: int, split: Split | None = None) -> DownloadHistory:
    """Return the downloads of a channel on each of the last days; by package, of the most downloaded ones."""
    if split in (Split.SUBDIR, Split.CLIENT):
        return _history(today, days, split, tx.execute(_rows_of_channel(channel_id, split, today, days)))
    whole = _history(today, days, None, tx.execute(_days_of_channel(channel_id, today, days)))
    if split is None:
        return whole
    names = [count.package for count in most_downloaded(tx, channel_id, TOP_PACKAGES)]
    largest = _history(today, days, split, tx.execute(_rows_of_packages(channel_id, names, today, days)))
    return DownloadHistory(today, days, split, whole.by_day, largest.series)


def totals_of_channel(tx: Tx, channel_id: int, today: int) -> tuple[int, int]:
    """Return all downloads of a channel that were ever counted, and those of the last 30 days."""
    table = daily_channel_downloads
    recent = case((table.c.day.between(today - RECENT_DAYS + 1, today), table.c.count), else_=0)
    query = select(func.coalesce(func.sum(table.c.count), 0), func.coalesce(func.sum(recent), 0)).where(
        table.c.channel_id == channel_id, table.c.split == Split.CLIENT.value
    )
    downloads_ever, downloads_lately = tx.execute(query).one()
    return int(downloads_ever), int(downloads_lately)


def most_downloaded(tx: Tx, channel_id: int, limit: int) -> list[PackageCount]:
    """Return the packages of a channel with the most downloads in the last 30 days, without deleted packages."""
    is_here = (
        select(shards.c.name)
        .join(subdirs, subdirs.c.id == shards.c.subdir_id)
        .where(subdirs.c.channel_id == channel_id, shards.c.name == packages.c.name, shards.c.sha256.is_not(None))
    )
    rows = tx.execute(
        select(packages.c.name, package_downloads.c.recent)
        .join(packages, packages.c.id == package_downloads.c.package_id)
        .where(package_downloads.c.channel_id == channel_id, package_downloads.c.recent > 0, is_here.exists())
        .order_by(package_downloads.c.recent.desc(), packages.c.name)
        .limit(limit)
    )
    return [PackageCount(name, count) for name, count in rows]


def _rows_of_channel(channel_id: int, split: Split, today: int, days: int) -> Select[Any]:
    table = daily_channel_downloads
    return select(table.c.day, table.c.key, table.c.count).where(
        table.c.channel_id == channel_id,
        table.c.split == split.value,
        table.c.day > today - days,
        table.c.day <= today,
    )


def _days_of_channel(channel_id: int, today: int, days: int) -> Select[Any]:
    """Select the downloads of each day; the key is empty."""
    rows = _rows_of_channel(channel_id, Split.CLIENT, today, days)
    table = daily_channel_downloads
    return rows.with_only_columns(table.c.day, literal(""), func.sum(table.c.count)).group_by(table.c.day)


def _rows_of_files(channel_id: int, package: str, version: str, split: Split, today: int, days: int) -> Select[Any]:
    """Select the day, key and count of the files of one version, which are few."""
    key = subdirs.c.name if split is Split.SUBDIR else downloads.c.client
    return (
        select(downloads.c.day, key, func.sum(downloads.c.count))
        .join(files, files.c.id == downloads.c.file_id)
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .where(
            *in_package(channel_id, package),
            files.c.version == version,
            downloads.c.day > today - days,
            downloads.c.day <= today,
        )
        .group_by(downloads.c.day, key)
    )


def _rows_of_packages(channel_id: int, names: list[str], today: int, days: int) -> Select[Any]:
    table = daily_package_downloads
    return (
        select(table.c.day, packages.c.name, func.sum(table.c.count))
        .join(packages, packages.c.id == table.c.package_id)
        .where(
            packages.c.channel_id == channel_id,
            packages.c.name.in_(names),
            table.c.split == Split.CLIENT.value,
            table.c.day > today - days,
            table.c.day <= today,
        )
        .group_by(table.c.package_id, packages.c.name, table.c.day)
    )


def _history(today: int, days: int, split: Split | None, rows: Iterable[Any]) -> DownloadHistory:
    """Add up rows of day, key and count; keep the largest series."""
    by_day, by_key = Counter[int](), defaultdict[str, Counter[int]](Counter)
    for day, key, count in rows:
        by_day[day] += int(count)  # the sum of big integers is a decimal in PostgreSQL
        if split is not None:
            by_key[key][day] += int(count)
    series = [DownloadSeries(name, dict(counts)) for name, counts in by_key.items()]
    series.sort(key=lambda one: (-one.total, one.name))
    return DownloadHistory(today, days, split, dict(sorted(by_day.items())), tuple(series[:MAX_SERIES]))
