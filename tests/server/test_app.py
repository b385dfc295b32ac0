"""The short way of reads leads where the list of routes would."""

import pytest
from starlette.routing import Match

from seaway.accounts.reserved import is_reserved
from seaway.server import app
from seaway.server.app import OF_SITE, READ, ROUTES

WORDS = app._first_words(OF_SITE)
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
        if app._first_word(path) not in WORDS:
            assert first_match(path, method) is READ


def test_no_word_of_the_site_is_a_channel() -> None:
    """The words that go the long way can be the name of no channel, so no channel is read more slowly."""
    assert [] == [word for word in WORDS if word and not is_reserved(word)]


def test_every_route_is_in_the_list() -> None:
    """Reads are in the list that the table of permissions is compared with, as the last but one."""
    assert [*OF_SITE, READ] == ROUTES[:-1]
    assert ROUTES[-1].methods == {"OPTIONS"}
