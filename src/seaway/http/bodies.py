"""Request bodies, received with timeouts."""

from collections.abc import AsyncIterator

import anyio
from starlette.requests import ClientDisconnect, Request

from seaway.errors import TooSlow, UnsupportedContentEncoding

# Without limits, 200 clients that send one byte per second would hold 200 connections for weeks.
_STALL_SECONDS = 30
_GRACE_SECONDS = 60
MIN_BYTES_PER_SECOND = 2_048


class ClientDisconnected(Exception):
    """The client disconnected; no response can be sent."""


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """Yield the chunks of the body; raise `TooSlow` if it stalls or is too slow, `ClientDisconnected` on a disconnect."""
    started, size = anyio.current_time(), 0
    # Packages are already compressed, and no client encodes bodies by default; decoding would invite compression bombs.
    if request.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise UnsupportedContentEncoding("Content-Encoding is not supported in requests.", "Send the body without it.")
    chunks = request.stream().__aiter__()
    while True:
        try:
            with anyio.fail_after(_STALL_SECONDS):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TooSlow(f"No data received for {_STALL_SECONDS} seconds.", "Send the request again.") from None
        except ClientDisconnect:
            raise ClientDisconnected from None
        size += len(chunk)
        elapsed = anyio.current_time() - started
        if elapsed > _GRACE_SECONDS and size < MIN_BYTES_PER_SECOND * elapsed:
            raise TooSlow(
                f"The body arrived at less than {MIN_BYTES_PER_SECOND:,} bytes per second.", "Send the request again."
            )
        if chunk:
            yield chunk
