"""
Every route x everybody x public and private, against the tables of `tests/http/matrix.py`.

A route without a row fails, and so does a row without a route: whoever adds a route says there who may use it. How a
route is asked stands in `tests/http/asks_*.py`, where a plain GET needs nothing.
"""

from collections.abc import Collection, Iterable

import httpx
import pytest

from seaway.api.v1 import app as v1
from seaway.server.app import ROUTES
from tests.conftest import Site
from tests.http import asks, asks_account, asks_channels, asks_files, asks_site, asks_trust, matrix
from tests.http.asks import Ask, Stage

BUILDERS = (asks_account, asks_channels, asks_files, asks_site, asks_trust)  # which put theirs into one table
ROWS = matrix.rows(matrix.KEYS)
OF_PERSONS = matrix.rows(matrix.SESSIONS)
# One place refuses them all: the usual tests ask with one of them at every route, the slow ones with the others.
USUAL_BAD, OTHER_BAD = ("revoked",), ("expired", "disabled", "garbled")
BAD = (*USUAL_BAD, *OTHER_BAD)
# What every answer has of its own.
_OWN = {"date", "seaway-request-id"}


def all_routes() -> set[str]:
    """Every method at every path that the application answers."""
    routes = [(route.path, route.methods) for route in ROUTES if hasattr(route, "methods")]
    api = [(f"{v1.PREFIX}{route.path}", route.methods) for route in v1.routes()]
    return {f"{method} {path}" for path, methods in [*routes, *api] for method in methods or ()}


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    """Whoever adds a route says in the table who may use it."""
    assert all_routes() == {matrix.route_of(row) for row in ROWS}


def test_every_special_way_of_asking_is_of_a_row() -> None:
    """No builder of requests is left behind when its route goes."""
    assert set() == set(asks.BUILDERS) - set(ROWS) - set(OF_PERSONS)
    assert {matrix.route_of(row) for row in OF_PERSONS} <= all_routes()


@pytest.fixture(scope="module")
def stages(site: Site, http: httpx.Client) -> tuple[Stage, Stage]:
    """A public and a private channel, and the keys of everybody in the table."""
    return asks.stage(site, http, public=True), asks.stage(site, http, public=False)


@pytest.mark.parametrize("row", ROWS)
def test_with_keys(stages: tuple[Stage, Stage], row: str) -> None:
    """Everybody gets what the table says, in a public and in a private channel, and a refusal changes nothing."""
    assert_as_in_the_table(stages, row, [who for who in stages[0].secrets if who not in OTHER_BAD])


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_with_other_bad_keys(stages: tuple[Stage, Stage], row: str) -> None:
    """The same with keys that are bad in another way."""
    assert_as_in_the_table(stages, row, OTHER_BAD)


def assert_as_in_the_table(stages: tuple[Stage, Stage], row: str, whos: Collection[str]) -> None:
    expected = ROWS[row]
    found = {who: tuple(status(stage, row, who, stage.signed(who)) for stage in stages) for who in whos}
    assert matrix.written({who: expected["bad" if who in BAD else who] for who in found}) == matrix.written(found)


@pytest.mark.parametrize("row", OF_PERSONS)
def test_signed_in(stages: tuple[Stage, Stage], row: str) -> None:
    """The same, for people in a browser."""
    expected = OF_PERSONS[row]
    found = {who: tuple(status(stage, row, who, stage.signed_in(who)) for stage in stages) for who in expected}
    assert matrix.written(expected) == matrix.written(found)


def status(stage: Stage, row: str, who: str, credentials: dict[str, str]) -> int:
    """The one status that all requests of the row get."""
    answers = []
    for ask in asks.of(stage, row, who):
        answer = send(stage, row, ask, credentials)
        ask.check(answer.status_code < 300)
        answers.append(answer)
    assert len({answer.status_code for answer in answers}) == 1, [(one.url, one.status_code) for one in answers]
    return answers[0].status_code


def send(stage: Stage, row: str, ask: Ask, credentials: dict[str, str]) -> httpx.Response:
    method = row.partition(" ")[0]
    headers = {**(credentials if ask.signed else {}), **ask.headers}
    return stage.http.request(method, ask.path, json=ask.json, content=ask.content, params=ask.params, headers=headers)


OF_CHANNELS = [row for row in ROWS if "{channel" in row or "{path" in row]


@pytest.mark.parametrize("row", OF_CHANNELS)
def test_private_channel_is_indistinguishable_from_missing_channel(stages: tuple[Stage, Stage], row: str) -> None:
    """To who may not read it: the same status, headers and body, byte for byte, as for a name that nobody has (P4)."""
    private = stages[1]
    strangers = [(who, private.signed(who)) for who in ("nobody", "stranger", "elsewhere", *USUAL_BAD)]
    assert_hidden(private, row, [*strangers, ("stranger", private.signed_in("stranger"))])


@pytest.mark.slow
@pytest.mark.parametrize("row", OF_CHANNELS)
def test_a_private_channel_looks_like_none_with_other_bad_keys(stages: tuple[Stage, Stage], row: str) -> None:
    """The same with keys that are bad in another way (P4)."""
    assert_hidden(stages[1], row, [(who, stages[1].signed(who)) for who in OTHER_BAD])


def assert_hidden(private: Stage, row: str, strangers: Iterable[tuple[str, dict[str, str]]]) -> None:
    for who, credentials in strangers:
        for ask in asks.of(private, row, who):
            hidden = seen(send(private, row, ask, credentials))
            unknown = seen(send(private, row, ask.elsewhere(private.channel), credentials))
            assert hidden == unknown, who


def seen(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in _OWN]
    return answer.status_code, headers, answer.content


def test_cells_are_read_as_they_are_written() -> None:
    """The table itself: one status for both, or one for each."""
    assert {"GET /x": {"a": (200, 200), "b": (200, 404)}} == matrix.rows("  a  b\nA heading\nGET /x   200  200/404")
