"""How long a body is waited for, and what a client is told whose body stops or crawls."""

import anyio
import pytest
from starlette.requests import Request
from starlette.types import Message

from seaway.errors import TooSlow, UnsupportedContentEncoding
from seaway.http import bodies, problems

pytestmark = pytest.mark.anyio


def request_of(*pauses: float, encoding: bytes = b"identity") -> Request:
    """A request whose body has one byte behind each of these pauses, in seconds, and then the last one."""
    left = list(pauses)

    async def receive() -> Message:
        if not left:
            return {"type": "http.request", "body": b"x"}
        await anyio.sleep(left.pop(0))
        return {"type": "http.request", "body": b"x", "more_body": True}

    return Request(
        {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-encoding", encoding)]}, receive
    )


async def read(request: Request) -> int:
    return len(b"".join([chunk async for chunk in bodies.body_of(request)]))


@pytest.mark.parametrize("encoding", [b"gzip", b"identity, gzip"])
async def test_an_encoded_body_is_refused(encoding: bytes) -> None:
    """Its bytes are not those of the file, so that the cause is told before one of them is read."""
    assert 1 == await read(request_of(encoding=b"Identity"))
    with pytest.raises(UnsupportedContentEncoding, match="Content-Encoding"):
        await read(request_of(encoding=encoding))


async def test_a_body_that_stops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is waited for by itself."""
    assert 2 == await read(request_of(0))
    monkeypatch.setattr(bodies, "_STALL_SECONDS", 0.01)
    with pytest.raises(TooSlow):
        await read(request_of(3600))


async def test_a_body_that_crawls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only behind the time of grace; a byte in ten milliseconds is fewer than two thousand in a second."""
    assert 3 == await read(request_of(0.01, 0.01))
    monkeypatch.setattr(bodies, "_GRACE_SECONDS", 0)
    with pytest.raises(TooSlow):
        await read(request_of(0.01, 0.01))


async def test_the_connection_of_a_slow_client_is_closed() -> None:
    """The rest of its body would be taken for the next request."""
    answer = problems.response_for(TooSlow("No byte came for a while.", "Upload again."), request_of())
    assert (408, "close") == (answer.status_code, answer.headers["connection"])
