"""One event loop for the folder, so that the processes that examine packages start once; and a client of the house."""

from collections.abc import AsyncIterator

import httpx
import pytest

from seaway.server.app import create_app
from seaway.server.wiring import Seaway


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package", autouse=True)
async def one_loop(anyio_backend: str) -> None:
    """An asynchronous fixture keeps its loop until the folder is done."""


@pytest.fixture
async def http(seaway: Seaway) -> AsyncIterator[httpx.AsyncClient]:
    """A client of this house, in this process."""
    transport = httpx.ASGITransport(app=create_app(seaway))
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test") as client:
        yield client
