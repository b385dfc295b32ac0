"""Key sets of issuers: hostile key servers, expiry, withdrawn and unknown keys, concurrent requests."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from seaway.callers.caller import OPERATOR
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from seaway.oidc.fetching import FetchFailed, fetch_keys
from seaway.oidc.jwks import key_ids
from seaway.oidc.jwt import InvalidToken, ParsedToken
from seaway.oidc.key_sets import KeySets
from seaway.trusted_publishing import issuers
from seaway.trusted_publishing.issuers import BUILT_IN, Issuer
from tests.support import issuer as support
from tests.support.issuer import IssuerResponse, LocalIssuer, json_response, jwk, local_issuer
from tests.support.publishing_app import GITLAB, PublishingApp

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def server() -> Iterator[LocalIssuer]:
    with local_issuer() as running:
        yield running


@pytest.fixture
def gitlab_issuer(app: PublishingApp, server: LocalIssuer) -> LocalIssuer:
    """A registered self-managed GitLab on this machine, with a publisher of `harbour`."""
    with app.seaway.site.database.write_site() as tx:
        issuers.add(tx, app.clock.now_ms(), OPERATOR, "forge", kind="gitlab", issuer=server.address)
    app.trust("harbour", "forge", GITLAB)
    return server


def token(app: PublishingApp, gitlab_issuer: LocalIssuer, name: str = "key-1", **changes: Any) -> str:
    return support.token(support.gitlab(app.now_s, issuer=gitlab_issuer.address), name=name, header=changes)


def token_with_kid(kid: str) -> ParsedToken:
    return ParsedToken("", {"alg": "RS256", "kid": kid}, {})


def mint_code(app: PublishingApp, text: str) -> str:
    """Request an exchange; return "ok" or the refusal code."""
    response = app.mint(text)
    return "ok" if response.status_code == 200 else str(response.json()["code"])


def mint_failure(app: PublishingApp, gitlab_issuer: LocalIssuer) -> tuple[int, str]:
    response = app.mint(token(app, gitlab_issuer))
    return response.status_code, response.json()["code"]


def test_self_managed_gitlab_publishes(app: PublishingApp, gitlab_issuer: LocalIssuer) -> None:
    """Discovery document and keys are fetched once for many tokens."""
    assert ["ok"] * 5 == [mint_code(app, token(app, gitlab_issuer)) for _ in range(5)]
    assert [DISCOVERY, "/keys"] == gitlab_issuer.requests


def test_publisher_matches_projects_of_its_own_issuer_only(app: PublishingApp, gitlab_issuer: LocalIssuer) -> None:
    """A publisher of gitlab.com does not match the same project path on another GitLab."""
    with app.seaway.site.database.write_site() as tx:
        tx.exec_driver_sql("DELETE FROM publishers WHERE issuer LIKE 'http://127%%'")

    assert "invalid-publisher" == mint_code(app, token(app, gitlab_issuer))


def with_keys(value: object) -> Callable[[], IssuerResponse]:
    return lambda: json_response(value)


HOSTILE: dict[str, tuple[str, Callable[[], IssuerResponse]]] = {
    "discovery is an error": (DISCOVERY, lambda: (500, {}, b"")),
    "discovery is missing": (DISCOVERY, lambda: (404, {}, b"{}")),
    "discovery redirects": (DISCOVERY, lambda: (302, {"Location": "/elsewhere"}, b"")),
    "discovery is HTML": (DISCOVERY, lambda: (200, {"Content-Type": "text/html"}, b"<html>")),
    "discovery is empty": (DISCOVERY, lambda: (200, {}, b"")),
    "discovery is a list": (DISCOVERY, lambda: json_response([])),
    "discovery is of another issuer": (
        DISCOVERY,
        lambda: json_response({"issuer": "https://x.example", "jwks_uri": "x"}),
    ),
    "the keys are an error": ("/keys", lambda: (500, {}, b"")),
    "the keys redirect": ("/keys", lambda: (307, {"Location": "/more-keys"}, b"")),
    "the keys are HTML": (
        "/keys",
        lambda: (200, {"Content-Type": "text/html"}, b"<!doctype html><title>Sign in</title>"),
    ),
    "the key list is empty": ("/keys", with_keys({"keys": []})),
    "the keys are an object": ("/keys", with_keys({"keys": {"kid": "key-1"}})),
    "the keys are null": ("/keys", with_keys(None)),
    "101 keys": ("/keys", with_keys({"keys": [jwk("key-1", kid=str(number)) for number in range(101)]})),
    "the keys are 2 MiB": ("/keys", lambda: (200, {}, b" " * 2 * 1024 * 1024)),
    "the keys are compressed": ("/keys", lambda: (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b")),
    "two keys have the same id": ("/keys", with_keys({"keys": [jwk("key-1"), jwk("key-2", kid="key-1")]})),
    "the keys are truncated": ("/keys", lambda: (200, {}, support.key_set("key-1").encode()[:-2])),
    "the connection ends early": ("/keys", lambda: (200, {"Content-Length": "999999"}, b"{")),
}


@pytest.mark.parametrize(("path", "respond"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_key_server_returns_503_and_keeps_stored_keys(
    app: PublishingApp, gitlab_issuer: LocalIssuer, path: str, respond: Callable[[], IssuerResponse]
) -> None:
    """Key sets invariant 4: without keys no token is accepted, and a failed fetch never replaces valid keys."""
    gitlab_issuer.responses[path] = respond
    assert (503, "issuer-unavailable") == mint_failure(app, gitlab_issuer)
    assert "/elsewhere" not in gitlab_issuer.requests
    assert "/more-keys" not in gitlab_issuer.requests

    del gitlab_issuer.responses[path]
    app.clock.move(11 * SECOND_MS)
    assert "ok" == mint_code(app, token(app, gitlab_issuer))
    gitlab_issuer.responses[path] = respond
    app.clock.move(2 * MINUTE_MS)
    assert "invalid-token" == mint_code(app, token(app, gitlab_issuer, kid="unknown"))
    assert "ok" == mint_code(app, token(app, gitlab_issuer))


OTHER_URLS = [
    "https://x.example/keys",
    "http://169.254.169.254/keys",
    "//x.example/keys",
    "file:///etc/passwd",
    "/keys",
    7,
]


@pytest.mark.parametrize("address", [*OTHER_URLS, "another port", "userinfo", "localhost"])
def test_keys_on_another_origin_are_not_fetched(
    app: PublishingApp, gitlab_issuer: LocalIssuer, address: object
) -> None:
    """Case 59: only the origin of the issuer is contacted."""
    with local_issuer() as other_issuer:
        jwks_uri = {
            "another port": f"{other_issuer.address}/keys",
            "userinfo": gitlab_issuer.address.replace("://", "://x@") + "/keys",
            "localhost": gitlab_issuer.address.replace("127.0.0.1", "localhost") + "/keys",
        }.get(str(address), address)
        gitlab_issuer.responses[DISCOVERY] = lambda: json_response(
            {"issuer": gitlab_issuer.address, "jwks_uri": jwks_uri}
        )

        assert (503, "issuer-unavailable") == mint_failure(app, gitlab_issuer)
        assert [DISCOVERY] == gitlab_issuer.requests
        assert [] == other_issuer.requests


@pytest.mark.slow
def test_slow_key_server_is_abandoned(app: PublishingApp, gitlab_issuer: LocalIssuer) -> None:
    """Fetching invariant 3: the fetch is given up before the response, and the next token does not repeat it."""
    answered: list[bool] = []

    def respond() -> IssuerResponse:
        time.sleep(10)
        answered.append(True)
        return json_response({"keys": [jwk(name) for name in gitlab_issuer.names]})

    gitlab_issuer.responses["/keys"] = respond
    assert (503, "issuer-unavailable") == mint_failure(app, gitlab_issuer)
    assert (503, "issuer-unavailable") == mint_failure(app, gitlab_issuer)
    assert [] == answered
    assert 1 == gitlab_issuer.count()


def test_unknown_key_id_refreshes_the_key_set(app: PublishingApp, gitlab_issuer: LocalIssuer) -> None:
    """Case 57: fetched keys replace the complete set, so withdrawn keys are removed."""
    assert "ok" == mint_code(app, token(app, gitlab_issuer))
    gitlab_issuer.names = ["key-2"]
    app.clock.move(MINUTE_MS)
    assert "ok" == mint_code(app, token(app, gitlab_issuer, "key-2"))
    assert "invalid-token" == mint_code(app, token(app, gitlab_issuer, "key-1"))


def test_unknown_key_ids_cause_one_fetch_a_minute(app: PublishingApp, gitlab_issuer: LocalIssuer) -> None:
    """Case 58."""
    assert "ok" == mint_code(app, token(app, gitlab_issuer))
    key_sets = app.seaway.request_parts.exchanging.key_sets
    with app.seaway.site.database.read() as tx:
        found = issuers.get(tx, "forge")

    def find_key(number: int) -> None:
        with pytest.raises(InvalidToken, match="not among the keys of its issuer"):
            key_sets.key(found.key_source, token_with_kid(f"unknown-{number}"))

    for minute in range(1, 3):
        app.clock.move(MINUTE_MS)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(find_key, range(500)))
        assert 1 + minute == gitlab_issuer.count()


def test_stale_keys_remain_valid_for_a_day(app: PublishingApp, gitlab_issuer: LocalIssuer) -> None:
    """Case 56: after an hour they are refreshed in the background; if that fails they remain valid for a day."""
    assert "ok" == mint_code(app, token(app, gitlab_issuer))
    gitlab_issuer.responses["/keys"] = lambda: (500, {}, b"")
    app.clock.move(HOUR_MS - 1)
    assert "ok" == mint_code(app, token(app, gitlab_issuer))
    assert 1 == gitlab_issuer.count()
    app.clock.move(1)
    assert "ok" == mint_code(app, token(app, gitlab_issuer))
    wait_for(lambda: gitlab_issuer.count() == 2)
    app.clock.move(DAY_MS - HOUR_MS - 1)
    assert "ok" == mint_code(app, token(app, gitlab_issuer))
    app.clock.move(MINUTE_MS)
    assert (503, "issuer-unavailable") == mint_failure(app, gitlab_issuer)

    del gitlab_issuer.responses["/keys"]
    app.clock.move(MINUTE_MS)
    assert "ok" == mint_code(app, token(app, gitlab_issuer))


def test_keys_are_refreshed_in_the_background(app: PublishingApp, gitlab_issuer: LocalIssuer) -> None:
    """The first request after an hour does not wait; a withdrawn key is refused after the refresh."""
    assert "ok" == mint_code(app, token(app, gitlab_issuer))
    gitlab_issuer.names = ["key-2"]
    app.clock.move(HOUR_MS)
    assert "ok" == mint_code(app, token(app, gitlab_issuer))
    wait_for(lambda: key_ids(stored_key_set(app).keys) == ["key-2"])
    assert "invalid-token" == mint_code(app, token(app, gitlab_issuer))


def stored_key_set(app: PublishingApp) -> Any:
    with app.seaway.site.database.read() as tx:
        found = issuers.get(tx, "forge")
    return app.seaway.request_parts.exchanging.key_sets.stored(found.key_source)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_concurrent_requests_share_one_fetch(app: PublishingApp, gitlab_issuer: LocalIssuer) -> None:
    """At a cold start all wait for one fetch; two `KeySets` on one database stand for two workers."""
    with app.seaway.site.database.read() as tx:
        found = issuers.get(tx, "forge")
    workers = [KeySets(app.seaway.site.database, app.clock, fetch_keys) for _ in range(2)]
    start = threading.Barrier(16)

    def find_key(number: int) -> object:
        start.wait()
        return workers[number % 2].key(found.key_source, token_with_kid("key-1"))

    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(find_key, range(16)))
    for worker in workers:
        worker.close()

    assert all(keys)
    assert 1 == gitlab_issuer.count()


def test_operator_can_refresh_keys(app: PublishingApp, gitlab_issuer: LocalIssuer) -> None:
    """A withdrawn key need not remain valid until the hourly refresh."""
    assert "ok" == mint_code(app, token(app, gitlab_issuer))
    gitlab_issuer.names = ["key-2"]
    with app.seaway.site.database.read() as tx:
        found = issuers.get(tx, "forge")

    assert ["key-2"] == key_ids(app.seaway.request_parts.exchanging.key_sets.refresh(found.key_source).keys)
    assert "invalid-token" == mint_code(app, token(app, gitlab_issuer))


def test_static_keys_are_used_without_a_fetch(app: PublishingApp, gitlab_issuer: LocalIssuer) -> None:
    """For closed networks, until the static keys are removed."""
    app.keys("forge", "key-2")
    app.clock.move(30 * DAY_MS)
    assert "ok" == mint_code(app, token(app, gitlab_issuer, "key-2"))
    assert "invalid-token" == mint_code(app, token(app, gitlab_issuer))
    assert [] == gitlab_issuer.requests
    with app.seaway.site.database.write_site() as tx:
        issuers.set_static_keys(tx, app.clock.now_ms(), OPERATOR, "forge", None)
    assert "ok" == mint_code(app, token(app, gitlab_issuer))


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1", "https://127.0.0.1:1", "https://localhost:1", "https://[::1]:1"]
)
def test_built_in_issuer_is_not_fetched_from_a_private_network(address: str) -> None:
    """Fetching invariant 2: GitHub's host name resolving to a private address would be an attack."""
    built_in = Issuer("github", BUILT_IN[0].kind, address, is_builtin=True)

    with pytest.raises(FetchFailed, match=r"not https|not allowed"):
        fetch_keys(built_in.key_source)


@pytest.mark.parametrize(
    "address", ["https://169.254.169.254", "https://[fe80::1]", "https://0.0.0.0", "https://224.0.0.1"]
)
def test_link_local_addresses_are_never_fetched(address: str) -> None:
    """Not even if an admin registered the issuer: cloud metadata services hold machine credentials there."""
    with pytest.raises(FetchFailed, match="not allowed"):
        fetch_keys(Issuer("x", BUILT_IN[1].kind, address).key_source)
