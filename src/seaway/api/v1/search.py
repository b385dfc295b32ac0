"""Search in all channels that the caller can read."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import Field

from seaway.api.v1.api_request import ANONYMOUS_ALLOWED, DEFAULT_LIMIT, After, ApiRequestDep, Limit
from seaway.api.v1.schemas import Moment, Page, ResponseBody
from seaway.http.request_context import RequestContext
from seaway.packages import search
from seaway.packages.search import MAX_QUERY_LENGTH, PackageQuery, Sort

router = APIRouter(tags=["search"])

SearchText = Annotated[
    str,
    Query(
        description="Words in names and summaries, or a match spec. `channel::` before them searches one channel.",
        examples=["numpy", "linear algebra", "numpy >=1.26", "robots::numpy"],
        min_length=1,
        max_length=MAX_QUERY_LENGTH,
    ),
]
OfChannel = Annotated[str, Query(description="Only in this channel.", max_length=128)]
OfSubdir = Annotated[str, Query(description="Only with files for this platform.", max_length=32, examples=["noarch"])]
OfLicense = Annotated[str, Query(description="Only with exactly this license.", max_length=500, examples=["MIT"])]
InOrder = Annotated[Sort, Query(description="`downloads` counts the last 30 days; `updated` is newest first.")]


class SearchResult(ResponseBody):
    """A matching package."""

    channel: str = Field(examples=["robots"])
    package: str = Field(examples=["numpy"])
    summary: str
    version: str = Field(description="The newest version that matches.")
    subdirs: list[str]
    license: str = Field(description="License of the newest version.")
    downloads: int = Field(description="Downloads in the last 30 days.")
    updated_at: Moment = Field(description="Time of the latest upload.")


@router.get("/search", operation_id="searchPackages", openapi_extra=ANONYMOUS_ALLOWED)
async def search_packages(
    call: ApiRequestDep,
    q: SearchText,
    channel: OfChannel = "",
    subdir: OfSubdir = "",
    license: OfLicense = "",  # the name of the query parameter
    sort: InOrder = Sort.RELEVANCE,
    after: After = "",
    limit: Limit = DEFAULT_LIMIT,
) -> Page[SearchResult]:
    """Search packages by name, summary or match spec; by default exact names come first."""
    query = PackageQuery(q, channel, subdir, license, sort)
    return await to_thread.run_sync(_search, call, query, after, limit, limiter=call.parts.search_slots)


def _search(call: RequestContext, query: PackageQuery, after: str, limit: int) -> Page[SearchResult]:
    call.count_list()
    with call.read() as tx:
        found = search.search(tx, call.by, query, after=after, limit=limit)
    return Page[SearchResult](items=[SearchResult.model_validate(hit) for hit in found.hits], next=found.next)
