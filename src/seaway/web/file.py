"""Page of one file: its metadata, its paths, and its differences from another build."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from seaway.attestations.bundles import AttestedClaims
from seaway.callers.caller import Caller
from seaway.channels import permissions
from seaway.channels.channel import Channel
from seaway.channels.permissions import Access, Verdict
from seaway.channels.roles import Action
from seaway.conda.corrections import Correction
from seaway.conda.record import timestamp_ms
from seaway.database.engine import Tx
from seaway.database.tables import files as file_rows
from seaway.errors import NotFound
from seaway.http.caller import caller_of as principal_of
from seaway.http.parts import parts_of
from seaway.http.request_limits import COMPARISON_COST, rate_limit_key
from seaway.http.site_url import site_url_of
from seaway.indexing.file_rows import FileState
from seaway.packages import attestation_claims, build_differences, files, metadata_corrections, uploaders, versions
from seaway.packages.file_listings import Listing
from seaway.packages.files import File
from seaway.packages.uploaders import Origin
from seaway.packages.versions import Build
from seaway.web import file_changes
from seaway.web.channel_pages import pages_of, read_for_caller, readable, search_text_of
from seaway.web.file_changes import Button
from seaway.web.markdown import render
from seaway.web.package import Dependency, dependencies_of, links_of, run_exports_of
from seaway.web.rendering import moment, page

_PATHS = 200
_CHANGES = 500
_COMPARABLE = 300
# Shown in their own places, not in the table of other fields.
_SHOWN_ELSEWHERE = frozenset(
    {"depends", "constrains", "run_exports", "md5", "sha256", "size", "name", "version", "build"}
)
_TIMES = ("timestamp", "indexed_timestamp")
_YEAR_10000_MS = 253_402_300_800_000
_ABOUT_SHOWN_ELSEWHERE = frozenset({"summary", "description"})


@dataclass(frozen=True, slots=True)
class _Found:
    channel: Channel
    file: File
    others: list[Build]
    origin: Origin | None
    claims: AttestedClaims | None
    dependencies: list[Dependency]
    against: File | None
    buttons: dict[str, Button]
    can_correct: bool


async def file(request: Request) -> Response:
    """Show one file of a package."""
    parts, caller = parts_of(request), rate_limit_key(await principal_of(request))
    against, words = request.query_params.get("against", ""), search_text_of(request)
    parts.file_list_limit.take(caller, COMPARISON_COST if against else 1)

    def find(tx: Tx, by: Caller) -> _Found:
        channel, access = readable(tx, by, request.path_params["channel"])
        found = file_of_path(tx, channel.id, request)
        digest = bytes.fromhex(found.summary.sha256)
        return _Found(
            channel=channel,
            file=found,
            others=_other_builds(tx, channel.id, found),
            origin=uploaders.of_file(tx, channel.id, found.summary.subdir, found.summary.file_name, digest),
            claims=attestation_claims.claims_of_file(tx, found.summary.id),
            dependencies=dependencies_of(tx, channel.id, found.record.get("depends", ())),
            against=_other(tx, channel.id, found, against),
            buttons=_buttons(tx, by, access, found),
            can_correct=by.is_person and permissions.decide(by, Action.CORRECT, access) is Verdict.ALLOWED,
        )

    found = await read_for_caller(request, find)
    listing = await _listing_of(request, found.file)
    paths = await parts.contents.run(caller, listing.search, words) if words else listing.entries
    pages = pages_of(request, len(paths), _PATHS)
    summary = found.file.summary
    difference = None
    if found.against is not None:
        before = await _listing_of(request, found.against)
        records = found.against.record, found.file.record
        difference = await parts.contents.run(caller, build_differences.compare, *records, before, listing)
    return page(
        request,
        "file.html",
        channel=found.channel,
        file=found.file,
        summary=summary,
        found=found,
        record=_fields(found.file.record, _SHOWN_ELSEWHERE),
        corrected=_corrected_fields(found.file.correction),
        correction_warnings=metadata_corrections.warnings_of(found.file.correction.fields)
        if found.file.correction
        else (),
        about=_fields(found.file.about, _ABOUT_SHOWN_ELSEWHERE),
        description=render(found.file.about.get("description", "")),
        links=links_of(found.file.about),
        run_exports=run_exports_of(found.file.record),
        address=f"{site_url_of(request)}/{found.channel.name}/{summary.subdir}/{summary.file_name}",
        listing=listing,
        paths=paths[pages.start : pages.end],
        pages=pages,
        words=words,
        difference=difference,
        max_changes=_CHANGES,
    )


async def _listing_of(request: Request, found: File) -> Listing:
    summary, caller = found.summary, rate_limit_key(await principal_of(request))
    sha256 = bytes.fromhex(summary.sha256)
    return await parts_of(request).contents.read(caller, sha256, summary.size, summary.file_name)


def file_of_path(tx: Tx, channel_id: int, request: Request) -> File:
    """Return the file that the path names; `NotFound` if it belongs to another package."""
    names = request.path_params
    found = files.get(tx, channel_id, names["subdir"], names["file"])
    if found.summary.package != names["package"]:
        raise NotFound("There is no such file in the package.", "Check the subdir and the file name.")
    return found


def _other_builds(tx: Tx, channel_id: int, found: File) -> list[Build]:
    """Return builds to compare with: those of the same version, then of the newest versions, up to a limit."""
    package, own = found.summary.package, found.summary.version
    lines = versions.lines_of(tx, channel_id, package)
    wanted, count = [], 0
    for line in sorted(lines, key=lambda line: line.version != own):  # the sort is stable: newest first
        if count >= _COMPARABLE:
            break
        wanted.append(line.version)
        count += line.builds
    read = sorted(versions.with_builds(tx, channel_id, package, wanted), key=lambda version: version.version != own)
    builds = [build for version in read for build in version.builds if build.id != found.summary.id]
    return builds[:_COMPARABLE]


def _other(tx: Tx, channel_id: int, found: File, against: str) -> File | None:
    """Return the build to compare with, or None if it is not a file of the same package."""
    subdir, _, file_name = against.partition("/")
    if not file_name:
        return None
    other = files.get(tx, channel_id, subdir, file_name)
    return other if other.summary.package == found.summary.package else None


def _buttons(tx: Tx, by: Caller, access: Access, found: File) -> dict[str, Button]:
    is_yanked = found.summary.state is FileState.YANKED
    own = _is_own(tx, by, found)
    return file_changes.allowed(by, access, found.summary.package, own_file=own, yanked=is_yanked, listed=not is_yanked)


def _is_own(tx: Tx, by: Caller, found: File) -> bool:
    if by.user_id is None:
        return False
    uploader = tx.execute(select(file_rows.c.uploaded_by).where(file_rows.c.id == found.summary.id)).scalar()
    return uploader == by.user_id


def _corrected_fields(correction: Correction | None) -> list[tuple[str, str, str]]:
    """Return each corrected field with its original and its corrected value."""
    if correction is None:
        return []
    original, fields = correction.original, correction.fields
    return [
        (name, _display(name, original.get(name) or "none"), _display(name, fields.get(name) or "none"))
        for name in correction.names
    ]


def _fields(values: Mapping[str, Any], excluded: frozenset[str]) -> list[tuple[str, str]]:
    """Return the fields of a JSON object that the page does not show elsewhere, without empty ones."""
    return [
        (key, _display(key, value))
        for key, value in values.items()
        if key not in excluded and value not in ("", [], {}, None)
    ]


def _display(key: str, value: Any) -> str:
    """Format a JSON value for display."""
    if key in _TIMES and isinstance(value, int):
        at_ms = timestamp_ms(value) if key == "timestamp" else value
        return f"{moment(at_ms)} ({value})" if 0 < value < _YEAR_10000_MS else str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
