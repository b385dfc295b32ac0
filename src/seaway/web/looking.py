"""What pages about channels share: one look at the database off the event loop, and one answer for what is not to be seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from seaway.accounts.principal import Principal
from seaway.channels import channels, permissions
from seaway.channels.channels import Channel
from seaway.channels.permissions import Access, Verdict
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http import credentials
from seaway.http.house import House
from seaway.http.identity import principal_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pages:
    """Which part of a long list is shown, and the addresses of its neighbours."""

    number: int
    length: int
    total: int

    @property
    def start(self) -> int:
        """How many entries stand before this page."""
        return (self.number - 1) * self.length

    @property
    def last(self) -> int:
        """The number of the last page."""
        return max(1, -(-self.total // self.length))

    @property
    def end(self) -> int:
        """How many entries there are up to the end of this page."""
        return min(self.total, self.number * self.length)


def house_of(request: Request) -> House:
    """The parts."""
    house: House = request.app.state.house
    return house


def count_list(request: Request) -> None:
    """Count a list that anybody may ask for, or refuse it."""
    house_of(request).list_limit.take(credentials.address_of(request))


async def look(request: Request, find: Callable[[Tx, Principal], T], limiter: CapacityLimiter | None = None) -> T:
    """What `find` sees in one read transaction, in a thread, for who asks; in turns of its own if it is dear."""
    by = await principal_of(request)

    def asked() -> T:
        with house_of(request).reading.database.read() as tx:
            return find(tx, by)

    return await to_thread.run_sync(asked, limiter=limiter)


def readable(tx: Tx, by: Principal, name: str) -> tuple[Channel, Access]:
    """A channel that the principal may read; an unknown and a hidden one are the same `NotFound`."""
    access = channels.access_of(tx, name, by)
    if access is None or permissions.decide(by, Action.READ, access) is not Verdict.ALLOWED:
        raise NotFound(
            "There is no such channel, or it is private.", "If you are a member of it, sign in and open it again."
        )
    return channels.get(tx, name), access


def words_of(request: Request, most: int = 200) -> str:
    """What was typed into the search of a page."""
    return request.query_params.get("q", "")[:most].strip()


def pages_of(request: Request, total: int, length: int) -> Pages:
    """Which page of a list somebody wants; the last one for more than there are."""
    asked = request.query_params.get("page", "1")
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 1
    whole = Pages(1, length, total)
    return Pages(max(1, min(number, whole.last)), length, total)
