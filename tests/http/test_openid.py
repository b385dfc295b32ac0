"""
The OpenID provider for command-line tools, asked as rattler's client asks: every step, every refusal, and what the
tokens open. Where the real client can be driven, it is (`tests/clients/test_oauth.py`).
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


def described(http: httpx.Client) -> dict[str, Any]:
    answer = http.get("/.well-known/openid-configuration", headers={"Accept": "application/json"})
    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    return answer.json()


def begin(http: httpx.Client, scope: str = GENERIC) -> dict[str, Any]:
    answer = http.post(described(http)["device_authorization_endpoint"], data={"scope": scope, **CLIENT})
    assert 200 == answer.status_code, answer.text
    return answer.json()


def ask(http: httpx.Client, **form: str) -> httpx.Response:
    """Ask for tokens; whatever comes is JSON that nobody keeps."""
    answer = http.post("/api/oauth/token", data={**CLIENT, **form})
    assert "application/json" == answer.headers["content-type"]
    assert "private, no-store" == answer.headers["cache-control"]
    return answer


def person(site: Site, name: str) -> Caller:
    site.people.user(name)
    with site.people.seaway.database.read() as tx:
        return Caller(name, users.get(tx, name).id, CredentialKind.PERSON)


def answer_code(site: Site, user: str, user_code: str, *, approved: bool = True) -> None:
    """What the page does when somebody presses a button."""
    database, by = site.people.seaway.database, person(site, user)
    with database.write_unlocked() as tx:
        grants.lock(database, tx)
        now_ms = site.people.seaway.clock.now_ms()
        assert codes.decide_device(tx, now_ms, by, user_code, approved=approved)


def log_in(site: Site, http: httpx.Client, user: str, scope: str = GENERIC) -> dict[str, Any]:
    """The whole device flow."""
    site.people.user(user)
    told = begin(http, scope)
    answer_code(site, user, told["user_code"])
    answer = ask(http, grant_type=DEVICE_GRANT, device_code=told["device_code"])
    assert 200 == answer.status_code, answer.text
    return answer.json()


# Discovery


def test_discovery_says_what_rattler_needs(http: httpx.Client, site: Site) -> None:
    """The issuer to the byte, every required member, and keys that can be fetched at once; never a redirect."""
    about = described(http)
    assert site.server.address == about["issuer"]
    assert ["code"] == about["response_types_supported"]
    assert ["public"] == about["subject_types_supported"]
    assert ["RS256"] == about["id_token_signing_alg_values_supported"]
    assert all(
        url.startswith(f"{about['issuer']}/") for name, url in about.items() if name.endswith(("endpoint", "uri"))
    )
    answer = http.get(about["jwks_uri"])
    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    (key,) = answer.json()["keys"]
    assert {"kty", "n", "e", "kid", "use", "alg"} == set(key)


def test_the_issuer_is_not_what_a_request_says(http: httpx.Client, site: Site) -> None:
    """Whatever Host somebody sends."""
    answer = http.get("/.well-known/openid-configuration", headers={"Host": "evil.example"})
    assert site.server.address == answer.json()["issuer"]


# The device flow


def test_the_device_flow(http: httpx.Client, site: Site) -> None:
    """As `pixi auth login --oauth` goes: pending, allowed, tokens that read a private channel and upload to it."""
    user = site.people.user(site.new_name("alice"))
    channel = site.new_channel(public=False, owner=user)
    told = begin(http)
    assert {
        "device_code",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
    } == set(told)
    assert f"{site.server.address}/device?user_code={told['user_code']}" == told["verification_uri_complete"]
    pending = ask(http, grant_type=DEVICE_GRANT, device_code=told["device_code"])
    assert (400, "authorization_pending") == (pending.status_code, pending.json()["error"])
    assert "slow_down" == ask(http, grant_type=DEVICE_GRANT, device_code=told["device_code"]).json()["error"]

    answer_code(site, user, told["user_code"])
    answer = ask(http, grant_type=DEVICE_GRANT, device_code=told["device_code"])
    assert 200 == answer.status_code
    tokens = answer.json()
    assert ("bearer", 3_600) == (tokens["token_type"].lower(), tokens["expires_in"])
    assert "openid profile offline_access channel:read channel:upload" == tokens["scope"]
    assert 201 == upload(http, channel, conda(index_json("by-tool")), tokens["access_token"]).status_code
    read = http.get(f"/{channel}/noarch/repodata.json", headers=bearer(tokens["access_token"]))
    assert "by-tool" in read.text
    assert 200 == http.get(f"/t/{tokens['access_token']}/{channel}/noarch/repodata.json").status_code
    again = ask(http, grant_type=DEVICE_GRANT, device_code=told["device_code"])
    assert (400, "invalid_grant") == (again.status_code, again.json()["error"])


def test_a_refused_login_is_told_so(http: httpx.Client, site: Site) -> None:
    """`access_denied` ends it."""
    told = begin(http)
    answer_code(site, site.new_name("bob"), told["user_code"], approved=False)
    answer = ask(http, grant_type=DEVICE_GRANT, device_code=told["device_code"])
    assert (400, "access_denied") == (answer.status_code, answer.json()["error"])


@pytest.mark.parametrize(
    ("scope", "read", "uploaded", "deleted"),
    [("channel:read", 200, 403, 403), (GENERIC, 200, 201, 403), ("channel:delete", 200, 201, 200)],
)
def test_the_scope_bounds_what_a_tool_may_do(
    http: httpx.Client, site: Site, scope: str, read: int, uploaded: int, deleted: int
) -> None:
    """Even an owner's tool; and the refusal says how to log in with more."""
    user = site.people.user(site.new_name("alice"))
    channel = site.new_channel(public=False, owner=user)
    there = conda(index_json("there"))
    assert 201 == upload(http, channel, there, site.people.key(user)).status_code
    token = log_in(site, http, user, scope)["access_token"]
    assert read == http.get(f"/{channel}/noarch/repodata.json", headers=bearer(token)).status_code
    assert uploaded == upload(http, channel, conda(index_json("new")), token).status_code
    answer = http.delete(f"/api/v1/delete/{channel}/noarch/{there.name}", headers=bearer(token))
    assert deleted == answer.status_code
    assert ("channel:delete" in answer.text) is (deleted == 403)


def test_a_tool_is_no_more_than_its_user(http: httpx.Client, site: Site) -> None:
    """A viewer's tool does not upload, a stranger's sees nothing, and none makes keys."""
    channel = site.new_channel(public=False)
    viewer, stranger = site.new_name("viewer"), site.new_name("stranger")
    site.people.member(channel, viewer, Role.VIEWER)
    token, strange = (log_in(site, http, user, "channel:delete")["access_token"] for user in (viewer, stranger))
    assert 403 == upload(http, channel, conda(index_json("x")), token).status_code
    assert 403 == http.get(f"/{channel}/noarch/repodata.json", headers=bearer(strange)).status_code
    assert 403 == http.post("/api/v1/channels", json={"name": site.new_name()}, headers=bearer(token)).status_code


# Codes by way of a browser


def code_for(site: Site, user: str, verifier: str, nonce: str = "the-nonce") -> str:
    """What the page of consent does when somebody agrees."""
    database, by = site.people.seaway.database, person(site, user)
    wish = AuthorizationRequest("rattler", REDIRECT, "openid channel:read", codes.challenge_of(verifier), nonce)
    with database.write_unlocked() as tx:
        grants.lock(database, tx)
        return codes.add_code(tx, site.people.seaway.clock.now_ms(), by, wish)


def test_the_code_flow_and_its_id_token(http: httpx.Client, site: Site) -> None:
    """RFC 7636; the ID token is signed by the key of the JWKS, for this client, with the nonce."""
    user, verifier = site.new_name("alice"), secrets.token_urlsafe(48)
    code = code_for(site, user, verifier)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": verifier}
    wrong = ask(http, **{**form, "code_verifier": secrets.token_urlsafe(48)})
    assert (400, "invalid_grant") == (wrong.status_code, wrong.json()["error"])
    tokens = ask(http, **form).json()
    keys = KeySet.import_key_set(http.get("/api/oauth/jwks").json())
    claims = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": site.server.address}, aud={"essential": True, "value": "rattler"},
        nonce={"essential": True, "value": "the-nonce"}, exp={"essential": True},
        preferred_username={"value": user}, name={"value": user},
    ).validate(claims)  # fmt: skip
    told = http.get("/api/oauth/userinfo", headers=bearer(tokens["access_token"])).json()
    assert {"sub": claims["sub"], "preferred_username": user, "name": user} == told


def test_a_replayed_code_ends_the_login(http: httpx.Client, site: Site) -> None:
    """The first to bring it may be the thief, so what the code made is over."""
    verifier = secrets.token_urlsafe(48)
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": verifier}
    form["code"] = code_for(site, site.new_name("alice"), verifier)
    tokens = ask(http, **form).json()
    assert 200 == http.get("/api/oauth/userinfo", headers=bearer(tokens["access_token"])).status_code
    assert "invalid_grant" == ask(http, **form).json()["error"]
    assert 401 == http.get("/api/oauth/userinfo", headers=bearer(tokens["access_token"])).status_code
    again = ask(http, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (400, "invalid_grant") == (again.status_code, again.json()["error"])


# Refreshing and logging out


def test_refreshing_gives_the_next_two_tokens(http: httpx.Client, site: Site) -> None:
    """And a second process may bring the same one in the same minute."""
    first = log_in(site, http, site.new_name("alice"))
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    one, other = ask(http, **form), ask(http, **form)
    assert (200, 200) == (one.status_code, other.status_code)
    assert 3 == len({first["refresh_token"], one.json()["refresh_token"], other.json()["refresh_token"]})
    assert all(200 == viewer(http, told.json()["access_token"]).status_code for told in (one, other))
    assert "invalid_scope" == ask(http, **form, scope="channel:delete").json()["error"]


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
def test_a_tool_logs_out(http: httpx.Client, site: Site, kind: str) -> None:
    """RFC 7009: 200 whatever it was, and both tokens are over."""
    tokens = log_in(site, http, site.new_name("alice"))
    for _ in range(2):
        form = {"token": tokens[kind], "token_type_hint": kind, **CLIENT}
        assert 200 == http.post("/api/oauth/revoke", data=form).status_code
    assert {"data": {"viewer": None}} == viewer(http, tokens["access_token"]).json()
    again = ask(http, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert "invalid_grant" == again.json()["error"]


# What cannot be asked


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
def test_every_refusal_is_json(http: httpx.Client, path: str, form: dict[str, str], status: int, error: str) -> None:
    """With a code of the standards: a waiting client gives up at anything else."""
    answer = http.post(f"/api/oauth/{path}", data=form)
    assert (status, error) == (answer.status_code, answer.json()["error"])
    assert answer.json()["error_description"]


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
def test_a_form_that_cannot_be_read_is_refused_in_json(
    http: httpx.Client, path: str, content: bytes, media_type: str, status: int
) -> None:
    """Another type, a field twice, bytes that are no text, too many fields, too much."""
    answer = http.post(f"/api/oauth/{path}", content=content, headers={"Content-Type": media_type})
    assert (status, "invalid_request") == (answer.status_code, answer.json()["error"])


# What clients of prefix.dev ask


def viewer(http: httpx.Client, token: str | None) -> httpx.Response:
    return http.post("/api/graphql", json={"query": "query { viewer { login } }"}, headers=bearer(token))


def test_the_viewer_is_whoever_the_credential_speaks_for(http: httpx.Client, site: Site) -> None:
    """A tool's token or a key; nobody for anything else, which clients understand."""
    user = site.people.user(site.new_name("alice"))
    for good in (site.people.key(user), log_in(site, http, user)["access_token"]):
        assert {"data": {"viewer": {"login": user}}} == viewer(http, good).json()
    for bad in (None, "swy-u-nothing", "x"):
        assert {"data": {"viewer": None}} == viewer(http, bad).json()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"query": "{ users { email } }"}', b'{"query": 7}', b'{"query": "\xff"}']
)
def test_nothing_else_is_answered(http: httpx.Client, body: bytes) -> None:
    """No other query, and no crash."""
    answer = http.post("/api/graphql", content=body)
    assert 400 == answer.status_code
    assert answer.json()["errors"]


MISUSES: dict[str, Callable[[dict[str, Any]], str]] = {
    "a refresh token": lambda tokens: tokens["refresh_token"],
    "an ID token": lambda tokens: tokens["id_token"],
    "a token with another checksum": lambda tokens: tokens["access_token"][:-1] + "!",
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
def test_nothing_else_of_a_login_opens_a_channel(
    http: httpx.Client, site: Site, misuse: Callable[[dict[str, Any]], str]
) -> None:
    """Only the access token does."""
    user = site.people.user(site.new_name("alice"))
    channel = site.new_channel(public=False, owner=user)
    wrong = misuse(log_in(site, http, user))
    assert 401 == http.get(f"/{channel}/noarch/repodata.json", headers=bearer(wrong)).status_code
