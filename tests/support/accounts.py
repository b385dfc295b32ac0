"""Accounts with email addresses and passwords, on a server that writes emails to its folder."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from argon2 import PasswordHasher

from seaway.callers.caller import OPERATOR, Caller
from seaway.server.wiring import Seaway
from seaway.sign_in import password_sign_in, sessions
from seaway.sign_in.parts import AccountParts
from seaway.sign_in.password_sign_in import BrowserInfo, NeedsSecondFactor, SignedIn
from seaway.sign_in.passwords import PARAMETERS
from seaway.users import emails, users
from tests.support.sites import Factory

PASSWORD = "mossy lantern over weir"
OTHER_PASSWORD = "copper harbour seven gulls"
HOME = BrowserInfo("192.0.2.1", "Firefox 150")
AWAY = BrowserInfo("198.51.100.7", "Firefox 150")


class CountingHasher(PasswordHasher):
    """Password hasher with cheap parameters that counts the hashes it computes and verifies."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=1024, parallelism=1)
        self.hashes = 0

    def hash(self, *args: Any, **options: Any) -> str:
        self.hashes += 1
        return super().hash(*args, **options)

    def verify(self, *args: Any, **options: Any) -> Literal[True]:
        self.hashes += 1
        return super().verify(*args, **options)


@dataclass(frozen=True)
class Accounts:
    """Account operations for tests, each in its own transaction."""

    seaway: Seaway

    @property
    def parts(self) -> AccountParts:
        return self.seaway.request_parts.accounts

    @property
    def now_ms(self) -> int:
        return self.seaway.site.clock.now_ms()

    def add(self, name: str, *, verified: bool = True) -> int:
        """Add a user with the address NAME@example.com and `PASSWORD`; return the id."""
        with self.seaway.site.database.write_site() as tx:
            user = users.add(
                tx, self.now_ms, OPERATOR, name, email=None, password_hash=PARAMETERS.hash(PASSWORD), is_admin=False
            )
            emails.add(tx, self.now_ms, user.id, f"{name}@example.com", verified=verified)
            return user.id

    async def sign_in(
        self, login: str, password: str = PASSWORD, client: BrowserInfo = HOME
    ) -> SignedIn | NeedsSecondFactor:
        return await password_sign_in.sign_in(self.parts, login, password, client)

    async def session(self, login: str, client: BrowserInfo = HOME) -> tuple[Caller, str]:
        """Sign in a user without a second factor; return the caller and the cookie."""
        result = await self.sign_in(login, client=client)
        assert isinstance(result, SignedIn)
        return self.caller_of(result.secret), result.secret

    def is_valid(self, secret: str) -> bool:
        with self.seaway.site.database.read() as tx:
            return sessions.caller_of(tx, secret, self.now_ms) is not None

    def caller_of(self, secret: str) -> Caller:
        with self.seaway.site.database.read() as tx:
            result = sessions.caller_of(tx, secret, self.now_ms)
        assert result is not None
        return result


@pytest.fixture
def accounts(seaway: Seaway, factory: Factory) -> Accounts:
    factory.user("founder")
    return Accounts(seaway)
