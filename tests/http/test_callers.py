"""The caller of a request: accepted kinds of secret, and the last use of API keys."""

from functools import partial
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from sqlalchemy import select
from starlette.requests import Request

from seaway.callers.caller import Caller
from seaway.database import tables
from seaway.errors import BadCredential
from seaway.http.caller import caller_of
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.serving.caller_identification import Accepted
from tests.support.clock import ManualClock
from tests.support.requests import bearer
from tests.support.sites import Factory

GRAPHQL = {"query": "{ viewer { login } }"}


def request_with(seaway: Seaway, secret: str) -> Request:
    """A request with this secret as a bearer token."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"authorization", f"Bearer {secret}".encode())],
        "client": ("192.0.2.7", 50_000),
        "app": create_app(seaway),
    }
    return Request(scope)


def test_cached_caller_is_not_reused_for_fewer_kinds_of_secret(seaway: Seaway, factory: Factory) -> None:
    """An API key that was accepted before in the same request is still no publish token."""
    request = request_with(seaway, factory.key("ada"))
    with start_blocking_portal() as portal:
        assert "ada" == portal.call(caller_of, request).name
        for accepted in (Accepted.WORKFLOW, Accepted.OAUTH, Accepted.SESSION):
            with pytest.raises(BadCredential):
                portal.call(caller_of, request, accepted)
        caller: Caller = portal.call(caller_of, request, Accepted.BEARER)
    assert ("ada", "192.0.2.7") == (caller.name, caller.address)


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/api/graphql", {"json": GRAPHQL}),
        ("GET", "/api/v1/me", {}),
        ("GET", "/channels", {}),
        ("POST", "/api/v1/upload/nothing", {"content": b""}),
        ("HEAD", "/api/v1/uploads/unknown", {"headers": {"Tus-Resumable": "1.0.0"}}),
        ("PUT", "/api/v1/channels/nothing/logo", {"content": b"x"}),
    ],
)
def test_every_route_updates_the_last_use_of_a_key(
    seaway: Seaway, factory: Factory, clock: ManualClock, method: str, path: str, options: dict[str, Any]
) -> None:
    """The API, pages, uploads, and the GraphQL query with which clients of prefix.dev check a key."""
    headers = bearer(factory.key("ada")) | options.get("headers", {})
    transport = httpx.ASGITransport(create_app(seaway), client=("192.0.2.7", 50_000))
    http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
    with start_blocking_portal() as portal:
        portal.call(partial(http.request, method, path, **(options | {"headers": headers})))
    seaway.request_parts.usage_counter.write()
    with seaway.site.database.read() as tx:
        used = tx.execute(select(tables.keys.c.used_at, tables.keys.c.used_from)).one()
    assert (clock.now_ms(), "192.0.2.7") == tuple(used)
