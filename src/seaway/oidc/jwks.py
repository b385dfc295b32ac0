"""Parse an issuer's JSON Web Key Set into the keys that can sign tokens. No I/O."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, RSAKey

from seaway import strict_json
from seaway.oidc.jwt import MAX_KID, TokenRules

MAX_BYTES = 1024 * 1024
MAX_KEYS = 100
_MIN_BITS = 2_048
_MIN_MODULUS = 342  # base64url characters for _MIN_BITS
_MAX_BITS = 8_192  # checking a signature with a larger key takes long
_MAX_EXPONENT = 2**32
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


class BadKeySet(ValueError):
    """The content is not a key set, or has no usable key."""


@lru_cache(maxsize=64)
def read_keys(text: str, rules: TokenRules) -> Sequence[Key]:
    """Return the usable keys; skip keys that are too weak or too large, or for other algorithms or purposes."""
    try:
        found_set = strict_json.decode(text.encode())
    except strict_json.NotStrict:
        raise BadKeySet("it is not plain JSON") from None
    entries = found_set.get("keys") if isinstance(found_set, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise BadKeySet(f"it has no list of at most {MAX_KEYS} keys")
    usable = [jwk for jwk in entries if isinstance(jwk, dict) and _is_usable(jwk, rules)]
    found = [key for jwk in usable if (key := _import_key(jwk)) is not None]
    if not found:
        raise BadKeySet("it has no usable key")
    named = [(jwk["kty"], jwk["kid"]) for jwk in usable if "kid" in jwk]
    if len(set(named)) != len(named):
        raise BadKeySet("it has two keys with the same key ID")
    return found


def select_key(keys: Sequence[Key], algorithm: str, kid: str | None) -> Key | None:
    """Return the key that a token names; without a key ID, the only key for its algorithm. None if there is none."""
    matching = [key for key in keys if kid in (None, key.kid) and algorithm in _algorithms(key.as_dict(private=False))]
    return matching[0] if len(matching) == 1 else None


def key_ids(keys: Sequence[Key]) -> list[str]:
    """Return the IDs of the keys that have one."""
    return [key.kid for key in keys if key.kid is not None]


def _is_usable(jwk: Mapping[str, Any], rules: TokenRules) -> bool:
    return (
        jwk.get("use", "sig") == "sig"
        and not rules.algorithms.isdisjoint(_algorithms(jwk))
        and ("kid" in jwk or not rules.requires_kid)
        and ("kid" not in jwk or (isinstance(jwk["kid"], str) and 1 <= len(jwk["kid"]) <= MAX_KID))
    )


def _algorithms(jwk: Mapping[str, Any]) -> set[str]:
    """Return the algorithms that the key can be used with: those of its type, or the one that it names."""
    match jwk.get("kty"):
        case "RSA":
            possible = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
        case "EC":
            possible = {algorithm for algorithm, curve in _CURVES.items() if curve == jwk.get("crv")}
        case _:
            possible = set()
    return {algorithm for algorithm in possible if jwk.get("alg", algorithm) == algorithm}


def _import_key(jwk: Mapping[str, Any]) -> Key | None:
    """Import the public key, ignoring all other members, private key parts included; None if it is unusable."""
    named = {name: jwk[name] for name in ("kid", "alg") if name in jwk}
    try:
        if jwk["kty"] == "EC":
            return ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")} | named)
        if len(jwk["n"]) < _MIN_MODULUS:
            return None
        key = RSAKey.import_key({name: jwk[name] for name in ("kty", "n", "e")} | named)
        numbers = key.public_key.public_numbers()
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    is_sound = 3 <= numbers.e < _MAX_EXPONENT and numbers.e % 2 == 1
    return key if is_sound and _MIN_BITS <= numbers.n.bit_length() <= _MAX_BITS else None
