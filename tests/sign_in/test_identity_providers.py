"""Identity providers: requests to them, and which responses are accepted."""

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
from tests.support import sites
from tests.support.clock import ManualClock
from tests.support.providers import CLIENT_ID, CLIENT_SECRET, OpenIdProvider, ProviderResponse, running

ISSUER = "https://login.example.com"


def provider(issuer: str = ISSUER, **changes: Any) -> Provider:
    values = {"name": "corp", "title": "Corp", "dialect": LoginProtocol.OPENID, "client_id": CLIENT_ID}
    return Provider(**{**values, "issuer": issuer, "client_secret": CLIENT_SECRET, **changes})


@pytest.fixture(scope="module")
def fetcher() -> JsonClient:
    return JsonClient()


# Fetching


class Broken(OpenIdProvider):
    """A provider that returns the response in `response`."""

    response: ProviderResponse = (200, {}, {})

    def respond(self, *_args: object) -> ProviderResponse:
        return self.response


@pytest.fixture(scope="module")
def broken() -> Iterator[Broken]:
    with running(Broken()) as provider_server:
        assert isinstance(provider_server, Broken)
        yield provider_server


def test_redirect_is_not_followed(fetcher: JsonClient, broken: Broken) -> None:
    """A redirect is returned like any other response."""
    broken.response = (302, {}, {"Location": f"{broken.address}/elsewhere"})
    assert 302 == fetcher.get(f"{broken.address}/here").status
    assert "GET /elsewhere" not in broken.requests


def test_oversized_response_is_refused(fetcher: JsonClient, broken: Broken) -> None:
    """Responses of more than half a megabyte are refused."""
    broken.response = (200, b"[" + b" " * 600_000 + b"]", {})
    with pytest.raises(Unavailable):
        fetcher.get(broken.address)


@pytest.mark.parametrize("content", [b"<html>", b"\xff", b"[" * 100_000, b"", b'{"id": 1, "id": 2}', b'{"id": NaN}'])
def test_malformed_json_becomes_an_empty_object(fetcher: JsonClient, broken: Broken, content: bytes) -> None:
    broken.response = (200, content, {})
    assert {} == fetcher.get(broken.address).json_object()


def test_error_for_unreachable_host_names_only_the_host(fetcher: JsonClient) -> None:
    """The request contains secrets, which must not appear in the error."""
    with pytest.raises(Unavailable) as refused:
        fetcher.post("http://127.0.0.1:9/token", {"client_secret": "s3cret"})
    assert "127.0.0.1" in str(refused.value)
    assert "s3cret" not in str(refused.value) + refused.value.cause


# Discovery documents


DESCRIPTION = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/a",
    "token_endpoint": "https://tokens.example.com/t",
    "jwks_uri": f"{ISSUER}/k",
}


def test_discovery_document_can_name_other_hosts() -> None:
    """Google's does; the URLs must use https."""
    result = openid_providers.parse_discovery(
        provider(), DESCRIPTION | {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    )
    assert ("https://tokens.example.com/t", "", False, False) == (
        result.token_url, result.userinfo_url, result.sends_iss, result.supports_basic,
    )  # fmt: skip


@pytest.mark.parametrize("written", ["https://login.example.com:443", "https://Login.Example.com"])
def test_issuer_with_default_port_or_capitals_is_accepted(written: str) -> None:
    """Settings normalize them away; the provider's tokens contain the issuer exactly as its discovery document does."""
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
def test_unsafe_discovery_document_is_refused(changes: dict[str, Any]) -> None:
    """Another issuer, plain http and malformed URLs are refused."""
    with pytest.raises(Unavailable):
        openid_providers.parse_discovery(provider(), DESCRIPTION | changes)


def test_plain_http_is_allowed_only_on_the_same_loopback() -> None:
    """A provider on the same machine is allowed for trials."""
    issuer = "http://127.0.0.1:9000"
    assert is_safe_url("http://127.0.0.1:9001/x", issuer=issuer)
    assert not is_safe_url("http://10.0.0.1/x", issuer=issuer)


# Claims


@pytest.mark.parametrize("email_verified", [False, None, "true", 1])
def test_only_address_verified_by_provider_is_used(email_verified: object) -> None:
    """`email_verified` must be exactly true; Google users without it cannot sign in (case 26)."""
    claims = {"sub": "1", "email": "alice@example.com", "email_verified": email_verified, "preferred_username": "alice"}
    assert openid_providers.account_from_claims(provider(), claims).address is None
    with pytest.raises(NotAllowed, match="not verified at Google"):
        openid_providers.account_from_claims(provider(title="Google", requires_verified_email=True), claims)
    good = openid_providers.account_from_claims(
        provider(requires_verified_email=True), claims | {"email_verified": True}
    )
    assert ("1", "alice", "alice@example.com") == (good.subject, good.login, good.address)


@pytest.mark.parametrize(
    ("github_url", "api_url"),
    [
        ("https://github.com", "https://api.github.com"),
        ("https://acme.ghe.com", "https://api.acme.ghe.com"),
        ("https://github.example.com", "https://github.example.com/api/v3"),
        ("https://notghe.com", "https://notghe.com/api/v3"),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8001/api/v3"),
    ],
)
def test_api_url_follows_from_the_url_of_github(github_url: str, api_url: str) -> None:
    """As documented for github.com, GHE.com (data residency) and GitHub Enterprise Server."""
    assert api_url == github.api_url_of(github_url)


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
def test_only_verified_primary_github_address_is_used(listed: object, address: str | None) -> None:
    assert address == github.primary_address(listed)


@pytest.mark.parametrize(
    ("login", "name"),
    [("Octo-Cat", "octo-cat"), ("alice.b@example.com", "alice-b"), ("__", ""), ("é", ""), ("x" * 60, "x" * 39)],
)
def test_suggested_user_name_follows_external_login(login: str, name: str) -> None:
    """The suggestion is as close to the external login as the rules for user names allow."""
    assert name == suggested_name(login)


def test_only_configured_providers_are_found() -> None:
    """The client secret does not appear in the repr."""
    providers = Providers([provider()])
    assert CLIENT_SECRET not in repr(providers.get("corp"))
    assert ["Corp", "gone"] == [providers.title_of("corp"), providers.title_of("gone")]
    with pytest.raises(NotFound):
        providers.get("other")


# Key rotation


@pytest.fixture
def openid_provider() -> Iterator[OpenIdProvider]:
    with running(OpenIdProvider({"sub": "1"})) as provider_server:
        assert isinstance(provider_server, OpenIdProvider)
        yield provider_server


def signed_in(openids: OpenIdProviders, openid_provider: OpenIdProvider, clock: ManualClock) -> None:
    """Check a token that is signed with the provider's current key."""
    now = clock.now_ms() // 1000
    claims = {"iss": openid_provider.address, "aud": CLIENT_ID, "sub": "1", "nonce": "n", "iat": now, "exp": now + 60}
    text = oidc_token(openid_provider.key, claims)
    corp = provider(openid_provider.address)
    openids._verified(corp, openids.discovery(corp), text, "n", None)


def oidc_token(key: RSAKey, claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


def test_new_provider_key_is_fetched_at_most_once_per_minute(
    openid_provider: OpenIdProvider, fetcher: JsonClient, clock: ManualClock, tmp_path: Path
) -> None:
    """Keys are fresh for an hour; an unknown key triggers a fetch unless one was made within the last minute."""
    built = sites.build(tmp_path, clock)
    key_sets = built.request_parts.exchanging.key_sets
    openids = OpenIdProviders(fetcher, clock, key_sets)
    for _ in range(3):
        signed_in(openids, openid_provider, clock)
    assert ["GET /.well-known/openid-configuration", "GET /jwks"] == openid_provider.requests
    signed_in(OpenIdProviders(fetcher, clock, KeySets(built.site.database, clock, fetch_keys)), openid_provider, clock)
    assert 1 == openid_provider.requests.count("GET /jwks")  # another worker uses the stored keys

    openid_provider.key = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
    with pytest.raises(NotAllowed):
        signed_in(openids, openid_provider, clock)
    assert 1 == openid_provider.requests.count("GET /jwks")
    clock.move(MINUTE_MS)
    signed_in(openids, openid_provider, clock)
    assert 2 == openid_provider.requests.count("GET /jwks")
    clock.move(HOUR_MS)
    signed_in(openids, openid_provider, clock)
    key_sets.close()  # waits for the fetch in the background
    assert (3, 3) == (
        openid_provider.requests.count("GET /.well-known/openid-configuration"),
        openid_provider.requests.count("GET /jwks"),
    )
    built.close()


@pytest.mark.parametrize("response", [(500, {}, {}), (200, {"keys": []}, {}), (200, b"<html>", {})])
def test_unusable_key_set_does_not_replace_stored_keys(
    openid_provider: OpenIdProvider, fetcher: JsonClient, clock: ManualClock, tmp_path: Path, response: ProviderResponse
) -> None:
    """Without keys the provider is unavailable; with stored ones users can still sign in."""
    built = sites.build(tmp_path, clock)
    openids = OpenIdProviders(fetcher, clock, built.request_parts.exchanging.key_sets)
    openid_provider.keys_response = response
    with pytest.raises(Unavailable):
        signed_in(openids, openid_provider, clock)
    openid_provider.keys_response = None
    clock.move(MINUTE_MS)
    signed_in(openids, openid_provider, clock)
    openid_provider.keys_response = response
    clock.move(2 * HOUR_MS)
    signed_in(openids, openid_provider, clock)
    built.close()


def test_sign_in_keys_are_not_used_for_trusted_publishing(
    openid_provider: OpenIdProvider, fetcher: JsonClient, clock: ManualClock, tmp_path: Path
) -> None:
    """At sign-in the provider can name another host for its keys, so one issuer has two key sets."""
    built = sites.build(tmp_path, clock)
    key_sets = built.request_parts.exchanging.key_sets
    signed_in(OpenIdProviders(fetcher, clock, key_sets), openid_provider, clock)
    assert not key_sets.stored(Issuer("x", BUILT_IN[0].kind, openid_provider.address).key_source).keys
    built.close()


@pytest.mark.parametrize(
    ("named", "accepted"),
    [
        (["RS256"], {"RS256"}),
        (["none", "HS256", "ES384", "RS256", "EdDSA", 1, None, []], {"ES384", "RS256"}),
        (["none", "HS256"], {"RS256"}),
        (None, {"RS256"}),
        ("RS256 HS256", {"RS256"}),
    ],
)
def test_signatures_are_those_that_the_discovery_document_names(named: object, accepted: set[str]) -> None:
    """Never `none` or a shared secret; RS256 without a usable list."""
    document = DESCRIPTION | {"id_token_signing_alg_values_supported": named}
    assert accepted == openid_providers.parse_discovery(provider(), document).algorithms
