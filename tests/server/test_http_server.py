"""What clients see of the server that speaks HTTP, and how it starts and ends."""

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

from tests.support import house
from tests.support.house import People
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import (
    RawAnswer,
    bearer,
    connected,
    exchange,
    file_part,
    head_bytes,
    kept,
    multipart,
    multipart_type,
    raw_headers,
    read_answer,
    until,
    upload,
)
from tests.support.server import Server, serving, variables

FILE = conda(index_json("demo"))
LARGE = conda(index_json("large"), files={"share/noise": os.urandom(3_000_000)})
NEW = conda(index_json("new"))  # is sent in part only

pytestmark = pytest.mark.on_disk  # what speaks HTTP does not know where the state is

_START_SECONDS = 60
_STOP_SECONDS = 8  # far below what a stop may wait for requests in flight


@dataclass(frozen=True)
class Spoken:
    """A server, and a channel that has a small file and a large one."""

    server: Server
    channel: str
    key: str

    def path(self, file: PackageFile) -> str:
        return f"/{self.channel}/noarch/{file.name}"

    def ask(self, method: str, target: str | bytes, headers: dict[str, str] | None = None) -> RawAnswer:
        return exchange(self.server.address, method, target, headers)


@contextmanager
def spoken(folder: Path, **settings: object) -> Iterator[Spoken]:
    with serving(folder, examiners=1, log_format="json", **settings) as server:
        with closing(house.build(folder)) as beside:
            people = People(beside)
            made = Spoken(server, people.channel("chan"), people.key("owner"))
        with server.client(made.key) as client:
            for file in (FILE, LARGE):
                assert 201 == upload(client, made.channel, file).status_code
        yield made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    """Behind a proxy that is believed."""
    with spoken(tmp_path_factory.mktemp("spoken"), trusted_proxies="127.0.0.1") as made:
        yield made


# What users see


def test_a_file_leaves_whole_and_in_part(running: Spoken) -> None:
    """The bytes, a range of them, and nothing but the head where that is asked or the reader has them."""
    whole = running.ask("GET", running.path(LARGE))
    part = running.ask("GET", running.path(LARGE), {"Range": "bytes=1000000-1000009"})
    head = running.ask("HEAD", running.path(LARGE))
    unchanged = running.ask("GET", running.path(LARGE), {"If-None-Match": whole.header("ETag") or ""})

    assert (200, LARGE.content) == (whole.status, whole.body)
    assert (206, LARGE.content[1_000_000:1_000_010]) == (part.status, part.body)
    assert (200, b"", str(len(LARGE.content))) == (head.status, head.body, head.header("Content-Length"))
    assert (304, b"", None) == (unchanged.status, unchanged.body, unchanged.header("Content-Length"))


def test_a_path_is_taken_by_its_bytes(running: Spoken) -> None:
    """A slash that is written %2F separates nothing, and a target that is no path is refused."""
    plain, escaped = running.path(FILE), running.path(FILE).replace("/noarch/", "%2Fnoarch/")

    assert [200, 404, 400] == [running.ask("GET", target).status for target in (plain, escaped, "name")]


def test_what_is_asked_at_once_is_answered_in_turn(running: Spoken) -> None:
    """Requests that are sent without waiting get their answers in their order, on one connection."""
    with connected(running.server.address) as connection:
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


def test_a_client_may_ask_before_it_sends_a_body(running: Spoken) -> None:
    """`Expect: 100-continue`, which curl sends with large uploads, is answered before the body has come."""
    file = conda(index_json("expected"))
    headers = {**raw_headers(file), **bearer(running.key), "Content-Length": str(len(file.content))}
    with connected(running.server.address) as connection:
        target = f"/api/v1/upload/{running.channel}"
        connection.sendall(head_bytes("POST", target, {**headers, "Expect": "100-continue"}))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(file.content)
        assert 201 == read_answer(connection, "POST").status


@pytest.mark.parametrize("size", [1, 100])
def test_a_connection_is_good_for_many_uploads(running: Spoken, size: int) -> None:
    """Where the network cuts a body, be it before its very end, the next upload on the connection is answered too."""
    with running.server.client(running.key) as client:
        for number in range(15):
            body = multipart(file_part(conda(index_json(f"many{size}", str(number)))))
            pieces = (body[start : start + size] for start in range(0, len(body), size))
            answer = client.post(f"/api/v1/upload/{running.channel}", content=pieces, headers=multipart_type())
            assert (201, None) == (answer.status_code, answer.headers.get("connection")), answer.text


@pytest.mark.parametrize("announced", [True, False])
def test_who_sends_a_refused_body_to_its_end_hears_why(running: Spoken, announced: bool) -> None:
    """The answer comes before the body has ended and is not lost, and the connection is good for more."""
    large = bytes(8_000_000)
    headers = {**raw_headers(FILE), "X-File-Name": "no-package.txt", **bearer(running.key)}
    if not announced:
        large = f"{len(large):x}\r\n".encode() + large + b"\r\n0\r\n\r\n"
    headers |= {"Content-Length": str(len(large))} if announced else {"Transfer-Encoding": "chunked"}
    for _ in range(5):
        with connected(running.server.address) as connection:
            connection.sendall(head_bytes("POST", f"/api/v1/upload/{running.channel}", headers))
            for start in range(0, len(large), 100_000):
                connection.sendall(large[start : start + 100_000])
            assert 400 == read_answer(connection, "POST").status
            connection.sendall(head_bytes("GET", "/health/live"))
            assert 200 == read_answer(connection).status


def test_two_lengths_are_refused(running: Spoken) -> None:
    """A body whose end two readers could see at two places is not read."""
    with connected(running.server.address) as connection:
        head = head_bytes("POST", f"/api/v1/upload/{running.channel}", {"Content-Length": "4"})
        connection.sendall(head.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nabcde"))
        assert 400 == read_answer(connection, "POST").status


def test_a_client_that_hangs_up_leaves_nothing(running: Spoken) -> None:
    """When a connection ends within a body, the bytes that came are thrown away."""
    before = kept(running.server)
    headers = {**raw_headers(NEW), **bearer(running.key), "Content-Length": "500000"}
    with connected(running.server.address) as connection:
        connection.sendall(head_bytes("POST", f"/api/v1/upload/{running.channel}", headers) + NEW.content[:300])
        until(lambda: kept(running.server).spool)
    until(lambda: kept(running.server) == before)


def test_a_file_that_is_cut_cuts_the_connection(running: Spoken) -> None:
    """When the disk has lost the end of a blob, the reader gets part of the body or a 503, never a whole answer."""
    file = conda(index_json("cut"), files={"share/noise": os.urandom(1_000_000)})
    with running.server.client(running.key) as client:
        assert 201 == upload(client, running.channel, file).status_code
    blobs = [path for path in (running.server.folder / "data").rglob("*") if path.is_file()]
    blob = next(path for path in blobs if path.stat().st_size == len(file.content))
    blob.chmod(0o600)
    os.truncate(blob, 600_000)

    with connected(running.server.address) as connection:
        connection.sendall(head_bytes("GET", running.path(file)))
        try:
            answer = read_answer(connection)
        except http.client.IncompleteRead:
            return
    assert 503 == answer.status


def test_the_proxy_tells_who_asks(running: Spoken) -> None:
    """The log names the client of a proxy that is believed."""
    running.ask("GET", "/health/live", {"X-Forwarded-For": "198.51.100.7"})

    until(lambda: any('"198.51.100.7"' in line for line in running.server.log))


def test_the_software_is_not_named(running: Spoken) -> None:
    """No answer says what speaks HTTP."""
    answers = [running.ask("GET", path) for path in ("/", "/no/such", running.path(FILE))]

    assert {None, "seaway"} >= {answer.header("Server") for answer in answers}


# How it starts and ends


def begin(folder: Path, **settings: object) -> subprocess.Popen[str]:
    folder.mkdir()
    own = {f"SEAWAY_{name.upper()}": str(value) for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "seaway", "serve", "--port", "0", "--data", str(folder / "data")],
        env={**variables(), **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    )


def assert_ends(process: subprocess.Popen[str]) -> None:
    """Send SIGTERM; it ends soon and in order, and no process stays behind."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        output, _ = process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("it did not stop:\n" + process.communicate()[0]) from None
    # Before the first line of ours has run, the signal does what it does to any process.
    assert process.returncode in ((0,) if "Seaway" in output else (0, -signal.SIGTERM)), output
    assert "Traceback" not in output
    assert [] == psutil.wait_procs(family, _STOP_SECONDS)[1]


def delays(seconds: float, number: int) -> list[float]:
    return [seconds * each / (number - 1) for each in range(number)]


@pytest.mark.parametrize(
    ("workers", "moments"),
    [
        pytest.param(1, delays(2, 4), id="4 moments"),
        pytest.param(1, delays(5, 40), id="40 moments", marks=pytest.mark.slow),
        pytest.param(2, delays(8, 40), id="40 moments of 2 workers", marks=pytest.mark.slow),
    ],
)
def test_a_stop_at_any_moment_of_the_start_is_heard(tmp_path: Path, workers: int, moments: list[float]) -> None:
    """SIGTERM ends it in order, wherever the start is."""

    def start_and_stop(number: int) -> None:
        process = begin(tmp_path / str(number), workers=workers)
        time.sleep(moments[number])
        assert_ends(process)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(start_and_stop, range(len(moments))))


def refuses(server: Server) -> bool:
    try:
        with connected(server.address):
            return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_is_in_flight_at_a_stop_is_finished(tmp_path: Path, workers: int) -> None:
    """New connections are refused at once; an upload and a download come to their ends."""
    with spoken(tmp_path, workers=workers, stop_seconds=60) as made:
        until(lambda: sum("startup complete" in line for line in made.server.log) >= workers, _START_SECONDS)
        file = conda(index_json("flying"))
        half = len(file.content) // 2
        headers = {**raw_headers(file), **bearer(made.key), "Content-Length": str(len(file.content))}
        with connected(made.server.address) as sending, connected(made.server.address) as reading:
            reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{made.channel}", headers) + file.content[:half])
            reading.sendall(head_bytes("GET", made.path(LARGE)))
            until(lambda: kept(made.server).spool)
            start = reading.recv(1000)
            made.server.process.send_signal(signal.SIGTERM)
            until(lambda: refuses(made.server))
            sending.sendall(file.content[half:])
            answer = read_answer(sending, "POST")
            rest = b"".join(iter(lambda: reading.recv(1_000_000), b""))
        code = made.server.process.wait(_STOP_SECONDS)
    assert (201, 0) == (answer.status, code)
    assert LARGE.content == (start + rest).split(b"\r\n\r\n", 1)[1]


@pytest.mark.slow
def test_what_does_not_end_at_a_stop_is_given_up(tmp_path: Path) -> None:
    """An upload that stands still: exit code 0 after the time for a stop, and nothing is left of it."""
    with spoken(tmp_path, stop_seconds=1) as made:
        before = kept(made.server)
        headers = {**raw_headers(NEW), **bearer(made.key), "Content-Length": "5000"}
        with connected(made.server.address) as sending:
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{made.channel}", headers) + NEW.content[:300])
            until(lambda: kept(made.server).spool)
            code = made.server.stop()
        assert (0, before) == (code, kept(made.server))


@pytest.mark.slow
def test_a_second_interrupt_waits_for_nothing(tmp_path: Path) -> None:
    """Ctrl-C twice ends it though an upload stands still."""
    with spoken(tmp_path, stop_seconds=60) as made:
        headers = {**raw_headers(NEW), **bearer(made.key), "Content-Length": "5000"}
        with connected(made.server.address) as sending:
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{made.channel}", headers) + NEW.content[:300])
            until(lambda: kept(made.server).spool)
            made.server.process.send_signal(signal.SIGINT)
            until(lambda: refuses(made.server))
            made.server.process.send_signal(signal.SIGINT)
            made.server.process.wait(_STOP_SECONDS)
