"""Search in all channels that the caller can read."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import Field

from seaway.api.v1.api_request import ANONYMOUS_ALLOWED, DEFAULT_LIMIT, After, ApiRequestDep, Limit
from seaway.api.v1.schemas import Page, ResponseBody
from seaway.http.request_context import RequestContext
from seaway.packages import search
from seaway.packages.search import MAX_QUERY_LENGTH

router = APIRouter(tags=["search"])

SearchText = Annotated[
    str,
    Query(
        description="Words in names and summaries, or a match spec.",
        examples=["numpy", "linear algebra", "numpy >=1.26"],
        min_length=1,
        max_length=MAX_QUERY_LENGTH,
    ),
]
OfChannel = Annotated[str | None, Query(description="Only in this channel.", max_length=128)]


class SearchResult(ResponseBody):
    """A matching package."""

    channel: str = Field(examples=["robots"])
    package: str = Field(examples=["numpy"])
    summary: str
    version: str = Field(description="The newest version that matches.")
    subdirs: list[str]


@router.get("/search", operation_id="searchPackages", openapi_extra=ANONYMOUS_ALLOWED)
async def search_packages(
    call: ApiRequestDep, q: SearchText, channel: OfChannel = None, after: After = "", limit: Limit = DEFAULT_LIMIT
) -> Page[SearchResult]:
    """Search packages by name, summary or match spec; exact names come first."""
    return await to_thread.run_sync(_search, call, q, channel, after, limit, limiter=call.parts.search_slots)


def _search(call: RequestContext, text: str, channel: str | None, after: str, limit: int) -> Page[SearchResult]:
    call.count_list()
    with call.read() as tx:
        hits, next_cursor = search.search(tx, call.by, text, channel=channel, after=after, limit=limit)
    return Page[SearchResult](items=[SearchResult.model_validate(hit) for hit in hits], next=next_cursor)
