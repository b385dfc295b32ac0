"""Routing: the shortcut for reads leads to the same route as the route list; every route rejects bad requests alike."""

import re
from itertools import product

import httpx
import pytest
from starlette.routing import Match, Route

from seaway.api.v1 import app as v1
from seaway.server import app
from seaway.server.app import READ_ROUTE, ROUTES, SITE_ROUTES, create_app
from seaway.server.wiring import Seaway
from seaway.users.reserved_names import is_reserved

SITE_WORDS = app._first_segments(SITE_ROUTES)
ENDINGS = ("", "/", "/x", "/v1/upload/x", "//", "/live", "/seaway.css", "x", "/..", "%2f", "\u00e9")


def first_match(path: str, method: str) -> object:
    """Return the first route of the list that matches."""
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    return next(route for route in ROUTES if route.matches(scope)[0] is Match.FULL)


@pytest.mark.parametrize("word", sorted(SITE_WORDS | {"chan", "t", "apix", "Api", "_seaway", "health.", "%61pi", " "}))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_read_shortcut_agrees_with_the_route_list(word: str, method: str) -> None:
    """Only paths that only the read route matches take the shortcut; all others use the route list."""
    for path in ["", *(f"/{word}{ending}" for ending in ENDINGS)]:
        if app._first_segment(path) not in SITE_WORDS:
            assert first_match(path, method) is READ_ROUTE


def test_first_segments_of_site_routes_are_reserved_names() -> None:
    """A channel with such a name would be read through the slower route list."""
    assert [] == [word for word in SITE_WORDS if word and not is_reserved(word)]


def test_read_route_is_in_the_route_list() -> None:
    """The permission table is compared with this list; the read route comes last but one."""
    assert [*SITE_ROUTES, READ_ROUTE] == ROUTES[:-1]
    assert ROUTES[-1].methods == {"OPTIONS"}


@pytest.mark.anyio
async def test_nul_in_path_or_query_is_refused_on_every_route(seaway: Seaway) -> None:
    """404 for a NUL in the path and 400 in the query, with a message in the format of the page or API."""
    routes = [(route.path, route.methods) for route in ROUTES if hasattr(route, "methods")]
    routes += [(v1.PREFIX + route.path, route.methods) for route in v1.routes()]
    transport = httpx.ASGITransport(create_app(seaway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        for path, methods in routes:
            path_without_nul, path_with_nul = (re.sub(r"\{.*?\}", part, path) for part in ("x", "x%00"))
            targets = {f"{path_without_nul}?q=%00": 400, f"{path_without_nul}?%00": 400} | (
                {} if path_without_nul == path_with_nul else {path_with_nul: 404}
            )
            for method, (target, status) in product(methods or (), targets.items()):
                response = await http.request(method, target)
                assert status == response.status_code, (method, target)
        page = await http.get("/channels/robots?q=%00", headers={"Accept": "text/html"})
        assert (400, True) == (page.status_code, "contains a NUL character. Leave it out." in page.text)
        api_response = await http.put("/api/v1/channels/%00/logo")
        assert (404, "not-found") == (api_response.status_code, api_response.json()["code"])


@pytest.mark.anyio
async def test_wrong_method_returns_405_with_all_allowed_methods(seaway: Seaway) -> None:
    """Allow lists the methods of all routes of the path and no others, also in the API (RFC 9110, 15.5.6)."""
    declared: dict[str, set[str]] = {}
    listed = [(route.path, route.methods) for route in ROUTES if isinstance(route, Route)]
    for path, methods in [*listed, *((v1.PREFIX + route.path, route.methods) for route in v1.routes())]:
        declared.setdefault(re.sub(r"\{.*?\}", "x", path), set()).update(methods or ())
    transport = httpx.ASGITransport(create_app(seaway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        for path, methods in declared.items():
            response = await http.request("BREW", path)
            allowed = set(response.headers["allow"].split(", "))
            assert 405 == response.status_code, path
            assert methods <= allowed, path
            for extra in allowed - methods:
                assert 405 != (await http.request(extra, path)).status_code, (extra, path)
