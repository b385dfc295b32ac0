"""Clients of the API: of the shared server, and of a Seaway instance in this process with its clock and emails."""

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
from tests.support import sites
from tests.support.clock import ManualClock
from tests.support.sites import Factory
from tests.web.http_browser import SITE, HttpBrowser

_user_numbers = count(1)


@pytest.fixture(scope="session")
def http(site: Site) -> Iterator[httpx.Client]:
    """An anonymous client of the API."""
    with httpx.Client(base_url=f"{site.server.address}/api/v1/", timeout=60) as client:
        yield client


class SignedInUser(HttpBrowser):
    """A signed-in user with a verified email address, who sends JSON."""

    name = ""

    def start_new_session(self) -> None:
        """Start a new, freshly confirmed session."""
        with self.seaway.site.database.write_site() as tx:
            user_id, now_ms = users.get(tx, self.name).id, self.seaway.site.clock.now_ms()
            self.set_session(sessions.start(tx, now_ms, user_id, address=self.address, agent="a test"))

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request with the session cookie and the CSRF token that pages send."""
        headers = {"X-CSRF-Token": sessions.csrf_token(self.session or ""), "Sec-Fetch-Site": "same-origin"}
        return self.request(method, f"/api/v1/{path}", headers=headers, **options)


@pytest.fixture(scope="session")
def local_seaway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaway]:
    """A Seaway instance in this process; every test creates its own users."""
    seaway = sites.build(tmp_path_factory.mktemp("api"), ManualClock(), public_url=SITE, keys_without_expiry=True)
    yield seaway
    seaway.close()


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture
def new_user(local_seaway: Seaway, portal: BlockingPortal) -> Callable[..., SignedInUser]:
    """Create a signed-in user."""
    return partial(create_signed_in_user, local_seaway, portal)


@pytest.fixture
def user(new_user: Callable[..., SignedInUser]) -> SignedInUser:
    return new_user()


def create_signed_in_user(seaway: Seaway, portal: BlockingPortal, *, admin: bool = False) -> SignedInUser:
    """Create a user with a verified email address in an instance, and sign in."""
    number = next(_user_numbers)
    created = SignedInUser(seaway, portal, f"2001:db8:{number:x}::1")
    created.name = Factory(seaway).user(f"person-{number}", admin=admin)
    with seaway.site.database.write_site() as tx:
        address = f"{created.name}@example.com"
        emails.add(tx, seaway.site.clock.now_ms(), users.get(tx, created.name).id, address, verified=True)
    created.start_new_session()
    return created
