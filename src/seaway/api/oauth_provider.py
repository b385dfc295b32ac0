"""
OpenID provider for command-line tools of Seaway's users, used by `pixi auth login HOST --oauth`.

    GET  /.well-known/openid-configuration   endpoints (OpenID Connect Discovery 1.0)
    GET  /api/oauth/jwks                     public key that signs ID tokens
    POST /api/oauth/device                   start the device flow (RFC 8628)
    POST /api/oauth/token                    exchange a code or refresh token for an access token (RFC 6749)
    POST /api/oauth/revoke                   revoke a grant (RFC 7009)
    GET  /api/oauth/userinfo                 claims about the user (OpenID Connect Core, 5.3)
    POST /api/graphql                        `viewer { login }`, which prefix.dev clients send to check a key

Every response is JSON, including errors: a client that polls for its user gives up on anything else.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from seaway.callers.caller import ANONYMOUS, Caller
from seaway.errors import BadCredential, SeawayError, TooManyRequests
from seaway.http import credentials, problems
from seaway.http.bodies import read_body
from seaway.http.caller import caller_of
from seaway.http.form_fields import fields_of
from seaway.http.parts import parts_of
from seaway.http.site_url import site_url_of
from seaway.oauth import provider
from seaway.oauth.grants import OAuthError
from seaway.oauth.provider import OAuthProvider
from seaway.serving.caller_identification import Accepted

_NO_CACHE_HTTP_1_0 = {"Pragma": "no-cache"}  # RFC 6749, 5.1; Cache-Control is set on every private response
_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
_CACHED_BRIEFLY = {"Cache-Control": "public, max-age=300", **_ANY_ORIGIN}
_QUERY_BYTES = 16 * 1024
_VIEWER = re.compile(r"\s*(?:query(?:\s+\w+)?\s*)?\{\s*viewer\s*\{\s*login\s*\}\s*\}\s*")

_Json = dict[str, Any]


async def discovery(request: Request) -> Response:
    """Return the provider metadata; never redirect: clients use the first response."""
    parts = parts_of(request)
    # A cache whose key omits Host would serve a response built from an attacker's Host header to other clients.
    headers = _ANY_ORIGIN if parts.uses_request_host else _CACHED_BRIEFLY
    return JSONResponse(provider.metadata(_openid(request).issuer), headers=headers)


async def jwks(request: Request) -> Response:
    """Return the public key set."""
    return JSONResponse(await to_thread.run_sync(_openid(request).key.public), headers=_CACHED_BRIEFLY)


async def device(request: Request) -> Response:
    """Return a device code and a user code."""
    return await _respond(request, provider.start_device)


async def token(request: Request) -> Response:
    """Return tokens, or the reason why there are none yet."""
    return await _respond(request, provider.issue)


async def revoke(request: Request) -> Response:
    """Revoke the OAuth grant of a token."""
    return await _respond(request, provider.revoke)


async def userinfo(request: Request) -> Response:
    """Return claims about the user of an access token."""
    by = await _caller(request, Accepted.OAUTH)
    if by.user_id is None:
        headers = {"WWW-Authenticate": 'Bearer realm="seaway", error="invalid_token"'}
        return JSONResponse({"error": "invalid_token"}, 401, _NO_CACHE_HTTP_1_0 | headers)
    return JSONResponse(await to_thread.run_sync(_claims, _openid(request), by.user_id), headers=_NO_CACHE_HTTP_1_0)


async def graphql(request: Request) -> Response:
    """Respond to the one query that clients send; for an invalid key, the viewer is null, as they expect."""
    body = await read_body(request, _QUERY_BYTES)
    try:
        query = msgspec.json.decode(body, type=_Query).query
    except (msgspec.MsgspecError, UnicodeDecodeError):
        query = ""
    if not _VIEWER.fullmatch(query):
        errors = {"errors": [{"message": "Only `query { viewer { login } }` is supported; use /api/v1 for the rest."}]}
        return JSONResponse(errors, 400, _NO_CACHE_HTTP_1_0)
    by = await _caller(request, Accepted.BEARER)
    viewer = None if by.user_id is None else {"login": by.name}
    return JSONResponse({"data": {"viewer": viewer}}, headers=_NO_CACHE_HTTP_1_0)


class _Query(msgspec.Struct):
    query: str


async def _respond(request: Request, act: Callable[..., _Json | OAuthError | None]) -> Response:
    """Read the form, run `act` in a thread, and return the response that the standards define."""
    try:
        form = await fields_of(request)
        call = partial(act, _openid(request), form, address=credentials.client_ip(request))
        result = await to_thread.run_sync(call)
    except TooManyRequests as error:
        # Tells a polling client to poll less often (RFC 8628, 3.5).
        return _error_response(
            OAuthError("slow_down", error.full_message), 429, {"Retry-After": str(error.retry_after_seconds)}
        )
    except SeawayError as error:
        problems.log_cause(error)
        status = problems.status_of(error)
        code = "invalid_request" if status < 500 else "temporarily_unavailable"
        return _error_response(OAuthError(code, error.full_message), status, problems.retry_after(error))
    if isinstance(result, OAuthError):
        return _error_response(result, 401 if result.code == "invalid_client" else 400)
    return JSONResponse(result or {}, headers=_NO_CACHE_HTTP_1_0)


def _error_response(refusal: OAuthError, status: int, headers: dict[str, str] | None = None) -> Response:
    """Return an error response (RFC 6749, 5.2)."""
    body = {"error": refusal.code, "error_description": refusal.description.replace('"', "'").replace("\\", "/")}
    return JSONResponse(body, status, _NO_CACHE_HTTP_1_0 | (headers or {}))


def _openid(request: Request) -> OAuthProvider:
    parts = parts_of(request)
    return replace(parts.openid, issuer=site_url_of(request)) if parts.uses_request_host else parts.openid


async def _caller(request: Request, accepted: Accepted) -> Caller:
    """Return the caller; an invalid credential counts as none, since each endpoint has its own error response."""
    try:
        return await caller_of(request, accepted)
    except BadCredential:
        return ANONYMOUS


def _claims(parts: OAuthProvider, user_id: int) -> _Json:
    with parts.database.read() as tx:
        return provider.claims_of(tx, user_id)
