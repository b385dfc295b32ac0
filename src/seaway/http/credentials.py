"""Credentials in a request: bearer token, basic authentication, or the path (`/t/<key>/...`)."""

import base64
import binascii
from collections.abc import Sequence

from starlette.requests import Request

from seaway import secret_tokens
from seaway.serving.caller_identification import Secrets


def secrets_of(authorizations: Sequence[str], session: str, *, in_path: str = "") -> Secrets:
    """
    Return the secrets of a request from its headers, session cookie and path.

    The cookie is ignored if there is an Authorization header. Query strings are never read for secrets, because proxies
    log them.
    """
    bearer = [in_path] if in_path else []
    return Secrets((*bearer, *_header_secrets(authorizations)), "" if authorizations else session)


def _header_secrets(values: Sequence[str]) -> list[str]:
    """
    Return the possible secrets in the Authorization headers, most likely first; empty without a header.

    conda and mamba can only send `user:password`; either may be the key.
    """
    if len(values) != 1:
        return ["" for _ in values]
    scheme, _, value = values[0].partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return [value]
    if scheme.lower() == "basic":
        user, _, password = _decoded(value).partition(":")
        return sorted((password, user), key=secret_tokens.is_well_formed, reverse=True)
    return [""]


def client_ip(request: Request) -> str:
    """Return the client's IP address; the server has already applied the forwarded headers of trusted proxies."""
    return request.client.host if request.client else ""


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
