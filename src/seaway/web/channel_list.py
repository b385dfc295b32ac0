"""List of the caller's channels and of public channels."""

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import channels
from seaway.channels.channel import Channel
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.search_terms import fold, search_terms
from seaway.web.channel_pages import limit_list, read_for_caller, search_text_of
from seaway.web.rendering import page

_PER_PAGE = 24


async def listing(request: Request) -> Response:
    """Show the channels in which the caller has a role, then one page of the public channels that follow `after`."""
    words = search_text_of(request)
    after = request.query_params.get("after", "")[:128]
    limit_list(request)

    def find(tx: Tx, by: Caller) -> tuple[list[tuple[Channel, Role]], list[Channel]]:
        own = [] if by.user_id is None or after else channels.with_role_of(tx, by.user_id)
        return own, channels.public(tx, words, after=after, limit=_PER_PAGE + 1)

    own, public = await read_for_caller(request, find)
    terms = search_terms(words)
    shown = [(channel, role) for channel, role in own if _matches(channel, terms)]
    more = public[_PER_PAGE - 1].name if len(public) > _PER_PAGE else ""
    return page(
        request,
        "channels.html",
        words=words,
        own=shown,
        has_any=bool(own),
        public=public[:_PER_PAGE],
        after=after,
        more=more,
    )


def _matches(channel: Channel, terms: list[str]) -> bool:
    text = fold(f"{channel.name} {channel.description}")
    return all(word in text for word in terms)
