"""Latency of one user's small uploads, alone and while another user uploads files that are slow to examine."""

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import houses, recipes, servers, wire
from bench.folders import scratch
from bench.measure import Samples
from bench.report import Report, progress
from bench.wire import Address
from seaway.channels.roles import Role
from tests.support import packages
from tests.support.house import People

TITLE = "one user's small uploads, alone and while another user uploads files that are slow to examine"
QUICK = {"sizes": [], "rounds": 3, "count": 40, "members": 100_000}
FULL = {"sizes": [], "rounds": 7, "count": 100, "members": 100_000}

_CHANNEL = "shared"
_AT_ONCE = 8
_ALONE = "alone"
_BESIDE = f"with {_AT_ONCE} slow files of another user"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument("--count", type=int, help="small uploads in each round")
    parser.add_argument("--members", type=int, help="empty members in a slow file")


def run(options: argparse.Namespace, report: Report) -> None:
    """Measure both cases in turns."""
    with scratch(options.folder) as folder:
        owner = houses.prepared(folder, {}, {_CHANNEL: 0}, None)
        with houses.opened(folder, {}) as seaway, servers.seaway(folder, **dict(options.set)) as server:
            people = People(seaway)
            people.member(_CHANNEL, "sender", Role.CONTRIBUTOR)
            slow = wire.upload(_CHANNEL, _slow_file(options.members), people.key("sender"))
            latencies, examinations = Samples(), Samples()
            for number in range(-1, options.rounds):  # the first one warms up
                progress(f"round {number + 1} of {options.rounds}")
                into = (latencies, examinations) if number >= 0 else (Samples(), Samples())
                into[0][_ALONE] += _small_uploads(server.address, owner, options.count, f"alone{number + 1}")
                with _slow_uploads(server.address, slow, into[1]["slow"]):
                    into[0][_BESIDE] += _small_uploads(server.address, owner, options.count, f"beside{number + 1}")
    report.add_ms(_ALONE, "latency", latencies[_ALONE], with_tail=True)
    report.add_ms(_BESIDE, "latency", latencies[_BESIDE], beside=latencies[_ALONE], to=_ALONE, with_tail=True)
    report.add_ms("slow files", "time until refused", examinations["slow"], with_tail=True)


def _slow_file(members: int) -> packages.PackageFile:
    """Create a file that is refused because of its last member."""
    files = {f"share/{number}": b"" for number in range(members)}
    return packages.conda(packages.index_json("slow"), files={**files, "info/late": b""})


def _small_uploads(address: Address, key: str, count: int, tag: str) -> list[float]:
    builds = recipes.new_builds(recipes.families(1_000), count, tag)
    requests = [wire.upload(_CHANNEL, build.pack(), key) for build in builds]
    return list(wire.send_all(address, requests, 1, 201).latencies)


@contextmanager
def _slow_uploads(address: Address, request: bytes, seconds: list[float]) -> Iterator[None]:
    """Send the file repeatedly over several connections until the block ends."""
    stopping, began = threading.Event(), threading.Barrier(_AT_ONCE + 1)

    def send() -> None:
        with wire.Connection(address) as connection:
            began.wait()
            while not stopping.is_set():
                start = time.perf_counter()
                status = connection.exchange(request).status
                if status not in (422, 429):
                    raise RuntimeError(f"unexpected status for a slow file: {status}")
                seconds.append(time.perf_counter() - start)
                stopping.wait(0 if status == 422 else 1)

    threads = [threading.Thread(target=send) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    began.wait()
    time.sleep(0.5)  # until the examination has started
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
