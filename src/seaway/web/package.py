"""Package page: versions, builds, metadata, dependencies, dependents and downloads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.attestations.provenance import Provenance
from seaway.callers.caller import Caller
from seaway.channels.channel import Channel
from seaway.channels.permissions import Access
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http import problems
from seaway.http.parts import parts_of
from seaway.http.site_url import site_url_of
from seaway.packages import attestation_claims, download_history, files, uploaders, versions
from seaway.packages.download_history import DownloadHistory
from seaway.packages.downloads import Split, day_of
from seaway.packages.files import File
from seaway.packages.overview import name_of_spec
from seaway.packages.uploaders import Origin
from seaway.packages.versions import Build, Version
from seaway.web import chart_choices, daily_chart, file_changes, install_lines
from seaway.web.channel_pages import read_for_caller, readable
from seaway.web.file_changes import Button, NotSelectable
from seaway.web.markdown import external_link, render
from seaway.web.rendering import page

_VERSIONS = 15
_DEPENDENTS = 200
_SPLITS = (Split.VERSION, Split.SUBDIR, Split.CLIENT)
_LINKS = (
    ("home", "Homepage"),
    ("doc_url", "Documentation"),
    ("dev_url", "Development"),
    ("source_url", "Source"),
    ("doc_source_url", "Documentation source"),
)


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency, and whether its package is in the channel."""

    spec: str
    name: str
    is_here: bool


@dataclass(frozen=True, slots=True)
class _Found:
    channel: Channel
    versions: list[Version]
    chosen: Version
    build: Build
    file: File
    origin: Origin | None
    dependencies: list[Dependency]
    dependents: list[str] | None
    counted: str  # the version whose downloads are shown; empty for all versions
    downloads: DownloadHistory
    buttons: dict[str, Button]
    provenance: dict[str, Provenance]


async def change_files(request: Request) -> Response:
    """Yank, unyank or delete files; show this page again if the form does not say which."""
    try:
        return await file_changes.change(request)
    except NotSelectable as problem:
        return await _show(request, problem)


async def package(request: Request) -> Response:
    """Show one package of a channel, in its newest version or the chosen one."""
    return await _show(request)


async def _show(request: Request, problem: NotSelectable | None = None) -> Response:
    parts = parts_of(request)
    name, requested = request.path_params["package"], request.query_params.get("version", "")
    today = day_of(parts.site.clock.now_ms())
    days, split = chart_choices.period_of(request), chart_choices.split_of(request, _SPLITS)

    def find(tx: Tx, by: Caller) -> _Found:
        channel, access = readable(tx, by, request.path_params["channel"])
        found = versions.of_package(tx, channel.id, name)
        chosen = _chosen(found, requested)
        counted = _counted_version(found, request)
        build = chosen.newest
        file = files.get(tx, channel.id, build.subdir, build.file_name)
        return _Found(
            channel=channel,
            versions=found,
            chosen=chosen,
            build=build,
            file=file,
            origin=uploaders.of_file(tx, channel.id, build.subdir, build.file_name, bytes.fromhex(file.summary.sha256)),
            dependencies=dependencies_of(tx, channel.id, file.record.get("depends", ())),
            dependents=parts.overviews.dependents(tx, channel.id, name),
            counted=counted,
            downloads=download_history.of_package(
                tx, channel.id, name, today=today, days=days, split=split, version=counted or None
            ),
            buttons=_buttons(by, access, name, found),
            provenance=attestation_claims.provenance_of(found, attestation_claims.claims_of(tx, channel.id, name)),
        )

    found = await read_for_caller(request, find)
    path = f"/channels/{found.channel.name}/packages/{name}"
    kept = {"version": requested, "of": found.counted}
    shows_all = request.query_params.get("versions") == "all"
    return page(
        request,
        "package.html",
        status=200 if problem is None else problems.status_of(problem),
        problem=problem,
        selected=frozenset() if problem is None else problem.selected,
        found=found,
        name=name,
        channel=found.channel,
        install=install_lines.of_package(
            site_url_of(request), found.channel.name, name, requested and found.chosen.version
        ),
        summary=found.file.about.get("summary", ""),
        description=render(found.file.about.get("description", "")),
        links=links_of(found.file.about),
        license=found.file.record.get("license") or "",
        run_exports=run_exports_of(found.file.record),
        shown=found.versions if shows_all else _shown_versions(found.versions, found.chosen),
        dependents=None if found.dependents is None else found.dependents[:_DEPENDENTS],
        requested_version=requested,
        chart=daily_chart.draw_downloads(found.downloads),
        splits=chart_choices.split_choices(path, kept, _SPLITS, days, split),
        chart_query=chart_choices.query_of(days, split),
        periods=chart_choices.period_choices(path, kept, days, split),
        total=sum(build.downloads for version in found.versions for build in version.builds),
    )


def dependencies_of(tx: Tx, channel_id: int, specs: Sequence[str]) -> list[Dependency]:
    """Return the dependencies, marking those whose package is in the channel, with one query for all of them."""
    names = {spec: name_of_spec(spec) for spec in specs}
    here = versions.names_among(tx, channel_id, set(names.values())) if names else set()
    return [Dependency(spec, name, name in here) for spec, name in names.items()]


def links_of(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (label, URL) for each URL in about.json that a page may link to, without duplicates."""
    found: dict[str, str] = {}
    for key, label in _LINKS:
        address = external_link(about.get(key, ""))
        if address:
            found.setdefault(address, label)
    return [(label, address) for address, label in found.items()]


def run_exports_of(record: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the run exports of a record by kind."""
    return [(kind.replace("_", " "), specs) for kind, specs in (record.get("run_exports") or {}).items() if specs]


def _chosen(found: Sequence[Version], requested: str) -> Version:
    chosen = versions.named(found, requested) or versions.newest(found)
    if chosen is None:
        raise NotFound("There is no such package in the channel.", "Check the name, or search for it.")
    return chosen


def _counted_version(found: Sequence[Version], request: Request) -> str:
    """Return the version whose downloads are shown, or an empty string for all versions."""
    chosen = versions.named(found, request.query_params.get("of", ""))
    return "" if chosen is None else chosen.version


def _shown_versions(found: list[Version], chosen: Version) -> list[Version]:
    """Return the newest versions, and the chosen one if it is not among them."""
    shown = found[:_VERSIONS]
    return shown if chosen in shown else [*shown, chosen]


def _buttons(by: Caller, access: Access, package: str, found: list[Version]) -> dict[str, Button]:
    """Return the buttons for this caller; a Contributor can delete files that they uploaded."""
    states = {build.is_yanked for version in found for build in version.builds}
    return file_changes.allowed(by, access, package, own_file=True, yanked=True in states, listed=False in states)
