"""Shared code of the channel pages: reading in a thread, paging, and one `NotFound` for unknown and hidden channels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from anyio import CapacityLimiter
from starlette.requests import Request

from seaway.callers.caller import Caller
from seaway.channels import channels, permissions
from seaway.channels.channel import Channel
from seaway.channels.permissions import Access, Verdict
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http import credentials
from seaway.http.parts import parts_of
from seaway.http.request_context import context_of, in_transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ListPage:
    """The page of a long list that is shown."""

    number: int
    length: int
    total: int

    @property
    def start(self) -> int:
        """Number of entries before this page."""
        return (self.number - 1) * self.length

    @property
    def last(self) -> int:
        """Number of the last page."""
        return max(1, -(-self.total // self.length))

    @property
    def end(self) -> int:
        """Number of entries up to the end of this page."""
        return min(self.total, self.number * self.length)


def limit_list(request: Request) -> None:
    """Count this request against the limit on public lists; `TooManyRequests` if it is exceeded."""
    parts_of(request).list_rate_limit.take(credentials.client_ip(request))


async def read_for_caller(
    request: Request, find: Callable[[Tx, Caller], T], limiter: CapacityLimiter | None = None
) -> T:
    """Call `find` with a read transaction and the caller, in a thread; `limiter` limits expensive queries."""
    call = await context_of(request)
    return await in_transaction(call.read(), lambda tx: find(tx, call.by), limiter)


def readable(tx: Tx, by: Caller, name: str) -> tuple[Channel, Access]:
    """Return a channel that the caller can read; the same `NotFound` for unknown and hidden channels."""
    access = channels.access_of(tx, name, by)
    if access is None or permissions.decide(by, Action.READ, access) is not Verdict.ALLOWED:
        raise NotFound("There is no such channel, or it is private.", "If you are a member, sign in and try again.")
    return channels.get(tx, name), access


def search_text_of(request: Request, max_chars: int = 200) -> str:
    """Return the text of the page's search field, at max_chars `max_chars` characters."""
    return request.query_params.get("q", "")[:max_chars].strip()


def pages_of(request: Request, total: int, length: int) -> ListPage:
    """Return the requested page of a list, or the last page if the number is too high."""
    whole = ListPage(1, length, total)
    return ListPage(max(1, min(number_of(request, "page") or 1, whole.last)), length, total)


def number_of(request: Request, name: str) -> int | None:
    """Return the number in a query parameter, or None if it has none; ids have up to 15 digits here."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
