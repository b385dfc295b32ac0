"""Where each client puts its key: a bearer token, basic authentication, or the path (`/t/<key>/...`)."""

import base64
import binascii
from collections.abc import Sequence

from starlette.requests import Request

from seaway import ids


def from_headers(request: Request) -> list[str]:
    """The secrets of a request; a key in the query string is ignored: query strings are logged by whatever stands in between."""
    return secrets_in(request.headers.getlist("authorization"))


def secrets_in(values: Sequence[str]) -> list[str]:
    """
    The secrets that the Authorization headers may hold, most likely first; empty when there is no header.

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
