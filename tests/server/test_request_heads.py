"""Limits on request heads, tested against a real server without a proxy."""

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import psutil
import pytest

from seaway.server.http_protocol import HEAD_SECONDS, MAX_HEAD_BYTES, MAX_HEADERS
from tests.docs.test_manual import ROOT
from tests.support.requests import connect, exchange, head_bytes, read_response
from tests.support.server import Server, serving

pytestmark = pytest.mark.on_disk

_MB = 1024 * 1024
_PARTIAL_HEADS = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("heads"), examiners=1) as running:
        yield running


def memory_of(server: Server) -> int:
    main = psutil.Process(server.process.pid)
    return sum(process.memory_info().rss for process in [main, *main.children(recursive=True)])


def send_endless_head(server: Server, start: bytes, piece: bytes, count: int) -> int:
    """Send an endless head until the server closes the connection; return the status of its response."""
    with connect(server.address) as connection:
        try:
            connection.sendall(start)
            for _ in range(count):
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_response(connection).status


HEAD = b"GET /health/live HTTP/1.1\r\nHost: seaway.test\r\n"
ENDLESS = {
    "headers": (HEAD, b"".join(b"X-%d: a\r\n" % number for number in range(100_000))),
    "header": (HEAD + b"X-Long: ", b"a" * _MB),
    "header-name": (HEAD, b"a" * _MB),
    "request-line": (b"GET /", b"a" * _MB),
    "empty-lines": (b"\r\n", b"\r\n" * (_MB // 2)),
    "trailers": (
        head_bytes("POST", "/signin", {"Transfer-Encoding": "chunked"}) + b"5\r\nhello\r\n0\r\nX-Long: ",
        b"a" * _MB,
    ),
    "chunk-extension": (
        head_bytes("POST", "/api/v1/keys", {"Transfer-Encoding": "chunked"}) + b"5;x=",
        b"a" * _MB,
    ),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless_head_is_refused(server: Server, kind: str) -> None:
    """Invariant 1: 100 MB get a 431 and use no memory; other requests are served meanwhile."""
    start, piece = ENDLESS[kind]
    before = memory_of(server)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send_endless_head, server, start, piece, 100 * _MB // len(piece))
        while not sending.done():
            assert 200 == exchange(server.address, "GET", "/health/live").status
    assert sending.result() in ((401, 400, 403, 431) if kind in ("trailers", "chunk-extension") else (431,))
    assert memory_of(server) - before < 20 * _MB


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Long": "a" * (MAX_HEAD_BYTES - 200)}, 200),
        ({"X-Long": "a" * MAX_HEAD_BYTES}, 431),
        ({f"X-{number}": "a" for number in range(MAX_HEADERS - 10)}, 200),
        ({f"X-{number}": "a" for number in range(MAX_HEADERS + 1)}, 431),
    ],
    ids=["long", "too-long", "many", "too-many"],
)
def test_head_up_to_the_limit_is_accepted(server: Server, headers: dict[str, str], status: int) -> None:
    """Invariant 1, just below and above the limits; the message names them."""
    response = exchange(server.address, "GET", "/health/live", headers)
    assert status == response.status
    if status == 431:
        assert (b"65,536 bytes or 128 headers" in response.body, "close") == (True, response.header("Connection"))


def statuses(connection: socket.socket) -> list[int]:
    """Return the status of every response until the server closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            received += piece
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        (b"X-Many: a\r\n" * (MAX_HEADERS + 1), ([431],)),
        # Several reads: the first response may have started, and then the connection is closed without another one.
        (b"X-Long: " + b"a" * 150_000 + b"\r\n", ([431], [200, 431], [200], [])),
    ],
    ids=["one-read", "several-reads"],
)
def test_long_head_behind_another_request_is_refused(
    server: Server, headers: bytes, allowed: tuple[list[int], ...]
) -> None:
    """Invariant 1: a small request before it does not hide the long one."""
    with connect(server.address) as connection:
        connection.sendall(HEAD + b"\r\n" + HEAD + b"Connection: close\r\n" + headers + b"\r\n")
        assert statuses(connection) in allowed


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    """Invariant 4: up to the number of requests that can wait."""
    missing = b"GET /no-such HTTP/1.1\r\nHost: seaway.test\r\n"
    with connect(server.address) as connection:
        connection.sendall((HEAD + b"\r\n" + missing + b"\r\n") * 8 + missing + b"Connection: close\r\n\r\n")
        assert [*[200, 404] * 8, 404] == statuses(connection)


def test_flood_of_pipelined_requests_uses_no_memory(server: Server) -> None:
    """Invariant 4: 30 MiB of requests on a connection whose responses are not read; other connections are served."""
    before, request = memory_of(server), HEAD + b"\r\n"
    with connect(server.address) as connection, suppress(ConnectionError, TimeoutError):
        connection.settimeout(2)
        for _ in range(30):
            connection.sendall(request * (_MB // len(request)))
    assert 200 == exchange(server.address, "GET", "/health/live").status
    assert memory_of(server) - before < 20 * _MB


def test_bytes_that_are_not_http_return_400(server: Server) -> None:
    with connect(server.address) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
        response = read_response(connection)
    assert (400, b"is not valid HTTP/1.1" in response.body) == (400, True)


@pytest.mark.slow
def test_partial_heads_time_out(server: Server) -> None:
    """Invariant 2: 408 for each head that began, nothing for a silent connection; none stays open."""
    with ExitStack() as stack:
        opened = [stack.enter_context(connect(server.address)) for _ in range(_PARTIAL_HEADS)]
        silent = stack.enter_context(connect(server.address))
        drip = stack.enter_context(connect(server.address))
        deadline = time.monotonic() + 3 * HEAD_SECONDS
        for connection in opened:
            connection.sendall(HEAD + b"X-Half: ")
        drip.sendall(HEAD)
        drip.settimeout(0.5)
        while time.monotonic() < deadline:  # a byte now and then does not extend the time
            try:
                drip.recv(1, socket.MSG_PEEK)
                break
            except TimeoutError:
                drip.sendall(b"a")
        assert 408 == read_response(drip).status
        assert {408} == {read_response(connection).status for connection in opened}
        assert b"" == silent.recv(1)


@pytest.mark.slow
def test_slow_rest_of_a_refused_body_is_cut_off(server: Server) -> None:
    """Invariant 3: an unused body is drained while it arrives fast enough, then the connection is closed."""
    head = head_bytes("POST", "/api/v1/keys", {"Content-Length": "1000000", "Content-Type": "text/plain"})
    with connect(server.address) as connection:
        connection.sendall(head + b"a")
        deadline = time.monotonic() + 3 * HEAD_SECONDS
        assert read_response(connection, "POST").status in (400, 401, 413)
        connection.settimeout(1)
        is_open = True
        while is_open and time.monotonic() < deadline:
            try:
                connection.sendall(b"a")
                is_open = bool(connection.recv(1))
            except TimeoutError:
                continue  # still open, without a response
            except (BrokenPipeError, ConnectionResetError):
                is_open = False
        assert not is_open


def test_connection_is_reusable_after_an_unread_body(server: Server) -> None:
    """Invariant 3: a fully drained body does not count against the next head."""
    body = b"a" * 500_000
    head = head_bytes("POST", "/api/v1/keys", {"Content-Length": str(len(body)), "Content-Type": "application/json"})
    with connect(server.address) as connection:
        for _ in range(3):
            connection.sendall(head + body)
            assert read_response(connection, "POST").status in (401, 413)
        connection.sendall(head_bytes("GET", "/health/live"))
        assert 200 == read_response(connection).status


def test_limits_match_the_manual() -> None:
    """docs/operate/running.md names them."""
    page = (ROOT / "docs/operate/running.md").read_text()
    assert f"| {MAX_HEAD_BYTES // 1024} KiB, {MAX_HEADERS} headers | 431 |" in page
    assert f"| time for a request head that has begun | {HEAD_SECONDS:.0f} s | 408 |" in page
