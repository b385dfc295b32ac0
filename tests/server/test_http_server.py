"""The HTTP server as clients see it, and how it starts and stops."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support import sites
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import (
    RawResponse,
    bearer,
    connect,
    exchange,
    file_part,
    head_bytes,
    multipart,
    multipart_type,
    raw_headers,
    read_response,
    stored_state,
    upload,
    wait_until,
)
from tests.support.server import Server, serving, variables
from tests.support.sites import Factory

FILE = conda(index_json("demo"))
LARGE = conda(index_json("large"), files={"share/noise": os.urandom(3_000_000)})
NEW = conda(index_json("new"))  # sent only in part

pytestmark = pytest.mark.on_disk  # the HTTP server does not depend on the database and the store

_START_SECONDS = 60
_STOP_SECONDS = 8  # far below the time that a stop can wait for requests in flight


@dataclass(frozen=True)
class ServerWithFiles:
    """A server with a channel that has a small file and a large one."""

    server: Server
    channel: str
    key: str

    def path(self, file: PackageFile) -> str:
        return f"/{self.channel}/noarch/{file.name}"

    def send(self, method: str, target: str | bytes, headers: dict[str, str] | None = None) -> RawResponse:
        return exchange(self.server.address, method, target, headers)


@contextmanager
def serve_with_files(folder: Path, **settings: object) -> Iterator[ServerWithFiles]:
    with serving(folder, examiners=1, log_format="json", **settings) as server:
        with closing(sites.build(folder)) as seaway:
            factory = Factory(seaway)
            with_files = ServerWithFiles(server, factory.channel("chan"), factory.key("owner"))
        with server.client(with_files.key) as client:
            for file in (FILE, LARGE):
                assert 201 == upload(client, with_files.channel, file).status_code
        yield with_files


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerWithFiles]:
    """A server behind a trusted proxy."""
    with serve_with_files(tmp_path_factory.mktemp("with-files"), trusted_proxies="127.0.0.1") as with_files:
        yield with_files


# Requests


def test_file_is_served_for_get_range_head_and_condition(running: ServerWithFiles) -> None:
    """The whole file, a range, and no body for HEAD or a matching ETag."""
    full = running.send("GET", running.path(LARGE))
    part = running.send("GET", running.path(LARGE), {"Range": "bytes=1000000-1000009"})
    head = running.send("HEAD", running.path(LARGE))
    unchanged = running.send("GET", running.path(LARGE), {"If-None-Match": full.header("ETag") or ""})

    assert (200, LARGE.content) == (full.status, full.body)
    assert (206, LARGE.content[1_000_000:1_000_010]) == (part.status, part.body)
    assert (200, b"", str(len(LARGE.content))) == (head.status, head.body, head.header("Content-Length"))
    assert (304, b"", None) == (unchanged.status, unchanged.body, unchanged.header("Content-Length"))


def test_escaped_slash_does_not_separate_path_segments(running: ServerWithFiles) -> None:
    """%2F is part of a segment (404), and a target that is not a path returns 400."""
    plain, escaped = running.path(FILE), running.path(FILE).replace("/noarch/", "%2Fnoarch/")

    assert [200, 404, 400] == [running.send("GET", target).status for target in (plain, escaped, "name")]


def test_pipelined_requests_are_answered_in_order(running: ServerWithFiles) -> None:
    """Requests sent at once on one connection get their responses in the same order."""
    with connect(running.server.address) as connection:
        connection.sendall(b"".join(head_bytes("GET", path) for path in (running.path(FILE), "/no", "/health/live")))
        with connection.makefile("rb") as stream:
            statuses = []
            for _ in range(3):
                statuses.append(int(stream.readline().split()[1]))
                length = 0
                while (line := stream.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                stream.read(length)
    assert [200, 404, 200] == statuses


def test_expect_continue_is_answered_before_the_body(running: ServerWithFiles) -> None:
    """curl sends `Expect: 100-continue` with large uploads."""
    file = conda(index_json("expected"))
    headers = {**raw_headers(file), **bearer(running.key), "Content-Length": str(len(file.content))}
    with connect(running.server.address) as connection:
        target = f"/api/v1/upload/{running.channel}"
        connection.sendall(head_bytes("POST", target, {**headers, "Expect": "100-continue"}))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(file.content)
        assert 201 == read_response(connection, "POST").status


@pytest.mark.parametrize("size", [1, 100])
def test_connection_is_reused_for_many_uploads(running: ServerWithFiles, size: int) -> None:
    """The next upload works wherever the network splits a body, even just before its end."""
    with running.server.client(running.key) as client:
        for number in range(15):
            body = multipart(file_part(conda(index_json(f"many{size}", str(number)))))
            pieces = (body[start : start + size] for start in range(0, len(body), size))
            response = client.post(f"/api/v1/upload/{running.channel}", content=pieces, headers=multipart_type())
            assert (201, None) == (response.status_code, response.headers.get("connection")), response.text


@pytest.mark.parametrize("announced", [True, False])
def test_refusal_is_received_after_a_full_body(running: ServerWithFiles, announced: bool) -> None:
    """The early response is not lost while the client still sends, and the connection stays usable."""
    large = bytes(8_000_000)
    headers = {**raw_headers(FILE), "X-File-Name": "no-package.txt", **bearer(running.key)}
    if not announced:
        large = f"{len(large):x}\r\n".encode() + large + b"\r\n0\r\n\r\n"
    headers |= {"Content-Length": str(len(large))} if announced else {"Transfer-Encoding": "chunked"}
    for _ in range(5):
        with connect(running.server.address) as connection:
            connection.sendall(head_bytes("POST", f"/api/v1/upload/{running.channel}", headers))
            for start in range(0, len(large), 100_000):
                connection.sendall(large[start : start + 100_000])
            assert 400 == read_response(connection, "POST").status
            connection.sendall(head_bytes("GET", "/health/live"))
            assert 200 == read_response(connection).status


def test_two_content_lengths_return_400(running: ServerWithFiles) -> None:
    """Request smuggling: two readers could see the end of the body at different places."""
    with connect(running.server.address) as connection:
        head = head_bytes("POST", f"/api/v1/upload/{running.channel}", {"Content-Length": "4"})
        connection.sendall(head.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nabcde"))
        assert 400 == read_response(connection, "POST").status


def test_aborted_upload_leaves_nothing(running: ServerWithFiles) -> None:
    """If the connection ends within the body, the received bytes are deleted."""
    before = stored_state(running.server)
    headers = {**raw_headers(NEW), **bearer(running.key), "Content-Length": "500000"}
    with connect(running.server.address) as connection:
        connection.sendall(head_bytes("POST", f"/api/v1/upload/{running.channel}", headers) + NEW.content[:300])
        wait_until(lambda: stored_state(running.server).spool)
    wait_until(lambda: stored_state(running.server) == before)


def test_truncated_blob_is_never_served_as_complete(running: ServerWithFiles) -> None:
    """If the disk lost the end of a blob, the client gets part of the body or a 503, never a complete response."""
    file = conda(index_json("cut"), files={"share/noise": os.urandom(1_000_000)})
    with running.server.client(running.key) as client:
        assert 201 == upload(client, running.channel, file).status_code
    blobs = [path for path in (running.server.folder / "data").rglob("*") if path.is_file()]
    blob = next(path for path in blobs if path.stat().st_size == len(file.content))
    blob.chmod(0o600)
    os.truncate(blob, 600_000)

    with connect(running.server.address) as connection:
        connection.sendall(head_bytes("GET", running.path(file)))
        try:
            response = read_response(connection)
        except http.client.IncompleteRead:
            return
    assert 503 == response.status


def test_log_names_the_client_of_a_trusted_proxy(running: ServerWithFiles) -> None:
    running.send("GET", "/health/live", {"X-Forwarded-For": "198.51.100.7"})

    wait_until(lambda: any('"198.51.100.7"' in line for line in running.server.log))


def test_server_header_does_not_name_the_http_server(running: ServerWithFiles) -> None:
    responses = [running.send("GET", path) for path in ("/", "/no/such", running.path(FILE))]

    assert {None, "seaway"} >= {response.header("Server") for response in responses}


# Start and stop


def begin(folder: Path, **settings: object) -> subprocess.Popen[str]:
    folder.mkdir()
    environment = {f"SEAWAY_{name.upper()}": str(value) for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "seaway", "serve", "--port", "0", "--data", str(folder / "data")],
        env={**variables(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    )


def assert_stops(process: subprocess.Popen[str]) -> None:
    """Send SIGTERM and check that the server exits soon and cleanly, and leaves no process."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        output, _ = process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("the server did not stop:\n" + process.communicate()[0]) from None
    # Before Seaway has installed its handler, the signal kills the process by default.
    assert process.returncode in ((0,) if "Seaway" in output else (0, -signal.SIGTERM)), output
    assert "Traceback" not in output
    assert [] == psutil.wait_procs(family, _STOP_SECONDS)[1]


def delays(seconds: float, number: int) -> list[float]:
    return [seconds * step / (number - 1) for step in range(number)]


@pytest.mark.parametrize(
    ("workers", "moments"),
    [
        pytest.param(1, delays(2, 4), id="4 moments"),
        pytest.param(1, delays(5, 40), id="40 moments", marks=pytest.mark.slow),
        pytest.param(2, delays(8, 40), id="40 moments of 2 workers", marks=pytest.mark.slow),
    ],
)
def test_sigterm_during_startup_exits_cleanly(tmp_path: Path, workers: int, moments: list[float]) -> None:
    """At any moment of the startup."""

    def start_and_stop(number: int) -> None:
        process = begin(tmp_path / str(number), workers=workers)
        time.sleep(moments[number])
        assert_stops(process)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(start_and_stop, range(len(moments))))


def refuses_connections(server: Server) -> bool:
    try:
        with connect(server.address):
            return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_stop_finishes_requests_in_flight(tmp_path: Path, workers: int) -> None:
    """New connections are refused at once; a running upload and download are completed."""
    with serve_with_files(tmp_path, workers=workers, stop_seconds=60) as with_files:
        wait_until(lambda: sum("startup complete" in line for line in with_files.server.log) >= workers, _START_SECONDS)
        file = conda(index_json("flying"))
        half = len(file.content) // 2
        headers = {**raw_headers(file), **bearer(with_files.key), "Content-Length": str(len(file.content))}
        with connect(with_files.server.address) as sending, connect(with_files.server.address) as reading:
            reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{with_files.channel}", headers) + file.content[:half])
            reading.sendall(head_bytes("GET", with_files.path(LARGE)))
            wait_until(lambda: stored_state(with_files.server).spool)
            start = reading.recv(1000)
            with_files.server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses_connections(with_files.server))
            sending.sendall(file.content[half:])
            response = read_response(sending, "POST")
            rest = b"".join(iter(lambda: reading.recv(1_000_000), b""))
        code = with_files.server.process.wait(_STOP_SECONDS)
    assert (201, 0) == (response.status, code)
    assert LARGE.content == (start + rest).split(b"\r\n\r\n", 1)[1]


@pytest.mark.slow
def test_stop_aborts_a_stalled_upload(tmp_path: Path) -> None:
    """Exit code 0 after `stop_seconds`, and nothing is left of the upload."""
    with serve_with_files(tmp_path, stop_seconds=1) as with_files:
        before = stored_state(with_files.server)
        headers = {**raw_headers(NEW), **bearer(with_files.key), "Content-Length": "5000"}
        with connect(with_files.server.address) as sending:
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{with_files.channel}", headers) + NEW.content[:300])
            wait_until(lambda: stored_state(with_files.server).spool)
            code = with_files.server.stop()
        assert (0, before) == (code, stored_state(with_files.server))


@pytest.mark.slow
def test_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    """Pressing Ctrl-C twice stops the server although an upload is stalled."""
    with serve_with_files(tmp_path, stop_seconds=60) as with_files:
        headers = {**raw_headers(NEW), **bearer(with_files.key), "Content-Length": "5000"}
        with connect(with_files.server.address) as sending:
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{with_files.channel}", headers) + NEW.content[:300])
            wait_until(lambda: stored_state(with_files.server).spool)
            with_files.server.process.send_signal(signal.SIGINT)
            wait_until(lambda: refuses_connections(with_files.server))
            with_files.server.process.send_signal(signal.SIGINT)
            with_files.server.process.wait(_STOP_SECONDS)
