"""Fixtures: one event loop for the folder, so that examiner processes start once, and a client of Seaway."""

from collections.abc import AsyncIterator

import httpx
import pytest

from seaway.server.app import create_app
from seaway.server.wiring import Seaway


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package", autouse=True)
async def shared_event_loop(anyio_backend: str) -> None:
    """Keep the event loop open for the whole folder: an asynchronous fixture holds its loop."""


@pytest.fixture
async def http(seaway: Seaway) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of this Seaway instance, in the same process."""
    transport = httpx.ASGITransport(app=create_app(seaway))
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test") as client:
        yield client
