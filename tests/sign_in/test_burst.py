"""A burst of 200 simultaneous sign-ins (case 9)."""

import resource

import anyio
import pytest

from seaway.errors import TooManyRequests
from seaway.sign_in.password_sign_in import BrowserInfo, SignedIn
from tests.support.accounts import Accounts

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_burst_of_sign_ins_uses_little_memory(accounts: Accounts) -> None:
    """Some succeed and the rest get TooManyRequests; the event loop keeps running and memory stays bounded."""
    accounts.add("ada")
    await accounts.sign_in("ada")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: list[bool] = []
    progress: set[int] = set()

    async def sign_in(number: int) -> None:
        try:
            result = await accounts.sign_in("ada", client=BrowserInfo(f"10.{number}.0.1"))
            outcomes.append(isinstance(result, SignedIn))
        except TooManyRequests:
            outcomes.append(False)

    async def watch() -> None:
        while len(outcomes) < 200:
            progress.add(len(outcomes))
            await anyio.sleep(0)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        for number in range(200):
            group.start_soon(sign_in, number)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert 200 == len(outcomes)
    assert 5 <= sum(outcomes) < 200
    assert len(progress) > 20, "the event loop was blocked while passwords were hashed"
    assert grown_mb < 200
