"""Where each client puts its key: a bearer token, basic authentication, or the path (`/t/<key>/...`)."""

import base64
import binascii
from collections.abc import Sequence

from starlette.requests import Request

from seaway import ids
from seaway.serving.identity import Secrets


def secrets_of(authorizations: Sequence[str], session: str, *, in_path: str = "") -> Secrets:
    """
    Return the secrets of a request by its headers, its session cookie and its path.

    A cookie never stands in for an Authorization header, and a query string is not looked at: it is logged by
    whatever stands in between.
    """
    bearer = [in_path] if in_path else []
    return Secrets((*bearer, *_secrets_in(authorizations)), "" if authorizations else session)


def _secrets_in(values: Sequence[str]) -> list[str]:
    """
    Return the secrets that the Authorization headers may hold, most likely first; empty when there is no header.

    conda and mamba can only say `user:password`; the key may be either.
    """
    if len(values) != 1:
        return ["" for _ in values]
    scheme, _, value = values[0].partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return [value]
    if scheme.lower() == "basic":
        user, _, password = _decoded(value).partition(":")
        return sorted((password, user), key=ids.is_well_formed, reverse=True)
    return [""]


def address_of(request: Request) -> str:
    """The client's address, for the audit log; the server has taken forwarded headers of trusted proxies into account."""
    return request.client.host if request.client else ""


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
