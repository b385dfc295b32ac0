"""
Redirect page URLs that have a trailing slash, or capitals in the channel name.

1. A URL is redirected only if a page exists at the normalized path, so no redirect leads to another host.
"""

import re
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from seaway.web.routes import PAGE_ROUTES

_CHANNEL = re.compile(r"(/channels/)([^/]+)(.*)", re.DOTALL)


class PathRedirectRoute(Route):
    """Route placed before the pages; it matches only paths that name a page once normalized."""

    def __init__(self) -> None:
        super().__init__("/{path:path}", _redirect, methods=["GET"])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a path that changes by normalization and then names a page."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return Match.NONE, {}
        path = normalized_path(scope["path"])
        if path == scope["path"]:
            return Match.NONE, {}
        tidied_scope = {**scope, "path": path}
        is_page = any(route.matches(tidied_scope)[0] is Match.FULL for route in PAGE_ROUTES)
        return (Match.FULL, {"endpoint": self.endpoint, "path_params": {}}) if is_page else (Match.NONE, {})


def normalized_path(path: str) -> str:
    """Return the path without trailing slashes and with the channel name in lower case."""
    path = path.rstrip("/") or path
    found = _CHANNEL.fullmatch(path)
    return f"{found[1]}{found[2].lower()}{found[3]}" if found else path


async def _redirect(request: Request) -> Response:
    path = quote(normalized_path(request.scope["path"]))
    return RedirectResponse(f"{path}?{request.url.query}" if request.url.query else path, 308)
