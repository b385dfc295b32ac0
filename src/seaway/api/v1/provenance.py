"""Provenance of files by upload and attestation, their contents, and comparisons."""

from typing import Annotated, Literal

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import Field

from seaway.api.v1.api_request import (
    ANONYMOUS_ALLOWED,
    DEFAULT_LIMIT,
    After,
    ApiRequestDep,
    ChannelName,
    Limit,
    PackageName,
    SearchText,
)
from seaway.api.v1.packages import FileName, Subdir
from seaway.api.v1.schemas import Moment, Page, ResponseBody, id_cursor, page, single_page
from seaway.attestations.sidecars import FIELD
from seaway.channels.roles import Action
from seaway.errors import Conflict, Malformed, NotFound
from seaway.http.request_context import RequestContext
from seaway.http.request_limits import COMPARISON_COST, rate_limit_key
from seaway.packages import attestation_claims, build_differences, files, uploaders, versions
from seaway.packages.file_listings import Listing
from seaway.packages.files import File

router = APIRouter(tags=["packages"])

Against = Annotated[
    str,
    Query(
        description="The older file to compare with, as SUBDIR/FILE.", examples=["noarch/demo-1.0-h1_0.conda"],
        max_length=250,
    ),
]  # fmt: skip


class VersionProvenance(ResponseBody):
    """The provenance of a version. No state implies that a package is safe."""

    version: str
    state: Literal["none", "full", "partial", "inconsistent", "lost", "changed"]
    repositories: list[str] = Field(description="Repositories in the attestations of its files.")
    warnings: list[str]


class Attestation(ResponseBody):
    """The claims in the certificate of an attestation, verified at upload."""

    sha256: str = Field(description="Hash of the sidecar, which is at the URL of the file plus `.sigs`.")
    issuer: str
    repository: str
    repository_id: str
    owner_id: str
    workflow: str
    commit: str
    ref: str
    run: str
    issued_at: Moment


class UploadOrigin(ResponseBody):
    """The upload of the current bytes of a file."""

    at: Moment
    replaced: bool = Field(description="Whether it overwrote another file.")
    credential: str = Field(
        validation_alias="upload_method", description="The credential of the user, as text; empty for a workflow."
    )
    repository: str = Field(description="The repository of the workflow; empty for users, as are the next fields.")
    workflow: str
    commit: str
    run: str
    repository_url: str
    commit_url: str
    run_url: str


class FileProvenance(ResponseBody):
    """The provenance of a file."""

    upload: UploadOrigin | None = Field(description="Null for files older than the upload log.")
    attestation: Attestation | None


class InstalledPath(ResponseBody):
    """A file, link or directory that a package installs."""

    path: str
    type: str | None = Field(validation_alias="path_type")
    size: int | None = Field(validation_alias="size_in_bytes")
    sha256: str | None


class Difference(ResponseBody):
    """An added, removed or changed item."""

    name: str
    before: str = Field(description="Empty if added.")
    after: str = Field(description="Empty if removed.")


class FileComparison(ResponseBody):
    """The differences between two builds."""

    depends: list[Difference]
    constrains: list[Difference]
    fields: list[Difference]
    paths: list[Difference] = Field(description="The first 1,000 changed paths.")
    path_count: int = Field(description="Number of changed paths.")
    problem: str = Field(description="Why paths were not compared; empty if they were.")
    size_change: int = Field(description="Change of the package file size in bytes.")
    installed_size_change: int = Field(description="Change of the installed size in bytes.")


@router.get(
    "/channels/{channel}/packages/{package}/provenance",
    operation_id="getPackageProvenance",
    openapi_extra=ANONYMOUS_ALLOWED,
)
def get_package_provenance(call: ApiRequestDep, channel: ChannelName, package: PackageName) -> Page[VersionProvenance]:
    """List the provenance of each version of a package by its attestations, newest first, with warnings."""
    with call.read() as tx:
        access = call.require(tx, Action.READ, channel)
        found = versions.of_package(tx, access.channel_id, package)
        provenance = attestation_claims.provenance_of(
            found, attestation_claims.claims_of(tx, access.channel_id, package)
        )
    if not found:
        raise NotFound("There is no such package in the channel.", "Check its name.")
    return single_page([VersionProvenance.model_validate(provenance[version.version]) for version in found])


@router.get(
    "/channels/{channel}/files/{subdir}/{file}/provenance",
    operation_id="getFileProvenance",
    openapi_extra=ANONYMOUS_ALLOWED,
)
def get_file_provenance(call: ApiRequestDep, channel: ChannelName, subdir: Subdir, file: FileName) -> FileProvenance:
    """Return who uploaded a file and how, and the claims of its attestation."""
    with call.read() as tx:
        access = call.require(tx, Action.READ, channel)
        found = files.get(tx, access.channel_id, subdir, file)
        upload = uploaders.of_file(tx, access.channel_id, subdir, file, bytes.fromhex(found.summary.sha256))
        claims = attestation_claims.claims_of(tx, access.channel_id, found.summary.package).get(found.summary.id)
    attestation = None if claims is None else msgspec.structs.asdict(claims) | {"sha256": found.record[FIELD]}
    return FileProvenance.model_validate({"upload": upload, "attestation": attestation})


@router.get(
    "/channels/{channel}/files/{subdir}/{file}/paths", operation_id="listPaths", openapi_extra=ANONYMOUS_ALLOWED
)
async def list_paths(
    call: ApiRequestDep,
    channel: ChannelName,
    subdir: Subdir,
    file: FileName,
    q: SearchText = "",
    after: After = "",
    limit: Limit = DEFAULT_LIMIT,
) -> Page[InstalledPath]:
    """List the paths that a package installs."""
    call.count_file_list()
    skip = id_cursor(after) or 0
    found = await to_thread.run_sync(_get, call, channel, subdir, file)
    listing = await _listing(call, found)
    if listing.problem:
        raise Conflict(listing.problem, "Download the file to inspect it.")
    paths = await call.parts.contents.run(rate_limit_key(call.by), listing.search, q) if q else listing.entries
    chosen = paths[skip : skip + limit + 1]
    return page(chosen, limit, InstalledPath.model_validate, lambda _last: skip + limit)


@router.get(
    "/channels/{channel}/files/{subdir}/{file}/difference", operation_id="compareFiles", openapi_extra=ANONYMOUS_ALLOWED
)
async def compare_files(
    call: ApiRequestDep, channel: ChannelName, subdir: Subdir, file: FileName, against: Against
) -> FileComparison:
    """Compare a file with another file of the same package. Counts as ten file lists in the rate limit."""
    call.count_file_list(COMPARISON_COST)
    other_subdir, _, other_name = against.partition("/")
    if not other_name:
        raise Malformed("`against` has no platform.", "Send it as SUBDIR/FILE, such as noarch/demo-1.0-h1_0.conda.")
    found = await to_thread.run_sync(_get, call, channel, subdir, file)
    other = await to_thread.run_sync(_get, call, channel, other_subdir, other_name)
    if other.summary.package != found.summary.package:
        raise Malformed("The files belong to different packages.", "Choose two files of one package.")
    listings = await _listing(call, other), await _listing(call, found)
    compared = await call.parts.contents.run(
        rate_limit_key(call.by), build_differences.compare, other.record, found.record, *listings
    )
    return FileComparison.model_validate(compared)


def _get(call: RequestContext, channel: str, subdir: str, file: str) -> File:
    with call.read() as tx:
        access = call.require(tx, Action.READ, channel)
        return files.get(tx, access.channel_id, subdir, file)


async def _listing(call: RequestContext, found: File) -> Listing:
    summary, caller = found.summary, rate_limit_key(call.by)
    sha256 = bytes.fromhex(summary.sha256)
    return await call.parts.contents.read(caller, sha256, summary.size, summary.file_name)
