"""Latency of one user's small uploads, alone and while another user uploads files that are slow to examine."""

import argparse
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench import http_client, instances, servers, synthetic_packages
from bench.folders import scratch
from bench.http_client import Address
from bench.measure import Samples
from bench.report import Report, progress
from seaway.channels.roles import Role
from tests.support import packages
from tests.support.sites import Factory

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
    """Measure both cases alternately."""
    with scratch(options.folder) as folder:
        owner = instances.prepare_instance(folder, {}, {_CHANNEL: 0}, None)
        with instances.open_instance(folder, {}) as seaway, servers.seaway(folder, **dict(options.set)) as server:
            factory = Factory(seaway)
            factory.member(_CHANNEL, "sender", Role.CONTRIBUTOR)
            slow = http_client.upload(_CHANNEL, _slow_file(options.members), factory.key("sender"))
            latencies, examinations = Samples(), Samples()
            for number in range(-1, options.rounds):  # the first one warms up
                progress(f"round {number + 1} of {options.rounds}")
                into = (latencies, examinations) if number >= 0 else (Samples(), Samples())
                into[0][_ALONE] += _small_uploads(server.address, owner, options.count, f"alone{number + 1}")
                with _slow_uploads(server.address, slow, into[1]["slow"]):
                    into[0][_BESIDE] += _small_uploads(server.address, owner, options.count, f"beside{number + 1}")
    report.add_ms(_ALONE, "latency", latencies[_ALONE], with_tail=True)
    report.add_ms(
        _BESIDE, "latency", latencies[_BESIDE], baseline=latencies[_ALONE], baseline_name=_ALONE, with_tail=True
    )
    report.add_ms("slow files", "time until refused", examinations["slow"], with_tail=True)


def _slow_file(members: int) -> packages.PackageFile:
    """Create a file that is refused only after all members were read: paths.json lists a file that is not there."""
    paths = packages.paths_json({"share/missing": b""})
    return packages.conda(
        packages.index_json("slow"), files={f"share/{number}": b"" for number in range(members)}, paths=paths
    )


def _small_uploads(address: Address, key: str, count: int, tag: str) -> list[float]:
    builds = synthetic_packages.new_builds(synthetic_packages.generate(1_000), count, tag)
    requests = [http_client.upload(_CHANNEL, build.pack(), key) for build in builds]
    return list(http_client.send_all(address, requests, 1, 201).latencies)


@contextmanager
def _slow_uploads(address: Address, request: bytes, seconds: list[float]) -> Iterator[None]:
    """Send the file repeatedly over several connections until the block ends; raise if a sender failed."""
    stopping = threading.Event()

    def send() -> None:
        with http_client.Connection(address) as connection:
            while not stopping.is_set():
                start = time.perf_counter()
                status = connection.exchange(request).expect(422, 429).status
                seconds.append(time.perf_counter() - start)
                stopping.wait(0 if status == 422 else 1)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        futures = [threads.submit(send) for _ in range(_AT_ONCE)]
        time.sleep(0.5)  # until the examination has started
        try:
            yield
        finally:
            stopping.set()
        for future in futures:
            future.result()
