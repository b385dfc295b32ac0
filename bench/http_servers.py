"""uvicorn and granian under the same Seaway, each thing asked of both in turns."""

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import flood, houses, large, recipes, servers, wire
from bench.folders import scratch
from bench.measure import Samples
from bench.recipes import SUBDIR
from bench.report import Report, progress
from bench.servers import Running
from bench.wire import Connection

TITLE = "the HTTP servers that Seaway can have, side by side: reads, downloads, uploads, memory"
QUICK = {"sizes": [85_000, 6_000], "rounds": 5, "seconds": 1.0, "megabytes": 200, "count": 60}
FULL = {"sizes": [85_000, 6_000], "rounds": 15, "seconds": 3.0, "megabytes": 1_000, "count": 200}

_SIDES = ("granian", "uvicorn")
_INDEX, _DOCUMENT, _PACKAGES, _UPLOADS = "many-names", "few-records", "whole-files", "small-uploads"
_SMALL_PACKAGE_BYTES = 100_000
_UNCHANGED = "304 of the shard index"
_AT_ONCE = 8
_MB = 1_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """What only this one needs; of the two sizes the first makes a shard index of 90 kB, the second a document of 3 MB."""
    parser.add_argument("--seconds", type=float, help="how long each is asked in each round")
    parser.add_argument("--megabytes", type=int, help="the size of the large package")
    parser.add_argument("--count", type=int, help="small uploads in each lot")


@dataclass(frozen=True)
class _Side:
    """A house of its own behind one of the servers."""

    name: str
    folder: Path
    key: str
    running: Running


@dataclass
class _Found:
    """By case and side: how fast, and the processor time of the server."""

    rates: Samples = field(default_factory=Samples)
    cpu: Samples = field(default_factory=Samples)
    memory: Samples = field(default_factory=Samples)
    units: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, case: str, side: _Side, units: tuple[str, str], act: Callable[[], tuple[float, float]]) -> None:
        """Do it; `act` gives a rate and of how much the processor time is meant."""
        before = side.running.cpu_seconds()
        rate, amount = act()
        self.units[case] = units
        self.rates[f"{case} {side.name}"].append(rate)
        self.cpu[f"{case} {side.name}"].append((side.running.cpu_seconds() - before) / amount)


def run(options: argparse.Namespace, report: Report) -> None:
    """Ask both for each thing in turns."""
    found = _Found()
    with scratch(options.folder) as folder, ExitStack() as stack:
        sides = [_prepared(stack, options, folder / name, name) for name in _SIDES]
        packages = {
            size: large.make(folder, f"p{size}", size) for size in (_SMALL_PACKAGE_BYTES, options.megabytes * _MB)
        }
        for side in sides:
            found.memory[f"at rest {side.name}"].append(_memory(side))
            for package in packages.values():
                large.send(side.running.address, _PACKAGES, package, side.key)
        for number in range(options.rounds):
            progress(f"round {number + 1} of {options.rounds}")
            # Who begins changes: what the disk still has to write falls upon the second.
            in_turn = sides if number % 2 else sides[::-1]
            _read(options, found, in_turn, list(packages.values()))
            _upload_small(options, found, in_turn, number)
            _upload_large(options, found, in_turn, folder, number)
        for side in sides:
            found.memory[f"in the end {side.name}"].append(_memory(side))
    _tell(report, found)
    report.note(f"Reads by {flood.tool()} over {flood.CONNECTIONS} connections; memory without examiners.")


def _prepared(stack: ExitStack, options: argparse.Namespace, folder: Path, name: str) -> _Side:
    folder.mkdir()
    sizes = {_INDEX: options.sizes[0], _DOCUMENT: options.sizes[1], _PACKAGES: 0, _UPLOADS: 0}
    key = houses.prepared(folder, {}, sizes, options.cache)
    running = stack.enter_context(servers.seaway(folder, http_server=name, **dict(options.set)))
    return _Side(name, folder, key, running)


def _read(options: argparse.Namespace, found: _Found, sides: Sequence[_Side], packages: Sequence[Path]) -> None:
    index = f"/{_INDEX}/{SUBDIR}/repodata_shards.msgpack.zst"
    document = f"/{_DOCUMENT}/{SUBDIR}/repodata.json"
    small, whole = (f"/{_PACKAGES}/{SUBDIR}/{package.name}" for package in packages)
    for case, path in (
        (_UNCHANGED, index),
        ("shard index of 90 kB", index),
        ("repodata.json of 3 MB", document),
        ("package of 100 kB", small),
    ):
        for side in sides:
            with Connection(side.running.address) as connection:
                etag = connection.exchange(wire.get(path)).expect(200).header("ETag")
            headers = {"If-None-Match": etag} if case == _UNCHANGED else {}
            act = partial(_flood, side, path, headers, options.seconds)
            found.take(case, side, ("/s", "us each"), act)
    for side in sides:
        act = partial(_download, side, whole)
        found.take(f"download of {options.megabytes} MB", side, ("MB/s", "ms a MB"), act)


def _flood(side: _Side, path: str, headers: dict[str, str], seconds: float) -> tuple[float, float]:
    answered = flood.ask(side.running.address, path, headers, seconds, None)
    return answered.rate, answered.count / 1e6


def _download(side: _Side, path: str) -> tuple[float, float]:
    started = time.perf_counter()
    with Connection(side.running.address) as connection:
        megabytes = connection.swallow(wire.get(path)) / _MB
    return megabytes / (time.perf_counter() - started), megabytes / 1e3


def _upload_small(options: argparse.Namespace, found: _Found, sides: Sequence[_Side], number: int) -> None:
    for clients in (1, _AT_ONCE):
        case = f"small uploads, {clients} at once"
        for side in sides:
            builds = recipes.new_builds(recipes.families(1_000), options.count, f"{side.name}.{number}.{clients}")
            requests = [wire.upload(_UPLOADS, build.pack(), side.key) for build in builds]
            found.take(case, side, ("/s", "ms each"), partial(_send_all, side, requests, clients))


def _send_all(side: _Side, requests: list[bytes], clients: int) -> tuple[float, float]:
    flown = wire.send_all(side.running.address, requests, clients, 201)
    return flown.rate, len(requests) / 1e3


def _upload_large(
    options: argparse.Namespace, found: _Found, sides: Sequence[_Side], folder: Path, number: int
) -> None:
    case = f"upload of {options.megabytes} MB"
    package = large.make(folder, f"round{number}", options.megabytes * _MB + number)  # bytes that the store has not yet
    for side in sides:
        before = _memory(side)
        # From here on the kernel notes the most that is held.
        Path(f"/proc/{side.running.pid}/clear_refs").write_text("5", encoding="ascii")
        found.take(case, side, ("MB/s", "ms a MB"), partial(_send_large, side, package))
        found.memory[f"more during an {case} {side.name}"].append(_most_memory(side) - before)
    package.unlink()


def _send_large(side: _Side, package: Path) -> tuple[float, float]:
    seconds, _ = large.send(side.running.address, _PACKAGES, package, side.key)
    megabytes = package.stat().st_size / _MB
    return megabytes / seconds, megabytes / 1e3


def _memory(side: _Side) -> float:
    return side.running.rss() / 2**20


def _most_memory(side: _Side) -> float:
    status = Path(f"/proc/{side.running.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def _tell(report: Report, found: _Found) -> None:
    first, second = _SIDES
    for case, (unit, cpu_unit) in found.units.items():
        for samples, shown, what in ((found.rates, unit, ""), (found.cpu, cpu_unit, ", processor time")):
            ours, theirs = samples[f"{case} {first}"], samples[f"{case} {second}"]
            report.add(case, first + what, ours, shown, beside=theirs, to=second)
            report.add(case, second + what, theirs, shown)
    for what, values in found.memory.items():
        case, _, side = what.rpartition(" ")
        report.add(f"memory {case}", side, values, "MiB")
