"""Each kind of secret at each route: a kind that the route does not accept is treated like an unknown key."""

import base64

import httpx
import pytest

from seaway import secret_tokens
from seaway.oauth import grants
from seaway.secret_tokens import KeyKind
from seaway.users import email_links, users
from seaway.users.email_links import Purpose
from tests.conftest import Site
from tests.http import matrix_requests
from tests.http.matrix_requests import MatrixContext
from tests.http.test_matrix import ROWS, send
from tests.support.requests import bearer


@pytest.fixture(scope="module")
def context(site: Site, http: httpx.Client) -> MatrixContext:
    """A private channel, whose routes refuse unknown keys."""
    return matrix_requests.create_context(site, http, public=False)


@pytest.fixture(scope="module")
def secrets(site: Site, context: MatrixContext) -> dict[KeyKind, str]:
    """Valid secrets of the owner, of each kind that is not accepted in a header."""
    factory, now_ms = site.factory, site.factory.seaway.site.clock.now_ms()
    with factory.seaway.site.database.write_site() as tx:
        owner = users.get(tx, context.users["owner"]).id
        _, login = grants.add(tx, now_ms, owner, "pixi", "channel:read", address="127.0.0.1")
        link = email_links.make(tx, now_ms, Purpose.RESET, user_id=owner, address="owner@example.com")
    return {KeyKind.SESSION: context.cookies["owner"], KeyKind.OAUTH_REFRESH: login.refresh, KeyKind.LINK: link}


@pytest.mark.parametrize("row", ROWS)
def test_secret_that_a_route_does_not_accept_equals_unknown_key(
    context: MatrixContext, secrets: dict[KeyKind, str], row: str
) -> None:
    """In the Authorization header, as a bearer token or a password; and a key in the session cookie is ignored."""
    basic = base64.b64encode(f"__token__:{secrets[KeyKind.SESSION]}".encode()).decode()
    headers = [*map(bearer, secrets.values()), {"Authorization": f"Basic {basic}"}]
    cookie = {"Cookie": f"seaway_session={context.secrets['owner']}"}
    for request in matrix_requests.requests_of(context, row, "anonymous"):
        refused = send(context, row, request, bearer(secret_tokens.new_key(KeyKind.USER))).status_code
        assert {refused} == {send(context, row, request, header).status_code for header in headers}
        assert send(context, row, request, {}).status_code == send(context, row, request, cookie).status_code


def test_path_accepts_only_keys(context: MatrixContext, secrets: dict[KeyKind, str]) -> None:
    """`/t/<secret>/...` reads a channel with a key, and with no other kind of secret."""
    path = f"{context.channel}/noarch/repodata.json"
    assert 200 == context.http.get(f"/t/{context.secrets['owner']}/{path}").status_code
    assert {401} == {context.http.get(f"/t/{secret}/{path}").status_code for secret in secrets.values()}


def test_routes_for_one_kind_of_secret_refuse_others(context: MatrixContext, secrets: dict[KeyKind, str]) -> None:
    """Revoking a minted token and `userinfo` accept one kind each; GraphQL does not accept sessions."""
    key, session = bearer(context.secrets["owner"]), bearer(secrets[KeyKind.SESSION])
    assert 401 == context.http.delete("/api/oidc/token", headers=key).status_code
    assert 401 == context.http.get("/api/oauth/userinfo", headers=key).status_code
    query = {"query": "{ viewer { login } }"}
    responses = [context.http.post("/api/graphql", json=query, headers=each).json() for each in (key, session)]
    assert [{"login": context.users["owner"]}, None] == [each["data"]["viewer"] for each in responses]
