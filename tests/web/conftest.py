"""A Seaway in this process, served over https, with a clock that tests move, and browsers."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from seaway.callers.caller import OPERATOR
from seaway.server.wiring import Seaway
from seaway.sign_in import passwords
from seaway.users import users
from tests.support import sites
from tests.support.clock import ManualClock
from tests.support.sites import Factory
from tests.web.http_browser import PASSWORD, SITE, HttpBrowser

_numbers = count(1)
_HASH = passwords.hash_new(PASSWORD)


@pytest.fixture(scope="session")
def shared_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, shared_clock: ManualClock) -> Iterator[Seaway]:
    """One Seaway for all tests: each test uses its own users and IP address."""
    seaway = sites.build(tmp_path_factory.mktemp("web"), shared_clock, public_url=SITE)
    Factory(seaway).user("operator-of-it", admin=True)
    yield seaway
    seaway.close()


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """The event loop that handles the requests."""
    with start_blocking_portal() as running_portal:
        yield running_portal


@pytest.fixture
def new_browser(shared: Seaway, portal: BlockingPortal) -> Callable[[], HttpBrowser]:
    """Return a function that makes a new browser with a new IP address."""
    return lambda: HttpBrowser(shared, portal, f"2001:db8:{next(_numbers):x}::1")


@pytest.fixture
def browser(new_browser: Callable[[], HttpBrowser]) -> HttpBrowser:
    return new_browser()


@pytest.fixture
def ada(shared: Seaway) -> str:
    """The name of a user with a verified email address and the password PASSWORD."""
    return new_user(shared)


def new_user(seaway: Seaway) -> str:
    """Create a user; return the name."""
    name = f"ada-{next(_numbers)}"
    with seaway.site.database.write_site() as tx:
        now_ms = seaway.site.clock.now_ms()
        users.add(tx, now_ms, OPERATOR, name, email=f"{name}@example.com", password_hash=_HASH, is_admin=False)
    return name
