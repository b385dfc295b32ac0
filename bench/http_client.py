"""Minimal HTTP client with little overhead: sends prepared bytes over persistent connections."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from tests.support.packages import PackageFile
from tests.support.requests import file_part, multipart, multipart_type

Address = tuple[str, int]

_SECONDS = 600
_RECEIVE_BYTES = 256 * 1024
_DISCARD_BYTES = 1024 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WITHOUT_BODY = {204, 304}


@dataclass(frozen=True, slots=True)
class Response:
    """HTTP response."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header; raise `LookupError` if it is missing."""
        match = re.search(rb"\r\n" + name.encode() + rb": *([^\r]*)", self.head, re.IGNORECASE)
        if match is None:
            raise LookupError(f"no {name} in {self.head!r}")
        return match[1].decode()

    def expect(self, *statuses: int) -> Self:
        """Return the response itself; raise `RuntimeError` if it has another status."""
        if self.status not in statuses:
            raise RuntimeError(f"status {self.status}: {self.body[:300]!r}")
        return self


class Connection:
    """Persistent connection for one request at a time."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, timeout=_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def exchange(self, request: bytes) -> Response:
        """Send a complete request and read the response."""
        self.socket.sendall(request)
        return self.read_response()

    def discard_body(self, request: bytes) -> int:
        """Send a request and discard the response; return the length of its body."""
        self.socket.sendall(request)
        head, rest = self._head()
        match = _LENGTH.search(head)
        if match is None or head[9:12] != b"200":
            raise RuntimeError(f"the response has no body: {head!r}")
        missing, self._rest = int(match[1]) - len(rest), b""
        buffer = bytearray(_DISCARD_BYTES)
        while missing > 0:
            count = self.socket.recv_into(buffer, min(missing, len(buffer)))
            if count == 0:
                raise ConnectionError("the server closed the connection")
            missing -= count
        return int(match[1])

    def read_response(self) -> Response:
        """Read the next response."""
        head, rest = self._head()
        status = int(head[9:12])
        if status in _WITHOUT_BODY:
            self._rest = rest
            return Response(status, head, b"")
        match = _LENGTH.search(head)
        if match is None:
            raise RuntimeError(f"the response has no Content-Length: {head!r}")
        return Response(status, head, self._body(int(match[1]), rest))

    def _head(self) -> tuple[bytes, bytes]:
        received = self._rest
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        return received[:end], received[end + 4 :]

    def _body(self, length: int, start: bytes) -> bytes:
        if len(start) >= length:
            self._rest = start[length:]
            return start[:length]
        self._rest = b""
        body = bytearray(length)
        body[: len(start)] = start
        missing = memoryview(body)[len(start) :]
        while missing:
            count = self.socket.recv_into(missing)
            if count == 0:
                raise ConnectionError("the server closed the connection")
            missing = missing[count:]
        return bytes(body)

    def _receive(self) -> bytes:
        received = self.socket.recv(_RECEIVE_BYTES)
        if not received:
            raise ConnectionError("the server closed the connection")
        return received


def get(path: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a GET request."""
    return _head("GET", path, headers or {})


def upload(channel: str, file: PackageFile, key: str, *, force: bool = False) -> bytes:
    """Return an upload request as rattler's clients send it."""
    body = multipart(file_part(file))
    return upload_head(channel, len(body), key, force=force) + body


def upload_head(channel: str, length: int, key: str, *, force: bool = False) -> bytes:
    """Return the head of such a request, for a body of this length."""
    path = f"/api/v1/upload/{channel}{'?force=true' if force else ''}"
    headers = {"Authorization": f"Bearer {key}", "Content-Length": str(length), **multipart_type()}
    return _head("POST", path, headers)


def _head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "seaway.test", **headers}.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """Durations of a batch of requests, each and in total, in seconds."""

    latencies: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.latencies) / self.seconds


def send_all(address: Address, requests: Sequence[bytes], clients: int, *statuses: int) -> BatchTimes:
    """Send the requests from several clients, each of which waits for a response before its next request."""
    waiting = _Shared(iter(requests))
    latencies: list[float] = []

    def work(connection: Connection) -> None:
        while (request := waiting.next()) is not None:
            started = time.perf_counter()
            response = connection.exchange(request)
            latencies.append(time.perf_counter() - started)
            response.expect(*statuses)

    seconds = _run_clients(address, clients, work)
    return BatchTimes(latencies, seconds)


def _run_clients(address: Address, clients: int, work: Callable[[Connection], None]) -> float:
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(address)) for _ in range(clients)]
        threads = stack.enter_context(ThreadPoolExecutor(clients))
        started = time.perf_counter()
        for _ in threads.map(work, connections):
            pass
        return time.perf_counter() - started


class _Shared:
    """Thread-safe iterator."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._lock = threading.Lock()

    def next(self) -> bytes | None:
        with self._lock:
            return next(self._requests, None)
