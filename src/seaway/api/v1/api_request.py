"""The caller and the shared parameters of API routes."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from starlette.requests import Request

from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate
from seaway.channels import channels
from seaway.channels.permissions import Access
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.http.caller import caller_of as principal_of
from seaway.http.parts import RequestParts
from seaway.http.request_limits import rate_limit_key


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """API request: the caller, and the parts available to routes."""

    parts: RequestParts
    by: Caller

    @property
    def now_ms(self) -> int:
        """Current time by the server's clock."""
        return self.parts.reading.clock.now_ms()

    def require(self, tx: Tx, action: Action, channel: str) -> Access:
        """Return the caller's access to a channel; raise an error unless the action is allowed there."""
        return channels.require(tx, self.by, action, channel)

    def count(self, rate: Rate, *subject: str) -> None:
        """Count an attempt against a rate limit; raise `TooManyRequests` if exceeded."""
        rate_limits.count_attempt(self.parts.reading.database, self.now_ms, rate, *subject)

    def count_list(self) -> None:
        """Count a public list against its rate limit; raise `TooManyRequests` if exceeded."""
        self.parts.list_rate_limit.take(self.by.address)

    def count_file_list(self, number: int = 1) -> None:
        """Count lists of the files in packages against their rate limit; raise `TooManyRequests` if exceeded."""
        self.parts.file_list_limit.take(rate_limit_key(self.by), number)

    def read(self) -> AbstractContextManager[Tx]:
        """Open a read transaction on one state of the database."""
        return self.parts.reading.database.read()

    def write_site(self) -> AbstractContextManager[Tx]:
        """Open a write transaction that locks the site; for admin actions only."""
        return self.parts.reading.database.write_site()

    def write_channel(self, name: str) -> AbstractContextManager[Tx]:
        """Open a write transaction that locks a channel."""
        return self.parts.reading.database.write_channel(name)

    def write_group(self, name: str) -> AbstractContextManager[Tx]:
        """Open a write transaction that locks a group."""
        return self.parts.reading.database.write_group(name)

    def write_user(self) -> AbstractContextManager[Tx]:
        """Open a write transaction that locks the calling user; check first that the caller is a user."""
        return self.parts.reading.database.write_user(self.by.user_id or 0)

    def write_unlocked(self) -> AbstractContextManager[Tx]:
        """Open a write transaction without a lock; its changes must be safe beside concurrent writes."""
        return self.parts.reading.database.write_part()


async def _call(request: Request) -> ApiRequest:
    """Build the call; an invalid credential is refused even where none is required, so that programs notice it."""
    parts: RequestParts = request.app.state.parts
    by = await principal_of(request)
    return ApiRequest(parts, by)


ApiRequestDep = Annotated[ApiRequest, Depends(_call)]

ChannelName = Annotated[str, Path(description="The name of a channel.", examples=["robots"], max_length=128)]
PackageName = Annotated[str, Path(description="The name of a package.", examples=["numpy"], max_length=64)]
Id = Annotated[int, Path(description="The `id` from a response.", ge=1, le=2**53)]
Limit = Annotated[int, Query(description="The maximum number of items in a response.", ge=1, le=100)]
After = Annotated[str, Query(description="`next` of the previous response; omit for the first page.", max_length=400)]
SearchText = Annotated[
    str, Query(description="Search words; items must contain all of them. Omit for all.", max_length=200)
]
DEFAULT_LIMIT = 50

# For routes that also work without a credential.
ANONYMOUS_ALLOWED: dict[str, Any] = {"security": [{}, {"key": []}, {"session": []}]}
