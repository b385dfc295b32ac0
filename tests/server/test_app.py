"""The short way of reads leads where the list of routes would."""

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

WORDS = app._first_segments(SITE_ROUTES)
ENDINGS = ("", "/", "/x", "/v1/upload/x", "//", "/live", "/seaway.css", "x", "/..", "%2f", "\u00e9")


def first_match(path: str, method: str) -> object:
    """The route that the list gives a request to."""
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    return next(route for route in ROUTES if route.matches(scope)[0] is Match.FULL)


@pytest.mark.parametrize("word", sorted(WORDS | {"chan", "t", "apix", "Api", "_seaway", "health.", "%61pi", " "}))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reads_go_where_the_list_sends_them(word: str, method: str) -> None:
    """What takes the short way is what only the route of reads wants; everything else asks the list."""
    for path in ["", *(f"/{word}{ending}" for ending in ENDINGS)]:
        if app._first_segment(path) not in WORDS:
            assert first_match(path, method) is READ_ROUTE


def test_no_word_of_the_site_is_a_channel() -> None:
    """The words that go the long way can be the name of no channel, so no channel is read more slowly."""
    assert [] == [word for word in WORDS if word and not is_reserved(word)]


def test_every_route_is_in_the_list() -> None:
    """Reads are in the list that the table of permissions is compared with, as the last but one."""
    assert [*SITE_ROUTES, READ_ROUTE] == ROUTES[:-1]
    assert ROUTES[-1].methods == {"OPTIONS"}


@pytest.mark.anyio
async def test_no_route_sees_a_nul(seaway: Seaway) -> None:
    """Not in a part of its path, not in its query: 404 and 400, with a sentence in the form of its face."""
    asked = [(route.path, route.methods) for route in ROUTES if hasattr(route, "methods")]
    asked += [(v1.PREFIX + route.path, route.methods) for route in v1.routes()]
    transport = httpx.ASGITransport(create_app(seaway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        for path, methods in asked:
            plain, holed = (re.sub(r"\{.*?\}", part, path) for part in ("x", "x%00"))
            addresses = {f"{plain}?q=%00": 400, f"{plain}?%00": 400} | ({} if plain == holed else {holed: 404})
            for method, (address, status) in product(methods or (), addresses.items()):
                answer = await http.request(method, address)
                assert status == answer.status_code, (method, address)
        for_people = await http.get("/channels/robots?q=%00", headers={"Accept": "text/html"})
        assert (400, True) == (for_people.status_code, "contains a NUL character. Leave it out." in for_people.text)
        of_api = await http.put("/api/v1/channels/%00/logo")
        assert (404, "not-found") == (of_api.status_code, of_api.json()["code"])


@pytest.mark.anyio
async def test_a_wrong_method_hears_every_method_of_its_path(seaway: Seaway) -> None:
    """405 with the methods of all routes at the path, also below the documented API, and with no other (RFC 9110, 15.5.6)."""
    declared: dict[str, set[str]] = {}
    listed = [(route.path, route.methods) for route in ROUTES if isinstance(route, Route)]
    for path, methods in [*listed, *((v1.PREFIX + route.path, route.methods) for route in v1.routes())]:
        declared.setdefault(re.sub(r"\{.*?\}", "x", path), set()).update(methods or ())
    transport = httpx.ASGITransport(create_app(seaway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        for path, methods in declared.items():
            answer = await http.request("BREW", path)
            allowed = set(answer.headers["allow"].split(", "))
            assert 405 == answer.status_code, path
            assert methods <= allowed, path
            for extra in allowed - methods:
                assert 405 != (await http.request(extra, path)).status_code, (extra, path)
