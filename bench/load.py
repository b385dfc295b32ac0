"""Mixed load on four workers with PostgreSQL and S3, compared with one worker with SQLite and a folder."""

import argparse
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec
import psutil
import psycopg

from bench import http_client, instances, servers, synthetic_packages
from bench.folders import scratch
from bench.http_client import Connection
from bench.measure import Samples
from bench.report import Report, format_number, progress
from bench.servers import Running
from bench.synthetic_packages import SUBDIR
from tests.support.packages import PackageFile, conda, zstd

TITLE = "mixed load on 4 workers with PostgreSQL and S3, compared with 1 worker with SQLite and a folder"
QUICK = {"sizes": [1_000], "rounds": 3, "count": 400, "clients": 8}
FULL = {"sizes": [1_000, 10_000], "rounds": 7, "count": 2_000, "clients": 16}

_CHANNEL = "bench"
_WORKERS = 4
_BUSY_PART = 0.8  # a resource used to this degree is the bottleneck
_UPLOAD, _OVERWRITE, _SHARD, _REPODATA = "upload", "overwrite", "shard read", "repodata read"
_MIX = {_UPLOAD: 0.15, _OVERWRITE: 0.05, _SHARD: 0.60, _REPODATA: 0.20}
_MANY = "PostgreSQL and S3"
_ONE = "SQLite and a folder"
_FLUSHES, _FLUSH_MS = 18, 19  # positions of the flush requests and their time in a line of /proc/diskstats


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument("--count", type=int, help="requests in each round")
    parser.add_argument("--clients", type=int, help="concurrent clients")
    parser.add_argument("--workers", type=int, default=_WORKERS, help="workers with PostgreSQL and S3")


def run(options: argparse.Namespace, report: Report) -> None:
    """Run the same work on both sites alternately."""
    for size in options.sizes:
        with ExitStack() as stack:
            sites = [
                stack.enter_context(_site(options, _MANY, servers.POSTGRES_S3, size, options.workers)),
                stack.enter_context(_site(options, _ONE, servers.SQLITE_FOLDER, size, 1)),
            ]
            for site in sites:
                site.do(_work(size, "warm", options.count // 4), options.clients, _Results())
            results = {site.name: _Results() for site in sites}
            for number in range(options.rounds):
                progress(f"{size:,} records, round {number + 1} of {options.rounds}")
                work = _work(size, f"round{number}", options.count)
                for site in sites:
                    site.do(work, options.clients, results[site.name])
        _add_rows(report, f"{size:,} records", results)


@dataclass(frozen=True, slots=True)
class _Request:
    """One request of the work: its kind, and the file to upload."""

    what: str
    file: PackageFile | None = None


@dataclass
class _Results:
    """Measurements of a site so far."""

    rates: list[float] = field(default_factory=list)
    latencies: Samples = field(default_factory=Samples)
    cpu_ms: Samples = field(default_factory=Samples)
    cores: list[float] = field(default_factory=list)
    cores_of_others: list[float] = field(default_factory=list)
    flushes: list[float] = field(default_factory=list)
    flush_part: list[float] = field(default_factory=list)
    syncs_of_postgres: list[float] = field(default_factory=list)


def _work(size: int, tag: str, count: int) -> list[_Request]:
    """Create a list of requests, which both sites get in the same order."""
    dice = random.Random(f"{size} {tag}")
    kinds = dice.choices(list(_MIX), list(_MIX.values()), k=count)
    builds = iter(
        synthetic_packages.new_builds(synthetic_packages.generate(size), kinds.count(_UPLOAD), f"{size}.{tag}")
    )
    work: list[_Request] = []
    for number, kind in enumerate(kinds):
        if kind == _UPLOAD:
            work.append(_Request(kind, next(builds).pack()))
        elif kind == _OVERWRITE:
            work.append(_Request(kind, _overwriting(dice.randrange(20), f"{tag} {number}")))
        else:
            work.append(_Request(kind))
    return work


def _overwriting(number: int, text: str) -> PackageFile:
    index = {"name": f"nightly{number}", "version": "1.0", "build": "h1_0", "build_number": 0, "depends": []}
    return conda({**index, "subdir": SUBDIR}, files={"share/nightly.txt": text.encode()})


@dataclass(frozen=True)
class _Site:
    """A server and the other processes it needs."""

    name: str
    server: Running
    key: str
    parts: Mapping[str, Sequence[int]]
    database_url: str

    def do(self, work: Sequence[_Request], clients: int, results: _Results) -> None:
        """Run the work and measure its cost."""
        waiting = iter(work)
        lock = threading.Lock()

        def client() -> None:
            with Connection(self.server.address) as connection:
                one = _Client(connection, self.key)
                while True:
                    with lock:
                        request = next(waiting, None)
                    if request is None:
                        return
                    with results.latencies.timed(request.what):
                        one.do(request)

        before = _Costs.now(self)
        with ThreadPoolExecutor(clients) as threads:
            for future in [threads.submit(client) for _ in range(clients)]:
                future.result()
        _Costs.now(self).take_since(before, len(work), results)


class _Client:
    """Client that reads shards like a solver: from an index that it requests from time to time."""

    def __init__(self, connection: Connection, key: str) -> None:
        self._connection, self._key = connection, key
        self._digests: list[str] = []
        self._dice = random.Random(1)

    def do(self, request: _Request) -> None:
        """Send one request and check the response."""
        if request.file is not None:
            force = request.what == _OVERWRITE
            sent = http_client.upload(_CHANNEL, request.file, self._key, force=force)
            self._connection.exchange(sent).expect(200, 201)
        elif request.what == _SHARD:
            if not self._digests:
                self._digests = self._read_index()
            self._get(f"shards/{self._digests.pop()}.msgpack.zst")
        else:
            self._get("repodata.json.zst")

    def _read_index(self) -> list[str]:
        index = msgspec.msgpack.decode(zstd.decompress(self._get("repodata_shards.msgpack.zst")))
        digests = [digest.hex() for digest in index["shards"].values()]
        return self._dice.sample(digests, min(len(digests), 10))

    def _get(self, within: str) -> bytes:
        return self._connection.exchange(http_client.get(f"/{_CHANNEL}/{SUBDIR}/{within}")).expect(200).body


@contextmanager
def _site(options: argparse.Namespace, name: str, state: str, size: int, workers: int) -> Iterator[_Site]:
    with scratch(options.folder) as folder, servers.new_state(state) as settings:
        key = instances.prepare_instance(folder, settings, {_CHANNEL: size}, options.cache)
        with servers.seaway(folder, workers=workers, **settings, **dict(options.set)) as server:
            parts = {"server": [server.pid]}
            if settings:
                parts |= {"PostgreSQL": servers.children_named("postgres"), "S3": servers.children_named("weed")}
            yield _Site(name, server, key, parts, settings.get("database_url", ""))


@dataclass(frozen=True)
class _Costs:
    """Resources used up to a point in time."""

    at: float
    by_part: Mapping[str, float]
    of_clients: float
    of_machine: float
    flushes: float
    flush_seconds: float
    syncs_of_postgres: int | None

    @classmethod
    def now(cls, site: _Site) -> Self:
        own = psutil.Process().cpu_times()
        machine = psutil.cpu_times()
        busy = sum(machine) - machine.idle - getattr(machine, "iowait", 0.0) - getattr(machine, "guest", 0.0)
        flushes, flush_seconds = _flushes()
        return cls(
            at=time.perf_counter(),
            by_part={part: servers.cpu_seconds(*pids) for part, pids in site.parts.items()},
            of_clients=own.user + own.system,
            of_machine=busy,
            flushes=flushes,
            flush_seconds=flush_seconds,
            syncs_of_postgres=_syncs(site.database_url),
        )

    def take_since(self, before: "_Costs", count: int, results: _Results) -> None:
        """Add the resources used since `before`."""
        seconds = self.at - before.at
        results.rates.append(count / seconds)
        used = {part: self.by_part[part] - before.by_part[part] for part in self.by_part}
        used["clients"] = self.of_clients - before.of_clients
        for part, spent in used.items():
            results.cpu_ms[part].append(spent * 1000 / count)
        results.cores.append(sum(used.values()) / seconds)
        results.cores_of_others.append(max(0.0, self.of_machine - before.of_machine - sum(used.values())) / seconds)
        results.flushes.append((self.flushes - before.flushes) / count)
        results.flush_part.append((self.flush_seconds - before.flush_seconds) / seconds)
        if self.syncs_of_postgres is not None and before.syncs_of_postgres is not None:
            results.syncs_of_postgres.append((self.syncs_of_postgres - before.syncs_of_postgres) / count)


def _flushes() -> tuple[float, float]:
    """Return the number of flushes of all disks, by any process, and their duration in seconds."""
    table = Path("/proc/diskstats")
    if not table.exists():
        return 0.0, 0.0
    whole = set(os.listdir("/sys/block"))  # noqa: PTH208
    lines = [line.split() for line in table.read_text(encoding="ascii").splitlines()]
    disks = [line for line in lines if line[2] in whole and len(line) > _FLUSH_MS]
    return sum(float(line[_FLUSHES]) for line in disks), sum(float(line[_FLUSH_MS]) for line in disks) / 1000


def _syncs(url: str) -> int | None:
    if not url:
        return None
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT sum(fsyncs) FROM pg_stat_io").fetchone()
    return None if row is None or row[0] is None else int(row[0])


def _add_rows(report: Report, case: str, results: Mapping[str, _Results]) -> None:
    many, one = results[_MANY], results[_ONE]
    report.add(case, f"requests, {_MANY}", many.rates, "/s", baseline=one.rates, baseline_name=_ONE)
    report.add(case, f"requests, {_ONE}", one.rates, "/s")
    for what in _MIX:
        beside = one.latencies[what]
        report.add_ms(
            case, f"{what}, {_MANY}", many.latencies[what], baseline=beside, baseline_name=_ONE, with_tail=True
        )
        report.add_ms(case, f"{what}, {_ONE}", beside, with_tail=True)
    for name, site_results in results.items():
        for part, samples in site_results.cpu_ms.items():
            report.add(case, f"CPU time of {part}, {name}", samples, "ms/request")
        report.add(case, f"disk flushes, {name}", site_results.flushes, "/request")
        report.add(case, f"PostgreSQL syncs, {name}", site_results.syncs_of_postgres, "/request")
        report.note(f"{case}, {name}: {_bottleneck(site_results)}")


def _bottleneck(results: _Results) -> str:
    """Describe the bottleneck that the measurements show."""
    cpus = os.cpu_count() or 1
    ours, others, flushing = _middle(results.cores), _middle(results.cores_of_others), _middle(results.flush_part)
    parts = sorted(results.cpu_ms, key=lambda part: -_middle(results.cpu_ms[part]))
    shares = ", ".join(f"{part} {format_number(_middle(results.cpu_ms[part]))} ms" for part in parts)
    if ours + others >= _BUSY_PART * cpus:
        others_too = "" if ours >= _BUSY_PART * cpus else ", which other processes use as well"
        bottleneck = f"the CPUs{others_too}"
    elif flushing >= _BUSY_PART:
        bottleneck = "disk flushes"
    else:
        bottleneck = "neither CPUs nor disk: requests wait for each other"
    return (
        f"the bottleneck is {bottleneck}. The benchmark used {format_number(ours)} of {cpus} CPUs, other processes {format_number(others)};"
        f" a request took {shares}; the disk was flushing {flushing:.0%} of the time,"
        f" {format_number(_middle(results.flushes))} times per request."
    )


def _middle(samples: Sequence[float]) -> float:
    return sorted(samples)[len(samples) // 2] if samples else 0.0
