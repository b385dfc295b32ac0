"""`seaway serve --workers N`: the processes behind one address, how they are replaced, and how they end."""

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

from tests.support import house, postgres, state
from tests.support.house import People
from tests.support.packages import conda, index_json
from tests.support.proxy import FaultProxy, Pass, Refuse
from tests.support.requests import bearer, connected, head_bytes, kept, raw_headers, read_answer, until, upload
from tests.support.server import Server, serving
from tests.workers.fleet import Owned, in_repodata

WORKERS = 2
FILE = conda(index_json("demo"))

_START_SECONDS = 90  # of processes beside many others
_QUICK_SECONDS = 20  # far below what a stop may wait for requests in flight


def lines(server: Server, word: str) -> list[str]:
    return [line for line in server.log if word in line]


def workers(server: Server) -> list[psutil.Process]:
    """The processes that serve now."""
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if "--multiprocessing-fork" in _command(child)]


def family(server: Server) -> list[psutil.Process]:
    """Every process that belongs to the server."""
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
    """Wait until so many workers, since the beginning, have said that they serve."""
    until(lambda: len(lines(server, "startup complete")) >= number, _START_SECONDS)


@contextmanager
def serving_by_workers(folder: Path, number: int = WORKERS, **settings: object) -> Iterator[tuple[Server, Owned]]:
    """A server whose workers all serve, and a channel."""
    with closing(house.build(folder)) as beside:
        people = People(beside)
        owned = Owned(people.channel("chan"), people.key("owner"))
    with serving(folder, workers=number, examiners=1, downloads="direct", **settings) as server:
        wait_for_starts(server, number)
        yield server, owned


def connections(server: Server) -> dict[int, int]:
    """How many open connections each worker has."""
    port = httpx.URL(server.address).port
    return {
        worker.pid: len([one for one in worker.net_connections("tcp") if one.laddr.port == port and one.raddr])
        for worker in workers(server)
    }


def all_take_requests(server: Server) -> bool:
    """Whether each worker has some of many connections that asked something and stay open."""
    with ExitStack() as stack, ThreadPoolExecutor(30) as threads:
        clients = [stack.enter_context(server.client()) for _ in range(30)]
        asked = list(threads.map(lambda http: http.get("/health/ready").status_code, clients))
        assert {200} == set(asked)
        taken = connections(server)
        return WORKERS == len(taken) and 0 < min(taken.values())


# How they end


@dataclass
class InFlight:
    """An upload of which half was sent."""

    server: Server
    owned: Owned

    @contextmanager
    def upload(self) -> Iterator[Callable[[], int]]:
        """Calling what this gives sends the other half; the status of the answer."""
        half = len(FILE.content) // 2
        headers = {**raw_headers(FILE), **bearer(self.owned.key), "Content-Length": str(len(FILE.content))}
        with connected(self.server.address) as connection:
            head = head_bytes("POST", f"/api/v1/upload/{self.owned.channel}", headers)
            connection.sendall(head + FILE.content[:half])
            until(lambda: kept(self.server).spool)

            def finish() -> int:
                connection.sendall(FILE.content[half:])
                return read_answer(connection, "POST").status

            yield finish


def refuses(server: Server) -> bool:
    try:
        with connected(server.address):
            return False
    except ConnectionError:
        return True


def term_parent(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)


def term_everybody(server: Server) -> None:
    for process in family(server):
        process.send_signal(signal.SIGTERM)


def interrupt_everybody(server: Server) -> None:
    for process in family(server):
        process.send_signal(signal.SIGINT)


def assert_finishes_what_is_in_flight(server: Server, owned: Owned, stop: Callable[[Server], None]) -> None:
    """Stop with half an upload sent: new connections are refused at once, it comes to its end, and nothing is left."""
    before = kept(server)
    with InFlight(server, owned).upload() as finish:
        processes = family(server)
        stop(server)
        until(lambda: refuses(server))
        status = finish()
        code = server.process.wait(_QUICK_SECONDS)
        until(lambda: all(has_ended(process) for process in processes))
    left = kept(server)
    assert (201, 0) == (status, code)
    assert (before.rows + 1, frozenset()) == (left.rows, left.spool)
    assert [] == lines(server, "Traceback")


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_a_stop_finishes_what_is_in_flight(tmp_path: Path) -> None:
    """All workers take requests; when one is killed the other goes on, and soon there are two; SIGTERM ends them in order."""
    with serving_by_workers(tmp_path) as (server, owned):
        until(lambda: all_take_requests(server), _START_SECONDS)
        before = workers(server)
        before[0].kill()
        for number in range(5):
            with server.client(owned.key) as http:  # each on a connection of its own, which any worker may take
                assert 201 == upload(http, owned.channel, conda(index_json("other", f"{number}"))).status_code
                assert number + 1 == len(in_repodata(http, owned))
        wait_for_starts(server, WORKERS + 1)
        until(lambda: all_take_requests(server), _START_SECONDS)
        assert 1 == len({worker.pid for worker in workers(server)} & {worker.pid for worker in before})
        assert_finishes_what_is_in_flight(server, owned, term_parent)
        assert 1 == len(lines(server, "worker.died"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(term_everybody, id="SIGTERM to all, as systemd does"),
        pytest.param(interrupt_everybody, id="SIGINT to all, as Ctrl-C does"),
    ],
)
def test_a_stop_of_all_processes_finishes_what_is_in_flight(tmp_path: Path, stop: Callable[[Server], None]) -> None:
    """Workers and examiners that hear the signal too do not give up what the parent lets them finish."""
    with serving_by_workers(tmp_path, stop_seconds=60) as (server, owned):
        assert_finishes_what_is_in_flight(server, owned, stop)
        assert [] == lines(server, "worker.died")


@pytest.mark.slow
def test_one_process_finishes_what_is_in_flight_at_an_interrupt(tmp_path: Path) -> None:
    """Ctrl-C in a terminal, which reaches the processes that examine too, lets an upload come to its end."""
    with (
        serving_by_workers(tmp_path, 1, stop_seconds=60) as (server, owned),
        InFlight(server, owned).upload() as finish,
    ):
        interrupt_everybody(server)
        until(lambda: refuses(server))
        status = finish()
        code = server.process.wait(_QUICK_SECONDS)
    assert 201 == status
    assert code in (0, 1, 130)
    assert [] == lines(server, "Traceback")


@pytest.mark.slow
def test_an_interrupt_during_the_start_is_orderly(tmp_path: Path) -> None:
    """Ctrl-C while workers are being started ends them all with exit code 0 and without a traceback."""
    with closing(house.build(tmp_path)):
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
    until(lambda: sum("--multiprocessing-fork" in _command(child) for child in parent.children()) == 3, _START_SECONDS)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=_START_SECONDS)
    assert (0, False) == (process.returncode, "Traceback" in output), output


@pytest.mark.slow
def test_the_end_of_the_parent_ends_the_workers(tmp_path: Path) -> None:
    """When the parent is killed, its workers finish what is in flight and end by themselves; nobody listens any more."""
    with serving_by_workers(tmp_path) as (server, owned), InFlight(server, owned).upload() as finish:
        processes = family(server)
        server.process.kill()
        until(lambda: refuses(server))
        status = finish()
        until(lambda: all(has_ended(process) for process in processes), _QUICK_SECONDS)
        left = kept(server)
    assert (201, 1, frozenset()) == (status, left.rows, left.spool)


# How they start


@pytest.mark.slow
def test_workers_that_cannot_start_are_tried_less_and_less_often(tmp_path: Path) -> None:
    """While the database is away workers are started with growing pauses, and serve when it is back; no stop hangs on them."""
    with state.choose(state.POSTGRES_S3), FaultProxy("127.0.0.1", postgres.shared().port) as proxy:
        through = {"database_url": proxy.through(state.settings(tmp_path)["database_url"])}
        with serving_by_workers(tmp_path, 2, **through) as (server, owned):
            proxy.mode = Refuse()
            proxy.cut()
            for worker in workers(server):
                worker.kill()
            until(lambda: len(lines(server, "worker.died")) == 5, _START_SECONDS)
            failures = lines(server, "worker.failed")
            proxy.mode = Pass()
            until(lambda: len(lines(server, "startup complete")) >= 4, _START_SECONDS)
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
    assert all("The database does not answer" in line for line in failures)
    assert (0, []) == (code, lines(server, "Traceback"))
