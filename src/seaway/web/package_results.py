"""Shared code of the pages that list packages: the query in the URL, and the links to other pages of the list."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from seaway.callers.caller import Caller
from seaway.database.engine import Tx
from seaway.packages import search
from seaway.packages.search import Hit, PackageQuery, Sort
from seaway.web.channel_pages import number_of, search_text_of

_MAX_CURSOR = 300


@dataclass(frozen=True, slots=True)
class ResultPage:
    """One page of a list of packages, with links to the pages before and after it; empty if there is none."""

    hits: Sequence[Hit]
    first: int  # position of the first package in the list, from 1
    total: int
    previous_url: str
    next_url: str

    @property
    def last(self) -> int:
        """Position of the last package of the page."""
        return self.first + len(self.hits) - 1


def query_of(request: Request, *, channel: str = "", with_yanked: bool = False) -> PackageQuery:
    """Return the query of a page; an unknown order is the default one."""
    values = request.query_params
    return PackageQuery(
        text=search_text_of(request, search.MAX_QUERY_LENGTH),
        channel=channel or values.get("channel", "")[:128],
        subdir=values.get("subdir", "")[:32],
        license=values.get("license", "")[:500],
        sort=next((sort for sort in Sort if sort.value == values.get("sort")), Sort.RELEVANCE),
        with_yanked=with_yanked,
    )


def read_page(tx: Tx, by: Caller, request: Request, query: PackageQuery, total: int, *, limit: int) -> ResultPage:
    """Read the page that the URL asks for."""
    after = request.query_params.get("after", "")[:_MAX_CURSOR]
    found = search.search(tx, by, query, after=after, limit=limit)
    first = max(1, min(number_of(request, "from") or 1, total))
    return ResultPage(
        hits=found.hits,
        first=first,
        total=total,
        previous_url=_url(request, found.previous, max(1, first - limit)),
        next_url=_url(request, found.next, first + len(found.hits)),
    )


def _url(request: Request, cursor: str | None, first: int) -> str:
    if cursor is None:
        return ""
    kept = [(name, value) for name, value in request.query_params.items() if value and name not in ("after", "from")]
    return f"{request.url.path}?{urlencode([*kept, ('after', cursor), ('from', str(first))])}"
