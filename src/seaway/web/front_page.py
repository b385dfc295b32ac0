"""Front page, and search over everything that the caller can read."""

import contextlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import channels
from seaway.channels.channel import Channel
from seaway.database.engine import Tx
from seaway.errors import Malformed
from seaway.packages import recent_uploads, search
from seaway.packages.search import Hit
from seaway.web.channel_pages import limit_list, read_for_caller, search_text_of
from seaway.web.rendering import page

_NEWEST = 10
_CHANNELS = 9
_HITS = 30


async def front(request: Request) -> Response:
    """Show the caller's channels, public channels and the newest packages."""

    def find(tx: Tx, by: Caller) -> dict[str, Any]:
        own = [] if by.user_id is None else [channel for channel, _ in channels.with_role_of(tx, by.user_id)]
        return {
            "own": own[:_CHANNELS],
            "public": channels.public(tx, limit=_CHANNELS),
            "newest": recent_uploads.packages_for(tx, by, _NEWEST),
        }

    return page(request, "front.html", **await read_for_caller(request, find))


async def results(request: Request) -> Response:
    """Search packages and channels by words or by a match spec; results continue after `after`."""
    words = search_text_of(request, search.MAX_QUERY_LENGTH)
    after = request.query_params.get("after", "")[:300]
    limit_list(request)

    def find(tx: Tx, by: Caller) -> tuple[list[Hit], str | None, list[Channel]]:
        if not words:
            return [], None, []
        hits: list[Hit] = []
        next_place = None
        # The page searches while the user types, so a query may be incomplete (`numpy <`) or have a ninth word.
        with contextlib.suppress(Malformed):
            hits, next_place = search.search(tx, by, words, after=after, limit=_HITS)
        return hits, next_place, [] if after else channels.matching(tx, by, words, limit=6)

    hits, next_place, found = await read_for_caller(request, find)
    return page(request, "search.html", words=words, hits=hits, channels=found, next_place=next_place, after=after)
