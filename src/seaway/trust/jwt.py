"""
A token of a stranger, read so strictly that nobody can read it differently.

1. One text is one token: three parts of canonical, unpadded base64url. What is only nearly so is refused, else the
   same token could come again as another text.
2. One token says one thing: UTF-8 JSON objects without a member twice, without NaN, without lone surrogates, and not
   nested deeper than any honest token. Of two `iss`, one library takes the first and another the last.
3. The only algorithm is RS256, with a key that we chose by the issuer and the key's name. What the header says about
   keys (`jwk`, `jku`, `x5u`, `x5c`) is never looked at.

No library that we tried does all of it; joserfc, the strictest, checks the signature.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from seaway.trust import token_json
from seaway.trust.refusals import Code, TokenRefused

MAX_TOKEN = 48 * 1024  # a GitLab token of a member of 200 groups has 20 kB
MAX_KID = 256

_PART = re.compile(r"[A-Za-z0-9_-]+")
_REGISTRY = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says; nothing of it is true before `verify`."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def kid(self) -> str:
        """The name of the key that it says it was signed with."""
        kid: str = self.header["kid"]
        return kid


def read(text: str) -> Token:
    """What the text says; `malformed-token` unless it can be read in one way only."""
    if len(text) > MAX_TOKEN:
        raise _malformed(f"is longer than {MAX_TOKEN:,} characters")
    parts = text.split(".")
    if len(parts) != 3:
        raise _malformed("does not have three parts")
    header, claims, _ = [_decoded(part) for part in parts]
    try:
        return Token(text, token_json.read_object(header), token_json.read_object(claims))
    except ValueError:
        raise _malformed("does not hold plain JSON objects") from None


def require_plain_header(token: Token) -> None:
    """Return if the header asks for RS256 with a named key, and for nothing special."""
    header = token.header
    kid = header.get("kid")
    if header.get("alg") != "RS256":
        raise _invalid("is not signed with RS256")
    if "crit" in header or "b64" in header:
        raise _invalid("asks for an extension")
    if "typ" in header and header["typ"] != "JWT":
        raise _invalid("is of another type than JWT")
    if not isinstance(kid, str) or not 1 <= len(kid) <= MAX_KID:
        raise _invalid("does not name the key that it is signed with")


def verify(token: Token, key: RSAKey) -> None:
    """Return if the token was signed with this key."""
    try:
        jws.deserialize_compact(token.text, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        raise _invalid("is not signed by its issuer") from None


def _decoded(part: str) -> bytes:
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise _malformed("is not plain base64url")
    content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != part:
        raise _malformed("is not plain base64url")  # bits behind the end that do not count
    return content


def _malformed(what: str) -> TokenRefused:
    return TokenRefused(Code.MALFORMED_TOKEN, f"The token {what}.")


def _invalid(what: str) -> TokenRefused:
    return TokenRefused(Code.INVALID_TOKEN, f"The token {what}.")
