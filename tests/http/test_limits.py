"""How often an address may search and list: over it 429 with the time to wait, on pages and in the API alike."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from seaway.accounts.throttle import Limit
from seaway.clock import MINUTE_MS, SECOND_MS
from seaway.errors import TooMany
from seaway.http import limits
from seaway.http.limits import ListLimit
from seaway.server.app import create_app
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.house import People


@pytest.fixture
async def http(tmp_path: Path, clock: TurnedClock) -> AsyncIterator[httpx.AsyncClient]:
    """A house where an address may ask for six lists a minute."""
    with closing(house.build(tmp_path, clock, searches_per_minute=6)) as seaway:
        People(seaway).channel("boats", owner="ada")
        transport = httpx.ASGITransport(create_app(seaway))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client


@pytest.mark.anyio
async def test_searches_and_lists_are_counted_together(http: httpx.AsyncClient, clock: TurnedClock) -> None:
    """Every door to them leads through one count; what solvers and people look at is not counted."""
    lists = (
        "/search?q=a",
        "/channels",
        "/api/v1/search?q=a",
        "/api/v1/channels",
        "/api/v1/channels/boats/packages",
        "/channels/boats?sort=updated",
    )
    assert [200] * 6 == [(await http.get(path)).status_code for path in lists]
    refused = [await http.get(path) for path in lists]
    assert [(429, "10")] * 6 == [(answer.status_code, answer.headers["retry-after"]) for answer in refused]
    assert "too-many" == refused[3].json()["code"]
    others = ("/", "/channels/boats", "/boats/noarch/repodata.json", "/health/live")
    assert [200] * 4 == [(await http.get(path)).status_code for path in others]
    clock.move(10 * SECOND_MS)
    assert [200, 429] == [(await http.get("/search?q=a")).status_code for _ in range(2)]


def test_an_address_is_one_place(clock: TurnedClock) -> None:
    """An IPv6 address stands for its /64; another place is not touched."""
    limit = ListLimit(clock, Limit(2, MINUTE_MS))
    limit.take("2001:db8:1:2::1")
    limit.take("2001:db8:1:2:ffff::2")
    with pytest.raises(TooMany):
        limit.take("2001:db8:1:2::3")
    limit.take("2001:db8:1:3::1")


def test_what_is_kept_is_bounded(clock: TurnedClock) -> None:
    """A stranger with a million addresses does not fill the memory, and pushes the longest unused out."""
    limit = ListLimit(clock, Limit(1, MINUTE_MS))
    for number in range(limits._MOST_ADDRESSES + 5):
        limit.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert limits._MOST_ADDRESSES == len(limit._buckets)
    limit.take("10.0.0.0")


def test_the_operator_may_set_no_limit(clock: TurnedClock) -> None:
    """None is any number."""
    limit = ListLimit(clock, None)
    for _ in range(1_000):
        limit.take("10.0.0.1")
