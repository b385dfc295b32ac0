"""Load generator that repeats one request as fast as the server responds, with wrk or a client of its own."""

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import uvloop

from bench import http_client, servers
from bench.http_client import Address

CONNECTIONS = 16

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_COUNT = re.compile(r"(\d+) requests in")
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_ERRORS = re.compile(r"Non-2xx or 3xx responses: (\d+)")


def tool() -> str:
    """Return the name of the load generator that is used."""
    return "wrk" if shutil.which("wrk") is not None else "the bench.load_generator client"


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Number of successful responses and the time they took."""

    count: int
    seconds: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.count / self.seconds


def run_load(
    address: Address, path: str, headers: Mapping[str, str], seconds: float, cpus: Sequence[int] | None
) -> LoadResult:
    """Send requests for the given number of seconds."""
    program = shutil.which("wrk")
    with servers.pinned_to(cpus):
        if program is not None:
            return _run_wrk(program, address, path, headers, seconds)
        return uvloop.run(_run_own_client(address, http_client.get(path, headers), seconds))


def _run_wrk(program: str, address: Address, path: str, headers: Mapping[str, str], seconds: float) -> LoadResult:
    header_options = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    url = f"http://{address[0]}:{address[1]}{path}"
    # wrk accepts whole seconds only.
    command = [program, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", *header_options, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, rate, errors = (form.search(done.stdout) for form in (_COUNT, _RATE, _ERRORS))
    if count is None or rate is None or errors is not None:
        raise RuntimeError(done.stdout)
    return LoadResult(int(count[1]), int(count[1]) / float(rate[1]))


async def _run_own_client(address: Address, request: bytes, seconds: float) -> LoadResult:
    loop = asyncio.get_running_loop()
    counter = _Counter(request)
    started = time.perf_counter()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _ClientConnection(counter), *address)
    await asyncio.sleep(seconds)
    elapsed, count = time.perf_counter() - started, counter.count
    counter.stopped = True
    for transport in counter.transports:
        transport.close()
    if counter.errors:
        raise RuntimeError(f"{counter.errors} responses were errors")
    return LoadResult(count, elapsed)


@dataclass
class _Counter:
    """State shared by all connections."""

    request: bytes
    count: int = 0
    errors: int = 0
    stopped: bool = False
    transports: list[asyncio.WriteTransport] = field(default_factory=list)


class _ClientConnection(asyncio.Protocol):
    """Connection that sends a request after each response."""

    def __init__(self, counter: _Counter) -> None:
        self._counter = counter
        self._missing = 0
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._counter.transports.append(self._transport)
        self._transport.write(self._counter.request)

    def data_received(self, data: bytes) -> None:
        """Read to the end of the response, then send the next request."""
        if self._missing > 0:
            self._missing -= len(data)
        else:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._missing = _body_length(self._head[:end]) - (len(self._head) - end - 4)
            self._counter.errors += self._head[9:10] not in {b"2", b"3"}
            self._head = b""
        if self._missing == 0 and not self._counter.stopped:
            self._counter.count += 1
            self._transport.write(self._counter.request)


def _body_length(head: bytes) -> int:
    if head[9:12] == b"304":
        return 0
    match = _LENGTH.search(head)
    return int(match[1]) if match is not None else 0
