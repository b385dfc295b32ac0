"""A key expires by the clock alone, also for cached responses."""

import httpx
import pytest

from seaway.clock import DAY_MS
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from tests.support.clock import ManualClock
from tests.support.requests import basic, bearer
from tests.support.sites import Factory

pytestmark = pytest.mark.anyio

PATHS = ("noarch/repodata.json", "noarch/repodata_shards.msgpack.zst", "notices.json", "channeldata.json")


@pytest.mark.parametrize("form", ["bearer", "basic", "path"])
async def test_expired_key_is_refused_without_a_write(
    seaway: Seaway, factory: Factory, clock: ManualClock, form: str
) -> None:
    """No commit signals that a key expired, so the clock is checked for each response, cached or not."""
    channel = factory.channel("chan", public=False)
    key = factory.key("owner", days=1)
    headers = {"bearer": bearer(key), "basic": basic("x", key), "path": {}}[form]
    prefix = f"/t/{key}/{channel}" if form == "path" else f"/{channel}"
    statuses = []
    transport = httpx.ASGITransport(app=create_app(seaway))
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test", headers=headers) as http:
        for moved_ms in (0, 0, DAY_MS - 1, 1):
            clock.move(moved_ms)
            statuses.append({(await http.get(f"{prefix}/{path}")).status_code for path in PATHS})
    assert [{200}, {200}, {200}, {401}] == statuses
