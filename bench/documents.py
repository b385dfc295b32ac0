"""Building the whole documents of a large subdir, and what readers and uploads feel of it."""

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

from bench import channels, houses, recipes, servers, wire
from bench.folders import scratch
from bench.measure import Samples, summarize
from bench.recipes import SUBDIR
from bench.report import Report, progress, short
from bench.servers import Running
from bench.wire import Address, Connection
from seaway.database.tables import documents
from seaway.indexing.documents import REPODATA
from seaway.server.wiring import Seaway
from tests.support.packages import zstd

TITLE = "the whole documents of a large subdir: time, memory, and what others feel of a build"
QUICK = {"sizes": [700_000], "rounds": 2, "quiet": 8.0}
FULL = {"sizes": [700_000], "rounds": 7, "quiet": 30.0}

_CHANNEL = "bench"
_BESIDE = "beside"
_STILL = "still"  # nothing is uploaded to it, so that its index stays as it is
_STILL_RECORDS = 1_000
_LIMIT = 100_000
_SHARDS_READ = 64
_PAUSES = {"shard read": 0.01, "304 of the shard index": 0.01, "small upload": 0.1}
_POLL_SECONDS = 0.1
_BUILD_SECONDS = 900


def add_options(parser: argparse.ArgumentParser) -> None:
    """What only this one needs."""
    parser.add_argument("--quiet", type=float, help="seconds without a build, beside each build")


def run(options: argparse.Namespace, report: Report) -> None:
    """Measure a build by itself, then beside requests."""
    for size in options.sizes:
        with scratch(options.folder) as folder:
            key = houses.prepared(
                folder, {}, {_CHANNEL: size, _STILL: min(size, _STILL_RECORDS), _BESIDE: 0}, options.cache
            )
            progress(f"{size:,} records: builds in a process of their own")
            _tell_building(report, f"{size:,} records", _build_alone(folder, options.rounds))
            # At any size the build is a background job.
            given = {"whole_document_limit": min(_LIMIT, size // 2), **dict(options.set)}
            with houses.opened(folder, {}) as house, servers.seaway(folder, **given) as server:
                felt = _Felt(house, server, key, recipes.families(size))
                for number in range(options.rounds):
                    progress(f"{size:,} records: requests, round {number + 1} of {options.rounds}")
                    felt.one_round(options.quiet, f"round{number}")
                felt.tell(report, f"{size:,} records")


def _build_alone(folder: Path, rounds: int) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "bench.building", str(folder), _CHANNEL, str(rounds)]
    done = subprocess.run(command, cwd=servers.ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _tell_building(report: Report, case: str, found: Mapping[str, Sequence[float]]) -> None:
    bound = "the same bytes hashed, packed and written"
    report.add(case, "build of all documents", found["build"], "s", beside=found["bound"], to=bound)
    report.add(case, bound, found["bound"], "s")
    report.add(case, "memory of a build at most", [one / 2**20 for one in found["memory"]], "MiB")
    report.add_ms(case, "shard index, the first", found["index cold"])
    report.add_ms(case, "change of one name", found["change"])
    report.add_ms(case, "shard index and shard after it", found["shard"], beside=found["index cold"], to="the first")


@dataclass
class _Felt:
    """Requests beside a build and without one, in turns."""

    house: Seaway
    server: Running
    key: str
    names: Sequence[recipes.Family]
    quiet: Samples = field(default_factory=Samples)
    loaded: Samples = field(default_factory=Samples)
    builds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def one_round(self, quiet_seconds: float, tag: str) -> None:
        """A quiet time, then a build."""
        requests = _Requests(self.server.address, self.key, self.names, tag)
        with requests.sent(self.quiet, "quiet"):
            time.sleep(quiet_seconds)
        with requests.sent(self.loaded, "loaded"):
            started, held = time.perf_counter(), self.server.rss()
            self.memory.append((self._await_build(requests.change()) - held) / 2**20)
            self.builds.append(time.perf_counter() - started)

    def _await_build(self, revision: int) -> int:
        """Wait until the documents are of this revision; the most memory that the server held meanwhile."""
        most = 0
        deadline = time.monotonic() + _BUILD_SECONDS
        while self._built() < revision:
            most = max(most, self.server.rss())
            if time.monotonic() > deadline:
                raise RuntimeError("the build did not end")
            time.sleep(_POLL_SECONDS)
        return most

    def _built(self) -> int:
        with self.house.database.read() as tx:
            subdir_id = channels.subdir_of(tx, _CHANNEL).id
            query = select(documents.c.revision).where(documents.c.subdir_id == subdir_id, documents.c.kind == REPODATA)
            return tx.execute(query).scalar() or 0

    def tell(self, report: Report, case: str) -> None:
        """Both, and how the tails compare."""
        report.add(case, "upload until the documents have it", self.builds, "s")
        report.add(case, "memory of the server meanwhile, at most", self.memory, "MiB")
        for what in _PAUSES:
            quiet, loaded = self.quiet[what], self.loaded[what]
            report.add_ms(case, f"{what}, no build", quiet, with_tail=True)
            report.add_ms(case, f"{what}, beside a build", loaded, beside=quiet, to="no build", with_tail=True)
            if quiet and loaded:
                tails = summarize(loaded).p99 / summarize(quiet).p99
                report.note(f"{case}: p99 of {what} beside a build is {short(tails)}x that without.")


@dataclass(frozen=True)
class _Requests:
    """One client of each sort, at a pace that leaves the server time."""

    address: Address
    key: str
    names: Sequence[recipes.Family]
    tag: str

    @contextmanager
    def sent(self, samples: Samples, phase: str) -> Iterator[None]:
        """Send requests until the block ends."""
        stop = threading.Event()
        sorts = {
            "shard read": self._shards(),
            "304 of the shard index": self._unchanged(),
            "small upload": self._uploads(phase),
        }
        with ThreadPoolExecutor(len(sorts)) as threads:
            futures = [
                threads.submit(self._send, following, _PAUSES[what], samples[what], stop)
                for what, following in sorts.items()
            ]
            try:
                yield
            finally:
                stop.set()
            for future in futures:
                future.result()

    def change(self) -> int:
        """Upload into the large channel; its revision."""
        with Connection(self.address) as connection:
            build = recipes.new_builds(self.names, 1, f"{self.tag}.change")[0]
            answer = connection.exchange(wire.upload(_CHANNEL, build.pack(), self.key)).expect(201)
        return int(answer.header("Seaway-Revision"))

    def _send(
        self, following: Iterator[tuple[bytes, int]], pause: float, into: list[float], stop: threading.Event
    ) -> None:
        with Connection(self.address) as connection:
            for request, status in following:
                started = time.perf_counter()
                answer = connection.exchange(request)
                into.append(time.perf_counter() - started)
                answer.expect(status)
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
            index = connection.exchange(_get("repodata_shards.msgpack.zst", channel=_STILL)).expect(200)
        condition = {"If-None-Match": index.header("ETag")}
        return repeat((_get("repodata_shards.msgpack.zst", condition, channel=_STILL), 304))

    def _uploads(self, phase: str) -> Iterator[tuple[bytes, int]]:
        for number in count():
            build = recipes.new_builds(self.names, 1, f"{self.tag}.{phase}.{number}")[0]
            yield wire.upload(_BESIDE, build.pack(), self.key), 201


def _get(within: str, headers: Mapping[str, str] | None = None, *, channel: str = _CHANNEL) -> bytes:
    return wire.get(f"/{channel}/{SUBDIR}/{within}", headers)
