"""
The OpenID provider for command-line tools, called like rattler's client: every step, every refusal, and what the
tokens grant. `tests/clients/test_oauth.py` tests with the real client where possible.
"""

import secrets
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from seaway.callers.caller import Caller, CredentialKind
from seaway.channels.roles import Role
from seaway.oauth import codes, grants
from seaway.oauth.codes import AuthorizationRequest
from seaway.users import users
from tests.conftest import Site
from tests.support.packages import conda, index_json
from tests.support.requests import bearer, upload

CLIENT = {"client_id": "rattler"}
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REDIRECT = "http://127.0.0.1:45123"
GENERIC = "openid profile offline_access"


def discovery(http: httpx.Client) -> dict[str, Any]:
    response = http.get("/.well-known/openid-configuration", headers={"Accept": "application/json"})
    assert (200, "application/json") == (response.status_code, response.headers["content-type"])
    return response.json()


def begin(http: httpx.Client, scope: str = GENERIC) -> dict[str, Any]:
    response = http.post(discovery(http)["device_authorization_endpoint"], data={"scope": scope, **CLIENT})
    assert 200 == response.status_code, response.text
    return response.json()


def request_token(http: httpx.Client, **form: str) -> httpx.Response:
    """Request tokens; check that the response is JSON that must not be cached."""
    response = http.post("/api/oauth/token", data={**CLIENT, **form})
    assert "application/json" == response.headers["content-type"]
    assert "private, no-store" == response.headers["cache-control"]
    return response


def caller_for(site: Site, name: str) -> Caller:
    site.factory.user(name)
    with site.factory.seaway.site.database.read() as tx:
        return Caller(name, users.get(tx, name).id, CredentialKind.PERSON)


def decide_code(site: Site, user: str, user_code: str, *, approved: bool = True) -> None:
    """Approve or deny a device code, as the page does."""
    database, by = site.factory.seaway.site.database, caller_for(site, user)
    with database.write_unlocked() as tx:
        grants.lock(database, tx)
        now_ms = site.factory.seaway.site.clock.now_ms()
        assert codes.decide_device(tx, now_ms, by, user_code, approved=approved)


def log_in(site: Site, http: httpx.Client, user: str, scope: str = GENERIC) -> dict[str, Any]:
    """Complete the device flow; return the tokens."""
    site.factory.user(user)
    device = begin(http, scope)
    decide_code(site, user, device["user_code"])
    response = request_token(http, grant_type=DEVICE_GRANT, device_code=device["device_code"])
    assert 200 == response.status_code, response.text
    return response.json()


# Discovery


def test_discovery_document_has_the_members_rattler_needs(http: httpx.Client, site: Site) -> None:
    """The exact issuer, every required member, and a JWKS without a redirect."""
    document = discovery(http)
    assert site.server.address == document["issuer"]
    assert ["code"] == document["response_types_supported"]
    assert ["public"] == document["subject_types_supported"]
    assert ["RS256"] == document["id_token_signing_alg_values_supported"]
    assert all(
        url.startswith(f"{document['issuer']}/") for name, url in document.items() if name.endswith(("endpoint", "uri"))
    )
    response = http.get(document["jwks_uri"])
    assert (200, "application/json") == (response.status_code, response.headers["content-type"])
    (key,) = response.json()["keys"]
    assert {"kty", "n", "e", "kid", "use", "alg"} == set(key)


def test_issuer_does_not_depend_on_the_host_header(http: httpx.Client, site: Site) -> None:
    response = http.get("/.well-known/openid-configuration", headers={"Host": "evil.example"})
    assert site.server.address == response.json()["issuer"]


# The device flow


def test_device_flow(http: httpx.Client, site: Site) -> None:
    """Like `pixi auth login --oauth`: pending, approved, then tokens that read and upload to a private channel."""
    user = site.factory.user(site.new_name("alice"))
    channel = site.new_channel(public=False, owner=user)
    device = begin(http)
    assert {
        "device_code",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
    } == set(device)
    assert f"{site.server.address}/device?user_code={device['user_code']}" == device["verification_uri_complete"]
    pending = request_token(http, grant_type=DEVICE_GRANT, device_code=device["device_code"])
    assert (400, "authorization_pending") == (pending.status_code, pending.json()["error"])
    assert (
        "slow_down" == request_token(http, grant_type=DEVICE_GRANT, device_code=device["device_code"]).json()["error"]
    )

    decide_code(site, user, device["user_code"])
    response = request_token(http, grant_type=DEVICE_GRANT, device_code=device["device_code"])
    assert 200 == response.status_code
    tokens = response.json()
    assert ("bearer", 3_600) == (tokens["token_type"].lower(), tokens["expires_in"])
    assert "openid profile offline_access channel:read channel:upload" == tokens["scope"]
    assert 201 == upload(http, channel, conda(index_json("by-tool")), tokens["access_token"]).status_code
    read = http.get(f"/{channel}/noarch/repodata.json", headers=bearer(tokens["access_token"]))
    assert "by-tool" in read.text
    assert 200 == http.get(f"/t/{tokens['access_token']}/{channel}/noarch/repodata.json").status_code
    again = request_token(http, grant_type=DEVICE_GRANT, device_code=device["device_code"])
    assert (400, "invalid_grant") == (again.status_code, again.json()["error"])


def test_denied_device_code_returns_access_denied(http: httpx.Client, site: Site) -> None:
    device = begin(http)
    decide_code(site, site.new_name("bob"), device["user_code"], approved=False)
    response = request_token(http, grant_type=DEVICE_GRANT, device_code=device["device_code"])
    assert (400, "access_denied") == (response.status_code, response.json()["error"])


@pytest.mark.parametrize(
    ("scope", "read", "uploaded", "deleted"),
    [("channel:read", 200, 403, 403), (GENERIC, 200, 201, 403), ("channel:delete", 200, 201, 200)],
)
def test_scope_limits_access_token(
    http: httpx.Client, site: Site, scope: str, read: int, uploaded: int, deleted: int
) -> None:
    """Also for the owner of the channel; the refusal names the missing scope."""
    user = site.factory.user(site.new_name("alice"))
    channel = site.new_channel(public=False, owner=user)
    existing = conda(index_json("there"))
    assert 201 == upload(http, channel, existing, site.factory.key(user)).status_code
    token = log_in(site, http, user, scope)["access_token"]
    assert read == http.get(f"/{channel}/noarch/repodata.json", headers=bearer(token)).status_code
    assert uploaded == upload(http, channel, conda(index_json("new")), token).status_code
    response = http.delete(f"/api/v1/delete/{channel}/noarch/{existing.name}", headers=bearer(token))
    assert deleted == response.status_code
    assert ("channel:delete" in response.text) is (deleted == 403)


def test_access_token_is_limited_by_role_of_its_user(http: httpx.Client, site: Site) -> None:
    """A viewer's token cannot upload, one of a user without a role cannot read, and none creates channels."""
    channel = site.new_channel(public=False)
    viewer, nonmember = site.new_name("viewer"), site.new_name("nonmember")
    site.factory.member(channel, viewer, Role.VIEWER)
    token, stranger_token = (log_in(site, http, user, "channel:delete")["access_token"] for user in (viewer, nonmember))
    assert 403 == upload(http, channel, conda(index_json("x")), token).status_code
    assert 403 == http.get(f"/{channel}/noarch/repodata.json", headers=bearer(stranger_token)).status_code
    assert 403 == http.post("/api/v1/channels", json={"name": site.new_name()}, headers=bearer(token)).status_code


# Authorization code flow


def code_for(site: Site, user: str, verifier: str, nonce: str = "the-nonce") -> str:
    """Create an authorization code, as the consent page does."""
    database, by = site.factory.seaway.site.database, caller_for(site, user)
    authorization = AuthorizationRequest(
        "rattler", REDIRECT, "openid channel:read", codes.challenge_of(verifier), nonce
    )
    with database.write_unlocked() as tx:
        grants.lock(database, tx)
        return codes.add_code(tx, site.factory.seaway.site.clock.now_ms(), by, authorization)


def test_code_flow_and_id_token(http: httpx.Client, site: Site) -> None:
    """RFC 7636; the ID token is signed with a key of the JWKS, for this client, with the nonce."""
    user, verifier = site.new_name("alice"), secrets.token_urlsafe(48)
    code = code_for(site, user, verifier)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": verifier}
    wrong = request_token(http, **{**form, "code_verifier": secrets.token_urlsafe(48)})
    assert (400, "invalid_grant") == (wrong.status_code, wrong.json()["error"])
    tokens = request_token(http, **form).json()
    keys = KeySet.import_key_set(http.get("/api/oauth/jwks").json())
    claims = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": site.server.address}, aud={"essential": True, "value": "rattler"},
        nonce={"essential": True, "value": "the-nonce"}, exp={"essential": True},
        preferred_username={"value": user}, name={"value": user},
    ).validate(claims)  # fmt: skip
    userinfo = http.get("/api/oauth/userinfo", headers=bearer(tokens["access_token"])).json()
    assert {"sub": claims["sub"], "preferred_username": user, "name": user} == userinfo


def test_replayed_code_revokes_the_grant(http: httpx.Client, site: Site) -> None:
    """The first use may have been the thief's, so the tokens issued for the code are revoked."""
    verifier = secrets.token_urlsafe(48)
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": verifier}
    form["code"] = code_for(site, site.new_name("alice"), verifier)
    tokens = request_token(http, **form).json()
    assert 200 == http.get("/api/oauth/userinfo", headers=bearer(tokens["access_token"])).status_code
    assert "invalid_grant" == request_token(http, **form).json()["error"]
    assert 401 == http.get("/api/oauth/userinfo", headers=bearer(tokens["access_token"])).status_code
    again = request_token(http, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (400, "invalid_grant") == (again.status_code, again.json()["error"])


# Refreshing and logging out


def test_refresh_returns_new_tokens(http: httpx.Client, site: Site) -> None:
    """A second process can use the same refresh token within a minute."""
    first = log_in(site, http, site.new_name("alice"))
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    first_refresh, second_refresh = request_token(http, **form), request_token(http, **form)
    assert (200, 200) == (first_refresh.status_code, second_refresh.status_code)
    assert 3 == len(
        {first["refresh_token"], first_refresh.json()["refresh_token"], second_refresh.json()["refresh_token"]}
    )
    assert all(
        200 == viewer(http, refreshed.json()["access_token"]).status_code
        for refreshed in (first_refresh, second_refresh)
    )
    assert "invalid_scope" == request_token(http, **form, scope="channel:delete").json()["error"]


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
def test_revoking_a_token_ends_the_grant(http: httpx.Client, site: Site, kind: str) -> None:
    """RFC 7009: always 200, and both tokens are revoked."""
    tokens = log_in(site, http, site.new_name("alice"))
    for _ in range(2):
        form = {"token": tokens[kind], "token_type_hint": kind, **CLIENT}
        assert 200 == http.post("/api/oauth/revoke", data=form).status_code
    assert {"data": {"viewer": None}} == viewer(http, tokens["access_token"]).json()
    again = request_token(http, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert "invalid_grant" == again.json()["error"]


# Invalid requests


@pytest.mark.parametrize(
    ("path", "form", "status", "error"),
    [
        ("device", {"scope": GENERIC}, 401, "invalid_client"),
        ("device", {"client_id": "other"}, 401, "invalid_client"),
        ("device", {**CLIENT, "scope": "channel:uplaod"}, 400, "invalid_scope"),
        ("token", {"grant_type": "refresh_token"}, 401, "invalid_client"),
        ("token", CLIENT, 400, "invalid_request"),
        ("token", {**CLIENT, "grant_type": "password", "username": "a", "password": "b"}, 400, "unsupported_grant_type"),
        ("token", {**CLIENT, "grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ("token", {**CLIENT, "grant_type": DEVICE_GRANT}, 400, "invalid_request"),
        ("token", {**CLIENT, "grant_type": DEVICE_GRANT, "device_code": "x"}, 400, "invalid_grant"),
        ("token", {**CLIENT, "grant_type": "authorization_code", "code": "x"}, 400, "invalid_request"),
        ("token", {**CLIENT, "grant_type": "refresh_token"}, 400, "invalid_request"),
        ("token", {**CLIENT, "grant_type": "refresh_token", "refresh_token": "\x00é"}, 400, "invalid_request"),
        ("token", {**CLIENT, "grant_type": "refresh_token", "refresh_token": "\x01é"}, 400, "invalid_grant"),
        ("revoke", {"token": "x"}, 401, "invalid_client"),
        ("revoke", CLIENT, 400, "invalid_request"),
    ],
)  # fmt: skip
def test_refusals_are_json_with_standard_error_codes(
    http: httpx.Client, path: str, form: dict[str, str], status: int, error: str
) -> None:
    """A polling client aborts on any other error code."""
    response = http.post(f"/api/oauth/{path}", data=form)
    assert (status, error) == (response.status_code, response.json()["error"])
    assert response.json()["error_description"]


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b'{"client_id": "rattler"}', "application/json", 400),
        (b"client_id=rattler&client_id=other", "application/x-www-form-urlencoded", 400),
        (b"client_id=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % number for number in range(100)), "application/x-www-form-urlencoded", 400),
        (b"client_id=" + b"x" * 40_000, "application/x-www-form-urlencoded", 413),
    ],
)
@pytest.mark.parametrize("path", ["device", "token", "revoke"])
def test_malformed_form_is_refused_in_json(
    http: httpx.Client, path: str, content: bytes, media_type: str, status: int
) -> None:
    """Another media type, a repeated field, invalid UTF-8, too many fields, and a body over the limit."""
    response = http.post(f"/api/oauth/{path}", content=content, headers={"Content-Type": media_type})
    assert (status, "invalid_request") == (response.status_code, response.json()["error"])


# The GraphQL query of prefix.dev clients


def viewer(http: httpx.Client, token: str | None) -> httpx.Response:
    return http.post("/api/graphql", json={"query": "query { viewer { login } }"}, headers=bearer(token))


def test_viewer_is_the_user_of_the_credential(http: httpx.Client, site: Site) -> None:
    """An access token or a key; null for anything else, which clients understand."""
    user = site.factory.user(site.new_name("alice"))
    for credential in (site.factory.key(user), log_in(site, http, user)["access_token"]):
        assert {"data": {"viewer": {"login": user}}} == viewer(http, credential).json()
    for invalid_credential in (None, "swy-u-nothing", "x"):
        assert {"data": {"viewer": None}} == viewer(http, invalid_credential).json()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"query": "{ users { email } }"}', b'{"query": 7}', b'{"query": "\xff"}']
)
def test_other_graphql_queries_are_refused(http: httpx.Client, body: bytes) -> None:
    """With 400 and without a crash."""
    response = http.post("/api/graphql", content=body)
    assert 400 == response.status_code
    assert response.json()["errors"]


MISUSES: dict[str, Callable[[dict[str, Any]], str]] = {
    "a refresh token": lambda tokens: tokens["refresh_token"],
    "an ID token": lambda tokens: tokens["id_token"],
    "a token with another checksum": lambda tokens: tokens["access_token"][:-1] + "!",
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
def test_only_access_token_reads_a_channel(
    http: httpx.Client, site: Site, misuse: Callable[[dict[str, Any]], str]
) -> None:
    """Refresh tokens, ID tokens and tokens with a wrong checksum get 401."""
    user = site.factory.user(site.new_name("alice"))
    channel = site.new_channel(public=False, owner=user)
    wrong = misuse(log_in(site, http, user))
    assert 401 == http.get(f"/{channel}/noarch/repodata.json", headers=bearer(wrong)).status_code
