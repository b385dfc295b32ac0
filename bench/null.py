"""Server that reads uploads and discards them, to measure the limit of the client and the loopback."""

import asyncio
from typing import cast

import uvloop

_RESPONSE = b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\nSeaway-Revision: 1\r\n\r\ndone"


class _Null(asyncio.Protocol):
    """A connection."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Respond to each request once it is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _length(bytes(self._received[:end]))
            if len(self._received) < end + 4 + length:
                return
            del self._received[: end + 4 + length]
            assert self._transport is not None
            self._transport.write(_RESPONSE)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Null, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"listens on http://{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
