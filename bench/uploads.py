"""Rate and latency of small uploads, compared with the disk syncs that each of them needs."""

import argparse
from contextlib import closing
from dataclasses import dataclass, field

from bench import http_client, instances, servers, synthetic_packages
from bench.bounds import Disk
from bench.folders import scratch
from bench.http_client import BatchTimes
from bench.measure import Samples
from bench.report import Report, progress
from bench.servers import Running
from seaway.server.wiring import Seaway
from tests.support.sites import Factory

TITLE = "small uploads per second from one client and from eight, compared with the disk syncs"
QUICK = {"sizes": [0, 100_000], "rounds": 5, "count": 60}
FULL = {"sizes": [0, 100_000], "rounds": 15, "count": 400}

_FULL_CHANNEL = "full"
_AT_ONCE = 8
_OWNER = "owner"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument("--count", type=int, help="uploads in each batch")
    parser.add_argument("--state", choices=servers.STATES, default=servers.SQLITE_FOLDER)


def run(options: argparse.Namespace, report: Report) -> None:
    """Measure channels of each size and the disk alternately."""
    with scratch(options.folder) as folder, servers.new_state(options.state) as settings:
        # The size includes the uploads of the run, so 100,000 records do not exceed the limit above which each change
        # enqueues a background build (`bench documents` measures those).
        added = 2 * options.count * (options.rounds + 1)
        sizes = {_channel(size): max(size - added, 1) for size in options.sizes if size}
        key = instances.prepare_instance(folder, settings, sizes, options.cache)
        with (
            closing(Disk(folder / "disk")) as disk,
            instances.open_instance(folder, settings) as seaway,
            servers.module("bench.null") as null,
            servers.seaway(folder, **settings, **dict(options.set)) as server,
        ):
            batches = _Batches(options, seaway, key)
            progress("warm-up round")
            _one_round(batches, disk, null, server, _Results(), "warm")
            results = _Results()
            for number in range(options.rounds):
                progress(f"round {number + 1} of {options.rounds}")
                _one_round(batches, disk, null, server, results, f"round{number}")
    _add_rows(report, options, results)


def _channel(size: int) -> str:
    return f"records-{size}"


@dataclass(frozen=True)
class _Results:
    """Rates, latencies and CPU time by kind of batch."""

    rates: Samples = field(default_factory=Samples)
    latencies: Samples = field(default_factory=Samples)
    cpu_ms: Samples = field(default_factory=Samples)

    def take(self, what: str, times: BatchTimes) -> None:
        self.rates[what].append(times.rate)
        self.latencies[what] += times.latencies


@dataclass(frozen=True)
class _Batches:
    """Factory of upload batches with new content."""

    options: argparse.Namespace
    seaway: Seaway
    key: str

    def requests(self, size: int, tag: str) -> list[bytes]:
        """Return uploads for the channel of this size, or for a new empty channel."""
        names = synthetic_packages.generate(max(size, 1_000))  # the names that the channel starts with
        channel = _channel(size) if size else Factory(self.seaway).channel(f"empty-{tag}", owner=_OWNER)
        builds = synthetic_packages.new_builds(names, self.options.count, f"{size}.{tag}")
        return [http_client.upload(channel, build.pack(), self.key) for build in builds]


def _one_round(batches: _Batches, disk: Disk, null: Running, server: Running, results: _Results, tag: str) -> None:
    count = batches.options.count
    for clients in (1, _AT_ONCE):
        results.take(_disk(clients), disk.at_once(count, clients))
        if clients > 1:
            results.take(_together(clients), disk.together(count, clients))
        for size in batches.options.sizes:
            requests = batches.requests(size, f"{tag}.{clients}")
            results.take(_null(clients), http_client.send_all(null.address, requests, clients, 201))
            before = server.cpu_seconds()
            results.take(_uploads(size, clients), http_client.send_all(server.address, requests, clients, 201))
            results.cpu_ms[_uploads(size, clients)].append((server.cpu_seconds() - before) * 1000 / count)


def _disk(clients: int) -> str:
    return f"disk only, {_clients_text(clients)}"


def _together(clients: int) -> str:
    return f"disk only, {_clients_text(clients)}, one shared commit"


def _null(clients: int) -> str:
    return f"null server, {_clients_text(clients)}"


def _uploads(size: int, clients: int) -> str:
    return f"into {size:,} records, {_clients_text(clients)}"


def _clients_text(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"


def _add_rows(report: Report, options: argparse.Namespace, results: _Results) -> None:
    for clients in (1, _AT_ONCE):
        for size in options.sizes:
            case = _uploads(size, clients)
            report.add(
                case,
                "uploads",
                results.rates[case],
                "/s",
                baseline=results.rates[_disk(clients)],
                baseline_name=_disk(clients),
            )
            report.add_ms(case, "latency", results.latencies[case], with_tail=True)
            report.add(case, "CPU time of the server", results.cpu_ms[case], "ms/upload")
        for case in (_disk(clients), _together(clients), _null(clients)):
            if case in results.rates:
                report.add(case, "rounds of syncs" if "disk" in case else "uploads", results.rates[case], "/s")
                report.add_ms(case, "latency", results.latencies[case], with_tail=True)
