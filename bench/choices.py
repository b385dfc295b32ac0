"""Measurements for docs/decisions/: the zstd level, the JSON library, the cost of a call in a thread."""

import argparse
import asyncio
import hashlib
import importlib
import json
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from anyio import to_thread

from bench import synthetic_packages
from bench.measure import Samples
from bench.report import Report, progress
from seaway.conda.record import FileDigest, build_record, encode, section_of
from seaway.conda.repodata import join_records
from seaway.conda.shards import to_shard_record
from tests.support.packages import zstd as library

TITLE = "zstd levels, JSON libraries and the cost of a call in a thread, for docs/decisions/"
QUICK = {"sizes": [20_000], "rounds": 5}
FULL = {"sizes": [100_000], "rounds": 9}

_LEVELS = (1, 2, 3, 4, 6, 9, 12)
_SLOWEST = 19  # on a part only: it takes a second per megabyte
_PART_BYTES = 2_000_000
_DEFAULT_LEVEL = "level 3"  # the default of zstd
_MB = 1_000_000
_CALLS = 2_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument(
        "--repodata", type=Path, metavar="FILE", help="repodata.json of a real channel, instead of synthetic records"
    )


def run(options: argparse.Namespace, report: Report) -> None:
    """Measure each choice on the same records."""
    for size in options.sizes:
        records = _records_of_file(options.repodata) if options.repodata else dict(_synthetic_records(size))
        report.note(
            f"{len(records):,} records, {'from ' + options.repodata.name if options.repodata else 'synthetic'}."
        )
        _levels(report, records, options.rounds)
        _libraries(report, records, options.rounds)
    _threads(report, options.rounds)


def _records_of_file(path: Path) -> dict[str, bytes]:
    document = msgspec.json.decode(path.read_bytes())
    return {key: encode(record) for part in ("packages", "packages.conda") for key, record in document[part].items()}


def _synthetic_records(size: int) -> Iterator[tuple[str, bytes]]:
    progress(f"creating {size:,} records")
    dice = random.Random(size)
    for package in synthetic_packages.generate(size):
        for build in synthetic_packages.builds(package):
            hashes = FileDigest(dice.randbytes(32), dice.randbytes(16), int(dice.lognormvariate(12, 2)) + 1_000)
            record = build_record(build.index, {}, section_of(build.index, build.extension), hashes)
            yield build.file_name, encode(record)


def _levels(report: Report, records: dict[str, bytes], rounds: int) -> None:
    plain = b'{"packages":{%b}}' % join_records(records.items())
    speeds, packed = Samples(), dict[str, bytes]()
    for number in range(rounds):
        progress(f"zstd, round {number + 1} of {rounds}")
        for level in _LEVELS:
            packed[f"level {level}"] = _pack(speeds, plain, level)
    part = plain[:_PART_BYTES]
    _pack(speeds, part, _SLOWEST)
    shares = {case: len(content) / len(plain) for case, content in packed.items()}
    shares[f"level {_SLOWEST}"] = len(library.compress(part, _SLOWEST)) / len(library.compress(part, 3))
    shares[f"level {_SLOWEST}"] *= shares[_DEFAULT_LEVEL]
    of_shards = _sizes_of_shards(records)
    for case, speed in speeds.items():
        report.add(
            f"zstd, {case}", "compress", speed, "MB/s", baseline=speeds[_DEFAULT_LEVEL], baseline_name=_DEFAULT_LEVEL
        )
        report.add(
            f"zstd, {case}",
            "size",
            [shares[case] * 100],
            "%",
            baseline=[shares[_DEFAULT_LEVEL] * 100],
            baseline_name=_DEFAULT_LEVEL,
        )
        if case in of_shards:
            report.add(
                f"zstd, {case}",
                "all shards",
                [of_shards[case]],
                "MB",
                baseline=[of_shards[_DEFAULT_LEVEL]],
                baseline_name=_DEFAULT_LEVEL,
            )


def _sizes_of_shards(records: dict[str, bytes]) -> dict[str, float]:
    """Return the total size in megabytes of the shards, compressed one by one, at each level."""
    names: dict[str, dict[str, msgspec.Raw]] = {}
    for key, record in records.items():
        names.setdefault(key.rsplit("-", 2)[0], {})[key] = msgspec.Raw(to_shard_record(record))
    contents = [msgspec.msgpack.encode({"packages": {}, "packages.conda": own}) for own in names.values()]
    return {
        f"level {level}": sum(len(library.compress(content, level)) for content in contents) / _MB for level in _LEVELS
    }


def _pack(speeds: Samples, content: bytes, level: int) -> bytes:
    seconds, packed = _processor_seconds(lambda: library.compress(content, level))
    speeds[f"level {level}"].append(len(content) / seconds / _MB)
    return packed


def _libraries(report: Report, records: dict[str, bytes], rounds: int) -> None:
    contents = list(records.values())
    values: list[Any] = [json.loads(content) for content in contents]
    times = Samples()
    for number in range(rounds):
        progress(f"JSON, round {number + 1} of {rounds}")
        for name, (read, write) in _json_libraries().items():
            for what, work in (
                ("read", lambda read=read: [read(content) for content in contents]),
                ("write sorted", lambda write=write: [write(value) for value in values]),
            ):
                seconds, _ = _processor_seconds(work)
                times[f"{name}, {what}"].append(seconds / len(contents) * 1_000_000)
    for case, each in times.items():
        ours = f"msgspec, {case.partition(', ')[2]}"
        report.add(case, "per record", each, "us", baseline=times[ours], baseline_name=ours)


def _json_libraries() -> dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]]:
    found: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
        "msgspec": (msgspec.json.decode, msgspec.json.Encoder(order="sorted").encode),
        "json": (json.loads, lambda value: json.dumps(value, sort_keys=True, separators=(",", ":")).encode()),
    }
    try:
        orjson = importlib.import_module("orjson")
    except ModuleNotFoundError:
        return found
    return {**found, "orjson": (orjson.loads, lambda value: orjson.dumps(value, option=orjson.OPT_SORT_KEYS))}


def _threads(report: Report, rounds: int) -> None:
    times = Samples()
    for _ in range(rounds):
        asyncio.run(_call(times))
    for case, each in times.items():
        report.add(case, "per call", each, "us", baseline=times["function call"], baseline_name="function call")


async def _call(times: Samples) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, content BLOB)")
    connection.execute("INSERT INTO rows VALUES (1, ?)", (bytes(500),))
    content = bytes(64 * 1024)
    calls: dict[str, Callable[[], object]] = {
        "function call": _nothing,
        "SQLite row by key": lambda: connection.execute("SELECT content FROM rows WHERE id = 1").fetchone(),
        "sha256 of 64 KiB": lambda: hashlib.sha256(content).digest(),
    }
    for case, call in calls.items():
        started = time.perf_counter()
        for _ in range(_CALLS):
            call()
        times[case].append((time.perf_counter() - started) / _CALLS * 1_000_000)
    started = time.perf_counter()
    connection.close()
    for _ in range(_CALLS):
        await to_thread.run_sync(_nothing)
    times["function call in a worker thread"].append((time.perf_counter() - started) / _CALLS * 1_000_000)


def _nothing() -> None:
    return None


def _processor_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU seconds of a call, which do not depend on other load, and its result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result
