"""Each kind of secret at each route: one that the route does not accept is worth as much as garbage."""

import base64

import httpx
import pytest

from seaway import secret_tokens
from seaway.oauth import grants
from seaway.secret_tokens import KeyKind
from seaway.users import email_links, users
from seaway.users.email_links import Purpose
from tests.conftest import Site
from tests.http import asks
from tests.http.asks import Stage
from tests.http.test_matrix import ROWS, send
from tests.support.requests import bearer


@pytest.fixture(scope="module")
def stage(site: Site, http: httpx.Client) -> Stage:
    """A private channel, at whose routes garbage gets nothing."""
    return asks.stage(site, http, public=False)


@pytest.fixture(scope="module")
def secrets(site: Site, stage: Stage) -> dict[KeyKind, str]:
    """A good secret of the owner of each kind that no header may hold."""
    people, now_ms = site.people, site.people.seaway.clock.now_ms()
    with people.seaway.database.write_site() as tx:
        owner = users.get(tx, stage.users["owner"]).id
        _, login = grants.add(tx, now_ms, owner, "pixi", "channel:read", address="127.0.0.1")
        link = email_links.make(tx, now_ms, Purpose.RESET, user_id=owner, address="owner@example.com")
    return {KeyKind.SESSION: stage.cookies["owner"], KeyKind.OAUTH_REFRESH: login.refresh, KeyKind.LINK: link}


@pytest.mark.parametrize("row", ROWS)
def test_what_a_route_does_not_accept_is_garbage(stage: Stage, secrets: dict[KeyKind, str], row: str) -> None:
    """In the Authorization header, as a bearer token or a password; and no key is taken out of the session's cookie."""
    basic = base64.b64encode(f"__token__:{secrets[KeyKind.SESSION]}".encode()).decode()
    headers = [*map(bearer, secrets.values()), {"Authorization": f"Basic {basic}"}]
    cookie = {"Cookie": f"seaway_session={stage.secrets['owner']}"}
    for ask in asks.of(stage, row, "nobody"):
        refused = send(stage, row, ask, bearer(secret_tokens.new_key(KeyKind.USER))).status_code
        assert {refused} == {send(stage, row, ask, each).status_code for each in headers}
        assert send(stage, row, ask, {}).status_code == send(stage, row, ask, cookie).status_code


def test_a_path_holds_keys_only(stage: Stage, secrets: dict[KeyKind, str]) -> None:
    """`/t/<secret>/...` opens a channel to a key, and to nothing that is no key."""
    path = f"{stage.channel}/noarch/repodata.json"
    assert 200 == stage.http.get(f"/t/{stage.secrets['owner']}/{path}").status_code
    assert {401} == {stage.http.get(f"/t/{secret}/{path}").status_code for secret in secrets.values()}


def test_routes_for_one_kind_of_secret(stage: Stage, secrets: dict[KeyKind, str]) -> None:
    """Ending a minted token and `userinfo` know one kind each; no session is a viewer of the query of clients."""
    key, session = bearer(stage.secrets["owner"]), bearer(secrets[KeyKind.SESSION])
    assert 401 == stage.http.delete("/api/oidc/token", headers=key).status_code
    assert 401 == stage.http.get("/api/oauth/userinfo", headers=key).status_code
    query = {"query": "{ viewer { login } }"}
    told = [stage.http.post("/api/graphql", json=query, headers=each).json() for each in (key, session)]
    assert [{"login": stage.users["owner"]}, None] == [each["data"]["viewer"] for each in told]
