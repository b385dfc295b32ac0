"""
Validation of ID tokens from OpenID providers (OpenID Connect Core, 3.1.3.7).

1. The algorithm is one that the provider's discovery document names, and asymmetric; the key is one of the
   provider's, of the type that the algorithm needs.
2. Issuer, audience and nonce must match exactly: a token for another site, from another sign-in or of a workflow does
   not sign anyone in.
3. A token is unambiguous (`oidc.jwt`).
4. The access token issued with it matches `at_hash`, if the ID token has that claim (3.1.3.8).
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from joserfc.jwk import Key

from seaway.clock import DAY_MS, MINUTE_MS
from seaway.errors import NotAllowed
from seaway.oidc import jwt
from seaway.oidc.jwt import BadToken, ParsedToken, TokenRules
from seaway.sign_in.identity_providers import Provider

_MAX_AGE_MS = DAY_MS  # since issue: the token comes directly from the provider
_MAX_SUBJECT = 255


def rules_of(provider: Provider) -> TokenRules:
    """Return the rules for ID tokens of a provider."""
    return TokenRules(frozenset(provider.algorithms), requires_kid=False, whole_seconds=False, leeway_ms=MINUTE_MS)


def verified(
    text: str,
    find_key: Callable[[ParsedToken], Key],
    provider: Provider,
    *,
    nonce: str,
    access_token: object,
    now_ms: int,
) -> Mapping[str, Any]:
    """Return the claims; raise `NotAllowed` if a check fails. `find_key` raises `BadToken` for an unknown key."""
    rules = rules_of(provider)
    try:
        token = jwt.read(text, rules)
        jwt.verify(token, find_key(token))
        jwt.check_times(token.claims, now_ms, rules)
        authenticated_ms = jwt.time_ms(token.claims, "auth_time", rules) if "auth_time" in token.claims else 0
    except BadToken as error:
        raise _refused(provider, str(error)) from None
    claims = token.claims
    if claims.get("iss") != provider.issuer:
        raise _refused(provider, "has the wrong issuer")
    _check_audience(claims, provider)
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise _refused(provider, "belongs to another sign-in")
    if "at_hash" in claims and isinstance(access_token, str) and claims["at_hash"] != _at_hash(token, access_token):
        raise _refused(provider, "belongs to another access token")
    if jwt.time_ms(claims, "iat", rules) < now_ms - _MAX_AGE_MS:
        raise _refused(provider, "is too old")
    if authenticated_ms > now_ms + rules.leeway_ms:
        raise _refused(provider, "has a sign-in time in the future")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
        raise _refused(provider, "has no usable subject")
    return claims


def _check_audience(claims: Mapping[str, Any], provider: Provider) -> None:
    """Require our client id in `aud`, and as `azp` if that is present or there are several audiences."""
    audience = claims.get("aud")
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or provider.client_id not in listed:
        raise _refused(provider, "is intended for another site")
    authorized_party = claims.get("azp")
    if (authorized_party is not None or len(listed) > 1) and authorized_party != provider.client_id:
        raise _refused(provider, "was issued to another site")


def _at_hash(token: ParsedToken, access_token: str) -> str:
    """Return the left half of the hash that the signature of the ID token uses, such as SHA-256 for RS256."""
    digest = hashlib.new(f"sha{token.algorithm[2:]}", access_token.encode(errors="replace")).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode().rstrip("=")


def _refused(provider: Provider, problem: str) -> NotAllowed:
    return NotAllowed(
        f"The ID token from {provider.title} {problem}.", "Sign in again; if that does not help, contact the operator."
    )
