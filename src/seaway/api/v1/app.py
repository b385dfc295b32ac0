"""
Every route of the API, its description (OpenAPI 3.1), and the application that they make.

FastAPI brings the routes and the description. What is around a request (its id, its log line, the last net for
errors) is the server's own, so FastAPI's application and its middleware are not used; nor is its page for people,
which loads scripts from elsewhere.
"""

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
    addresses,
    audit,
    channels,
    corrections,
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
    people,
    provenance,
    publishers,
    quotas,
    search,
    second_factors,
    site,
    transfers,
    uploads,
    users,
)
from seaway.api.v1.asking import OPEN
from seaway.api.v1.entry import Entry
from seaway.api.v1.shapes import Problem

PREFIX = "/api/v1"

_DESCRIPTION = """\
Everything that the pages of a Seaway can do, for programs.

Send an API key as `Authorization: Bearer swy-u-...`. What only a person may do (making keys, deleting a channel)
needs a session instead: its cookie, and for all but GET the header `X-CSRF-Token`.

Lists come in pages: send `next` of an answer as `after` for the items that follow. Times are ISO 8601 in UTC.
A failed request is answered with `{"code", "message", "hint"}`. What you may not know of looks as if it were not there.

Uploading, deleting and yanking single files use separate addresses below `/api/v1`, which pixi and
rattler-build call; they answer with one plain sentence. A picture that becomes the logo of a channel is the body of
`PUT /api/v1/channels/{channel}/logo`.
"""

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request cannot be read."},
    401: {"model": Problem, "description": "A credential is needed, or the one that was sent is not good."},
    403: {"model": Problem, "description": "You may know of this, but not do that."},
    404: {"model": Problem, "description": "It is not there, or not for you."},
    408: {"model": Problem, "description": "The body stopped coming."},
    409: {"model": Problem, "description": "What there is now does not allow it."},
    413: {"model": Problem, "description": "The body is larger than 64 KiB, or a quota is used up."},
    422: {"model": Problem, "description": "A field is missing, unknown, or not what it must be; a name is taken."},
    429: {"model": Problem, "description": "Too many requests; `Retry-After` says when to come again."},
    503: {"model": Problem, "description": "Not now; `Retry-After` says when to come again."},
}

_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or the token of a tool that was logged in with `pixi auth login --oauth`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-seaway_session",
        "description": "Somebody who is signed in with a browser. All but GET also need the header `X-CSRF-Token`.",
    },
}

_NOUNS = (
    account,
    addresses,
    identities,
    second_factors,
    passkeys,
    keys,
    channels,
    members,
    people,
    groups,
    invitations,
    transfers,
    notices,
    publishers,
    packages,
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

ROUTER = APIRouter(redirect_slashes=False, responses=_PROBLEMS)
for noun in _NOUNS:
    ROUTER.include_router(noun.router)


def routes() -> list[Route]:
    """Every route below the prefix."""
    routers = [noun.router for noun in _NOUNS]
    return [route for router in (ROUTER, *routers) for route in router.routes if isinstance(route, Route)]


@cache
def openapi() -> dict[str, Any]:
    """The description of the API."""
    described = get_openapi(
        title="Seaway",
        version=version("seaway"),
        summary="Channels of conda packages.",
        description=_DESCRIPTION,
        routes=ROUTER.routes,
        servers=[{"url": PREFIX}],
    )
    described["components"]["securitySchemes"] = _SCHEMES
    described["security"] = [{name: []} for name in _SCHEMES]
    return described


@cache
def _openapi_json() -> bytes:
    return msgspec.json.encode(openapi())


@ROUTER.get("/openapi.json", include_in_schema=False, openapi_extra=OPEN)
async def get_openapi_json() -> Response:
    """The description of the API, for programs and for people with a viewer."""
    return Response(_openapi_json(), media_type="application/json", headers={"Cache-Control": "public, max-age=300"})


APP = Entry(AsyncExitStackMiddleware(ROUTER))
