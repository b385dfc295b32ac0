"""
Every route with every kind of caller in a public and a private channel, compared with `tests/http/matrix.py`.

A route without a row fails, and so does a row without a route, so each new route needs a row with its permissions.
The requests are built in `tests/http/matrix_*.py`; a plain GET needs no builder.
"""

from collections.abc import Collection, Iterable

import httpx
import pytest

from seaway.api.v1 import app as v1
from seaway.server.app import ROUTES
from tests.conftest import Site
from tests.http import (
    matrix,
    matrix_account,
    matrix_channels,
    matrix_files,
    matrix_requests,
    matrix_site,
    matrix_trusted_publishing,
)
from tests.http.matrix_requests import MatrixContext, RouteRequest

Contexts = tuple[MatrixContext, MatrixContext]  # of a public and a private channel

BUILDERS = (
    matrix_account,
    matrix_channels,
    matrix_files,
    matrix_site,
    matrix_trusted_publishing,
)  # importing them registers their request builders
ROWS = matrix.rows(matrix.KEYS)
SIGNED_IN_ROWS = matrix.rows(matrix.SESSIONS)
# The same code refuses all of them, so the usual tests use one at every route and the slow tests use the others.
USUAL_BAD, OTHER_BAD = ("revoked",), ("expired", "disabled", "garbled")
BAD = (*USUAL_BAD, *OTHER_BAD)
# These headers differ in every response.
_VARYING_HEADERS = {"date", "seaway-request-id"}


def all_routes() -> set[str]:
    """Return every method and path of the application."""
    routes = [(route.path, route.methods) for route in ROUTES if hasattr(route, "methods")]
    api = [(f"{v1.PREFIX}{route.path}", route.methods) for route in v1.routes()]
    return {f"{method} {path}" for path, methods in [*routes, *api] for method in methods or ()}


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    """Each new route needs a row with its permissions."""
    assert all_routes() == {matrix.route_of(row) for row in ROWS}


def test_every_request_builder_belongs_to_a_row() -> None:
    assert set() == set(matrix_requests.BUILDERS) - set(ROWS) - set(SIGNED_IN_ROWS)
    assert {matrix.route_of(row) for row in SIGNED_IN_ROWS} <= all_routes()


@pytest.fixture(scope="module")
def contexts(site: Site, http: httpx.Client) -> Contexts:
    """A public and a private channel, with the keys of all callers in the table."""
    public, private = (matrix_requests.create_context(site, http, public=is_public) for is_public in (True, False))
    return public, private


@pytest.mark.parametrize("row", ROWS)
def test_requests_with_keys_match_the_table(contexts: Contexts, row: str) -> None:
    """Each caller gets the status in the table, in a public and a private channel; refusals change nothing."""
    assert_as_in_the_table(contexts, row, [caller for caller in contexts[0].secrets if caller not in OTHER_BAD])


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_requests_with_other_invalid_keys_match_the_table(contexts: Contexts, row: str) -> None:
    """Expired keys, keys of disabled users, and keys with a wrong checksum."""
    assert_as_in_the_table(contexts, row, OTHER_BAD)


def assert_as_in_the_table(contexts: Contexts, row: str, callers: Collection[str]) -> None:
    expected = ROWS[row]
    statuses = {
        caller: tuple(status(context, row, caller, context.key_headers(caller)) for context in contexts)
        for caller in callers
    }
    assert matrix.format_cells(
        {caller: expected["bad" if caller in BAD else caller] for caller in statuses}
    ) == matrix.format_cells(statuses)


@pytest.mark.parametrize("row", SIGNED_IN_ROWS)
def test_signed_in_requests_match_the_table(contexts: Contexts, row: str) -> None:
    """The same for users signed in with a browser."""
    expected = SIGNED_IN_ROWS[row]
    statuses = {
        caller: tuple(status(context, row, caller, context.session_headers(caller)) for context in contexts)
        for caller in expected
    }
    assert matrix.format_cells(expected) == matrix.format_cells(statuses)


def status(context: MatrixContext, row: str, caller: str, credentials: dict[str, str]) -> int:
    """Return the status of the row's requests, which must all get the same."""
    responses = []
    for request in matrix_requests.requests_of(context, row, caller):
        response = send(context, row, request, credentials)
        request.check(response.status_code < 300)
        responses.append(response)
    assert len({response.status_code for response in responses}) == 1, [
        (response.url, response.status_code) for response in responses
    ]
    return responses[0].status_code


def send(context: MatrixContext, row: str, request: RouteRequest, credentials: dict[str, str]) -> httpx.Response:
    method = row.partition(" ")[0]
    headers = {**(credentials if request.with_credentials else {}), **request.headers}
    return context.http.request(
        method, request.path, json=request.json, content=request.content, params=request.params, headers=headers
    )


CHANNEL_ROWS = [row for row in ROWS if "{channel" in row or "{path" in row]


@pytest.mark.parametrize("row", CHANNEL_ROWS)
def test_private_channel_is_indistinguishable_from_missing_channel(contexts: Contexts, row: str) -> None:
    """Callers without access get the status, headers and body of a missing channel, byte for byte (P4)."""
    private = contexts[1]
    callers = [(caller, private.key_headers(caller)) for caller in ("anonymous", "nonmember", "elsewhere", *USUAL_BAD)]
    assert_hidden(private, row, [*callers, ("nonmember", private.session_headers("nonmember"))])


@pytest.mark.slow
@pytest.mark.parametrize("row", CHANNEL_ROWS)
def test_private_channel_is_indistinguishable_with_other_invalid_keys(contexts: Contexts, row: str) -> None:
    """Expired keys, keys of disabled users, and keys with a wrong checksum (P4)."""
    assert_hidden(contexts[1], row, [(caller, contexts[1].key_headers(caller)) for caller in OTHER_BAD])


def assert_hidden(private: MatrixContext, row: str, callers: Iterable[tuple[str, dict[str, str]]]) -> None:
    for caller, credentials in callers:
        for request in matrix_requests.requests_of(private, row, caller):
            hidden = comparable(send(private, row, request, credentials))
            unknown = comparable(send(private, row, request.for_missing_channel(private.channel), credentials))
            assert hidden == unknown, caller


def comparable(response: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in _VARYING_HEADERS]
    return response.status_code, headers, response.content


def test_table_cells_are_parsed() -> None:
    """One status for public and private channels, or one for each."""
    assert {"GET /x": {"a": (200, 200), "b": (200, 404)}} == matrix.rows("  a  b\nA heading\nGET /x   200  200/404")
