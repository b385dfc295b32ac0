"""The body of a request as it comes in, with patience that ends."""

from collections.abc import AsyncIterator

import anyio
from starlette.requests import ClientDisconnect, Request

from seaway.errors import TooSlow, UnknownCoding

# Two hundred clients that send a byte a second would hold two hundred connections for weeks.
_STALL_SECONDS = 30
_GRACE_SECONDS = 60
LEAST_BYTES_PER_SECOND = 2_048


class ClientGone(Exception):
    """The client hung up; there is nobody to answer."""


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The chunks of the body; `TooSlow` when it stops or crawls, `ClientGone` when the connection ends in it."""
    started, size = anyio.current_time(), 0
    # Packages are compressed already, and no client encodes a body by default; decoding would add one more bomb to limit.
    if request.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise UnknownCoding("The body has a Content-Encoding, which is not accepted here.", "Send it without one.")
    chunks = request.stream().__aiter__()
    while True:
        try:
            with anyio.fail_after(_STALL_SECONDS):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TooSlow(f"No byte came for {_STALL_SECONDS} seconds.", "Upload again.") from None
        except ClientDisconnect:
            raise ClientGone from None
        size += len(chunk)
        elapsed = anyio.current_time() - started
        if elapsed > _GRACE_SECONDS and size < LEAST_BYTES_PER_SECOND * elapsed:
            raise TooSlow(f"Fewer than {LEAST_BYTES_PER_SECOND:,} bytes a second came.", "Upload again.")
        if chunk:
            yield chunk
