"""List of the caller's channels and of the other public channels, by name or by last change."""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import channels
from seaway.channels.channel import Channel
from seaway.channels.channels import ChangeCursor
from seaway.database.engine import Tx
from seaway.packages import recent_uploads
from seaway.search_terms import fold, search_terms
from seaway.web.channel_pages import limit_list, read_for_caller, search_text_of
from seaway.web.rendering import page

_PER_PAGE = 24
_UPDATED = "updated"  # value of `sort`; any other is the order by name


async def listing(request: Request) -> Response:
    """Show the channels in which the caller has a role, then one page of the other public channels after `after`."""
    words, after = search_text_of(request), request.query_params.get("after", "")[:128]
    sort = _UPDATED if request.query_params.get("sort") == _UPDATED else ""
    limit_list(request)

    def find(tx: Tx, by: Caller) -> dict[str, Any]:
        own = [] if by.user_id is None or after else channels.with_role_of(tx, by.user_id)
        public = _public(tx, by, words, sort, after)
        changes = recent_uploads.last_changes(tx, [channel.id for channel, _ in [*own, *public]])
        if sort == _UPDATED:
            own.sort(key=lambda entry: -changes.get(entry[0].id, 0))
        return {"own": own, "public": public, "changes": changes}

    found = await read_for_caller(request, find)
    own, public, terms = found["own"], found["public"], search_terms(words)
    more = public[_PER_PAGE - 1][1] if len(public) > _PER_PAGE else ""
    return page(
        request,
        "channels.html",
        words=words,
        sort=sort,
        own=[(channel, role) for channel, role in own if _matches(channel, terms)],
        has_any=bool(own),
        public=[channel for channel, _ in public[:_PER_PAGE]],
        changes=found["changes"],
        after=after,
        first_url=_url(words, sort),
        next_url=_url(words, sort, more) if more else "",
    )


def _public(tx: Tx, by: Caller, words: str, sort: str, after: str) -> list[tuple[Channel, str]]:
    """Return the public channels of a page and one more, each with the `after` of the channels that follow it."""
    limit = _PER_PAGE + 1
    if sort != _UPDATED:
        found = channels.public(tx, words, not_of=by.user_id, after=after, limit=limit)
        return [(channel, channel.name) for channel in found]
    cursor = _parse_cursor(after) if after else None
    changed = channels.public_by_change(tx, words, not_of=by.user_id, after=cursor, limit=limit)
    return [
        (channel, position.name or f"{position.changed_at_ms} {position.subdir_id}") for channel, position in changed
    ]


def _parse_cursor(after: str) -> ChangeCursor:
    """Return the position in the order by change: two numbers, or a name, which has no space."""
    changed_at, _, subdir_id = after.partition(" ")
    is_change = all(part.isascii() and part.isdigit() and len(part) < 16 for part in (changed_at, subdir_id))
    return ChangeCursor(int(changed_at), int(subdir_id)) if is_change else ChangeCursor(name=after)


def _url(words: str, sort: str, after: str = "") -> str:
    given = {"q": words, "sort": sort, "after": after}
    query = urlencode({name: value for name, value in given.items() if value})
    return f"/channels?{query}" if query else "/channels"


def _matches(channel: Channel, terms: list[str]) -> bool:
    text = fold(f"{channel.name} {channel.description}")
    return all(word in text for word in terms)
