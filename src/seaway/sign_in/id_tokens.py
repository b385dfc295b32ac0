"""
Validation of ID tokens from OpenID providers (OpenID Connect Core, 3.1.3.7).

1. The algorithm is in the operator's list; the key is one of the provider's, of the type that the algorithm needs.
2. Issuer, audience and nonce must match exactly: a token for another site, from another sign-in or of a workflow does
   not sign anyone in.
3. A token is unambiguous: no JSON member occurs twice, and numbers are finite.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, RSAKey

from seaway.clock import SECOND_MS
from seaway.errors import NotAllowed
from seaway.sign_in.identity_providers import Provider

_LEEWAY_SECONDS = 60
_MAX_AGE_SECONDS = 24 * 60 * 60  # since issue: the token comes directly from the provider
_MAX_CHARS = 64 * 1024
_MAX_SUBJECT = 255
_MIN_MODULUS_CHARS = 342  # characters of base64url in 2048 bits
_KINDS: Mapping[str, type[Key]] = {"RS": RSAKey, "PS": RSAKey, "ES": ECKey}


class UnknownKey(Exception):
    """The token names a key that is not in the cached JWKS; the provider may have rotated its keys."""


def keys_of(document: object) -> list[Key]:
    """Return the signing keys of a JWKS document; unknown entries are ignored (RFC 7517, 5)."""
    listed = document.get("keys") if isinstance(document, dict) else None
    return [key for entry in (listed if isinstance(listed, list) else []) if (key := _key(entry)) is not None]


def verified(text: str, keys: Sequence[Key], provider: Provider, *, nonce: str, now_ms: int) -> Mapping[str, Any]:
    """Return the claims; raise `NotAllowed` if a check fails, `UnknownKey` if the cached keys may be outdated."""
    claims = _signed(text, keys, provider)
    now = now_ms / SECOND_MS
    if claims.get("iss") != provider.issuer:
        raise _refused(provider, "has the wrong issuer")
    _check_audience(claims, provider)
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise _refused(provider, "belongs to another sign-in")
    if _time(claims, "exp", provider) + _LEEWAY_SECONDS <= now:
        raise _refused(provider, "has expired")
    issued = _time(claims, "iat", provider)
    if not now - _MAX_AGE_SECONDS <= issued <= now + _LEEWAY_SECONDS:
        raise _refused(provider, "is too old, or was issued in the future")
    if "nbf" in claims and _time(claims, "nbf", provider) > now + _LEEWAY_SECONDS:
        raise _refused(provider, "is not valid yet")
    if "auth_time" in claims and _time(claims, "auth_time", provider) > now + _LEEWAY_SECONDS:
        raise _refused(provider, "has a sign-in time in the future")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
        raise _refused(provider, "has no usable subject")
    return claims


def _signed(text: str, keys: Sequence[Key], provider: Provider) -> dict[str, Any]:
    registry = jws.JWSRegistry(algorithms=list(provider.algorithms), strict_check_header=False)
    try:
        if len(text) > _MAX_CHARS:
            raise _refused(provider, "is too long")
        header = jws.extract_compact(text.encode(), registry=registry).headers()
        key = _select_key(header, keys, provider)
        return _object(jws.deserialize_compact(text, key, registry=registry).payload or b"")
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise _refused(provider, "has no valid signature") from None


def _select_key(header: Mapping[str, Any], keys: Sequence[Key], provider: Provider) -> Key:
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in provider.algorithms or "crit" in header or header.get("typ", "JWT") != "JWT":
        raise _refused(provider, "has an unexpected algorithm or type")
    of_type = [key for key in keys if isinstance(key, _KINDS[algorithm[:2]])]
    matching = [key for key in of_type if kid is None or key.kid == kid]
    if not matching:
        raise UnknownKey
    if len(matching) > 1:
        raise _refused(provider, "does not name its signing key")
    return matching[0]


def _check_audience(claims: Mapping[str, Any], provider: Provider) -> None:
    """Require our client id in `aud`, and as `azp` if that is present or there are several audiences."""
    audience = claims.get("aud")
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or provider.client_id not in listed:
        raise _refused(provider, "is intended for another site")
    authorized_party = claims.get("azp")
    if (authorized_party is not None or len(listed) > 1) and authorized_party != provider.client_id:
        raise _refused(provider, "was issued to another site")


def _time(claims: Mapping[str, Any], name: str, provider: Provider) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise _refused(provider, f"has no usable {name}")
    return float(value)


def _key(entry: object) -> Key | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") not in ("RSA", "EC"):
        return None
    if entry["kty"] == "RSA" and len(str(entry.get("n", ""))) < _MIN_MODULUS_CHARS:
        return None
    try:
        return JWKRegistry.import_key(entry)
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _object(content: bytes) -> dict[str, Any]:
    value = json.loads(content.decode(), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise TypeError
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError


def _refused(provider: Provider, problem: str) -> NotAllowed:
    return NotAllowed(
        f"The ID token from {provider.title} {problem}.", "Sign in again; if that does not help, contact the operator."
    )
