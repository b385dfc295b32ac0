"""Two hundred people sign in at one moment (case 9)."""

import resource

import anyio
import pytest

from seaway.errors import TooManyRequests
from seaway.sign_in.password_sign_in import BrowserInfo, SignedIn
from tests.accounts.conftest import Folk

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_a_flood_of_sign_ins_costs_little_memory(folk: Folk) -> None:
    """Some get in, the rest is told to come back; the event loop goes on, and memory stays bounded."""
    folk.add("ada")
    await folk.sign_in("ada")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: list[bool] = []
    seen: set[int] = set()

    async def one(number: int) -> None:
        try:
            found = await folk.sign_in("ada", client=BrowserInfo(f"10.{number}.0.1"))
            outcomes.append(isinstance(found, SignedIn))
        except TooManyRequests:
            outcomes.append(False)

    async def watch() -> None:
        while len(outcomes) < 200:
            seen.add(len(outcomes))
            await anyio.sleep(0)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        for number in range(200):
            group.start_soon(one, number)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert 200 == len(outcomes)
    assert 5 <= sum(outcomes) < 200
    assert len(seen) > 20, "the event loop waited while passwords were hashed"
    assert grown_mb < 200
