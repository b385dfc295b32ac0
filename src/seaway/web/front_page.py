"""Front page, and search over everything that the caller can read."""

import contextlib
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Principal
from seaway.channels import channels
from seaway.channels.channels import Channel
from seaway.database.engine import Tx
from seaway.errors import Malformed
from seaway.packages import recent_uploads, search
from seaway.packages.recent_uploads import Arrival
from seaway.packages.search import Hit
from seaway.web.channel_pages import count_list, look, words_of
from seaway.web.rendering import page

_NEWEST = 10
_CHANNELS = 9
_HITS = 30


@dataclass(frozen=True, slots=True)
class _Front:
    mine: list[Channel]
    public: list[Channel]
    newest: list[Arrival]


async def front(request: Request) -> Response:
    """Show the caller's channels, public channels and the newest packages."""

    def find(tx: Tx, by: Principal) -> _Front:
        mine = [] if by.user_id is None else [channel for channel, _ in channels.of_user(tx, by.user_id)]
        return _Front(
            mine[:_CHANNELS], channels.public(tx, limit=_CHANNELS), recent_uploads.packages_for(tx, by, _NEWEST)
        )

    found = await look(request, find)
    return page(request, "front.html", found=found)


async def results(request: Request) -> Response:
    """Search packages and channels by words or by a match spec; results continue after `after`."""
    words = words_of(request, search.MAX_QUESTION)
    after = request.query_params.get("after", "")[:300]
    count_list(request)

    def find(tx: Tx, by: Principal) -> tuple[list[Hit], str | None, list[Channel]]:
        if not words:
            return [], None, []
        hits: list[Hit] = []
        next_place = None
        # The page searches while the user types, so a query may be incomplete (`numpy <`) or have a ninth word.
        with contextlib.suppress(Malformed):
            hits, next_place = search.search(tx, by, words, after=after, limit=_HITS)
        return hits, next_place, [] if after else channels.matching(tx, by, words, limit=6)

    hits, next_place, found = await look(request, find)
    return page(request, "search.html", words=words, hits=hits, channels=found, next_place=next_place, after=after)
