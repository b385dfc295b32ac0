"""
The context in which the API and the pages handle a request: the caller, the parts, and transactions.

1. Permission is checked in a read transaction before a write transaction begins, so that a caller who will be refused
   (anonymous, without a role, with a key that is too weak, or after an old sign-in) takes no lock: SQLite has one writer.
2. This check only keeps refused callers from the lock. The domain function called inside the lock decides again, by
   rows that cannot change any more; it is the authority.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import channels
from seaway.channels.permissions import Access
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.http.caller import caller_of
from seaway.http.parts import RequestParts, parts_of
from seaway.http.request_limits import rate_limit_key

T = TypeVar("T")

# What a transaction on a channel or group requires: an action, or a function that raises the refusal; None for a change
# that requires only a secret.
Permission = Action | SiteAction | Callable[[Tx, Caller, str], object] | None


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The caller and the parts available to a route."""

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

    @contextmanager
    def write_site(self) -> Iterator[Tx]:
        """Open a write transaction that locks the site; for site admins only."""
        require_site(self.by, SiteAction.CHANGE_SITE)
        with self.parts.reading.database.write_site() as tx:
            yield tx

    @contextmanager
    def write_channel(self, name: str, permission: Permission) -> Iterator[Tx]:
        """Open a write transaction that locks a channel."""
        self._check(permission, name)
        with self.parts.reading.database.write_channel(name) as tx:
            yield tx

    @contextmanager
    def write_group(self, name: str, permission: Permission) -> Iterator[Tx]:
        """Open a write transaction that locks a group."""
        self._check(permission, name)
        with self.parts.reading.database.write_group(name) as tx:
            yield tx

    @contextmanager
    def write_user(self, action: SiteAction) -> Iterator[Tx]:
        """Open a write transaction that locks the calling user."""
        require_site(self.by, action)
        assert self.by.user_id is not None
        with self.parts.reading.database.write_user(self.by.user_id) as tx:
            yield tx

    @contextmanager
    def write_unlocked(self, action: SiteAction) -> Iterator[Tx]:
        """Open a write transaction without a lock; its changes must be safe beside concurrent writes."""
        require_site(self.by, action)
        with self.parts.reading.database.write_unlocked() as tx:
            yield tx

    def _check(self, permission: Permission, name: str) -> None:
        if isinstance(permission, SiteAction):
            require_site(self.by, permission)
        elif permission is not None:
            with self.read() as tx:
                if isinstance(permission, Action):
                    self.require(tx, permission, name)
                else:
                    permission(tx, self.by, name)


async def in_transaction(
    transaction: AbstractContextManager[Tx], work: Callable[[Tx], T], limiter: CapacityLimiter | None = None
) -> T:
    """Do work with a transaction in a thread; `limiter` limits expensive queries."""

    def run() -> T:
        with transaction as tx:
            return work(tx)

    return await to_thread.run_sync(run, limiter=limiter)


async def context_of(request: Request) -> RequestContext:
    """
    Return the context of a request.

    An invalid credential is refused even where none is required, so that programs notice it.
    """
    parts = parts_of(request)
    return RequestContext(parts, await caller_of(request))
