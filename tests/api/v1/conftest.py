"""A client of the API of a house in this process, and of the shared server."""

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import Site


@pytest.fixture(scope="session")
def http(site: Site) -> Iterator[httpx.Client]:
    """A client of the API without a key."""
    with httpx.Client(base_url=f"{site.server.address}/api/v1/", timeout=60) as client:
        yield client
