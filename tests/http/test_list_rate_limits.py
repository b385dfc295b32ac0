"""Rate limits of searches and lists by IP address: 429 with Retry-After, on pages and in the API."""

from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from seaway.callers.rate_limits import Limit
from seaway.clock import MINUTE_MS, SECOND_MS
from seaway.errors import TooManyRequests
from seaway.http import request_limits
from seaway.http.request_limits import RateLimiter
from seaway.server.app import create_app
from tests.support import sites
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file


@pytest.fixture
async def http(tmp_path: Path, clock: ManualClock) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that allows an IP address six lists a minute."""
    with closing(sites.build(tmp_path, clock, searches_per_minute=6)) as seaway:
        Factory(seaway).channel("boats", owner="ada")
        transport = httpx.ASGITransport(create_app(seaway))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client


@pytest.mark.anyio
async def test_searches_and_lists_share_one_limit(http: httpx.AsyncClient, clock: ManualClock) -> None:
    """Pages and the API share one count; index documents, channel pages and health checks are not counted."""
    lists = (
        "/search?q=a",
        "/channels",
        "/api/v1/search?q=a",
        "/api/v1/channels",
        "/api/v1/channels/boats/packages",
        "/channels/boats?q=a",
    )
    assert [200] * 6 == [(await http.get(path)).status_code for path in lists]
    refused = [await http.get(path) for path in lists]
    assert [(429, "10")] * 6 == [(response.status_code, response.headers["retry-after"]) for response in refused]
    assert "too-many" == refused[3].json()["code"]
    unlimited = ("/", "/channels/boats", "/boats/noarch/repodata.json", "/health/live")
    assert [200] * 4 == [(await http.get(path)).status_code for path in unlimited]
    clock.move(10 * SECOND_MS)
    assert [200, 429] == [(await http.get("/search?q=a")).status_code for _ in range(2)]


def test_ipv6_addresses_are_limited_by_their_64_prefix(clock: ManualClock) -> None:
    """Another /64 has its own count."""
    limit = RateLimiter(clock, Limit(2, MINUTE_MS), "searches")
    limit.take("2001:db8:1:2::1")
    limit.take("2001:db8:1:2:ffff::2")
    with pytest.raises(TooManyRequests):
        limit.take("2001:db8:1:2::3")
    limit.take("2001:db8:1:3::1")


def test_number_of_counted_addresses_is_bounded(clock: ManualClock) -> None:
    """A client with a million addresses cannot fill the memory: the longest unused entries are dropped."""
    limit = RateLimiter(clock, Limit(1, MINUTE_MS), "searches")
    for number in range(request_limits._MAX_CALLERS + 5):
        limit.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert request_limits._MAX_CALLERS == len(limit._buckets)
    limit.take("10.0.0.0")


def test_limiter_without_limit_allows_everything(clock: ManualClock) -> None:
    limit = RateLimiter(clock, None, "searches")
    for _ in range(1_000):
        limit.take("10.0.0.1")


@pytest.mark.anyio
async def test_file_lists_and_comparisons_are_limited_by_caller(tmp_path: Path, clock: ManualClock) -> None:
    """Pages and the API share one count; a comparison counts as ten; users count by account, not by address or key."""
    with closing(sites.build(tmp_path, clock)) as built:
        limiter = RateLimiter(clock, Limit(12, MINUTE_MS), "lists and comparisons of files in packages")
        seaway = replace(built, request_parts=replace(built.request_parts, file_list_limit=limiter))
        factory = Factory(seaway)
        factory.channel("boats", owner="ada")
        for number in (1, 2):
            await publish_file(
                seaway, "boats", conda(index_json("demo", build=f"h{number}_{number}", build_number=number))
            )
        file, other = "noarch/demo-1.0-h1_1.conda", "noarch/demo-1.0-h2_2.conda"
        paths, difference = (f"/api/v1/channels/boats/files/{file}/{what}" for what in ("paths", "difference"))
        shown = f"/channels/boats/packages/demo/files/{file}"
        transport = httpx.ASGITransport(create_app(seaway))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def statuses(*addresses: str, key: str | None = None) -> list[int]:
                headers = {} if key is None else {"Authorization": f"Bearer {key}"}
                return [(await client.get(address, headers=headers)).status_code for address in addresses]

            compared = f"{difference}?against={other}"
            assert [200, 200, 200, 429] == await statuses(compared, shown, paths, paths)
            refused = await client.get(f"{shown}?against={other}")
            assert 429 == refused.status_code
            assert "Too many lists and comparisons of files in packages." in refused.text
            assert "50" == refused.headers["retry-after"]
            keys = [factory.key("ada") for _ in range(2)]
            assert [200] == await statuses(compared, key=keys[0])
            assert [200, 200, 429] == await statuses(paths, paths, paths, key=keys[1])
            assert [200] == await statuses(paths, key=factory.key("bob"))
            before = seaway.site.database.change_mark()
            assert [429] * 3 == await statuses(paths, shown, compared)
            assert before == seaway.site.database.change_mark(), "counting wrote to the database"
            clock.move(50 * SECOND_MS)
            assert [200, 429] == await statuses(f"{shown}?against={other}", shown)


@pytest.mark.anyio
async def test_limit_below_cost_of_comparison_allows_one(tmp_path: Path, clock: ManualClock) -> None:
    limit = RateLimiter(clock, Limit(3, MINUTE_MS), "comparisons")
    limit.take("user 1", request_limits.COMPARISON_COST)
    with pytest.raises(TooManyRequests):
        limit.take("user 1", request_limits.COMPARISON_COST)
    clock.move(MINUTE_MS)
    limit.take("user 1", request_limits.COMPARISON_COST)
