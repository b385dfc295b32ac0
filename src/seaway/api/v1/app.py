"""
The routes of the API, their OpenAPI 3.1 description, and the ASGI application.

FastAPI provides routing and the description. Request ids, access logs and the handling of unexpected errors are the
server's, so FastAPI's application and middleware are not used; nor is its documentation page, which loads scripts from
another site.
"""

import re
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
from fastapi import APIRouter
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response
from starlette.routing import Route

from seaway.api.v1 import (
    account,
    audit,
    channels,
    corrections,
    email_addresses,
    file_changes,
    groups,
    identities,
    invitations,
    issuers,
    keys,
    members,
    notices,
    packages,
    passkeys,
    provenance,
    publishers,
    quotas,
    search,
    second_factors,
    site,
    statistics,
    transfers,
    uploads,
    user_search,
    users,
)
from seaway.api.v1.api_request import ANONYMOUS_ALLOWED
from seaway.api.v1.middleware import RequestChecks
from seaway.api.v1.schemas import Problem

PREFIX = "/api/v1"

_DESCRIPTION = """\
Everything that the pages of this Seaway server can do, for programs.

Send an API key as `Authorization: Bearer swy-u-...`. Operations that require a session (such as creating a key or
deleting a channel) do not accept keys: send the session cookie and, for all methods but GET, the header `X-CSRF-Token`.
A recent sign-in is a session in which you signed in or confirmed your identity within the last half hour.

Lists are paginated: send `next` of a response as `after` to get the next page. Times are ISO 8601 in UTC.
Error responses are `{"code", "message", "hint"}`. Things that you cannot access look as if they did not exist.

Uploading, deleting and yanking single files use separate routes below `/api/v1`, which pixi and rattler-build call;
they respond with one plain sentence. To upload a logo, send the picture as the body of
`PUT /api/v1/channels/{channel}/logo`.
"""

_ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Malformed request."},
    401: {"model": Problem, "description": "The credential is missing or invalid."},
    403: {"model": Problem, "description": "You do not have permission."},
    404: {"model": Problem, "description": "Not found, or not visible to you."},
    408: {"model": Problem, "description": "The body arrived too slowly."},
    409: {"model": Problem, "description": "Conflict with the current state."},
    413: {"model": Problem, "description": "The body is larger than 64 KiB, or a quota is exceeded."},
    415: {"model": Problem, "description": "The body has a `Content-Encoding`."},
    422: {"model": Problem, "description": "A field is missing, unknown or invalid, or a name is taken."},
    429: {"model": Problem, "description": "Too many requests; retry after `Retry-After` seconds."},
    503: {"model": Problem, "description": "Temporarily unavailable; retry after `Retry-After` seconds."},
}

_SECURITY_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or an OAuth access token of a command-line tool (`pixi auth login --oauth`).",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-seaway_session",
        "description": "The session of a browser. All methods but GET also require the header `X-CSRF-Token`.",
    },
}

_MODULES = (
    account,
    email_addresses,
    identities,
    second_factors,
    passkeys,
    keys,
    channels,
    members,
    user_search,
    groups,
    invitations,
    transfers,
    notices,
    publishers,
    packages,
    statistics,
    file_changes,
    corrections,
    provenance,
    search,
    audit,
    uploads,
    users,
    quotas,
    issuers,
    site,
)

ROUTER = APIRouter(redirect_slashes=False, responses=_ERROR_RESPONSES)
for module in _MODULES:
    ROUTER.include_router(module.router)


def routes() -> list[Route]:
    """Return every route below the prefix."""
    routers = [module.router for module in _MODULES]
    return [route for router in (ROUTER, *routers) for route in router.routes if isinstance(route, Route)]


@cache
def openapi() -> dict[str, Any]:
    """Return the OpenAPI description."""
    description = get_openapi(
        title="Seaway",
        version=version("seaway"),
        summary="Conda package hosting.",
        description=_DESCRIPTION,
        routes=ROUTER.routes,
        servers=[{"url": PREFIX}],
    )
    description["components"]["securitySchemes"] = _SECURITY_SCHEMES
    description["security"] = [{name: []} for name in _SECURITY_SCHEMES]
    # Pydantic names the pages of a list `Page_Key_` and `Page[Key]`, which generators of clients cannot use as names.
    text = re.sub(rb"Page[_\[](\w+?)[_\]]", rb"\1Page", msgspec.json.encode(description))
    return msgspec.json.decode(text, type=dict[str, Any])


@cache
def _openapi_json() -> bytes:
    return msgspec.json.encode(openapi())


@ROUTER.get("/openapi.json", include_in_schema=False, openapi_extra=ANONYMOUS_ALLOWED)
async def get_openapi_json() -> Response:
    """Return the OpenAPI description."""
    return Response(_openapi_json(), media_type="application/json", headers={"Cache-Control": "public, max-age=300"})


APP = RequestChecks(AsyncExitStackMiddleware(ROUTER))
