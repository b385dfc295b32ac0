"""Parse an issuer's JSON Web Key Set into the keys that can sign tokens. No I/O."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from seaway import strict_json
from seaway.errors import Malformed
from seaway.trusted_publishing.jwt import MAX_KID

MAX_BYTES = 1024 * 1024
MAX_KEYS = 100
_LEAST_BITS = 2_048
_LEAST_MODULUS = 342  # base64url characters for _LEAST_BITS
_MOST_BITS = 8_192  # checking a signature with a larger key takes long
_LARGEST_EXPONENT = 2**32


class BadKeySet(ValueError):
    """The content is not a key set, or has no usable key."""


class FetchFailed(Exception):
    """The keys of an issuer could not be fetched; the text is the reason, for the operator."""


@lru_cache(maxsize=64)
def read_keys(text: str) -> Mapping[str, RSAKey]:
    """Return the usable keys by key ID; skip keys that are too weak or for other algorithms or purposes."""
    try:
        found_set = strict_json.decode(text.encode())
    except strict_json.NotStrict:
        raise BadKeySet("it is not plain JSON") from None
    entries = found_set.get("keys") if isinstance(found_set, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise BadKeySet(f"it has no list of at most {MAX_KEYS} keys")
    usable = [jwk for jwk in entries if isinstance(jwk, dict) and _is_usable(jwk)]
    found = {jwk["kid"]: key for jwk in usable if (key := _import_key(jwk)) is not None}
    if not found:
        raise BadKeySet("it has no usable key")
    if len({jwk["kid"] for jwk in usable}) != len(usable):
        raise BadKeySet("it has two keys with the same key ID")
    return found


def require_keys(text: str) -> None:
    """Raise `Malformed` unless this is a usable key set."""
    try:
        read_keys(text)
    except BadKeySet as error:
        raise Malformed(
            f"The key set cannot be used: {error}.", "Enter the JSON Web Key Set of the issuer, with RSA keys."
        ) from None


def _is_usable(jwk: Mapping[str, Any]) -> bool:
    kid = jwk.get("kid")
    return (
        jwk.get("kty") == "RSA"
        and jwk.get("use", "sig") == "sig"
        and jwk.get("alg", "RS256") == "RS256"
        and isinstance(kid, str)
        and 1 <= len(kid) <= MAX_KID
    )


def _import_key(jwk: Mapping[str, Any]) -> RSAKey | None:
    """Import the public key, ignoring all other members, private key parts included; None if it is unusable."""
    n = jwk.get("n")
    if not isinstance(n, str) or len(n) < _LEAST_MODULUS:
        return None
    try:
        key = RSAKey.import_key({"kty": "RSA", "n": n, "e": jwk["e"]})
        numbers = key.public_key.public_numbers()
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    is_sound = 3 <= numbers.e < _LARGEST_EXPONENT and numbers.e % 2 == 1
    return key if is_sound and _LEAST_BITS <= numbers.n.bit_length() <= _MOST_BITS else None
