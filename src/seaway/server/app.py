"""All routes, and the ASGI application."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from seaway.api import (
    channel_files,
    health,
    logos,
    oauth_provider,
    prefix,
    resumable_uploads,
    secret_scanning,
    token_exchange,
)
from seaway.api.misplaced_uploads import MisplacedUploads
from seaway.api.v1 import app as v1
from seaway.oauth import provider as paths
from seaway.server.request_middleware import Application
from seaway.server.wiring import Seaway
from seaway.web.path_redirects import PathRedirectRoute
from seaway.web.routes import PAGE_ROUTES

PREFIX_ROUTES = [
    # Called by pixi, rattler-build, rattler
    Route("/api/v1/upload/{channel:path}", prefix.upload, methods=["POST"]),
    Route("/api/v1/delete/{path:path}", prefix.delete, methods=["DELETE"]),
    Route("/api/v1/yank/{path:path}", prefix.yank, methods=["POST"]),
    Route("/api/v1/unyank/{path:path}", prefix.unyank, methods=["POST"]),
]
TUS_ROUTES = [
    # Called by the pages and by tus clients, for uploads that resume after a lost connection
    Route("/api/v1/uploads", resumable_uploads.options, methods=["OPTIONS"]),
    Route("/api/v1/uploads/{channel}", resumable_uploads.begin, methods=["POST"]),
    Route("/api/v1/uploads/{id}", resumable_uploads.get_offset, methods=["HEAD"]),
    Route("/api/v1/uploads/{id}", resumable_uploads.append, methods=["PATCH"]),
    Route("/api/v1/uploads/{id}", resumable_uploads.cancel, methods=["DELETE"]),
]


LOGO_ROUTES = [
    # Called by programs; outside the documented API because the body is an image, not JSON
    Route("/api/v1/channels/{channel}/logo", logos.put, methods=["PUT"]),
]


class _Documented(Mount):
    """Mount of the documented API, except the paths of the routes beside it: those also handle wrong methods there."""

    def __init__(self, path: str, app: ASGIApp) -> None:
        super().__init__(path, app)
        # By default a mount does not match a path with a line feed, and later routes would refuse it in another format.
        self.path_regex = re.compile(self.path_regex.pattern, re.DOTALL)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_beside = any(
            route.matches(scope)[0] is not Match.NONE for route in (*PREFIX_ROUTES, *TUS_ROUTES, *LOGO_ROUTES)
        )
        return (Match.NONE, {}) if is_beside else super().matches(scope)


SITE_ROUTES: list[Route | Mount] = [
    *PREFIX_ROUTES,
    *TUS_ROUTES,
    *LOGO_ROUTES,
    # Called by programs: the documented API
    _Documented(v1.PREFIX, v1.APP),
    # Called by pixi, rattler-build, rattler in workflows
    Route("/api/oidc/mint_token", token_exchange.mint_token, methods=["POST"]),
    Route("/api/oidc/token", token_exchange.revoke_token, methods=["DELETE"]),
    # Called by GitHub when it finds a published API key
    Route("/api/github/secret-scanning", secret_scanning.report, methods=["POST"]),
    # Called by command-line tools for OAuth: `pixi auth login --oauth`
    Route("/.well-known/openid-configuration", oauth_provider.discovery, methods=["GET"]),
    Route(paths.JWKS, oauth_provider.jwks, methods=["GET"]),
    Route(paths.DEVICE, oauth_provider.device, methods=["POST"]),
    Route(paths.TOKEN, oauth_provider.token, methods=["POST"]),
    Route(paths.REVOKE, oauth_provider.revoke, methods=["POST"]),
    Route(paths.USERINFO, oauth_provider.userinfo, methods=["GET"]),
    Route("/api/graphql", oauth_provider.graphql, methods=["POST"]),
    # Called by orchestrators
    Route("/health/live", health.live, methods=["GET"]),
    Route("/health/ready", health.ready, methods=["GET"]),
    # Called by browsers
    *PAGE_ROUTES,
]
# Called by solvers: everything else
READ_ROUTE = Route("/{path:path}", channel_files.read, methods=["GET"])
ROUTES: list[Route | Mount] = [
    *SITE_ROUTES,
    READ_ROUTE,
    Route("/{path:path}", channel_files.preflight, methods=["OPTIONS"]),
]


def create_app(seaway: Seaway, on_started: Callable[[], None] = lambda: None) -> Application:
    """Create the ASGI application; `on_started` is called once the HTTP server handles signals."""

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        on_started()
        await to_thread.run_sync(seaway.site.reserve.fill)
        await to_thread.run_sync(seaway.request_parts.publishing.examiners.warm_up)
        if seaway.settings.jobs:
            seaway.runner.start()
        seaway.request_parts.usage_counter.start()
        yield
        await to_thread.run_sync(seaway.runner.stop)
        await to_thread.run_sync(seaway.request_parts.usage_counter.stop)

    router = Router([MisplacedUploads(), PathRedirectRoute(), *ROUTES], redirect_slashes=False, lifespan=lifespan)
    return Application(_ReadShortcut(router), seaway.request_parts)


class _ReadShortcut:
    """
    Router that sends reads of channels to `READ_ROUTE` without matching the other routes.

    Nearly every request is a read of a channel, and matching a dozen routes takes as long as responding to it. Every
    route of the site starts with a fixed segment, so a path with another first segment can only match `READ_ROUTE`.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._fixed_segments = _first_segments(SITE_ROUTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not is_read or _first_segment(scope["path"]) in self._fixed_segments:
            root = scope.get("root_path", "")  # a mount appends to it
            try:
                await self._router(scope, receive, send)
            except HTTPException as error:
                if error.status_code != 405:
                    raise
                raise HTTPException(
                    405, headers={"Allow": ", ".join(_methods_at({**scope, "root_path": root}))}
                ) from None
            return
        scope["route"] = READ_ROUTE
        response = await channel_files.read(Request(scope, receive, send))
        await response(scope, receive, send)


def _methods_at(scope: Scope) -> list[str]:
    """Return the methods of all routes at the path; below a channel, the read methods."""
    routes = list(_routes_at(scope))
    return sorted({method for route in routes or ROUTES[-2:] for method in getattr(route, "methods", None) or ()})


def _routes_at(scope: Scope) -> Iterator[Route]:
    for route in SITE_ROUTES:
        match, child_scope = route.matches(scope)
        if match is Match.NONE:
            continue
        if isinstance(route, Route):
            yield route
        else:
            inner = {**scope, **child_scope}
            yield from (child for child in v1.routes() if child.matches(inner)[0] is not Match.NONE)


def _first_segments(routes: Sequence[Route | Mount]) -> frozenset[str]:
    segments = frozenset(_first_segment(route.path) for route in routes)
    assert not any("{" in segment for segment in segments), (
        "a route must start with a fixed segment, or it would match channels"
    )
    return segments


def _first_segment(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""
