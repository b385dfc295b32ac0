"""Request bodies, received with timeouts and limits."""

from collections.abc import AsyncIterator

import anyio
from starlette.requests import ClientDisconnect, Request

from seaway.errors import TooLarge, TooSlow, UnsupportedContentEncoding
from seaway.publishing.receive import too_large

# Without limits, 200 clients that send one byte per second would hold 200 connections for weeks.
_STALL_SECONDS = 30
_GRACE_SECONDS = 60
MIN_BYTES_PER_SECOND = 2_048
# Upper bound of what boundaries, part headers, form fields and an attestation add to the size of a package file.
MULTIPART_OVERHEAD_BYTES = 1024 * 1024


class ClientDisconnected(Exception):
    """The client disconnected; no response can be sent."""


def min_file_size(request: Request, limit: int, *, wrapping: int) -> int:
    """
    Return the minimum size of an uploaded file by Content-Length; raise `TooLarge` if it exceeds the limit.

    `wrapping` is the maximum number of bytes in the body besides the file.
    """
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        return 1
    if int(length) > limit + wrapping:
        raise too_large(limit)
    return max(int(length) - wrapping, 1)


async def read_body(request: Request, limit: int, *, what: str = "body", hint: str = "Send a smaller one.") -> bytes:
    """Return the whole body; raise `TooLarge`, which names the limit, if it is longer than `limit` bytes."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(what, limit, hint)
    return await read(body_of(request), limit, what=what, hint=hint)


async def read(chunks: AsyncIterator[bytes], limit: int, *, what: str, hint: str) -> bytes:
    """Return all chunks; raise `TooLarge` if they have more than `limit` bytes."""
    content = bytearray()
    async for chunk in limited(chunks, limit, what=what, hint=hint):
        content += chunk
    return bytes(content)


async def limited(chunks: AsyncIterator[bytes], limit: int, *, what: str, hint: str) -> AsyncIterator[bytes]:
    """Yield the chunks; raise `TooLarge` if they have more than `limit` bytes."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise _too_large(what, limit, hint)
        yield chunk


def _too_large(what: str, limit: int, hint: str) -> TooLarge:
    return TooLarge(f"The {what} is larger than {limit:,} bytes.", hint)


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
