"""What nobody in particular can make a server write is limited, or begins with a secret that somebody was given."""

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
from tests.support import house, state
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.web.visitor import PASSWORD, SITE, Visitor

CREDENTIAL = json.dumps({"id": "AAAA", "response": {"clientDataJSON": "e30"}})
_numbers = count(1)

Sender = Callable[[Visitor], httpx.Response]


def form(path: str, **fields: str) -> Sender:
    """Send a form of a page for nobody."""

    def send(visitor: Visitor) -> httpx.Response:
        visitor.get("/signin")
        return visitor.send(path, **fields)

    return send


def tool(path: str, **fields: str) -> Sender:
    """Send the form of a command-line tool."""
    return lambda visitor: visitor.ask("POST", path, data={"client_id": "rattler", **fields})


def second(path: str, **fields: str) -> Sender:
    """Send a form of a sign-in that waits for a second factor."""

    def send(visitor: Visitor) -> httpx.Response:
        flow = visitor.cookies.get("flow") or new_flow(visitor)
        return form(path, flow=flow, **fields)(visitor)

    return send


def new_flow(visitor: Visitor) -> str:
    seaway = visitor.seaway
    now_ms, name = seaway.clock.now_ms(), f"user-{next(_numbers)}"
    with seaway.database.write_unlocked() as tx:
        user = users.add(tx, now_ms, OPERATOR, name, email=None, password_hash=None, is_admin=False)
        flow = pending_sign_ins.add(tx, now_ms, password_sign_in.SECOND_FACTOR, {}, user_id=user.id)
    visitor.cookies.set("flow", flow)
    return flow


def sign_up(visitor: Visitor) -> httpx.Response:
    """Make an account, each time another one, in a browser where nobody is signed in."""
    visitor.cookies.clear()
    name = f"user-{next(_numbers)}"
    return form("/signup", name=name, address=f"{name}@example.com", password=PASSWORD)(visitor)


# Every route that somebody without a credential may send something to, and how many writes one address can cause in a
# moment; where that takes a secret, the secret is good if it can be used often.
ROUTES: dict[str, tuple[Sender, int]] = {
    "POST /signin": (form("/signin", login="ada", password="wrong"), 10),
    "POST /signin/second": (second("/signin/second", code="000000"), 5),
    "POST /signin/second/passkey": (second("/signin/second/passkey", credential=CREDENTIAL), 5),
    "POST /signin/second/passkey/options": (second("/signin/second/passkey/options"), 60),
    "POST /signin/passkey": (form("/signin/passkey", credential=CREDENTIAL), 10),
    "POST /signin/passkey/options": (form("/signin/passkey/options"), 60),
    "POST /signup": (sign_up, 20),
    "POST /signup/external": (form("/signup/external", name="eve", address="eve@example.com"), 0),
    "POST /reset": (form("/reset", address="ada@example.com"), 5),
    "POST /reset/{secret}": (form("/reset/swy-ln-unknown", password=PASSWORD), 0),
    "POST /first-account/{secret}": (form("/first-account/swy-ln-unknown", name="eve", password=PASSWORD), 0),
    "POST /invitations/{secret}/decline": (form("/invitations/swy-iv-unknown/decline"), 0),
    "POST /api/oauth/device": (tool("/api/oauth/device", scope="openid"), 300),
    "POST /api/oauth/token": (tool("/api/oauth/token", grant_type="refresh_token", refresh_token="swy-or-unknown"), 600),
    "POST /api/oauth/revoke": (tool("/api/oauth/revoke", token="swy-or-unknown"), 600),
    "POST /api/oidc/mint_token": (lambda one: one.ask("POST", "/api/oidc/mint_token", json={"token": "e30.e30.x"}), 600),
    "POST /api/github/secret-scanning": (lambda one: one.ask("POST", "/api/github/secret-scanning", json=[]), 0),
    "POST /api/graphql": (lambda one: one.ask("POST", "/api/graphql", json={"query": "{ viewer { login } }"}), 0),
}  # fmt: skip

# Refused before anything is looked at: 401, or the 404 of what is for site admins.
_ADMIN = "POST /admin/"


def built(folder: Path, clock: TurnedClock) -> Seaway:
    """A house that takes reports of leaked keys, with one user."""
    keys = folder / "keys.json"
    keys.write_text('{"public_keys": []}')
    made = house.build(folder, clock, public_url=SITE, secret_scanning_keys=str(keys), searches_per_minute=1_000_000)
    People(made).user("ada", admin=True)
    return made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, turned: TurnedClock) -> Iterator[Seaway]:
    made = built(tmp_path_factory.mktemp("anonymous"), turned)
    yield made
    made.close()


def test_every_route_that_nobody_may_send_to_is_here() -> None:
    """Whoever adds one says here how it is limited."""
    rows = matrix.rows(matrix.KEYS)
    open_to_nobody = {
        matrix.route_of(row)
        for row, expected in rows.items()
        if not row.startswith(("GET ", "HEAD ", "OPTIONS ", _ADMIN)) and expected["nobody"] != (401, 401)
    }
    assert set(ROUTES) == open_to_nobody


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_makes_a_server_write_without_limit(shared: Seaway, portal: BlockingPortal, route: str) -> None:
    """After its number of writes, an address causes none any more, and is told to wait."""
    visitor = Visitor(shared, portal, f"2001:db8:{next(_numbers):x}::7")
    send, most = ROUTES[route]
    for _ in range(most):
        assert send(visitor).status_code != 429
    before = shared.database.change_mark()
    with nullcontext() if most else shared.database.write_site():  # what writes nothing waits for nobody
        answers = {send(visitor).status_code for _ in range(3)}
    assert before == shared.database.change_mark()
    assert answers == {429} if most else max(answers) < 429


def test_nobody_waits_for_a_channel_that_others_change(
    tmp_path: Path, turned: TurnedClock, portal: BlockingPortal
) -> None:
    """On PostgreSQL, where locks are many: while a channel is held, as an upload does, each of them goes on."""
    with state.choose(state.POSTGRES_S3):
        seaway = built(tmp_path, turned)
    with closing(seaway), seaway.database.write_channel("busy"):
        found = {route: send(Visitor(seaway, portal, "2001:db8::7")).status_code for route, (send, _) in ROUTES.items()}
    state.forget(tmp_path)
    assert {} == {route: status for route, status in found.items() if status >= 500}
