"""
Strict parser for untrusted JSON Web Tokens: no token can be read in two ways.

1. A token has exactly one encoding: three parts of canonical, unpadded base64url. Any other encoding is refused;
   otherwise a used token could be sent again as a different string.
2. A token has exactly one meaning: its UTF-8 JSON objects have no duplicate members, no NaN, no lone surrogates and no
   deeper nesting than legitimate tokens need. With two `iss`, one library uses the first and another the last.
3. The only algorithm is RS256, with a key that the server selects by issuer and key ID. Keys in the header
   (`jwk`, `jku`, `x5u`, `x5c`) are ignored.

No library that we tried checks all of this. joserfc, the strictest, verifies the signature.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from seaway.trusted_publishing import token_json
from seaway.trusted_publishing.refusals import Code, TokenRefused

MAX_TOKEN = 48 * 1024  # a GitLab token of a member of 200 groups has 20 kB
MAX_KID = 256

_PART = re.compile(r"[A-Za-z0-9_-]+")
_REGISTRY = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """A parsed token; its claims are not trustworthy before `verify`."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def kid(self) -> str:
        """Return the key ID (`kid`) from the header."""
        kid: str = self.header["kid"]
        return kid


def read(text: str) -> ParsedToken:
    """Parse a token; refuse it as `malformed-token` if it can be read in more than one way."""
    if len(text) > MAX_TOKEN:
        raise _malformed(f"is longer than {MAX_TOKEN:,} characters")
    parts = text.split(".")
    if len(parts) != 3:
        raise _malformed("does not have three parts")
    header, claims, _ = [_decoded(part) for part in parts]
    try:
        return ParsedToken(text, token_json.read_object(header), token_json.read_object(claims))
    except ValueError:
        raise _malformed("does not have plain JSON objects in its parts") from None


def require_plain_header(token: ParsedToken) -> None:
    """Refuse the token unless its header has RS256, a key ID and no extensions."""
    header = token.header
    kid = header.get("kid")
    if header.get("alg") != "RS256":
        raise _invalid("is not signed with RS256")
    if "crit" in header or "b64" in header:
        raise _invalid("requires an extension")
    if "typ" in header and header["typ"] != "JWT":
        raise _invalid("is not of type JWT")
    if not isinstance(kid, str) or not 1 <= len(kid) <= MAX_KID:
        raise _invalid("does not name the key that it is signed with")


def verify(token: ParsedToken, key: RSAKey) -> None:
    """Refuse the token unless it was signed with this key."""
    try:
        jws.deserialize_compact(token.text, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        raise _invalid("is not signed by its issuer") from None


def _decoded(part: str) -> bytes:
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise _malformed("is not plain base64url")
    content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != part:
        raise _malformed("is not plain base64url")  # trailing bits that decoders ignore
    return content


def _malformed(what: str) -> TokenRefused:
    return TokenRefused(Code.MALFORMED_TOKEN, f"The token {what}.")


def _invalid(what: str) -> TokenRefused:
    return TokenRefused(Code.INVALID_TOKEN, f"The token {what}.")
