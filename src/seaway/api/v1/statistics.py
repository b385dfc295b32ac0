"""Download counts of packages, and statistics of channels."""

from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from seaway.api.v1.api_request import ANONYMOUS_ALLOWED, ApiRequestDep, ChannelName, PackageName
from seaway.api.v1.schemas import Moment, ResponseBody
from seaway.channels import channels
from seaway.channels.roles import Action
from seaway.clock import format_day
from seaway.packages import channel_statistics, download_history
from seaway.packages.download_history import DownloadHistory
from seaway.packages.downloads import Split, day_of

router = APIRouter(tags=["statistics"])

Days = Annotated[int, Query(description="Number of days, including today.", ge=1, le=366)]
OfVersion = Annotated[str | None, Query(description="Only downloads of this version.", max_length=64)]
_CLIENTS = "Client families are rattler (also pixi), conda, mamba (also micromamba), browser and other."
SplitOfPackage = Annotated[
    Literal["version", "subdir", "client"] | None, Query(description=f"Split the downloads by this. {_CLIENTS}")
]
SplitOfChannel = Annotated[
    Literal["package", "subdir", "client"] | None, Query(description=f"Split the downloads by this. {_CLIENTS}")
]


class DailyDownloads(ResponseBody):
    """Downloads of a day."""

    day: str = Field(examples=["2026-11-24"], json_schema_extra={"format": "date"})
    count: int


class DownloadSeries(ResponseBody):
    """Downloads of one version, platform, client family or package."""

    name: str = Field(examples=["linux-64"])
    total: int = Field(description="Downloads in these days.")
    days: list[DailyDownloads] = Field(description="Days with downloads.")


class Downloads(ResponseBody):
    """Download counts by day."""

    total: int = Field(description="Downloads in these days.")
    days: list[DailyDownloads] = Field(description="Days with downloads.")
    series: list[DownloadSeries] = Field(
        description="The downloads split by `by`, at most six series, largest first; empty without `by`."
    )


class PackageDownloads(ResponseBody):
    """Downloads of a package in the last 30 days."""

    package: str = Field(examples=["numpy"])
    downloads: int


class NewFile(ResponseBody):
    """A recently published file."""

    package: str
    version: str
    subdir: str
    file: str = Field(validation_alias="file_name", examples=["demo-1.0-h1_0.conda"])
    indexed_at: Moment


class StorageSample(ResponseBody):
    """Size of the channel at the beginning of a day (UTC); the last one is the size now."""

    day: str = Field(examples=["2026-11-24"], json_schema_extra={"format": "date"})
    size: int = Field(description="Bytes of its files.")
    files: int
    packages: int


class ChannelStatistics(ResponseBody):
    """Statistics of a channel."""

    packages: int
    files: int
    size: int = Field(description="Bytes of its files.")
    downloads_total: int = Field(description="All downloads that were ever counted.")
    downloads_30_days: int
    downloads: Downloads
    top_packages: list[PackageDownloads] = Field(description="The most downloaded packages of the last 30 days.")
    newest_files: list[NewFile] = Field(description="The latest uploads, newest first.")
    storage: list[StorageSample] = Field(description="Its size by day, oldest first.")


@router.get(
    "/channels/{channel}/packages/{package}/downloads", operation_id="getDownloads", openapi_extra=ANONYMOUS_ALLOWED
)
def get_downloads(
    call: ApiRequestDep,
    channel: ChannelName,
    package: PackageName,
    days: Days = 30,
    by: SplitOfPackage = None,
    version: OfVersion = None,
) -> Downloads:
    """Return the downloads of a package by day."""
    today = day_of(call.now_ms)
    with call.read() as tx:
        access = call.require(tx, Action.READ, channel)
        found = download_history.of_package(
            tx, access.channel_id, package, today=today, days=days, split=_split(by), version=version
        )
    return _downloads(found)


@router.get("/channels/{channel}/statistics", operation_id="getStatistics", openapi_extra=ANONYMOUS_ALLOWED)
def get_statistics(
    call: ApiRequestDep, channel: ChannelName, days: Days = 30, by: SplitOfChannel = None
) -> ChannelStatistics:
    """Return the contents, downloads and size of a channel by day."""
    today = day_of(call.now_ms)
    with call.read() as tx:
        call.require(tx, Action.READ, channel)
        found = channel_statistics.of_channel(tx, channels.get(tx, channel), today=today, days=days, split=_split(by))
    return ChannelStatistics(
        packages=found.packages,
        files=found.files,
        size=found.size,
        downloads_total=found.downloads,
        downloads_30_days=found.recent_downloads,
        downloads=_downloads(found.history),
        top_packages=[PackageDownloads.model_validate(package) for package in found.top],
        newest_files=[NewFile.model_validate(file) for file in found.newest],
        storage=[
            StorageSample(day=format_day(one.day), size=one.size, files=one.files, packages=one.packages)
            for one in found.storage
        ],
    )


def _split(by: str | None) -> Split | None:
    return None if by is None else Split(by)


def _downloads(found: DownloadHistory) -> Downloads:
    return Downloads(
        total=found.total,
        days=_days(found.by_day),
        series=[DownloadSeries(name=one.name, total=one.total, days=_days(one.by_day)) for one in found.series],
    )


def _days(counts: Mapping[int, int]) -> list[DailyDownloads]:
    return [DailyDownloads(day=format_day(day), count=count) for day, count in sorted(counts.items())]
