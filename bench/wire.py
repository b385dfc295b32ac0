"""An HTTP client that costs little: prepared bytes out, the answer in, over sockets that stay open."""

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
_SWALLOW_BYTES = 1024 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WITHOUT_BODY = {204, 304}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header; an error if it is not there."""
        found = re.search(rb"\r\n" + name.encode() + rb": *([^\r]*)", self.head, re.IGNORECASE)
        if found is None:
            raise LookupError(f"no {name} in {self.head!r}")
        return found[1].decode()

    def expect(self, *statuses: int) -> Self:
        """The same answer, if it has one of these statuses."""
        if self.status not in statuses:
            raise RuntimeError(f"status {self.status}: {self.body[:300]!r}")
        return self


class Connection:
    """One connection that is kept alive, for one request at a time."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, timeout=_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def exchange(self, request: bytes) -> Answer:
        """Send a whole request and read its answer."""
        self.socket.sendall(request)
        return self.answer()

    def swallow(self, request: bytes) -> int:
        """Send a request and throw its answer away; the bytes of its body."""
        self.socket.sendall(request)
        head, rest = self._head()
        found = _LENGTH.search(head)
        if found is None or head[9:12] != b"200":
            raise RuntimeError(f"no body to read: {head!r}")
        missing, self._rest = int(found[1]) - len(rest), b""
        buffer = bytearray(_SWALLOW_BYTES)
        while missing > 0:
            count = self.socket.recv_into(buffer, min(missing, len(buffer)))
            if count == 0:
                raise ConnectionError("the server closed the connection")
            missing -= count
        return int(found[1])

    def answer(self) -> Answer:
        """Read the next answer."""
        head, rest = self._head()
        status = int(head[9:12])
        if status in _WITHOUT_BODY:
            self._rest = rest
            return Answer(status, head, b"")
        found = _LENGTH.search(head)
        if found is None:
            raise RuntimeError(f"an answer without a length: {head!r}")
        return Answer(status, head, self._body(int(found[1]), rest))

    def _head(self) -> tuple[bytes, bytes]:
        received = self._rest
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        return received[:end], received[end + 4 :]

    def _body(self, length: int, begun: bytes) -> bytes:
        if len(begun) >= length:
            self._rest = begun[length:]
            return begun[:length]
        self._rest = b""
        body = bytearray(length)
        body[: len(begun)] = begun
        missing = memoryview(body)[len(begun) :]
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
    """A GET request."""
    return _head("GET", path, headers or {})


def upload(channel: str, file: PackageFile, key: str, *, force: bool = False) -> bytes:
    """An upload as rattler's clients send it."""
    body = multipart(file_part(file))
    return upload_head(channel, len(body), key, force=force) + body


def upload_head(channel: str, length: int, key: str, *, force: bool = False) -> bytes:
    """The head of such an upload, for a body of this length."""
    path = f"/api/v1/upload/{channel}{'?force=true' if force else ''}"
    headers = {"Authorization": f"Bearer {key}", "Content-Length": str(length), **multipart_type()}
    return _head("POST", path, headers)


def _head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "seaway.test", **headers}.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Flown:
    """How a batch of requests went: the time of each, and of all."""

    latencies: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds


def send_all(address: Address, requests: Sequence[bytes], clients: int, *statuses: int) -> Flown:
    """Send the requests through so many clients, each of which sends its next one when the last is answered."""
    waiting = _Shared(iter(requests))
    latencies: list[float] = []

    def work(connection: Connection) -> None:
        while (request := waiting.next()) is not None:
            started = time.perf_counter()
            answer = connection.exchange(request)
            latencies.append(time.perf_counter() - started)
            answer.expect(*statuses)

    seconds = _by_each(address, clients, work)
    return Flown(latencies, seconds)


def _by_each(address: Address, clients: int, work: Callable[[Connection], None]) -> float:
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(address)) for _ in range(clients)]
        threads = stack.enter_context(ThreadPoolExecutor(clients))
        started = time.perf_counter()
        for _ in threads.map(work, connections):
            pass
        return time.perf_counter() - started


class _Shared:
    """An iterator that several threads take from."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._lock = threading.Lock()

    def next(self) -> bytes | None:
        with self._lock:
            return next(self._requests, None)
