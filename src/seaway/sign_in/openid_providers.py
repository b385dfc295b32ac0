"""
Sign-in with an OpenID provider: discovery document, keys, and exchange of a code for an ID token.

1. The discovery document is fetched from the configured issuer and must name the same issuer.
2. Its endpoints are used only if requests to them cannot be read or changed on the way (`is_safe_url`).
3. Keys are stored for all workers (`oidc.key_sets`).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import quote

from seaway.clock import HOUR_MS, SECOND_MS, Clock
from seaway.errors import NotAllowed, Unavailable
from seaway.oidc.fetching import FetchFailed, KeySource, fetch_discovery
from seaway.oidc.key_sets import KeySets, KeysUnavailable
from seaway.outbound import JsonClient
from seaway.sign_in import id_tokens
from seaway.sign_in.identity_providers import ALGORITHMS, ExternalAccount, Provider, is_safe_url
from seaway.urls import normal_url

_CACHED_MS = HOUR_MS
_ONLY_SIGNED = frozenset({"auth_time"})  # accepted only from an ID token, which is signed and validated
_REQUIRED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, slots=True)
class DiscoveryDocument:
    """The parts of an OpenID provider's discovery document that we use."""

    issuer: str  # as written by the provider; its tokens must contain the same value
    authorize_url: str
    token_url: str
    keys_url: str
    userinfo_url: str
    sends_iss: bool  # whether the authorization response contains `iss` (RFC 9207)
    supports_basic: bool
    algorithms: frozenset[str]  # that its ID tokens are signed with


class OpenIdProviders:
    """Client of OpenID providers, with the discovery documents cached in this process."""

    def __init__(self, fetcher: JsonClient, clock: Clock, key_sets: KeySets) -> None:
        self._fetcher, self._clock, self._key_sets = fetcher, clock, key_sets
        self._descriptions: dict[str, tuple[DiscoveryDocument, int]] = {}

    def discovery(self, provider: Provider) -> DiscoveryDocument:
        """Return the discovery document of a provider, at most an hour old."""
        known = self._descriptions.get(provider.issuer)
        if known is not None and 0 <= self._clock.now_ms() - known[1] < _CACHED_MS:
            return known[0]
        try:
            found = parse_discovery(provider, fetch_discovery(_source(provider)))
        except FetchFailed as error:
            raise _unusable(provider, f"its discovery document: {error}") from None
        self._descriptions[provider.issuer] = (found, self._clock.now_ms())
        return found

    def external_account(self, provider: Provider, form: Mapping[str, str], *, nonce: str) -> ExternalAccount:
        """Exchange the code of a redirect and return the external account."""
        metadata = self.discovery(provider)
        tokens = self._exchange_code(provider, metadata, form)
        text = tokens.get("id_token")
        if not isinstance(text, str):
            raise _unusable(provider, "no id_token")
        access_token = tokens.get("access_token")
        claims = self._verified(provider, metadata, text, nonce, access_token)
        return account_from_claims(provider, self._with_userinfo(metadata, claims, access_token))

    def _exchange_code(
        self, provider: Provider, metadata: DiscoveryDocument, form: Mapping[str, str]
    ) -> Mapping[str, Any]:
        headers, secret = {}, {}
        if metadata.supports_basic:
            pair = ":".join(
                quote(part, safe="") for part in (provider.client_id, provider.client_secret)
            )  # RFC 6749, 2.3.1
            headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        else:
            secret = {"client_secret": provider.client_secret}
        reply = self._fetcher.post(metadata.token_url, {**form, **secret, "client_id": provider.client_id}, headers)
        if reply.status in (400, 401, 403):
            raise NotAllowed(f"{provider.title} did not accept its own sign-in code.", "Sign in again.")
        if reply.status != 200:
            raise _unusable(provider, f"status {reply.status}")
        return reply.json_object()

    def _verified(
        self, provider: Provider, metadata: DiscoveryDocument, text: str, nonce: str, access_token: object
    ) -> Mapping[str, Any]:
        as_written = replace(provider, issuer=metadata.issuer, algorithms=metadata.algorithms)
        source = replace(_source(provider), keys_url=metadata.keys_url, rules=id_tokens.rules_of(as_written))
        try:
            return id_tokens.verified(
                text,
                partial(self._key_sets.key, source),
                as_written,
                nonce=nonce,
                access_token=access_token,
                now_ms=self._clock.now_ms(),
            )
        except KeysUnavailable as error:
            raise _unusable(provider, f"its keys: {error}") from None

    def _with_userinfo(
        self, metadata: DiscoveryDocument, claims: Mapping[str, Any], access_token: object
    ) -> Mapping[str, Any]:
        """Add claims from the userinfo endpoint: many ID tokens contain no `email` (OpenID Connect Core, 5.3)."""
        if "email" in claims or not metadata.userinfo_url or not isinstance(access_token, str):
            return claims
        reply = self._fetcher.get(metadata.userinfo_url, {"Authorization": f"Bearer {access_token}"})
        userinfo = reply.json_object() if reply.status == 200 else {}
        userinfo = {name: value for name, value in userinfo.items() if name not in _ONLY_SIGNED}
        return {**userinfo, **claims} if userinfo.get("sub") == claims["sub"] else claims


def _source(provider: Provider) -> KeySource:
    """Return where keys come from; trusted publishing, which has stricter rules, has its own for the same issuer."""
    return KeySource(f"sign-in {provider.issuer}", provider.issuer, id_tokens.rules_of(provider), is_trusted=True)


def parse_discovery(provider: Provider, document: Mapping[str, Any]) -> DiscoveryDocument:
    """Parse a discovery document; raise `Unavailable` if its issuer or one of its endpoints is not acceptable."""
    if not _is_issuer(document.get("issuer"), provider.issuer):
        raise _unusable(provider, f"the discovery document of {provider.issuer} does not name this issuer")
    addresses = [document.get(name) for name in (*_REQUIRED, "userinfo_endpoint")]
    for address in addresses[: len(_REQUIRED)] + [found for found in addresses[len(_REQUIRED) :] if found is not None]:
        if not isinstance(address, str) or not is_safe_url(address, issuer=provider.issuer):
            raise _unusable(provider, f"the discovery document of {provider.issuer} has an unusable endpoint")
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    algorithms = document.get("id_token_signing_alg_values_supported")
    return DiscoveryDocument(
        issuer=document["issuer"],
        authorize_url=str(addresses[0]),
        token_url=str(addresses[1]),
        keys_url=str(addresses[2]),
        userinfo_url=str(addresses[3] or ""),
        sends_iss=document.get("authorization_response_iss_parameter_supported") is True,
        supports_basic=not isinstance(methods, list) or "client_secret_basic" in methods,
        # RS256 is the default (OpenID Connect Core, 3.1.3.7).
        algorithms=frozenset(name for name in ALGORITHMS if isinstance(algorithms, list) and name in algorithms)
        or frozenset({"RS256"}),
    )


def _is_issuer(named: object, configured: str) -> bool:
    """Return whether a document names the configured issuer; settings drop default ports and lowercase the host."""
    try:
        return isinstance(named, str) and normal_url(named) == configured
    except ValueError:
        return False


def account_from_claims(provider: Provider, claims: Mapping[str, Any]) -> ExternalAccount:
    """Return the external account that the claims describe; an unverified email address is left out."""
    address = claims.get("email")
    is_verified = claims.get("email_verified") is True and isinstance(address, str)
    if provider.requires_verified_email and not is_verified:
        raise NotAllowed(
            f"The email address of this account is not verified at {provider.title}.",
            "Verify it there, then sign in again.",
        )
    login = next(
        (text for name in ("preferred_username", "email", "name") if (text := _printable_text(claims, name))), ""
    )
    return ExternalAccount(
        provider=provider.name,
        issuer=provider.issuer,
        subject=claims["sub"],
        login=login or claims["sub"],
        full_name=_printable_text(claims, "name"),
        address=address if is_verified else None,
        authenticated_at_ms=int(claims.get("auth_time", 0) * SECOND_MS),
    )


def _printable_text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) and value.isprintable() else ""


def _unusable(provider: Provider, cause: str) -> Unavailable:
    return Unavailable(f"{provider.title} returned an unusable response.", "Try again in a moment.", cause=cause)
