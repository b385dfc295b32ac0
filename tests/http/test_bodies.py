"""Timeouts of request bodies, and the response to a client that stalls or is too slow."""

import anyio
import pytest
from starlette.requests import Request
from starlette.types import Message

from seaway.errors import TooSlow, UnsupportedContentEncoding
from seaway.http import bodies, problems

pytestmark = pytest.mark.anyio


def request_of(*pauses: float, encoding: bytes = b"identity") -> Request:
    """A request whose body sends one byte after each of these pauses, in seconds, and then a last byte."""
    remaining = list(pauses)

    async def receive() -> Message:
        if not remaining:
            return {"type": "http.request", "body": b"x"}
        await anyio.sleep(remaining.pop(0))
        return {"type": "http.request", "body": b"x", "more_body": True}

    return Request(
        {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-encoding", encoding)]}, receive
    )


async def read(request: Request) -> int:
    return len(b"".join([chunk async for chunk in bodies.body_of(request)]))


@pytest.mark.parametrize("encoding", [b"gzip", b"identity, gzip"])
async def test_encoded_body_is_refused(encoding: bytes) -> None:
    """Its bytes are not those of the file, so it is refused before any of them is read."""
    assert 1 == await read(request_of(encoding=b"Identity"))
    with pytest.raises(UnsupportedContentEncoding, match="Content-Encoding"):
        await read(request_of(encoding=encoding))


async def test_stalled_body_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stall timeout applies to each chunk."""
    assert 2 == await read(request_of(0))
    monkeypatch.setattr(bodies, "_STALL_SECONDS", 0.01)
    with pytest.raises(TooSlow):
        await read(request_of(3600))


async def test_slow_body_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only after the grace period; a byte per ten milliseconds is below the minimum of two thousand per second."""
    assert 3 == await read(request_of(0.01, 0.01))
    monkeypatch.setattr(bodies, "_GRACE_SECONDS", 0)
    with pytest.raises(TooSlow):
        await read(request_of(0.01, 0.01))


async def test_connection_of_slow_client_is_closed() -> None:
    """Otherwise the rest of its body would be parsed as the next request."""
    response = problems.response_for(TooSlow("No byte came for a while.", "Upload again."), request_of())
    assert (408, "close") == (response.status_code, response.headers["connection"])
