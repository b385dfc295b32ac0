"""A TCP proxy on loopback that simulates faults of networks and busy servers."""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlsplit

_CHUNK = 65536
_CALL_SECONDS = 30
_LINGER_SECONDS = 5


@dataclass(frozen=True)
class Pass:
    """Forward the bytes."""


@dataclass(frozen=True)
class Refuse:
    """Close new connections immediately; existing ones continue until they are cut."""


@dataclass(frozen=True)
class Stall:
    """Hold back the bytes of both directions until the mode changes."""


@dataclass(frozen=True)
class Respond:
    """Respond to every HTTP request with this status, and close its connection."""

    status: int


@dataclass(frozen=True)
class Slow:
    """Forward at this rate, in each direction of each connection."""

    bytes_per_second: int


@dataclass(frozen=True)
class Flip:
    """Flip one bit of every large chunk of a request."""

    at_least: int = 16_384  # so that request heads are not changed


Mode = Pass | Refuse | Stall | Respond | Slow | Flip


class FaultProxy:
    """A proxy to one address; `mode` can be set at any time and takes effect immediately."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self.host = "127.0.0.1"
        self._target = (target_host, target_port)
        self._mode: Mode = Pass()
        self._changed = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server((self.host, 0), backlog=512)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()
        self._call(self._begin())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._call(self._switch(mode))

    def through(self, url: str) -> str:
        """Return this URL with the address of the proxy."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}{self.host}:{self.port}").geturl()

    def cut(self) -> None:
        """Reset all connections on both sides."""
        self._call(self._cut())

    def close(self) -> None:
        """Reset all connections and stop listening."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_SECONDS)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    async def _switch(self, mode: Mode) -> None:
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    async def _cut(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _begin(self) -> None:
        self._accepting = self._loop.create_task(self._accept())

    async def _end(self) -> None:
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._listener.close()
        await self._cut()

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            connection = self._loop.create_task(self._serve(client))
            self._connections.add(connection)
            connection.add_done_callback(self._connections.discard)
            # A task that is canceled before it starts does not close the connection itself.
            connection.add_done_callback(partial(_close, client))

    async def _serve(self, client: socket.socket) -> None:
        upstream = socket.socket()
        broken = True
        try:
            for end in (client, upstream):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._handle(client, upstream)
            broken = False
        except* OSError:
            pass  # one side closed the connection or is unreachable: the other connection is reset too
        finally:
            for end in (client, upstream):
                if broken:  # close with a reset
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()

    async def _handle(self, client: socket.socket, upstream: socket.socket) -> None:
        await self._not_stalled()
        if isinstance(self._mode, Refuse):
            return
        first = b""
        if isinstance(self._mode, Respond):  # without a connection to the target
            first = await self._loop.sock_recv(client, _CHUNK)
            await self._not_stalled()
            if isinstance(self._mode, Respond):
                await self._respond(client, first, self._mode.status)
                return
        await self._loop.sock_connect(upstream, self._target)
        await self._send(upstream, first)
        async with asyncio.TaskGroup() as both:
            back = both.create_task(self._pass_back(upstream, client))
            both.create_task(self._pass_on(client, upstream, back))

    async def _pass_on(self, client: socket.socket, upstream: socket.socket, back: asyncio.Task[None]) -> None:
        while data := await self._loop.sock_recv(client, _CHUNK):
            await self._not_stalled()
            if isinstance(self._mode, Respond):
                back.cancel()
                await self._respond(client, data, self._mode.status)
                return
            if isinstance(self._mode, Flip) and len(data) >= self._mode.at_least:
                data = data[:-1] + bytes([data[-1] ^ 1])
            await self._send(upstream, data)
        await self._not_stalled()
        upstream.shutdown(socket.SHUT_WR)

    async def _pass_back(self, upstream: socket.socket, client: socket.socket) -> None:
        while data := await self._loop.sock_recv(upstream, _CHUNK):
            await self._send(client, data)
        await self._not_stalled()
        client.shutdown(socket.SHUT_WR)

    async def _send(self, sink: socket.socket, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            await self._not_stalled()
            mode = self._mode
            size = max(1, mode.bytes_per_second // 20) if isinstance(mode, Slow) else len(rest)
            piece, rest = rest[:size], rest[size:]
            await self._loop.sock_sendall(sink, piece)
            if isinstance(mode, Slow):
                await self._changed_within(len(piece) / mode.bytes_per_second)

    async def _not_stalled(self) -> None:
        while isinstance(self._mode, Stall):
            await self._changed.wait()

    async def _changed_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _respond(self, client: socket.socket, head: bytes, status: int) -> None:
        # Other bytes are the rest of a request that was forwarded before: respond immediately.
        while re.match(rb"[A-Z]+ /", head) and b"\r\n\r\n" not in head:
            more = await self._loop.sock_recv(client, _CHUNK)
            if not more:
                return
            head += more
        reason = HTTPStatus(status).phrase
        response = f"HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        await self._loop.sock_sendall(client, response.encode())
        client.shutdown(socket.SHUT_WR)
        try:
            # Closing with unread bytes would reset the connection, and the client might not see the response.
            async with asyncio.timeout(_LINGER_SECONDS):
                while await self._loop.sock_recv(client, _CHUNK):
                    pass
        except TimeoutError:
            pass


def _close(client: socket.socket, _: object) -> None:
    client.close()
