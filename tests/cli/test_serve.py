"""`seaway serve` as a process: how it begins, and how it ends at any moment."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from seaway.errors import NotFound
from seaway.maintenance.check import check
from seaway.sign_in import first_account
from tests.cli.conftest import FILE, Shell
from tests.conftest import Site
from tests.support import house
from tests.support.house import People
from tests.support.packages import conda, index_json
from tests.support.requests import bearer, connected, head_bytes, kept, raw_headers, read_answer, until, upload
from tests.support.server import Server, serving, variables

_QUICK_SECONDS = 8  # far below what a stop may wait for requests in flight


def begin(folder: Path) -> subprocess.Popen[str]:
    """A server that is just being started."""
    return subprocess.Popen(
        [sys.executable, "-m", "seaway", "serve", "--port", "0"],
        env={**variables(), "SEAWAY_DATA": str(folder / "data")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    )


def stopped(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Send the signal; the exit code and all output, or an error if it takes long."""
    process.send_signal(number)
    try:
        output, _ = process.communicate(timeout=_QUICK_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"it did not stop:\n{output}") from None
    return process.returncode, output


def broken(folder: Path) -> list[object]:
    """What a check of the store finds, after the start that it takes."""
    opened = house.build(folder)
    try:
        return list(check(opened))
    finally:
        opened.close()


def children(process: int) -> list[int]:
    return [
        int(child) for path in Path(f"/proc/{process}/task").glob("*/children") for child in path.read_text().split()
    ]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "the data folder is made": lambda data: data.exists(),
    "the spool is made": lambda data: (data / "spool").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_stop_during_the_start_is_orderly(tmp_path: Path, moment: Callable[[Path], bool]) -> None:
    """Stopped while it starts, a server ends at once with exit code 0, and the next start finds nothing wrong."""
    process = begin(tmp_path)
    until(lambda: moment(tmp_path / "data"))
    code, output = stopped(process)
    assert (0, False) == (code, "Traceback" in output), output
    assert [] == broken(tmp_path)


def test_a_stop_after_the_address_was_printed_is_orderly(tmp_path: Path) -> None:
    """Stopped between its first words and its first answer, a server ends with exit code 0."""
    process = begin(tmp_path)
    assert process.stdout is not None
    assert "listens on" in process.stdout.readline()
    code, output = stopped(process)
    assert (0, False) == (code, "Traceback" in output), output
    assert [] == broken(tmp_path)


def test_a_stop_at_any_time_is_orderly(tmp_path: Path) -> None:
    """Whenever the signal comes, the exit code is 0; before the first line of ours has run nothing was made yet."""

    def start_and_stop(seconds: float) -> tuple[int, bool, str]:
        folder = tmp_path / str(seconds)
        folder.mkdir()
        process = begin(folder)
        time.sleep(seconds)
        code, output = stopped(process)
        return code, (folder / "data").exists(), output

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(start_and_stop, (0.05, 0.3, 0.5, 0.7, 0.9, 1.2)))
    assert [] == [end for end in ends if end[0] != 0 and (end[0] != -signal.SIGTERM or end[1])]
    assert [] == [output for _, _, output in ends if "Traceback" in output]


def test_a_stop_while_serving_is_quick(tmp_path: Path) -> None:
    """Open connections on which nothing is asked do not delay a stop, and no process stays behind."""
    with serving(tmp_path, examiners=2) as server, server.client() as http:
        assert 200 == http.get("/").status_code
        workers = children(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(_QUICK_SECONDS)
        until(lambda: not any(is_running(worker) for worker in workers))
    assert (2, 0) == (len(workers), code)
    assert "Traceback" not in "".join(server.log)


# What is in flight


def furnish(folder: Path) -> tuple[str, str]:
    """A channel, and its owner's key."""
    opened = house.build(folder)
    people = People(opened)
    made = people.channel("chan"), people.key("owner")
    opened.close()
    return made


def refuses(server: Server) -> bool:
    try:
        with connected(server.address):
            return False
    except ConnectionError:
        return True


def test_what_is_in_flight_at_a_stop_is_finished(tmp_path: Path) -> None:
    """A server that was told to stop takes nothing new, and brings an upload and a download to their ends."""
    noise = b"".join(os.urandom(1024) for _ in range(16 * 1024))
    large = conda(index_json("large"), files={"share/noise": noise})
    with serving(tmp_path, examiners=1, stop_seconds=60, downloads="direct") as server:
        channel, key = furnish(tmp_path)
        with server.client(key) as http:
            assert 201 == upload(http, channel, large).status_code
        half = len(FILE.content) // 2
        headers = {**raw_headers(FILE), **bearer(key), "Content-Length": str(len(FILE.content))}
        with connected(server.address) as sending, connected(server.address) as reading:
            reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{channel}", headers) + FILE.content[:half])
            reading.sendall(head_bytes("GET", f"/{channel}/noarch/{large.name}"))
            until(lambda: kept(server).spool)
            start = reading.recv(1000)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: refuses(server))
            sending.sendall(FILE.content[half:])
            answer = read_answer(sending, "POST")
            rest = b"".join(iter(lambda: reading.recv(1_000_000), b""))
        code = server.process.wait(_QUICK_SECONDS)
    assert (201, 0) == (answer.status, code), answer.body
    assert large.content == (start + rest).split(b"\r\n\r\n", 1)[1]
    assert (2, frozenset()) == (kept(server).rows, kept(server).spool)
    assert [] == broken(tmp_path)


def test_what_does_not_end_at_a_stop_leaves_nothing(tmp_path: Path) -> None:
    """An upload that stands still is given up after the time for a stop: exit code 0, no row, no blob, no spool file."""
    with serving(tmp_path, examiners=1, stop_seconds=1, downloads="direct") as server:
        channel, key = furnish(tmp_path)
        headers = {**raw_headers(FILE), **bearer(key), "Content-Length": "5000"}
        with connected(server.address) as sending:
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{channel}", headers) + FILE.content[:300])
            until(lambda: kept(server).spool)
            code = server.stop()
        left = kept(server)
    assert (0, frozenset(), frozenset(), 0) == (code, left.blobs, left.spool, left.rows)
    assert [] == broken(tmp_path)


def test_what_a_kill_leaves_is_cleared_at_the_next_start(tmp_path: Path) -> None:
    """A spool file of a process that was killed is gone after the next start, and the upload can be repeated."""
    with serving(tmp_path, examiners=1) as server:
        channel, key = furnish(tmp_path)
        headers = {**raw_headers(FILE), **bearer(key), "Content-Length": "5000"}
        with connected(server.address) as sending:
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{channel}", headers) + FILE.content[:300])
            until(lambda: kept(server).spool)
            server.kill()
        killed = kept(server)
    assert (1, 0) == (len(killed.spool), killed.rows)
    assert [] == broken(tmp_path)
    assert frozenset() == kept(server).spool


# How it begins


def test_a_port_that_is_taken_is_named(shell: Shell, site: Site) -> None:
    """When something else listens there, the sentence names the port and the setting for another one."""
    port = site.server.address.rsplit(":", 1)[1]
    ran = shell.run("serve", "--port", port)
    assert (1, "") == (ran.code, ran.out)
    assert [ran.err.strip()] == ran.err.splitlines()
    assert f"port {port}" in ran.err
    assert "SEAWAY_PORT" in ran.err


def test_an_address_that_is_not_ours_is_named(shell: Shell) -> None:
    """When the host is not of this machine, the sentence names it."""
    ran = shell.run("serve", "--port", "0", "--host", "192.0.2.1")
    assert (ran.code, [ran.err.strip()]) == (1, ran.err.splitlines())
    assert "192.0.2.1" in ran.err
    assert re.search(r"--host|SEAWAY_HOST", ran.err)


def test_the_first_start_tells_how_to_go_on(shell: Shell, tmp_path: Path) -> None:
    """The line that a first start prints, pasted into a shell, makes a key that uploads; Ctrl-C ends it all."""
    with serving(tmp_path, examiners=1, log_format="json") as server:
        line = next(line for line in server.log if "user add" in line)
        runs = [shell.run(*shlex.split(command)[1:]) for command in line.split("&&")]
        key, channel = runs[-1].out.strip(), shlex.split(line.split("&&")[1])[5]
        with server.client(key) as http:
            answer: httpx.Response = upload(http, channel, FILE)
        until(lambda: any("/api/v1/upload/" in line for line in server.log))
        logged = [json.loads(line) for line in server.log if line.startswith("{")]
        server.process.send_signal(signal.SIGINT)
        code = server.process.wait(_QUICK_SECONDS)
    assert [0, 0, 0] == [ran.code for ran in runs]
    assert 201 == answer.status_code, answer.text
    assert code in (0, 1, 130)
    assert "Traceback" not in "".join(server.log)
    assert ("request", "POST", 201) == tuple(logged[-1][name] for name in ("event", "method", "status"))


@pytest.mark.slow
def test_a_first_start_prints_a_link_for_the_first_account(tmp_path: Path) -> None:
    """With two workers one, good once; the next start prints another, and none when somebody has an account."""
    printed: list[list[str]] = []
    for workers in (2, 1):
        with serving(tmp_path, examiners=1, workers=workers) as server:
            until(lambda server=server: any("user add" in line for line in server.log))  # type: ignore[misc]
            printed.append(re.findall(r"http://127\.0\.0\.1:\d+/first-account/(swy-ln-\w+)", "".join(server.log)))
    (old,), (new,) = printed
    seaway = house.build(tmp_path)
    with pytest.raises(NotFound):
        first_account.require_valid(seaway.request_parts.accounts, old)
    first_account.require_valid(seaway.request_parts.accounts, new)
    People(seaway).user("ada")
    seaway.close()
    with serving(tmp_path, examiners=1) as server:
        assert "first-account" not in "".join(server.log)


def test_the_data_is_for_its_owner_only(site: Site) -> None:
    """What a server keeps can be read by the user that runs it, and by nobody else of the machine."""
    data = site.server.folder / "data"
    assert 0 == data.stat().st_mode & 0o077
