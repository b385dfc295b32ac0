"""`seaway serve --workers N`: worker processes, their replacement and their end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support import postgres, sites, state
from tests.support.packages import conda, index_json
from tests.support.proxy import FaultProxy, Pass, Refuse
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
from tests.support.server import Server, serving
from tests.support.sites import Factory
from tests.workers.fleet import Owned, in_repodata

WORKERS = 2
FILE = conda(index_json("demo"))

_START_SECONDS = 90  # on a busy machine
_QUICK_SECONDS = 20  # far below the time that a stop waits for running requests


def lines(server: Server, word: str) -> list[str]:
    return [line for line in server.log if word in line]


def workers(server: Server) -> list[psutil.Process]:
    """Return the running worker processes."""
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if "--multiprocessing-fork" in _command(child)]


def all_processes(server: Server) -> list[psutil.Process]:
    """Return all processes of the server."""
    parent = psutil.Process(server.process.pid)
    return [parent, *parent.children(recursive=True)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for_starts(server: Server, number: int) -> None:
    """Wait until the log has this many worker starts."""
    wait_until(lambda: len(lines(server, "startup complete")) >= number, _START_SECONDS)


@contextmanager
def serving_by_workers(folder: Path, number: int = WORKERS, **settings: object) -> Iterator[tuple[Server, Owned]]:
    """A server with all workers running, and a channel."""
    with closing(sites.build(folder)) as seaway:
        factory = Factory(seaway)
        owned = Owned(factory.channel("chan"), factory.key("owner"))
    with serving(folder, workers=number, examiners=1, downloads="direct", **settings) as server:
        wait_for_starts(server, number)
        yield server, owned


def connections(server: Server) -> dict[int, int]:
    """Return the number of open connections of each worker."""
    port = httpx.URL(server.address).port
    return {
        worker.pid: len([each for each in worker.net_connections("tcp") if each.laddr.port == port and each.raddr])
        for worker in workers(server)
    }


def all_take_requests(server: Server) -> bool:
    """Return whether many open connections are spread over all workers."""
    with ExitStack() as stack, ThreadPoolExecutor(30) as threads:
        clients = [stack.enter_context(server.client()) for _ in range(30)]
        statuses = list(threads.map(lambda http: http.get("/health/ready").status_code, clients))
        assert {200} == set(statuses)
        counts = connections(server)
        return WORKERS == len(counts) and 0 < min(counts.values())


# End of the processes


@dataclass
class RunningUpload:
    """An upload of which half is sent."""

    server: Server
    owned: Owned

    @contextmanager
    def upload(self) -> Iterator[Callable[[], int]]:
        """Yield a function that sends the other half and returns the status of the response."""
        half = len(FILE.content) // 2
        headers = {**raw_headers(FILE), **bearer(self.owned.key), "Content-Length": str(len(FILE.content))}
        with connect(self.server.address) as connection:
            head = head_bytes("POST", f"/api/v1/upload/{self.owned.channel}", headers)
            connection.sendall(head + FILE.content[:half])
            wait_until(lambda: stored_state(self.server).spool)

            def finish() -> int:
                connection.sendall(FILE.content[half:])
                return read_response(connection, "POST").status

            yield finish


def refuses(server: Server) -> bool:
    try:
        with connect(server.address):
            return False
    except ConnectionError:
        return True


def terminate_parent(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)


def terminate_all(server: Server) -> None:
    for process in all_processes(server):
        process.send_signal(signal.SIGTERM)


def interrupt_all(server: Server) -> None:
    for process in all_processes(server):
        process.send_signal(signal.SIGINT)


def assert_running_upload_finishes(server: Server, owned: Owned, stop: Callable[[Server], None]) -> None:
    """Stop during an upload: new connections are refused, the upload finishes, and no process or spool file remains."""
    before = stored_state(server)
    with RunningUpload(server, owned).upload() as finish:
        processes = all_processes(server)
        stop(server)
        wait_until(lambda: refuses(server))
        status = finish()
        code = server.process.wait(_QUICK_SECONDS)
        wait_until(lambda: all(has_ended(process) for process in processes))
    remaining = stored_state(server)
    assert (201, 0) == (status, code)
    assert (before.rows + 1, frozenset()) == (remaining.rows, remaining.spool)
    assert [] == lines(server, "Traceback")


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_a_stop_finishes_uploads(tmp_path: Path) -> None:
    """After a kill of one worker the other serves until it is replaced; SIGTERM ends them orderly."""
    with serving_by_workers(tmp_path) as (server, owned):
        wait_until(lambda: all_take_requests(server), _START_SECONDS)
        before = workers(server)
        before[0].kill()
        for number in range(5):
            with server.client(owned.key) as http:  # each on its own connection, which any worker can accept
                assert 201 == upload(http, owned.channel, conda(index_json("other", f"{number}"))).status_code
                assert number + 1 == len(in_repodata(http, owned))
        wait_for_starts(server, WORKERS + 1)
        wait_until(lambda: all_take_requests(server), _START_SECONDS)
        assert 1 == len({worker.pid for worker in workers(server)} & {worker.pid for worker in before})
        assert_running_upload_finishes(server, owned, terminate_parent)
        assert 1 == len(lines(server, "worker.died"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(terminate_all, id="SIGTERM to all, as systemd does"),
        pytest.param(interrupt_all, id="SIGINT to all, as Ctrl-C does"),
    ],
)
def test_a_stop_of_all_processes_finishes_uploads(tmp_path: Path, stop: Callable[[Server], None]) -> None:
    """Workers and examiners that get the signal too finish running uploads."""
    with serving_by_workers(tmp_path, stop_seconds=60) as (server, owned):
        assert_running_upload_finishes(server, owned, stop)
        assert [] == lines(server, "worker.died")


@pytest.mark.slow
def test_one_process_finishes_uploads_at_an_interrupt(tmp_path: Path) -> None:
    """Ctrl-C in a terminal, which reaches the examiners too, does not interrupt an upload."""
    with (
        serving_by_workers(tmp_path, 1, stop_seconds=60) as (server, owned),
        RunningUpload(server, owned).upload() as finish,
    ):
        interrupt_all(server)
        wait_until(lambda: refuses(server))
        status = finish()
        code = server.process.wait(_QUICK_SECONDS)
    assert 201 == status
    assert code in (0, 1, 130)
    assert [] == lines(server, "Traceback")


@pytest.mark.slow
def test_an_interrupt_during_the_start_is_orderly(tmp_path: Path) -> None:
    """Ctrl-C while workers start ends them all with exit code 0 and without a traceback."""
    with closing(sites.build(tmp_path)):
        pass
    process = subprocess.Popen(
        [sys.executable, "-m", "seaway", "serve", "--port", "0", "--workers", "3"],
        env={name: value for name, value in os.environ.items() if not name.startswith("SEAWAY_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )
    parent = psutil.Process(process.pid)
    wait_until(
        lambda: sum("--multiprocessing-fork" in _command(child) for child in parent.children()) == 3, _START_SECONDS
    )
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=_START_SECONDS)
    assert (0, False) == (process.returncode, "Traceback" in output), output


@pytest.mark.slow
def test_the_end_of_the_parent_ends_the_workers(tmp_path: Path) -> None:
    """If the parent is killed, its workers finish running uploads, stop listening and exit."""
    with serving_by_workers(tmp_path) as (server, owned), RunningUpload(server, owned).upload() as finish:
        processes = all_processes(server)
        server.process.kill()
        wait_until(lambda: refuses(server))
        status = finish()
        wait_until(lambda: all(has_ended(process) for process in processes), _QUICK_SECONDS)
        remaining = stored_state(server)
    assert (201, 1, frozenset()) == (status, remaining.rows, remaining.spool)


# Start of the processes


@pytest.mark.slow
def test_failing_workers_are_restarted_with_growing_pauses(tmp_path: Path) -> None:
    """Workers serve once the database is available again, and a stop does not wait for failing ones."""
    with state.choose(state.POSTGRES_S3), FaultProxy("127.0.0.1", postgres.shared().port) as proxy:
        through = {"database_url": proxy.through(state.settings(tmp_path)["database_url"])}
        with serving_by_workers(tmp_path, 2, **through) as (server, owned):
            proxy.mode = Refuse()
            proxy.cut()
            for worker in workers(server):
                worker.kill()
            wait_until(lambda: len(lines(server, "worker.died")) == 5, _START_SECONDS)
            failures = lines(server, "worker.failed")
            proxy.mode = Pass()
            wait_until(lambda: len(lines(server, "startup complete")) >= 4, _START_SECONDS)
            with server.client(owned.key) as http:
                assert 201 == upload(http, owned.channel, FILE).status_code
            proxy.mode = Refuse()
            proxy.cut()
            code = server.stop()
        state.forget(tmp_path)
    deaths = [datetime.fromisoformat(line.split()[0]) for line in lines(server, "worker.died")]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(deaths[:5])]
    assert all(gap >= least for gap, least in zip(gaps, (0.5, 1.5, 3.5, 7.5), strict=True)), gaps
    assert 3 == len(failures)
    assert all("The database does not respond" in line for line in failures)
    assert (0, []) == (code, lines(server, "Traceback"))
