"""Clients of the API: of the server that tests share, and of a house in this process, whose clock and letters they have."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from seaway.server.wiring import Seaway
from seaway.sign_in import sessions
from seaway.users import emails, users
from tests.conftest import Site
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.web.visitor import SITE, Visitor

_numbers = count(1)


@pytest.fixture(scope="session")
def http(site: Site) -> Iterator[httpx.Client]:
    """A client of the API without a key."""
    with httpx.Client(base_url=f"{site.server.address}/api/v1/", timeout=60) as client:
        yield client


class Person(Visitor):
    """Somebody who is signed in, and has a verified address; what they ask with is JSON."""

    name = ""

    def sign_in_again(self) -> None:
        """A new session, proved now."""
        with self.seaway.database.write_site() as tx:
            user, now_ms = users.get(tx, self.name), self.seaway.clock.now_ms()
            self.bring(sessions.start(tx, now_ms, user.id, address=self.address, agent="a test"))

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request with the cookie, and the token that our pages send."""
        headers = {"X-CSRF-Token": sessions.csrf_token(self.session or ""), "Sec-Fetch-Site": "same-origin"}
        return self.ask(method, f"/api/v1/{path}", headers=headers, **options)


@pytest.fixture(scope="session")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaway]:
    """A house in this process; every test has people of its own."""
    built = house.build(tmp_path_factory.mktemp("api"), TurnedClock(), public_url=SITE, keys_without_expiry=True)
    yield built
    built.close()


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture
def new_person(inside: Seaway, portal: BlockingPortal) -> Callable[..., Person]:
    """Somebody new, signed in."""
    return partial(settle, inside, portal)


@pytest.fixture
def person(new_person: Callable[..., Person]) -> Person:
    return new_person()


def settle(seaway: Seaway, portal: BlockingPortal, *, admin: bool = False) -> Person:
    """Somebody new in a house, signed in."""
    number = next(_numbers)
    made = Person(seaway, portal, f"2001:db8:{number:x}::1")
    made.name = People(seaway).user(f"person-{number}", admin=admin)
    with seaway.database.write_site() as tx:
        address = f"{made.name}@example.com"
        emails.add(tx, seaway.clock.now_ms(), users.get(tx, made.name).id, address, verified=True)
    made.sign_in_again()
    return made
