"""Writes caused by anonymous callers are rate-limited, or need a secret that a user was given."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from itertools import count
from pathlib import Path

import httpx
import pytest
from anyio.from_thread import BlockingPortal

from seaway.callers.caller import OPERATOR
from seaway.server.wiring import Seaway
from seaway.sign_in import password_sign_in, pending_sign_ins
from seaway.users import users
from tests.http import matrix
from tests.support import sites, state
from tests.support.clock import ManualClock
from tests.support.sites import Factory
from tests.web.http_browser import PASSWORD, SITE, HttpBrowser

CREDENTIAL = json.dumps({"id": "AAAA", "response": {"clientDataJSON": "e30"}})
_numbers = count(1)

Sender = Callable[[HttpBrowser], httpx.Response]


def form(path: str, **fields: str) -> Sender:
    """Submit a form without a session."""

    def send(browser: HttpBrowser) -> httpx.Response:
        browser.get("/signin")
        return browser.send(path, **fields)

    return send


def tool_form(path: str, **fields: str) -> Sender:
    """Send a form as a command-line tool does."""
    return lambda browser: browser.request("POST", path, data={"client_id": "rattler", **fields})


def second_factor_form(path: str, **fields: str) -> Sender:
    """Submit a form of a sign-in that waits for a second factor."""

    def send(browser: HttpBrowser) -> httpx.Response:
        flow = browser.cookies.get("flow") or new_flow(browser)
        return form(path, flow=flow, **fields)(browser)

    return send


def new_flow(browser: HttpBrowser) -> str:
    seaway = browser.seaway
    now_ms, name = seaway.site.clock.now_ms(), f"user-{next(_numbers)}"
    with seaway.site.database.write_unlocked() as tx:
        user = users.add(tx, now_ms, OPERATOR, name, email=None, password_hash=None, is_admin=False)
        flow = pending_sign_ins.add(tx, now_ms, password_sign_in.SECOND_FACTOR, {}, user_id=user.id)
    browser.cookies.set("flow", flow)
    return flow


def sign_up(browser: HttpBrowser) -> httpx.Response:
    """Create a new account each time, in a browser without a session."""
    browser.cookies.clear()
    name = f"user-{next(_numbers)}"
    return form("/signup", name=name, address=f"{name}@example.com", password=PASSWORD)(browser)


# Every route that accepts data without a credential, and how many writes one IP address can cause in a moment. If the
# route needs a secret that can be used often, the secret is valid.
ROUTES: dict[str, tuple[Sender, int]] = {
    "POST /signin": (form("/signin", login="ada", password="wrong"), 10),
    "POST /signin/second": (second_factor_form("/signin/second", code="000000"), 5),
    "POST /signin/second/passkey": (second_factor_form("/signin/second/passkey", credential=CREDENTIAL), 5),
    "POST /signin/second/passkey/options": (second_factor_form("/signin/second/passkey/options"), 60),
    "POST /signin/passkey": (form("/signin/passkey", credential=CREDENTIAL), 10),
    "POST /signin/passkey/options": (form("/signin/passkey/options"), 60),
    "POST /continue": (form("/continue", **{"kept-action": "/account", "kept-user": "ada"}), 0),
    "POST /invite/{secret}": (form("/invite/swy-ln-unknown", password=PASSWORD), 0),
    "POST /signup": (sign_up, 20),
    "POST /signup/external": (form("/signup/external", name="eve", address="eve@example.com"), 0),
    "POST /reset": (form("/reset", address="ada@example.com"), 5),
    "POST /reset/{secret}": (form("/reset/swy-ln-unknown", password=PASSWORD), 0),
    "POST /first-account/{secret}": (form("/first-account/swy-ln-unknown", name="eve", password=PASSWORD), 0),
    "POST /invitations/{secret}/decline": (form("/invitations/swy-iv-unknown/decline"), 0),
    "POST /api/oauth/device": (tool_form("/api/oauth/device", scope="openid"), 300),
    "POST /api/oauth/token": (tool_form("/api/oauth/token", grant_type="refresh_token", refresh_token="swy-or-unknown"), 600),
    "POST /api/oauth/revoke": (tool_form("/api/oauth/revoke", token="swy-or-unknown"), 600),
    "POST /api/oidc/mint_token": (lambda browser: browser.request("POST", "/api/oidc/mint_token", json={"token": "e30.e30.x"}), 600),
    "POST /api/github/secret-scanning": (lambda browser: browser.request("POST", "/api/github/secret-scanning", json=[]), 0),
    "POST /api/graphql": (lambda browser: browser.request("POST", "/api/graphql", json={"query": "{ viewer { login } }"}), 0),
}  # fmt: skip

# Admin routes are refused before the request is processed, with 401 or 404.
_ADMIN = "POST /admin/"


def build(folder: Path, clock: ManualClock) -> Seaway:
    """A Seaway that accepts reports of leaked keys, with one user."""
    keys = folder / "keys.json"
    keys.write_text('{"public_keys": []}')
    seaway = sites.build(folder, clock, public_url=SITE, secret_scanning_keys=str(keys), searches_per_minute=1_000_000)
    Factory(seaway).user("ada", admin=True)
    return seaway


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, shared_clock: ManualClock) -> Iterator[Seaway]:
    seaway = build(tmp_path_factory.mktemp("anonymous"), shared_clock)
    yield seaway
    seaway.close()


def test_every_anonymous_write_route_is_listed() -> None:
    """A new route must be added to ROUTES with its limit."""
    rows = matrix.rows(matrix.KEYS)
    anonymous_routes = {
        matrix.route_of(row)
        for row, expected in rows.items()
        if not row.startswith(("GET ", "HEAD ", "OPTIONS ", _ADMIN)) and expected["anonymous"] != (401, 401)
    }
    assert set(ROUTES) == anonymous_routes


@pytest.mark.parametrize("route", ROUTES)
def test_anonymous_writes_are_limited(shared: Seaway, portal: BlockingPortal, route: str) -> None:
    """After its number of writes, an IP address causes no more writes and gets 429."""
    browser = HttpBrowser(shared, portal, f"2001:db8:{next(_numbers):x}::7")
    send, limit = ROUTES[route]
    for _ in range(limit):
        assert send(browser).status_code != 429
    before = shared.site.database.change_mark()
    with (
        nullcontext() if limit else shared.site.database.write_site()
    ):  # routes that never write do not wait for the lock
        statuses = {send(browser).status_code for _ in range(3)}
    assert before == shared.site.database.change_mark()
    assert statuses == {429} if limit else max(statuses) < 429


def test_anonymous_requests_do_not_wait_for_a_channel_lock(
    tmp_path: Path, shared_clock: ManualClock, portal: BlockingPortal
) -> None:
    """On PostgreSQL, which has a lock per channel: all routes work while an upload holds one."""
    with state.choose(state.POSTGRES_S3):
        seaway = build(tmp_path, shared_clock)
    with closing(seaway), seaway.site.database.write_channel("busy"):
        statuses = {
            route: send(HttpBrowser(seaway, portal, "2001:db8::7")).status_code for route, (send, _) in ROUTES.items()
        }
    state.forget(tmp_path)
    assert {} == {route: status for route, status in statuses.items() if status >= 500}
