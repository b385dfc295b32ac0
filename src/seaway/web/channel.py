"""Channel page and its Atom feed."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import notices, permissions
from seaway.channels.channel import Channel
from seaway.channels.permissions import Access, Verdict
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import subdirs
from seaway.errors import Malformed
from seaway.http.parts import parts_of
from seaway.http.site_url import site_url_of
from seaway.packages import download_history, recent_uploads, search
from seaway.packages.downloads import RECENT_DAYS, day_of
from seaway.packages.search import Sort
from seaway.web import feed, install_lines, package_results
from seaway.web.channel_pages import limit_list, read_for_caller, readable
from seaway.web.markdown import render
from seaway.web.package_results import ResultPage
from seaway.web.rendering import page

_PER_PAGE = 50
_FEED_LENGTH = 50


@dataclass(frozen=True, slots=True)
class SubdirUsage:
    """Number and total size of a channel's files in one subdir."""

    subdir: str
    files: int
    size: int
    changed_at_ms: int


async def channel(request: Request) -> Response:
    """Show a channel; a channel that the caller cannot read looks like an unknown one."""
    parts = parts_of(request)
    query = package_results.query_of(request, channel=request.path_params["channel"], with_yanked=True)
    is_filtered = bool(query.text or query.subdir or query.license)
    is_expensive = is_filtered or query.sort is Sort.DOWNLOADS  # reads more than one page of an index
    if is_expensive:
        limit_list(request)
    now_ms = parts.site.clock.now_ms()

    def find(tx: Tx, by: Caller) -> dict[str, Any]:
        shown, access = readable(tx, by, request.path_params["channel"])
        problem, named = None, []
        try:
            total = search.count(tx, by, query) if is_filtered else shown.package_count
            results = package_results.read_page(tx, by, request, query, total, limit=_PER_PAGE)
            if not results.hits:
                named = search.named_by_spec(tx, by, query, limit=1)
        except Malformed as error:
            problem, results = error, ResultPage((), 1, 0, "", "")
        return {
            "channel": shown,
            "role": access.role,
            "holdings": _holdings(tx, shown.id),
            "downloads": download_history.of_channel(tx, shown.id, today=day_of(now_ms), days=RECENT_DAYS).total,
            "licenses": search.licenses_of(tx, shown.id),
            "notices": notices.current(tx, now_ms, shown.id),
            "results": results,
            "named": named,
            "problem": problem,
            "can_manage": _shows_link(by, Action.MANAGE, access),
            "can_upload": _shows_link(by, Action.UPLOAD, access),
        }

    values = await read_for_caller(request, find, limiter=parts.search_slots if is_expensive else None)
    site, shown, holdings = site_url_of(request), values["channel"], values["holdings"]
    return page(
        request,
        "channel.html",
        **values,
        description=render(shown.description),
        query=query,
        is_filtered=is_filtered,
        install=install_lines.of_channel(site, shown.name),
        publish=install_lines.to_publish(site, shown.name),
        size=sum(holding.size for holding in holdings),
        files=sum(holding.files for holding in holdings),
        changed_at_ms=max((holding.changed_at_ms for holding in holdings), default=None),
    )


async def atom(request: Request) -> Response:
    """Return the latest files as an Atom feed; for a private channel, only to callers who can read it."""

    def find(tx: Tx, by: Caller) -> tuple[Channel, list[recent_uploads.RecentFile]]:
        shown, _ = readable(tx, by, request.path_params["channel"])
        return shown, recent_uploads.files_of(tx, shown.id, shown.name, _FEED_LENGTH)

    shown, arrivals = await read_for_caller(request, find)
    return Response(feed.write(site_url_of(request), shown, arrivals), media_type=feed.MEDIA_TYPE)


def _shows_link(by: Caller, action: Action, access: Access) -> bool:
    """Return whether to show a link to this action. The action checks the permission itself."""
    return by.is_person and permissions.decide(by, action, access) is Verdict.ALLOWED


def _holdings(tx: Tx, channel_id: int) -> list[SubdirUsage]:
    query = select(
        subdirs.c.name.label("subdir"), subdirs.c.record_count.label("files"), subdirs.c.size,
        subdirs.c.changed_at.label("changed_at_ms"),
    )  # fmt: skip
    found = tx.execute(query.where(subdirs.c.channel_id == channel_id).order_by(subdirs.c.name))
    return [from_row(SubdirUsage, row) for row in found]
