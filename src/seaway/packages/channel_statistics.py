"""Statistics of a channel: what it contains, how often it is downloaded, and how it grew."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from seaway.channels.channel import Channel
from seaway.database.engine import Tx
from seaway.database.tables import subdirs
from seaway.packages import download_history, recent_uploads, storage_usage
from seaway.packages.download_history import DownloadHistory, PackageCount
from seaway.packages.downloads import Split
from seaway.packages.recent_uploads import RecentFile
from seaway.packages.storage_usage import StorageSample

_LISTED = 10


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Statistics of a channel; `storage` ends with its size now."""

    packages: int
    files: int
    size: int
    downloads: int
    recent_downloads: int  # of the last 30 days
    history: DownloadHistory
    top: Sequence[PackageCount]
    newest: Sequence[RecentFile]
    storage: Sequence[StorageSample]


def of_channel(tx: Tx, channel: Channel, *, today: int, days: int, split: Split | None = None) -> ChannelStatistics:
    """Return the statistics of a channel with its downloads and sizes of the last days."""
    size, file_count = tx.execute(
        select(func.coalesce(func.sum(subdirs.c.size), 0), func.coalesce(func.sum(subdirs.c.record_count), 0)).where(
            subdirs.c.channel_id == channel.id
        )
    ).one()
    now = StorageSample(today, int(size), int(file_count), channel.package_count)
    downloads, recent = download_history.totals_of_channel(tx, channel.id, today)
    past = [one for one in storage_usage.samples(tx, channel.id, today=today, days=days) if one.day < today]
    return ChannelStatistics(
        packages=now.packages,
        files=now.files,
        size=now.size,
        downloads=downloads,
        recent_downloads=recent,
        history=download_history.of_channel(tx, channel.id, today=today, days=days, split=split),
        top=download_history.most_downloaded(tx, channel.id, _LISTED),
        newest=recent_uploads.files_of(tx, channel.id, channel.name, _LISTED),
        storage=[*past, now],
    )
