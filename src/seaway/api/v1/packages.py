"""Packages of a channel and their files."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from seaway.api.v1.api_request import (
    ANONYMOUS_ALLOWED,
    DEFAULT_LIMIT,
    After,
    ApiRequestDep,
    ChannelName,
    Limit,
    PackageName,
)
from seaway.api.v1.schemas import Moment, Page, ResponseBody, TextOrNull, id_cursor, page
from seaway.channels.roles import Action
from seaway.packages import catalog, files

router = APIRouter(tags=["packages"])

Subdir = Annotated[str, Path(description="A platform.", examples=["noarch"], max_length=32)]
FileName = Annotated[str, Path(description="The name of a file.", examples=["demo-1.0-h1_0.conda"], max_length=211)]
OfSubdir = Annotated[str | None, Query(description="Only files of this platform.", max_length=32)]


class Package(ResponseBody):
    """A package in a list."""

    name: str = Field(examples=["numpy"])
    subdirs: list[str] = Field(examples=[["linux-64", "noarch"]])
    files: int = Field(description="Number of files that are not yanked.")


class File(ResponseBody):
    """A file in a list."""

    package: str
    subdir: str
    file: str = Field(validation_alias="file_name", examples=["demo-1.0-h1_0.conda"])
    version: str
    build: str
    state: Literal["listed", "yanked"] = Field(
        description="Yanked files are hidden from solvers, but can be downloaded."
    )
    yank_reason: TextOrNull = Field(description="Why it was yanked; null when no reason was given.")
    size: int = Field(description="Size in bytes.")
    sha256: str
    indexed_at: Moment
    uploaded_by: str
    warnings: list[str] = Field(description="The warnings of its upload.")


class MetadataCorrection(ResponseBody):
    """A metadata correction: how the record of a file differs from the metadata in the package."""

    fields: dict[str, Any] = Field(description="The corrected fields; a removed field is only in `original`.")
    original: dict[str, Any] = Field(description="The values of these fields in the package.")
    reason: str
    by: str
    at: Moment


class FileDetail(File):
    """A file with all its details."""

    record: dict[str, Any] = Field(description="Its record in repodata.")
    about: dict[str, Any] = Field(description="The `about` metadata of the package.")
    correction: MetadataCorrection | None = Field(description="The correction of the record; null when there is none.")
    downloads: int


class PackageDetail(Package):
    """A package, as described by its newest version."""

    latest: File | None = Field(description="A file of the newest version; null if all files are yanked.")
    license: str
    about: dict[str, Any]


class Dependents(ResponseBody):
    """Packages that depend on a package."""

    names: list[str] | None = Field(
        description="Packages whose newest files depend on it; null if the channel has too many packages.",
        examples=[["scipy"]],
    )


@router.get("/channels/{channel}/packages", operation_id="listPackages", openapi_extra=ANONYMOUS_ALLOWED)
def list_packages(
    call: ApiRequestDep, channel: ChannelName, after: After = "", limit: Limit = DEFAULT_LIMIT
) -> Page[Package]:
    """List the packages of a channel by name."""
    call.count_list()
    with call.read() as tx:
        access = call.require(tx, Action.READ, channel)
        found = catalog.list_packages(tx, access.channel_id, after=after, limit=limit + 1)
    return page(found, limit, Package.model_validate, lambda package: package.name)


@router.get("/channels/{channel}/packages/{package}", operation_id="getPackage", openapi_extra=ANONYMOUS_ALLOWED)
def get_package(call: ApiRequestDep, channel: ChannelName, package: PackageName) -> PackageDetail:
    """Return a package, as described by its newest version."""
    with call.read() as tx:
        access = call.require(tx, Action.READ, channel)
        return PackageDetail.model_validate(files.describe(tx, access.channel_id, package))


@router.get("/channels/{channel}/packages/{package}/files", operation_id="listFiles", openapi_extra=ANONYMOUS_ALLOWED)
def list_files(
    call: ApiRequestDep,
    channel: ChannelName,
    package: PackageName,
    subdir: OfSubdir = None,
    after: After = "",
    limit: Limit = DEFAULT_LIMIT,
) -> Page[File]:
    """List the files of a package, newest first."""
    before = id_cursor(after)
    with call.read() as tx:
        access = call.require(tx, Action.READ, channel)
        found = files.of_package(tx, access.channel_id, package, subdir=subdir, before=before, limit=limit + 1)
    return page(found, limit, File.model_validate, lambda file: file.id)


@router.get(
    "/channels/{channel}/packages/{package}/dependents", operation_id="getDependents", openapi_extra=ANONYMOUS_ALLOWED
)
def get_dependents(call: ApiRequestDep, channel: ChannelName, package: PackageName) -> Dependents:
    """List the packages of the channel that depend on a package, which need not be in the channel itself."""
    call.count_list()
    with call.read() as tx:
        access = call.require(tx, Action.READ, channel)
        found = call.parts.overviews.dependents(tx, access.channel_id, package)
    return Dependents(names=None if found is None else [line.name for line in found])


@router.get("/channels/{channel}/files/{subdir}/{file}", operation_id="getFile", openapi_extra=ANONYMOUS_ALLOWED)
def get_file(call: ApiRequestDep, channel: ChannelName, subdir: Subdir, file: FileName) -> FileDetail:
    """Return a file with its record, metadata and download count."""
    with call.read() as tx:
        access = call.require(tx, Action.READ, channel)
        found = files.get(tx, access.channel_id, subdir, file)
    detail = {name: getattr(found, name) for name in ("record", "about", "correction", "downloads")}
    return FileDetail.model_validate(File.model_validate(found.summary).model_dump() | detail)
