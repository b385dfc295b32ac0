"""Front page, and search over everything that the caller can read."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import channels
from seaway.database.engine import Tx
from seaway.errors import Malformed
from seaway.http.parts import parts_of
from seaway.packages import recent_uploads, search
from seaway.packages.search import FilterChoices
from seaway.users import users
from seaway.web import package_results
from seaway.web.channel_pages import limit_list, read_for_caller
from seaway.web.package_results import ResultPage
from seaway.web.rendering import page

_NEWEST = 10
_CHANNELS = 9
_MATCHING_CHANNELS = 6
_PER_PAGE = 30
_NAMED = 3  # packages of the name in a match spec that no version matches


async def front(request: Request) -> Response:
    """Show the caller's channels, public channels and the newest packages."""

    def find(tx: Tx, by: Caller) -> dict[str, Any]:
        own = [] if by.user_id is None else [channel for channel, _ in channels.with_role_of(tx, by.user_id)]
        own = own[:_CHANNELS]
        public = channels.public(tx, not_of=by.user_id, limit=_CHANNELS)
        return {
            "has_accounts": users.any_exist(tx),
            "own": own,
            "public": public,
            "changes": recent_uploads.last_changes(tx, [channel.id for channel in [*own, *public]]),
            "newest": recent_uploads.packages_for(tx, by, _NEWEST),
        }

    values = await read_for_caller(request, find)
    return page(request, "front.html", **values)


async def results(request: Request) -> Response:
    """Search packages and channels by words or by a match spec."""
    parts, query = parts_of(request), package_results.query_of(request)
    limit_list(request)

    def find(tx: Tx, by: Caller) -> dict[str, Any]:
        nothing = {
            "results": ResultPage((), 1, 0, "", ""), "choices": FilterChoices(0, (), (), ()), "channels": [],
            "named": [], "problem": None,
        }  # fmt: skip
        if not query.text:
            return nothing
        try:
            choices = search.choices(tx, by, query)
            found = package_results.read_page(tx, by, request, query, choices.total, limit=_PER_PAGE)
        except Malformed as error:
            return nothing | {"problem": error}
        is_first = not found.previous_url
        matching = channels.matching(tx, by, query.text, limit=_MATCHING_CHANNELS) if is_first else []
        named = [] if found.hits else search.named_by_spec(tx, by, query, limit=_NAMED)
        return {"results": found, "choices": choices, "channels": matching, "named": named, "problem": None}

    values = await read_for_caller(request, find, limiter=parts.search_slots)
    return page(request, "search.html", query=query, **values)
