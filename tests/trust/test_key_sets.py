"""The keys of issuers: hostile key servers, ages, withdrawn and unknown keys, many who ask at once."""

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
from tests.support.issuer import Answer, LocalIssuer, json_answer, jwk, local_issuer
from tests.trust.conftest import GITLAB, Trusting

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def server() -> Iterator[LocalIssuer]:
    with local_issuer() as running:
        yield running


@pytest.fixture
def forge(here: Trusting, server: LocalIssuer) -> LocalIssuer:
    """A GitLab of somebody's own on this machine, registered, with a publisher of `harbour`."""
    with here.seaway.database.write_site() as tx:
        issuers.add(tx, here.clock.now_ms(), OPERATOR, "forge", kind="gitlab", issuer=server.address)
    here.trust("harbour", "forge", GITLAB)
    return server


def token(here: Trusting, forge: LocalIssuer, name: str = "key-1", **changes: Any) -> str:
    return support.token(support.gitlab(here.now_s, issuer=forge.address), name=name, header=changes)


def parsed(kid: str) -> ParsedToken:
    return ParsedToken("", {"alg": "RS256", "kid": kid}, {})


def code(here: Trusting, text: str) -> str:
    answer = here.mint(text)
    return "ok" if answer.status_code == 200 else str(answer.json()["code"])


def broken(here: Trusting, forge: LocalIssuer) -> tuple[int, str]:
    answer = here.mint(token(here, forge))
    return answer.status_code, answer.json()["code"]


def test_a_self_managed_gitlab_publishes(here: Trusting, forge: LocalIssuer) -> None:
    """Discovery, then its keys, once for many tokens."""
    assert ["ok"] * 5 == [code(here, token(here, forge)) for _ in range(5)]
    assert [DISCOVERY, "/keys"] == forge.asked


def test_a_project_of_one_gitlab_is_not_that_of_another(here: Trusting, forge: LocalIssuer) -> None:
    """The publisher of gitlab.com does not fit the same project elsewhere, nor the other way round."""
    with here.seaway.database.write_site() as tx:
        tx.exec_driver_sql("DELETE FROM publishers WHERE issuer LIKE 'http://127%%'")

    assert "invalid-publisher" == code(here, token(here, forge))


def with_keys(value: object) -> Callable[[], Answer]:
    return lambda: json_answer(value)


HOSTILE: dict[str, tuple[str, Callable[[], Answer]]] = {
    "discovery is an error": (DISCOVERY, lambda: (500, {}, b"")),
    "discovery is not there": (DISCOVERY, lambda: (404, {}, b"{}")),
    "discovery redirects": (DISCOVERY, lambda: (302, {"Location": "/elsewhere"}, b"")),
    "discovery is HTML": (DISCOVERY, lambda: (200, {"Content-Type": "text/html"}, b"<html>")),
    "discovery is empty": (DISCOVERY, lambda: (200, {}, b"")),
    "discovery is a list": (DISCOVERY, lambda: json_answer([])),
    "discovery is of another issuer": (
        DISCOVERY,
        lambda: json_answer({"issuer": "https://x.example", "jwks_uri": "x"}),
    ),
    "the keys are an error": ("/keys", lambda: (500, {}, b"")),
    "the keys redirect": ("/keys", lambda: (307, {"Location": "/more-keys"}, b"")),
    "the keys are HTML": (
        "/keys",
        lambda: (200, {"Content-Type": "text/html"}, b"<!doctype html><title>Sign in</title>"),
    ),
    "the keys are none": ("/keys", with_keys({"keys": []})),
    "the keys are no list": ("/keys", with_keys({"keys": {"kid": "key-1"}})),
    "the keys are null": ("/keys", with_keys(None)),
    "the keys are 101": ("/keys", with_keys({"keys": [jwk("key-1", kid=str(number)) for number in range(101)]})),
    "the keys are of 2 MiB": ("/keys", lambda: (200, {}, b" " * 2 * 1024 * 1024)),
    "the keys are packed": ("/keys", lambda: (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b")),
    "the keys have one name twice": ("/keys", with_keys({"keys": [jwk("key-1"), jwk("key-2", kid="key-1")]})),
    "the keys are cut short": ("/keys", lambda: (200, {}, support.key_set("key-1").encode()[:-2])),
    "the keys hang up": ("/keys", lambda: (200, {"Content-Length": "999999"}, b"{")),
}


@pytest.mark.parametrize(("path", "answer"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_key_server_is_a_503_and_replaces_nothing(
    here: Trusting, forge: LocalIssuer, path: str, answer: Callable[[], Answer]
) -> None:
    """Key sets invariant 4: without keys nobody is believed, and with good ones they stay what they are."""
    forge.answers[path] = answer
    assert (503, "issuer-unavailable") == broken(here, forge)
    assert "/elsewhere" not in forge.asked
    assert "/more-keys" not in forge.asked

    del forge.answers[path]
    here.clock.move(11 * SECOND_MS)
    assert "ok" == code(here, token(here, forge))
    forge.answers[path] = answer
    here.clock.move(2 * MINUTE_MS)
    assert "invalid-token" == code(here, token(here, forge, kid="unknown"))
    assert "ok" == code(here, token(here, forge))


ELSEWHERE = [
    "https://x.example/keys",
    "http://169.254.169.254/keys",
    "//x.example/keys",
    "file:///etc/passwd",
    "/keys",
    7,
]


@pytest.mark.parametrize("address", [*ELSEWHERE, "another port", "a user", "localhost"])
def test_keys_that_are_elsewhere_are_not_fetched(here: Trusting, forge: LocalIssuer, address: object) -> None:
    """Case 59: only on the origin of the issuer itself, and no request is made to any other."""
    with local_issuer() as other:
        told = {
            "another port": f"{other.address}/keys",
            "a user": forge.address.replace("://", "://x@") + "/keys",
            "localhost": forge.address.replace("127.0.0.1", "localhost") + "/keys",
        }.get(str(address), address)
        forge.answers[DISCOVERY] = lambda: json_answer({"issuer": forge.address, "jwks_uri": told})

        assert (503, "issuer-unavailable") == broken(here, forge)
        assert [DISCOVERY] == forge.asked
        assert [] == other.asked


@pytest.mark.slow
def test_a_slow_key_server_is_not_waited_for(here: Trusting, forge: LocalIssuer) -> None:
    """Fetching invariant 3: before its keys come it is given up, and the next token does not ask it again."""
    answered: list[bool] = []

    def answer() -> Answer:
        time.sleep(10)
        answered.append(True)
        return json_answer({"keys": [jwk(name) for name in forge.names]})

    forge.answers["/keys"] = answer
    assert (503, "issuer-unavailable") == broken(here, forge)
    assert (503, "issuer-unavailable") == broken(here, forge)
    assert [] == answered
    assert 1 == forge.count()


def test_a_new_key_is_found_and_a_withdrawn_one_ends(here: Trusting, forge: LocalIssuer) -> None:
    """Case 57: an unknown name makes us look, and what we find replaces the set as a whole."""
    assert "ok" == code(here, token(here, forge))
    forge.names = ["key-2"]
    here.clock.move(MINUTE_MS)
    assert "ok" == code(here, token(here, forge, "key-2"))
    assert "invalid-token" == code(here, token(here, forge, "key-1"))


def test_a_thousand_unknown_keys_are_looked_for_once_a_minute(here: Trusting, forge: LocalIssuer) -> None:
    """Case 58."""
    assert "ok" == code(here, token(here, forge))
    key_sets = here.seaway.request_parts.exchanging.key_sets
    with here.seaway.database.read() as tx:
        found = issuers.get(tx, "forge")

    def ask(number: int) -> None:
        with pytest.raises(InvalidToken, match="not among the keys of its issuer"):
            key_sets.key(found.key_source, parsed(f"unknown-{number}"))

    for minute in range(1, 3):
        here.clock.move(MINUTE_MS)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(500)))
        assert 1 + minute == forge.count()


def test_keys_grow_old(here: Trusting, forge: LocalIssuer) -> None:
    """Case 56: after an hour they are fetched behind the requests, and without success they are good for a day."""
    assert "ok" == code(here, token(here, forge))
    forge.answers["/keys"] = lambda: (500, {}, b"")
    here.clock.move(HOUR_MS - 1)
    assert "ok" == code(here, token(here, forge))
    assert 1 == forge.count()
    here.clock.move(1)
    assert "ok" == code(here, token(here, forge))
    wait_for(lambda: forge.count() == 2)
    here.clock.move(DAY_MS - HOUR_MS - 1)
    assert "ok" == code(here, token(here, forge))
    here.clock.move(MINUTE_MS)
    assert (503, "issuer-unavailable") == broken(here, forge)

    del forge.answers["/keys"]
    here.clock.move(MINUTE_MS)
    assert "ok" == code(here, token(here, forge))


def test_fresh_keys_come_behind_the_requests(here: Trusting, forge: LocalIssuer) -> None:
    """The first after an hour does not wait; a key that was withdrawn is dead once they have come."""
    assert "ok" == code(here, token(here, forge))
    forge.names = ["key-2"]
    here.clock.move(HOUR_MS)
    assert "ok" == code(here, token(here, forge))
    wait_for(lambda: key_ids(held(here).keys) == ["key-2"])
    assert "invalid-token" == code(here, token(here, forge))


def held(here: Trusting) -> Any:
    with here.seaway.database.read() as tx:
        found = issuers.get(tx, "forge")
    return here.seaway.request_parts.exchanging.key_sets.stored(found.key_source)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_many_at_once_fetch_once(here: Trusting, forge: LocalIssuer) -> None:
    """At a cold start all wait for the one who fetches; two workers are two `KeySets` on one database."""
    with here.seaway.database.read() as tx:
        found = issuers.get(tx, "forge")
    workers = [KeySets(here.seaway.database, here.clock, fetch_keys) for _ in range(2)]
    start = threading.Barrier(16)

    def ask(number: int) -> object:
        start.wait()
        return workers[number % 2].key(found.key_source, parsed("key-1"))

    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(ask, range(16)))
    for worker in workers:
        worker.close()

    assert all(keys)
    assert 1 == forge.count()


def test_an_operator_can_fetch_now(here: Trusting, forge: LocalIssuer) -> None:
    """For keys that an issuer has withdrawn: nothing waits for the hour."""
    assert "ok" == code(here, token(here, forge))
    forge.names = ["key-2"]
    with here.seaway.database.read() as tx:
        found = issuers.get(tx, "forge")

    assert ["key-2"] == key_ids(here.seaway.request_parts.exchanging.key_sets.refresh(found.key_source).keys)
    assert "invalid-token" == code(here, token(here, forge))


def test_keys_of_a_file_are_used_without_asking_anybody(here: Trusting, forge: LocalIssuer) -> None:
    """For closed networks; until they are taken away again."""
    here.keys("forge", "key-2")
    here.clock.move(30 * DAY_MS)
    assert "ok" == code(here, token(here, forge, "key-2"))
    assert "invalid-token" == code(here, token(here, forge))
    assert [] == forge.asked
    with here.seaway.database.write_site() as tx:
        issuers.set_static_keys(tx, here.clock.now_ms(), OPERATOR, "forge", None)
    assert "ok" == code(here, token(here, forge))


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1", "https://127.0.0.1:1", "https://localhost:1", "https://[::1]:1"]
)
def test_what_seaway_knows_by_itself_is_not_in_a_private_network(address: str) -> None:
    """Fetching invariant 2: a name of GitHub that led into our own network would be an attack."""
    built_in = Issuer("github", BUILT_IN[0].kind, address, is_builtin=True)

    with pytest.raises(FetchFailed, match=r"not https|not allowed"):
        fetch_keys(built_in.key_source)


@pytest.mark.parametrize(
    "address", ["https://169.254.169.254", "https://[fe80::1]", "https://0.0.0.0", "https://224.0.0.1"]
)
def test_the_local_link_is_asked_for_nobody(address: str) -> None:
    """Not even if an admin registered it: clouds keep the credentials of machines there."""
    with pytest.raises(FetchFailed, match="not allowed"):
        fetch_keys(Issuer("x", BUILT_IN[1].kind, address).key_source)
