"""`seaway serve` as a process: start, and stop at any moment."""

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
from tests.support import sites
from tests.support.packages import conda, index_json
from tests.support.requests import (
    bearer,
    connect,
    head_bytes,
    raw_headers,
    read_response,
    stored_state,
    upload,
    wait_until,
)
from tests.support.server import Server, serving, variables
from tests.support.sites import Factory

_QUICK_SECONDS = 8  # far below what a stop may wait for requests in flight


def start_process(folder: Path) -> subprocess.Popen[str]:
    """Start a server without waiting for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "seaway", "serve", "--port", "0"],
        env={**variables(), "SEAWAY_DATA": str(folder / "data")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    )


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Send the signal; return the exit code and all output, or fail if the stop takes long."""
    process.send_signal(number)
    try:
        output, _ = process.communicate(timeout=_QUICK_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"the server did not stop:\n{output}") from None
    return process.returncode, output


def problems(folder: Path) -> list[object]:
    """Return the problems that a check finds after a start on this data."""
    seaway = sites.build(folder)
    try:
        return list(check(seaway))
    finally:
        seaway.close()


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
def test_stop_during_startup_exits_with_0(tmp_path: Path, moment: Callable[[Path], bool]) -> None:
    """A server stopped during startup exits at once with code 0, and the next start finds no problem."""
    process = start_process(tmp_path)
    wait_until(lambda: moment(tmp_path / "data"))
    code, output = stop(process)
    assert (0, False) == (code, "Traceback" in output), output
    assert [] == problems(tmp_path)


def test_stop_after_the_url_was_printed_exits_with_0(tmp_path: Path) -> None:
    """The server is stopped between its first output and its first response."""
    process = start_process(tmp_path)
    assert process.stdout is not None
    assert "listens on" in process.stdout.readline()
    code, output = stop(process)
    assert (0, False) == (code, "Traceback" in output), output
    assert [] == problems(tmp_path)


def test_stop_at_any_time_exits_with_0(tmp_path: Path) -> None:
    """Before Seaway handles the signal, it kills the process, but then nothing has been created yet."""

    def start_and_stop(seconds: float) -> tuple[int, bool, str]:
        folder = tmp_path / str(seconds)
        folder.mkdir()
        process = start_process(folder)
        time.sleep(seconds)
        code, output = stop(process)
        return code, (folder / "data").exists(), output

    with ThreadPoolExecutor(2) as pool:
        endings = list(pool.map(start_and_stop, (0.05, 0.3, 0.5, 0.7, 0.9, 1.2)))
    assert [] == [end for end in endings if end[0] != 0 and (end[0] != -signal.SIGTERM or end[1])]
    assert [] == [output for _, _, output in endings if "Traceback" in output]


def test_stop_does_not_wait_for_idle_connections(tmp_path: Path) -> None:
    """The stop is quick, and no process remains."""
    with serving(tmp_path, examiners=2) as server, server.client() as http:
        assert 200 == http.get("/").status_code
        workers = children(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(_QUICK_SECONDS)
        wait_until(lambda: not any(is_running(worker) for worker in workers))
    assert (2, 0) == (len(workers), code)
    assert "Traceback" not in "".join(server.log)


# Requests in flight


def add_channel(folder: Path) -> tuple[str, str]:
    """Create a channel; return its name and a key of its owner."""
    seaway = sites.build(folder)
    factory = Factory(seaway)
    channel_and_key = factory.channel("chan"), factory.key("owner")
    seaway.close()
    return channel_and_key


def refuses_connections(server: Server) -> bool:
    try:
        with connect(server.address):
            return False
    except ConnectionError:
        return True


def test_stop_finishes_requests_in_flight(tmp_path: Path) -> None:
    """A stopping server refuses new connections, and completes a running upload and download."""
    noise = b"".join(os.urandom(1024) for _ in range(16 * 1024))
    large = conda(index_json("large"), files={"share/noise": noise})
    with serving(tmp_path, examiners=1, stop_seconds=60, downloads="direct") as server:
        channel, key = add_channel(tmp_path)
        with server.client(key) as http:
            assert 201 == upload(http, channel, large).status_code
        half = len(FILE.content) // 2
        headers = {**raw_headers(FILE), **bearer(key), "Content-Length": str(len(FILE.content))}
        with connect(server.address) as sending, connect(server.address) as reading:
            reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{channel}", headers) + FILE.content[:half])
            reading.sendall(head_bytes("GET", f"/{channel}/noarch/{large.name}"))
            wait_until(lambda: stored_state(server).spool)
            start = reading.recv(1000)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses_connections(server))
            sending.sendall(FILE.content[half:])
            response = read_response(sending, "POST")
            rest = b"".join(iter(lambda: reading.recv(1_000_000), b""))
        code = server.process.wait(_QUICK_SECONDS)
    assert (201, 0) == (response.status, code), response.body
    assert large.content == (start + rest).split(b"\r\n\r\n", 1)[1]
    assert (2, frozenset()) == (stored_state(server).rows, stored_state(server).spool)
    assert [] == problems(tmp_path)


def test_stalled_upload_at_a_stop_leaves_nothing(tmp_path: Path) -> None:
    """A stalled upload is aborted after `stop_seconds`: exit code 0, no row, no blob, no spool file."""
    with serving(tmp_path, examiners=1, stop_seconds=1, downloads="direct") as server:
        channel, key = add_channel(tmp_path)
        headers = {**raw_headers(FILE), **bearer(key), "Content-Length": "5000"}
        with connect(server.address) as sending:
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{channel}", headers) + FILE.content[:300])
            wait_until(lambda: stored_state(server).spool)
            code = server.stop()
        stored = stored_state(server)
    assert (0, frozenset(), frozenset(), 0) == (code, stored.blobs, stored.spool, stored.rows)
    assert [] == problems(tmp_path)


def test_spool_file_of_a_killed_server_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """SIGKILL during an upload leaves one spool file and no row."""
    with serving(tmp_path, examiners=1) as server:
        channel, key = add_channel(tmp_path)
        headers = {**raw_headers(FILE), **bearer(key), "Content-Length": "5000"}
        with connect(server.address) as sending:
            sending.sendall(head_bytes("POST", f"/api/v1/upload/{channel}", headers) + FILE.content[:300])
            wait_until(lambda: stored_state(server).spool)
            server.kill()
        killed = stored_state(server)
    assert (1, 0) == (len(killed.spool), killed.rows)
    assert [] == problems(tmp_path)
    assert frozenset() == stored_state(server).spool


# Start


def test_taken_port_is_named(shell: Shell, site: Site) -> None:
    """The error names the port and the setting."""
    port = site.server.address.rsplit(":", 1)[1]
    result = shell.run("serve", "--port", port)
    assert (1, "") == (result.code, result.out)
    assert [result.err.strip()] == result.err.splitlines()
    assert f"port {port}" in result.err
    assert "SEAWAY_PORT" in result.err


def test_host_of_another_machine_is_named(shell: Shell) -> None:
    """A server can listen only on addresses of its machine; the error names the host and the setting."""
    result = shell.run("serve", "--port", "0", "--host", "192.0.2.1")
    assert (result.code, [result.err.strip()]) == (1, result.err.splitlines())
    assert "192.0.2.1" in result.err
    assert re.search(r"--host|SEAWAY_HOST", result.err)


def test_first_start_prints_commands_that_create_an_upload_key(shell: Shell, tmp_path: Path) -> None:
    """Pasted into a shell, they create a user, a channel and a key that can upload; Ctrl-C stops the server."""
    with serving(tmp_path, examiners=1, log_format="json") as server:
        line = next(line for line in server.log if "user add" in line)
        results = [shell.run(*shlex.split(command)[1:]) for command in line.split("&&")]
        key, channel = results[-1].out.strip(), shlex.split(line.split("&&")[1])[5]
        with server.client(key) as http:
            response: httpx.Response = upload(http, channel, FILE)
        wait_until(lambda: any("/api/v1/upload/" in line for line in server.log))
        logged = [json.loads(line) for line in server.log if line.startswith("{")]
        server.process.send_signal(signal.SIGINT)
        code = server.process.wait(_QUICK_SECONDS)
    assert [0, 0, 0] == [result.code for result in results]
    assert 201 == response.status_code, response.text
    assert code in (0, 1, 130)
    assert "Traceback" not in "".join(server.log)
    assert ("request", "POST", 201) == tuple(logged[-1][name] for name in ("event", "method", "status"))


@pytest.mark.slow
def test_first_start_prints_a_link_for_the_first_account(tmp_path: Path) -> None:
    """One link with two workers; the next start prints a new link, and none if a user exists."""
    printed: list[list[str]] = []
    for workers in (2, 1):
        with serving(tmp_path, examiners=1, workers=workers) as server:
            wait_until(lambda server=server: any("user add" in line for line in server.log))  # type: ignore[misc]
            printed.append(re.findall(r"http://127\.0\.0\.1:\d+/first-account/(swy-ln-\w+)", "".join(server.log)))
    (old,), (new,) = printed
    seaway = sites.build(tmp_path)
    with pytest.raises(NotFound):
        first_account.require_valid(seaway.request_parts.accounts.site, old)
    first_account.require_valid(seaway.request_parts.accounts.site, new)
    Factory(seaway).user("ada")
    seaway.close()
    with serving(tmp_path, examiners=1) as server:
        assert "first-account" not in "".join(server.log)


def test_data_folder_is_private(site: Site) -> None:
    """Only the system user that runs the server can read it."""
    data = site.server.folder / "data"
    assert 0 == data.stat().st_mode & 0o077
