"""
Strict parser for untrusted JSON Web Tokens: no token can be read in two ways.

1. A token has exactly one encoding: three parts of canonical, unpadded base64url. Any other encoding is refused;
   otherwise a used token could be sent again as a different string.
2. A token has exactly one meaning: its parts are strict JSON objects (`strict_json`) without deep nesting. With two
   `iss`, one library uses the first and another the last.
3. The algorithm is one that the caller allows, never a symmetric one or `none`, and the key is selected by the server.
   Keys in the header (`jwk`, `jku`, `x5u`, `x5c`) are ignored.

No library that we tried checks all of this. joserfc, the strictest, verifies the signature.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key

from seaway import strict_json
from seaway.clock import SECOND_MS

MAX_TOKEN = 64 * 1024  # a GitLab token of a member of 200 groups has 20 kB
MAX_KID = 256
_MAX_DEPTH = 32
_MAX_TIME = 1 << 53  # the largest integer that every parser represents exactly

_PART = re.compile(r"[A-Za-z0-9_-]+")


class BadToken(Exception):
    """The token was refused; the text continues "The token ..."."""


class MalformedToken(BadToken):
    """The token can be read in more than one way, or not at all."""


class InvalidToken(BadToken):
    """The header is not allowed, or the token is not signed by its issuer."""


class BadTime(BadToken):
    """A time claim is missing or has no usable value."""

    def __init__(self, claim: str, *, is_missing: bool) -> None:
        super().__init__(f"has no usable {claim}")
        self.claim, self.is_missing = claim, is_missing


class ExpiredToken(BadToken):
    """The token has expired."""


class ImmatureToken(BadToken):
    """The token is not valid yet."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Tokens that a caller accepts."""

    algorithms: frozenset[str]  # of RS*, PS* and ES*
    requires_kid: bool
    whole_seconds: bool  # whether times must be integers; RFC 7519 allows fractions
    leeway_ms: int  # for clocks that differ


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """A parsed token; its claims are not trustworthy before `verify`."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def algorithm(self) -> str:
        """Return the signature algorithm (`alg`) from the header."""
        algorithm: str = self.header["alg"]
        return algorithm

    @property
    def kid(self) -> str | None:
        """Return the key ID (`kid`) from the header."""
        kid: str | None = self.header.get("kid")
        return kid


def read(text: str, rules: TokenRules) -> ParsedToken:
    """Parse a token; raise `MalformedToken`, or `InvalidToken` if its header is not allowed."""
    if len(text) > MAX_TOKEN:
        raise MalformedToken(f"is longer than {MAX_TOKEN:,} characters")
    parts = text.split(".")
    if len(parts) != 3:
        raise MalformedToken("does not have three parts")
    header, claims, _ = [_decoded(part) for part in parts]
    token = ParsedToken(text, _object(header), _object(claims))
    _check_header(token.header, rules)
    return token


def verify(token: ParsedToken, key: Key) -> None:
    """Raise `InvalidToken` unless the token was signed with this key."""
    registry = jws.JWSRegistry(algorithms=[token.algorithm], strict_check_header=False)
    try:
        jws.deserialize_compact(token.text, key, registry=registry)
    except (JoseError, ValueError, TypeError):
        raise InvalidToken("is not signed by its issuer") from None


def check_times(claims: Mapping[str, Any], now_ms: int, rules: TokenRules) -> None:
    """Raise `BadTime`, `ExpiredToken` or `ImmatureToken` unless the token is valid now; `exp` and `iat` are required."""
    for name in ("exp", "iat"):
        if name not in claims:
            raise BadTime(name, is_missing=True)
    times = {name: time_ms(claims, name, rules) for name in ("exp", "iat", "nbf") if name in claims}
    if times["exp"] + rules.leeway_ms <= now_ms:
        raise ExpiredToken("has expired")
    if max(times["iat"], times.get("nbf", 0)) > now_ms + rules.leeway_ms:
        raise ImmatureToken("is not valid yet")


def time_ms(claims: Mapping[str, Any], name: str, rules: TokenRules) -> float:
    """Return a time claim in milliseconds; raise `BadTime` unless it is a number of seconds."""
    value: Any = claims.get(name)
    accepted = (int,) if rules.whole_seconds else (int, float)
    if type(value) not in accepted or not 0 <= value < _MAX_TIME:  # isinstance would accept a bool
        raise BadTime(name, is_missing=False)
    milliseconds: float = value * SECOND_MS
    return milliseconds


def _check_header(header: Mapping[str, Any], rules: TokenRules) -> None:
    """Require an allowed algorithm, a usable key ID and no extensions."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        raise InvalidToken(f"is not signed with {' or '.join(sorted(rules.algorithms))}")
    if "crit" in header or "b64" in header:
        raise InvalidToken("requires an extension")
    if "typ" in header and header["typ"] != "JWT":
        raise InvalidToken("is not of type JWT")
    if kid is None and not rules.requires_kid:
        return
    if not isinstance(kid, str) or not 1 <= len(kid) <= MAX_KID:
        raise InvalidToken("does not name the key that it is signed with")


def _decoded(part: str) -> bytes:
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise MalformedToken("is not plain base64url")
    content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != part:
        raise MalformedToken("is not plain base64url")  # trailing bits that decoders ignore
    return content


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = strict_json.decode(content, max_depth=_MAX_DEPTH)
    except strict_json.NotStrict:
        value = None
    if not isinstance(value, dict):
        raise MalformedToken("does not have plain JSON objects in its parts")
    return value
