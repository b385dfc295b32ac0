"""Who asks, and the parts that every route acts through."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from starlette.requests import Request

from seaway.accounts import throttle
from seaway.accounts.principal import Principal
from seaway.accounts.throttle import Rate
from seaway.channels import channels
from seaway.channels.permissions import Access
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.http.house import House
from seaway.http.identity import principal_of
from seaway.http.limits import caller_of


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the house that it reached, and who asks."""

    house: House
    by: Principal

    @property
    def now_ms(self) -> int:
        """The time by the house's clock."""
        return self.house.reading.clock.now_ms()

    def require(self, tx: Tx, action: Action, channel: str) -> Access:
        """The access of who asks to a channel, if they may do this there; otherwise the refusal."""
        return channels.require(tx, self.by, action, channel)

    def count(self, rate: Rate, *subject: str) -> None:
        """Count a try of something that is limited, or refuse it."""
        throttle.take(self.house.reading.database, self.now_ms, rate, *subject)

    def count_list(self) -> None:
        """Count a list that anybody may ask for, or refuse it."""
        self.house.list_limit.take(self.by.address)

    def count_file_list(self, number: int = 1) -> None:
        """Count lists of the files in packages, or refuse them."""
        self.house.file_list_limit.take(caller_of(self.by), number)

    def read(self) -> AbstractContextManager[Tx]:
        """A transaction that reads one state."""
        return self.house.reading.database.read()

    def write_site(self) -> AbstractContextManager[Tx]:
        """Lock the site, and write: for admins."""
        return self.house.reading.database.write_site()

    def write_channel(self, name: str) -> AbstractContextManager[Tx]:
        """Lock a channel, and write in it."""
        return self.house.reading.database.write_channel(name)

    def write_group(self, name: str) -> AbstractContextManager[Tx]:
        """Lock a group, and write in it."""
        return self.house.reading.database.write_group(name)

    def write_own(self) -> AbstractContextManager[Tx]:
        """Lock the user who calls, and write what is theirs; the caller checked that there is one."""
        return self.house.reading.database.write_user(self.by.user_id or 0)

    def write_part(self) -> AbstractContextManager[Tx]:
        """A transaction that writes beside all others: what it changes must bear that."""
        return self.house.reading.database.write_part()


async def _call(request: Request) -> Call:
    """A credential that is not good is refused, also where none is needed: a program must not take that for an answer."""
    house: House = request.app.state.house
    by = await principal_of(request)
    house.tally.used(by.key_id, by.address)
    return Call(house, by)


Asked = Annotated[Call, Depends(_call)]

ChannelName = Annotated[str, Path(description="The name of a channel.", examples=["robots"], max_length=128)]
PackageName = Annotated[str, Path(description="The name of a package.", examples=["numpy"], max_length=64)]
Id = Annotated[int, Path(description="The `id` that an answer gave.", ge=1, le=2**53)]
Limit = Annotated[int, Query(description="How many items an answer has at most.", ge=1, le=100)]
After = Annotated[
    str, Query(description="`next` of the answer before; leave it out for the first one.", max_length=400)
]
Words = Annotated[
    str, Query(description="Words that all must be in it; leave them out for everything.", max_length=200)
]
DEFAULT_LIMIT = 50

# For what may be asked without a credential too.
OPEN: dict[str, Any] = {"security": [{}, {"key": []}, {"session": []}]}
