"""Package page: versions, builds, metadata, dependencies, dependents and downloads, and the page of all dependents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
from seaway.packages import attestation_claims, download_history, files, version_facts, versions
from seaway.packages.download_history import DownloadHistory
from seaway.packages.downloads import Split, day_of
from seaway.packages.files import File
from seaway.packages.overview import PackageLine, name_of_spec
from seaway.packages.version_facts import VersionFacts
from seaway.packages.versions import Build, Version, VersionLine
from seaway.web import chart_choices, daily_chart, file_changes, install_lines
from seaway.web.channel_pages import ListPage, limit_list, number_of, pages_of, read_for_caller, readable
from seaway.web.file_changes import Button, NotSelectable
from seaway.web.markdown import external_link, render
from seaway.web.rendering import page

_VERSIONS = 20  # on one page
_BUILDS = 40  # a version with more shows them only when it is chosen
_DEPENDENTS = 30
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
    versions: list[VersionLine]
    pages: ListPage
    shown: list[Version]
    chosen: Version
    newest: VersionLine  # the version that represents the package
    build: Build
    file: File
    facts: VersionFacts
    is_here: set[str]  # dependencies that are packages of the channel
    dependents: list[PackageLine] | None
    knows_dependents: bool
    counted: str  # the version whose downloads are shown; empty for all versions
    downloads: DownloadHistory
    total: int
    buttons: dict[str, Button]
    provenance: dict[str, Provenance]
    attested: int  # builds of the chosen version that are attested


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
    name, requested = request.path_params["package"], request.query_params.get("version", "")
    days, split = chart_choices.period_of(request), chart_choices.split_of(request, _SPLITS)
    found = await read_for_caller(request, partial(_read, request))
    path = f"/channels/{found.channel.name}/packages/{name}"
    kept = {"version": requested, "of": found.counted}
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
        run_exports=run_exports_of(found.file.record),
        dependents=found.dependents and found.dependents[:_DEPENDENTS],
        dependents_pages=ListPage(1, _DEPENDENTS, len(found.dependents or ())),
        max_builds=_BUILDS,
        requested_version=requested,
        chart=daily_chart.draw_downloads(found.downloads),
        splits=chart_choices.split_choices(path, kept, _SPLITS, days, split),
        chart_query=chart_choices.query_of(days, split),
        periods=chart_choices.period_choices(path, kept, days, split),
        total=found.total,
    )


def _read(request: Request, tx: Tx, by: Caller) -> _Found:
    parts, name = parts_of(request), request.path_params["package"]
    today = day_of(parts.site.clock.now_ms())
    days, split = chart_choices.period_of(request), chart_choices.split_of(request, _SPLITS)
    channel, access = readable(tx, by, request.path_params["channel"])
    lines = versions.lines_of(tx, channel.id, name)
    newest = versions.newest(lines)
    if newest is None:
        raise NotFound("There is no such package in the channel.", "Check the name, or search for it.")
    chosen_line = versions.named(lines, request.query_params.get("version", "")) or newest
    pages = _pages_of_versions(request, lines, chosen_line)
    on_page = {line.version for line in lines[pages.start : pages.end]}
    attested = attestation_claims.attested_versions(tx, channel.id, name)
    compared = attestation_claims.compared_versions(lines, attested, on_page | {chosen_line.version})
    read = versions.with_builds(tx, channel.id, name, compared)
    claims = attestation_claims.claims_of(tx, channel.id, name, compared & attested)
    chosen = next(version for version in read if version.version == chosen_line.version)
    facts = version_facts.of_version(tx, channel.id, chosen)
    file = files.get(tx, channel.id, chosen.newest.subdir, chosen.newest.file_name)
    counted = _counted_version(lines, request)
    knows_dependents = parts.overviews.is_read(channel.id)
    return _Found(
        channel=channel,
        versions=lines,
        pages=pages,
        shown=[version for version in read if version.version in on_page],
        chosen=chosen,
        newest=newest,
        build=chosen.newest,
        file=file,
        facts=facts,
        is_here=versions.names_among(tx, channel.id, {dependency.name for dependency in facts.dependencies}),
        dependents=parts.overviews.dependents(tx, channel.id, name) if knows_dependents else None,
        knows_dependents=knows_dependents,
        counted=counted,
        downloads=download_history.of_package(
            tx, channel.id, name, today=today, days=days, split=split, version=counted or None
        ),
        total=files.total_downloads(tx, channel.id, name),
        buttons=_buttons(by, access, name, lines),
        provenance=attestation_claims.provenance_of(read, claims),
        attested=sum(build.id in claims for build in chosen.builds),
    )


async def dependents(request: Request) -> Response:
    """Show the packages of the channel that depend on a package, with their summaries."""
    parts, name = parts_of(request), request.path_params["package"]
    limit_list(request)  # the first request to a worker reads the dependencies of every package

    def find(tx: Tx, by: Caller) -> tuple[Channel, list[PackageLine] | None]:
        channel, _ = readable(tx, by, request.path_params["channel"])
        return channel, parts.overviews.dependents(tx, channel.id, name)

    channel, lines = await read_for_caller(request, find, limiter=parts.search_slots)
    pages = pages_of(request, len(lines or ()), _DEPENDENTS)
    return page(
        request,
        "dependents.html",
        channel=channel,
        name=name,
        dependents=lines and lines[pages.start : pages.end],
        dependents_pages=pages,
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


def _counted_version(found: Sequence[VersionLine], request: Request) -> str:
    """Return the version whose downloads are shown, or an empty string for all versions."""
    chosen = versions.named(found, request.query_params.get("of", ""))
    return "" if chosen is None else chosen.version


def _pages_of_versions(request: Request, lines: Sequence[VersionLine], chosen: VersionLine) -> ListPage:
    """Return the requested page of the versions, or the one that has the chosen version."""
    if number_of(request, "page") is not None:
        return pages_of(request, len(lines), _VERSIONS)
    return ListPage(lines.index(chosen) // _VERSIONS + 1, _VERSIONS, len(lines))


def _buttons(by: Caller, access: Access, package: str, lines: Sequence[VersionLine]) -> dict[str, Button]:
    """Return the buttons for this caller; a Contributor can delete files that they uploaded."""
    return file_changes.allowed(
        by,
        access,
        package,
        own_file=True,
        yanked=any(line.listed < line.builds for line in lines),
        listed=any(line.listed for line in lines),
    )
