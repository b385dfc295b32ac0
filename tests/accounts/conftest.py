"""People with addresses and passwords, in a house whose letters lie in its folder."""

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
from tests.support.house import People

PASSWORD = "mossy lantern over weir"
OTHER_PASSWORD = "copper harbour seven gulls"
HOME = BrowserInfo("192.0.2.1", "Firefox 150")
AWAY = BrowserInfo("198.51.100.7", "Firefox 150")


class CountingHasher(PasswordHasher):
    """Cheap parameters that count what is hashed, to be kept or to be compared."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=1024, parallelism=1)
        self.hashes = 0

    def hash(self, *given: Any, **options: Any) -> str:
        self.hashes += 1
        return super().hash(*given, **options)

    def verify(self, *given: Any, **options: Any) -> Literal[True]:
        self.hashes += 1
        return super().verify(*given, **options)


@dataclass(frozen=True)
class Folk:
    """Shorthand for what tests of accounts do with people."""

    seaway: Seaway

    @property
    def house(self) -> AccountParts:
        return self.seaway.request_parts.accounts

    @property
    def now_ms(self) -> int:
        return self.seaway.clock.now_ms()

    def add(self, name: str, *, verified: bool = True) -> int:
        """A user with the address NAME@example.com and the usual password."""
        with self.seaway.database.write_site() as tx:
            user = users.add(
                tx, self.now_ms, OPERATOR, name, email=None, password_hash=PARAMETERS.hash(PASSWORD), is_admin=False
            )
            emails.add(tx, self.now_ms, user.id, f"{name}@example.com", verified=verified)
            return user.id

    async def sign_in(
        self, login: str, password: str = PASSWORD, client: BrowserInfo = HOME
    ) -> SignedIn | NeedsSecondFactor:
        return await password_sign_in.sign_in(self.house, login, password, client)

    async def session(self, login: str, client: BrowserInfo = HOME) -> tuple[Caller, str]:
        """Sign in where no second factor is needed; who it is, and the cookie."""
        found = await self.sign_in(login, client=client)
        assert isinstance(found, SignedIn)
        return self.who(found.secret), found.secret

    def is_good(self, secret: str) -> bool:
        with self.seaway.database.read() as tx:
            return sessions.caller_of(tx, secret, self.now_ms) is not None

    def who(self, secret: str) -> Caller:
        with self.seaway.database.read() as tx:
            found = sessions.caller_of(tx, secret, self.now_ms)
        assert found is not None
        return found


@pytest.fixture
def folk(seaway: Seaway, people: People) -> Folk:
    people.user("founder")
    return Folk(seaway)
