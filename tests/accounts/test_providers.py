"""What is asked of providers, and what of their answers is believed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from seaway.clock import HOUR_MS, MINUTE_MS
from seaway.errors import NotAllowed, NotFound, Unavailable
from seaway.oidc.fetching import fetch_keys
from seaway.oidc.key_sets import KeySets
from seaway.outbound import JsonClient
from seaway.sign_in import github, openid_providers
from seaway.sign_in.identity_providers import LoginProtocol, Provider, Providers, is_safe_url, suggested_name
from seaway.sign_in.openid_providers import OpenIdProviders
from seaway.trusted_publishing.issuers import BUILT_IN, Issuer
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.providers import CLIENT_ID, CLIENT_SECRET, OpenIdProvider, Told, running

ISSUER = "https://login.example.com"


def provider(issuer: str = ISSUER, **changes: Any) -> Provider:
    values = {"name": "corp", "title": "Corp", "dialect": LoginProtocol.OPENID, "client_id": CLIENT_ID}
    return Provider(**{**values, "issuer": issuer, "client_secret": CLIENT_SECRET, **changes})


@pytest.fixture(scope="module")
def fetcher() -> JsonClient:
    return JsonClient()


# Fetching


class Broken(OpenIdProvider):
    """Answers as nobody should."""

    told: Told = (200, {}, {})

    def answer(self, *_args: object) -> Told:
        return self.told


@pytest.fixture(scope="module")
def broken() -> Iterator[Broken]:
    with running(Broken()) as made:
        assert isinstance(made, Broken)
        yield made


def test_nobody_leads_us_elsewhere(fetcher: JsonClient, broken: Broken) -> None:
    """A redirect is an answer like any other, and is not followed."""
    broken.told = (302, {}, {"Location": f"{broken.address}/elsewhere"})
    assert 302 == fetcher.get(f"{broken.address}/here").status
    assert "GET /elsewhere" not in broken.asked


def test_an_endless_answer_is_cut_off(fetcher: JsonClient, broken: Broken) -> None:
    """More than half a megabyte is no answer."""
    broken.told = (200, b"[" + b" " * 600_000 + b"]", {})
    with pytest.raises(Unavailable):
        fetcher.get(broken.address)


@pytest.mark.parametrize("content", [b"<html>", b"\xff", b"[" * 100_000, b"", b'{"id": 1, "id": 2}', b'{"id": NaN}'])
def test_what_is_no_json_is_nothing(fetcher: JsonClient, broken: Broken, content: bytes) -> None:
    """It is no error of ours, and no object."""
    broken.told = (200, content, {})
    assert {} == fetcher.get(broken.address).json_object()


def test_a_host_that_is_away_is_named_and_nothing_else(fetcher: JsonClient) -> None:
    """What was sent has secrets in it, so that is not in the refusal."""
    with pytest.raises(Unavailable) as refused:
        fetcher.post("http://127.0.0.1:9/token", {"client_secret": "s3cret"})
    assert "127.0.0.1" in str(refused.value)
    assert "s3cret" not in str(refused.value) + refused.value.cause


# Descriptions


DESCRIPTION = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/a",
    "token_endpoint": "https://tokens.example.com/t",
    "jwks_uri": f"{ISSUER}/k",
}


def test_a_description_may_name_other_hosts() -> None:
    """As Google's does; with https."""
    found = openid_providers.parse_discovery(
        provider(), DESCRIPTION | {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    )
    assert ("https://tokens.example.com/t", "", False, False) == (
        found.token_url, found.userinfo_url, found.sends_iss, found.supports_basic,
    )  # fmt: skip


@pytest.mark.parametrize("written", ["https://login.example.com:443", "https://Login.Example.com"])
def test_an_issuer_may_write_its_default_port_or_capitals(written: str) -> None:
    """Settings drop them; the tokens of the provider say what its description says."""
    assert written == openid_providers.parse_discovery(provider(), DESCRIPTION | {"issuer": written}).issuer


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ISSUER + "/"},
        {"issuer": "https://other.example.com"},
        {"issuer": "https://login.example.com:444"},
        {"issuer": "https://login.example.com:x"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "http://login.example.com/t"},
        {"token_endpoint": "file:///etc/passwd"},
        {"token_endpoint": "https://a:b@login.example.com/t"},
        {"jwks_uri": "//login.example.com/k"},
        {"jwks_uri": 7},
        {"jwks_uri": "https://login.example.com:99999/k"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": "http://127.0.0.1/u"},
    ],
)
def test_a_description_that_leads_astray_is_refused(changes: dict[str, Any]) -> None:
    """Another issuer, plain http, and whatever is no address."""
    with pytest.raises(Unavailable):
        openid_providers.parse_discovery(provider(), DESCRIPTION | changes)


def test_plain_http_is_for_the_same_loopback() -> None:
    """A trial on one machine names itself, and nothing else."""
    own = "http://127.0.0.1:9000"
    assert is_safe_url("http://127.0.0.1:9001/x", issuer=own)
    assert not is_safe_url("http://10.0.0.1/x", issuer=own)


# Claims


@pytest.mark.parametrize("email_verified", [False, None, "true", 1])
def test_an_address_counts_only_if_it_was_verified_there(email_verified: object) -> None:
    """`email_verified` is true or it is not; Google's people need it to come in at all (case 26)."""
    claims = {"sub": "1", "email": "alice@example.com", "email_verified": email_verified, "preferred_username": "alice"}
    assert openid_providers.account_from_claims(provider(), claims).address is None
    with pytest.raises(NotAllowed, match="not verified at Google"):
        openid_providers.account_from_claims(provider(title="Google", requires_verified_email=True), claims)
    good = openid_providers.account_from_claims(
        provider(requires_verified_email=True), claims | {"email_verified": True}
    )
    assert ("1", "alice", "alice@example.com") == (good.subject, good.login, good.address)


@pytest.mark.parametrize(
    ("listed", "address"),
    [
        ([{"email": "a@example.com", "primary": True, "verified": True}], "a@example.com"),
        ([{"email": "a@example.com", "primary": True, "verified": False}], None),
        ([{"email": "a@example.com", "primary": False, "verified": True}], None),
        ([{"email": "a@example.com", "primary": "true", "verified": 1}], None),
        ([{"email": None, "primary": True, "verified": True}], None),
        ([None, 7], None),
        ({"message": "Not Found"}, None),
        (None, None),
    ],
)
def test_github_s_primary_address_counts_if_it_is_verified(listed: object, address: str | None) -> None:
    """And no other one."""
    assert address == github.primary_address(listed)


@pytest.mark.parametrize(
    ("login", "name"),
    [("Octo-Cat", "octo-cat"), ("alice.b@example.com", "alice-b"), ("__", ""), ("é", ""), ("x" * 60, "x" * 39)],
)
def test_a_user_name_is_suggested(login: str, name: str) -> None:
    """As near to the name there as our names allow."""
    assert name == suggested_name(login)


def test_providers_are_those_of_the_operator() -> None:
    """Another name is nothing, and the secret is not shown."""
    known = Providers([provider()])
    assert CLIENT_SECRET not in repr(known.get("corp"))
    assert ["Corp", "gone"] == [known.title_of("corp"), known.title_of("gone")]
    with pytest.raises(NotFound):
        known.get("other")


# Keys that change


@pytest.fixture
def there() -> Iterator[OpenIdProvider]:
    with running(OpenIdProvider({"sub": "1"})) as made:
        assert isinstance(made, OpenIdProvider)
        yield made


def signed_in(openids: OpenIdProviders, there: OpenIdProvider, clock: TurnedClock) -> None:
    """Check a token that is signed with the provider's key of now."""
    now = clock.now_ms() // 1000
    claims = {"iss": there.address, "aud": CLIENT_ID, "sub": "1", "nonce": "n", "iat": now, "exp": now + 60}
    text = oidc_token(there.key, claims)
    known = provider(there.address)
    openids._verified(known, openids.discovery(known), text, "n")


def oidc_token(key: RSAKey, claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


def test_a_new_key_works_at_once_and_costs_one_question_a_minute(
    there: OpenIdProvider, fetcher: JsonClient, clock: TurnedClock, tmp_path: Path
) -> None:
    """Keys are fresh for an hour; one that is not among them lets us look again, unless we just did."""
    built = house.build(tmp_path, clock)
    key_sets = built.request_parts.exchanging.key_sets
    openids = OpenIdProviders(fetcher, clock, key_sets)
    for _ in range(3):
        signed_in(openids, there, clock)
    assert ["GET /.well-known/openid-configuration", "GET /jwks"] == there.asked
    signed_in(OpenIdProviders(fetcher, clock, KeySets(built.database, clock, fetch_keys)), there, clock)
    assert 1 == there.asked.count("GET /jwks")  # another worker uses the stored keys

    there.key = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
    with pytest.raises(NotAllowed):
        signed_in(openids, there, clock)
    assert 1 == there.asked.count("GET /jwks")
    clock.move(MINUTE_MS)
    signed_in(openids, there, clock)
    assert 2 == there.asked.count("GET /jwks")
    clock.move(HOUR_MS)
    signed_in(openids, there, clock)
    key_sets.close()  # waits for the fetch in the background
    assert (3, 3) == (there.asked.count("GET /.well-known/openid-configuration"), there.asked.count("GET /jwks"))
    built.close()


@pytest.mark.parametrize("told", [(500, {}, {}), (200, {"keys": []}, {}), (200, b"<html>", {})])
def test_keys_that_cannot_be_used_replace_nothing(
    there: OpenIdProvider, fetcher: JsonClient, clock: TurnedClock, tmp_path: Path, told: Told
) -> None:
    """Without keys the provider is unavailable; with stored ones users still sign in."""
    built = house.build(tmp_path, clock)
    openids = OpenIdProviders(fetcher, clock, built.request_parts.exchanging.key_sets)
    there.told_keys = told
    with pytest.raises(Unavailable):
        signed_in(openids, there, clock)
    there.told_keys = None
    clock.move(MINUTE_MS)
    signed_in(openids, there, clock)
    there.told_keys = told
    clock.move(2 * HOUR_MS)
    signed_in(openids, there, clock)
    built.close()


def test_keys_for_sign_in_are_not_used_for_trusted_publishing(
    there: OpenIdProvider, fetcher: JsonClient, clock: TurnedClock, tmp_path: Path
) -> None:
    """Sign-in lets the provider name another host for its keys, so one issuer has two sets."""
    built = house.build(tmp_path, clock)
    key_sets = built.request_parts.exchanging.key_sets
    signed_in(OpenIdProviders(fetcher, clock, key_sets), there, clock)
    assert not key_sets.stored(Issuer("x", BUILT_IN[0].kind, there.address).key_source).keys
    built.close()
