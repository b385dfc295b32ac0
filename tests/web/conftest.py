"""A house in this process, behind https, whose clock the tests turn; and people who visit it."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from seaway.callers.caller import OPERATOR
from seaway.server.wiring import Seaway
from seaway.sign_in import passwords
from seaway.users import users
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.web.visitor import PASSWORD, SITE, Visitor

_numbers = count(1)
_HASH = passwords.hash_new(PASSWORD)


@pytest.fixture(scope="session")
def turned() -> TurnedClock:
    return TurnedClock()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, turned: TurnedClock) -> Iterator[Seaway]:
    """One house for all: every test has people of its own, and comes from an address of its own."""
    built = house.build(tmp_path_factory.mktemp("web"), turned, public_url=SITE)
    People(built).user("operator-of-it", admin=True)
    yield built
    built.close()


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """The event loop that the house answers on."""
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture
def visit(shared: Seaway, portal: BlockingPortal) -> Callable[[], Visitor]:
    """A new browser each time, at an address of its own."""
    return lambda: Visitor(shared, portal, f"2001:db8:{next(_numbers):x}::1")


@pytest.fixture
def visitor(visit: Callable[[], Visitor]) -> Visitor:
    return visit()


@pytest.fixture
def ada(shared: Seaway) -> str:
    """Somebody with a verified address and the usual password."""
    return new_user(shared)


def new_user(seaway: Seaway) -> str:
    """An account, and its name."""
    name = f"ada-{next(_numbers)}"
    with seaway.database.write_site() as tx:
        now_ms = seaway.clock.now_ms()
        users.add(tx, now_ms, OPERATOR, name, email=f"{name}@example.com", password_hash=_HASH, is_admin=False)
    return name
