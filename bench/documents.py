"""Build of the whole documents of a large subdir, and its effect on reads and uploads."""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle, repeat
from pathlib import Path

import msgspec
from sqlalchemy import select

from bench import channels, http_client, instances, servers, synthetic_packages
from bench.folders import scratch
from bench.http_client import Address, Connection
from bench.measure import Samples, summarize
from bench.report import Report, format_number, progress
from bench.servers import Running
from bench.synthetic_packages import SUBDIR
from seaway.database.tables import documents
from seaway.indexing.documents import REPODATA
from seaway.server.wiring import Seaway
from tests.support.packages import zstd

TITLE = "whole documents of a large subdir: build time, memory, and the effect on other requests"
QUICK = {"sizes": [700_000], "rounds": 2, "quiet": 8.0}
FULL = {"sizes": [700_000], "rounds": 7, "quiet": 30.0}

_CHANNEL = "bench"
_UPLOAD_CHANNEL = "beside"
_STATIC_CHANNEL = "still"  # receives no uploads, so that its index does not change
_STATIC_RECORDS = 1_000
_LIMIT = 100_000
_SHARDS_READ = 64
_PAUSES = {"shard read": 0.01, "304 of the shard index": 0.01, "small upload": 0.1}
_POLL_SECONDS = 0.1
_BUILD_SECONDS = 900


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument("--quiet", type=float, help="seconds without a build, before each build")


def run(options: argparse.Namespace, report: Report) -> None:
    """Measure a build alone, then with concurrent requests."""
    for size in options.sizes:
        with scratch(options.folder) as folder:
            key = instances.prepare_instance(
                folder,
                {},
                {_CHANNEL: size, _STATIC_CHANNEL: min(size, _STATIC_RECORDS), _UPLOAD_CHANNEL: 0},
                options.cache,
            )
            progress(f"{size:,} records: builds in a separate process")
            _add_build_rows(report, f"{size:,} records", _build_alone(folder, options.rounds))
            # With this limit the build is a background job at any size.
            settings = {"whole_document_limit": min(_LIMIT, size // 2), **dict(options.set)}
            with instances.open_instance(folder, {}) as seaway, servers.seaway(folder, **settings) as server:
                comparison = _Comparison(seaway, server, key, synthetic_packages.generate(size))
                for number in range(options.rounds):
                    progress(f"{size:,} records: requests, round {number + 1} of {options.rounds}")
                    comparison.one_round(options.quiet, f"round{number}")
                comparison.add_rows(report, f"{size:,} records")


def _build_alone(folder: Path, rounds: int) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "bench.building", str(folder), _CHANNEL, str(rounds)]
    done = subprocess.run(command, cwd=servers.ROOT, check=True, stdout=subprocess.PIPE, text=True)
    measurements: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return measurements


def _add_build_rows(report: Report, case: str, measurements: Mapping[str, Sequence[float]]) -> None:
    bound = "the same bytes hashed, compressed and written"
    report.add(
        case, "build of all documents", measurements["build"], "s", baseline=measurements["bound"], baseline_name=bound
    )
    report.add(case, bound, measurements["bound"], "s")
    report.add(case, "peak memory of a build", [memory / 2**20 for memory in measurements["memory"]], "MiB")
    report.add_ms(case, "shard index, first read", measurements["index cold"])
    report.add_ms(case, "change of one name", measurements["change"])
    report.add_ms(
        case,
        "shard index and shard after a change",
        measurements["shard"],
        baseline=measurements["index cold"],
        baseline_name="first read",
    )


@dataclass
class _Comparison:
    """Latency of requests without and during a build, alternately."""

    seaway: Seaway
    server: Running
    key: str
    names: Sequence[synthetic_packages.SyntheticPackage]
    quiet: Samples = field(default_factory=Samples)
    loaded: Samples = field(default_factory=Samples)
    builds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def one_round(self, quiet_seconds: float, tag: str) -> None:
        """Measure requests without a build, then during one."""
        requests = _Requests(self.server.address, self.key, self.names, tag)
        with requests.sent(self.quiet, "quiet"):
            time.sleep(quiet_seconds)
        with requests.sent(self.loaded, "loaded"):
            started, memory = time.perf_counter(), self.server.rss()
            self.memory.append((self._await_build(requests.change()) - memory) / 2**20)
            self.builds.append(time.perf_counter() - started)

    def _await_build(self, revision: int) -> int:
        """Wait until the documents have this revision; return the peak memory of the server in bytes."""
        peak = 0
        deadline = time.monotonic() + _BUILD_SECONDS
        while self._built() < revision:
            peak = max(peak, self.server.rss())
            if time.monotonic() > deadline:
                raise RuntimeError("the build did not finish in time")
            time.sleep(_POLL_SECONDS)
        return peak

    def _built(self) -> int:
        with self.seaway.site.database.read() as tx:
            subdir_id = channels.subdir_of(tx, _CHANNEL).id
            query = select(documents.c.revision).where(documents.c.subdir_id == subdir_id, documents.c.kind == REPODATA)
            return tx.execute(query).scalar() or 0

    def add_rows(self, report: Report, case: str) -> None:
        """Add the rows of both phases, and notes that compare their p99."""
        report.add(case, "upload until in documents", self.builds, "s")
        report.add(case, "peak memory growth of the server", self.memory, "MiB")
        for what in _PAUSES:
            quiet, loaded = self.quiet[what], self.loaded[what]
            report.add_ms(case, f"{what}, no build", quiet, with_tail=True)
            report.add_ms(
                case, f"{what}, during a build", loaded, baseline=quiet, baseline_name="no build", with_tail=True
            )
            if quiet and loaded:
                tails = summarize(loaded).p99 / summarize(quiet).p99
                report.note(f"{case}: p99 of {what} during a build is {format_number(tails)}x the p99 without a build.")


@dataclass(frozen=True)
class _Requests:
    """One client for each kind of request, with pauses so that the server is not saturated."""

    address: Address
    key: str
    names: Sequence[synthetic_packages.SyntheticPackage]
    tag: str

    @contextmanager
    def sent(self, samples: Samples, phase: str) -> Iterator[None]:
        """Send requests until the block ends."""
        stop = threading.Event()
        kinds = {
            "shard read": self._shards(),
            "304 of the shard index": self._unchanged(),
            "small upload": self._uploads(phase),
        }
        with ThreadPoolExecutor(len(kinds)) as threads:
            futures = [
                threads.submit(self._send, following, _PAUSES[what], samples[what], stop)
                for what, following in kinds.items()
            ]
            try:
                yield
            finally:
                stop.set()
            for future in futures:
                future.result()

    def change(self) -> int:
        """Upload to the large channel; return its revision."""
        with Connection(self.address) as connection:
            build = synthetic_packages.new_builds(self.names, 1, f"{self.tag}.change")[0]
            response = connection.exchange(http_client.upload(_CHANNEL, build.pack(), self.key)).expect(201)
        return int(response.header("Seaway-Revision"))

    def _send(
        self, following: Iterator[tuple[bytes, int]], pause: float, into: list[float], stop: threading.Event
    ) -> None:
        with Connection(self.address) as connection:
            for request, status in following:
                started = time.perf_counter()
                response = connection.exchange(request)
                into.append(time.perf_counter() - started)
                response.expect(status)
                if stop.wait(max(0.0, pause - into[-1])):
                    return

    def _shards(self) -> Iterator[tuple[bytes, int]]:
        with Connection(self.address) as connection:
            index = connection.exchange(_get("repodata_shards.msgpack.zst")).expect(200)
        digests = list(msgspec.msgpack.decode(zstd.decompress(index.body))["shards"].values())
        step = max(1, len(digests) // _SHARDS_READ)
        return ((_get(f"shards/{digest.hex()}.msgpack.zst"), 200) for digest in cycle(digests[::step]))

    def _unchanged(self) -> Iterator[tuple[bytes, int]]:
        with Connection(self.address) as connection:
            index = connection.exchange(_get("repodata_shards.msgpack.zst", channel=_STATIC_CHANNEL)).expect(200)
        condition = {"If-None-Match": index.header("ETag")}
        return repeat((_get("repodata_shards.msgpack.zst", condition, channel=_STATIC_CHANNEL), 304))

    def _uploads(self, phase: str) -> Iterator[tuple[bytes, int]]:
        for number in count():
            build = synthetic_packages.new_builds(self.names, 1, f"{self.tag}.{phase}.{number}")[0]
            yield http_client.upload(_UPLOAD_CHANNEL, build.pack(), self.key), 201


def _get(within: str, headers: Mapping[str, str] | None = None, *, channel: str = _CHANNEL) -> bytes:
    return http_client.get(f"/{channel}/{SUBDIR}/{within}", headers)
