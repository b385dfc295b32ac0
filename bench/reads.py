"""Reads per second, directly and through nginx, compared with bare Starlette and static files of nginx."""

import argparse
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bench import http_client, instances, large, load_generator, servers, synthetic_packages
from bench.folders import scratch
from bench.http_client import Connection, Response
from bench.measure import Samples
from bench.report import Report, progress
from bench.servers import Running
from bench.synthetic_packages import SUBDIR
from tests.support import nginx as nginx_of_the_manual
from tests.support.packages import zstd

TITLE = "requests per second for documents, shards and packages, compared with bare Starlette and nginx"
QUICK = {"sizes": [85_000, 6_000], "rounds": 3, "seconds": 1.0, "megabytes": 200}
FULL = {"sizes": [85_000, 6_000], "rounds": 7, "seconds": 5.0, "megabytes": 200}

_INDEX, _DOCUMENT, _PACKAGES = "many-names", "few-records", "whole-files"
_SMALL_PACKAGE_BYTES = 100_000
_SEAWAY, _BARE, _NGINX, _BEHIND = "Seaway", "bare Starlette", "nginx", "Seaway behind nginx"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand. The first size makes a shard index of 90 kB, the second a 3 MB document."""
    parser.add_argument("--seconds", type=float, help="duration of each measurement in each round")
    parser.add_argument("--megabytes", type=int, help="size of the large package")


@dataclass(frozen=True)
class _Target:
    """Content to read: its path in Seaway, the file on the other servers, and request headers."""

    what: str
    path: str
    file: str
    conditional: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    is_package: bool = False
    by_bytes: bool = False  # too large for many requests per second: one reader, measured in MB/s


def run(options: argparse.Namespace, report: Report) -> None:
    """Measure each target on all servers alternately."""
    client, servers_cpus = _cpus()
    with scratch(options.folder) as folder, ExitStack() as stack:
        folder.chmod(0o755)  # nginx can run as another user
        sizes = {_INDEX: options.sizes[0], _DOCUMENT: options.sizes[1], _PACKAGES: 0}
        key = instances.prepare_instance(folder, {}, sizes, options.cache)
        settings = {"downloads": "x-accel", **dict(options.set)}  # without effect on direct requests
        seaway = stack.enter_context(servers.seaway(folder, cpus=servers_cpus, **settings))
        files = folder / "files"
        files.mkdir()
        targets = list(_targets(seaway, key, folder, files, options.megabytes))
        running = {_SEAWAY: seaway, _BARE: stack.enter_context(servers.module("bench.bare", files, cpus=servers_cpus))}
        nginx = stack.enter_context(servers.nginx(files, cpus=servers_cpus))
        if nginx is not None:
            running[_NGINX] = nginx
            running[_BEHIND] = stack.enter_context(_behind_nginx(seaway, folder, servers_cpus))
        results = _measure(options, running, targets, client)
    _add_rows(report, results, targets)
    report.note(
        f"Requests from {load_generator.tool()} over {load_generator.CONNECTIONS} connections{_pinned(client)}."
    )
    if nginx is None:
        report.note("nginx is not installed.")


@dataclass
class _Results:
    """Rates and CPU time by target and server."""

    rates: Samples = field(default_factory=Samples)
    cpu_us: Samples = field(default_factory=Samples)
    sizes: dict[str, int] = field(default_factory=dict)


@contextmanager
def _behind_nginx(seaway: Running, folder: Path, cpus: Sequence[int] | None) -> Iterator[Running]:
    """Run nginx in front of the server, configured as in the manual."""
    own = folder / "front"
    own.mkdir()
    address = "http://{}:{}".format(*seaway.address)
    with ExitStack() as stack:
        with servers.pinned_to(cpus):
            nginx = stack.enter_context(nginx_of_the_manual.in_front_of(address, folder / "data" / "store", own))
        parts = urlsplit(nginx.plain_address)
        yield Running(seaway.pid, (str(parts.hostname), int(parts.port or 0)))


def _cpus() -> tuple[list[int] | None, list[int] | None]:
    """Return one CPU for the client and the others for the servers, or None for both on a single CPU."""
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (available[-1:], available[:-1]) if len(available) > 1 else (None, None)


def _pinned(client: Sequence[int] | None) -> str:
    return "" if client is None else f", on CPU {client[0]}; the servers use the others"


def _targets(seaway: Running, key: str, folder: Path, files: Path, megabytes: int) -> Iterator[_Target]:
    """Create the content to read, and write the same bytes to files for the other servers."""
    with Connection(seaway.address) as connection:
        index_path = f"/{_INDEX}/{SUBDIR}/repodata_shards.msgpack.zst"
        index = _save(connection, index_path, files / "index")
        yield _Target("304 of the shard index", index_path, "index", conditional=True)
        with_key = {"Authorization": f"Bearer {key}"}
        yield _Target("304 with a key", index_path, "index", conditional=True, headers=with_key)
        yield _Target("shard index", index_path, "index")
        name = next(package.name for package in synthetic_packages.generate(1_000) if package.count >= 4)
        shards = msgspec.msgpack.decode(zstd.decompress(index.body))["shards"]
        digest = shards.get(name, next(iter(shards.values())))
        shard_path = f"/{_INDEX}/{SUBDIR}/shards/{digest.hex()}.msgpack.zst"
        _save(connection, shard_path, files / "shard")
        yield _Target("shard", shard_path, "shard")
        document_path = f"/{_DOCUMENT}/{SUBDIR}/repodata.json"
        _save(connection, document_path, files / "document")
        yield _Target("repodata.json", document_path, "document")
    for what, size in (("small package", _SMALL_PACKAGE_BYTES), ("large package", megabytes * 1_000_000)):
        package = large.make(folder, what.replace(" ", "-"), size)
        large.send(seaway.address, _PACKAGES, package, key)
        shutil.copy(package, files / package.name)
        is_large = size > _SMALL_PACKAGE_BYTES
        path = f"/{_PACKAGES}/{SUBDIR}/{package.name}"
        yield _Target(what, path, package.name, is_package=True, by_bytes=is_large)


def _save(connection: Connection, path: str, file: Path) -> Response:
    response = connection.exchange(http_client.get(path)).expect(200)
    file.write_bytes(response.body)
    return response


def _measure(
    options: argparse.Namespace,
    running: Mapping[str, Running],
    targets: Sequence[_Target],
    client: Sequence[int] | None,
) -> _Results:
    results = _Results()
    for number in range(options.rounds):
        progress(f"round {number + 1} of {options.rounds}")
        for target in targets:
            for name, server in running.items():
                if name == _BEHIND and not target.is_package:
                    continue
                path = target.path if name in (_SEAWAY, _BEHIND) else f"/{target.file}"
                _measure_target(results, target, name, server, path, options.seconds, client)
    return results


def _measure_target(
    results: _Results,
    target: _Target,
    name: str,
    server: Running,
    path: str,
    seconds: float,
    client: Sequence[int] | None,
) -> None:
    case = f"{name} {target.what}"
    before, started = server.cpu_seconds(), time.perf_counter()
    if target.by_bytes:
        with servers.pinned_to(client), Connection(server.address) as connection:
            results.sizes[target.what] = connection.discard_body(http_client.get(path))
        results.rates[case].append(results.sizes[target.what] / 1e6 / (time.perf_counter() - started))
        return
    headers = dict(target.headers)
    with Connection(server.address) as connection:
        response = connection.exchange(http_client.get(path)).expect(200)
        results.sizes[target.what] = len(response.body)
        if target.conditional:
            headers["If-None-Match"] = response.header("ETag")
            connection.exchange(http_client.get(path, headers)).expect(304)
    result = load_generator.run_load(server.address, path, headers, seconds, client)
    results.rates[case].append(result.rate)
    results.cpu_us[case].append((server.cpu_seconds() - before) * 1e6 / max(result.count, 1))


def _add_rows(report: Report, results: _Results, targets: Sequence[_Target]) -> None:
    for target in targets:
        case = f"{target.what}, {results.sizes[target.what]:,} bytes"
        unit = "MB/s" if target.by_bytes else "/s"
        rates = {name: results.rates[f"{name} {target.what}"] for name in (_SEAWAY, _BARE, _NGINX, _BEHIND)}
        for name in (_BARE, _NGINX):
            report.add(
                case, _SEAWAY, rates[_SEAWAY] if rates[name] else [], unit, baseline=rates[name], baseline_name=name
            )
        report.add(case, _BEHIND, rates[_BEHIND], unit, baseline=rates[_NGINX], baseline_name=_NGINX)
        for name in (_BARE, _NGINX):
            report.add(case, name, rates[name], unit)
        used = {name: results.cpu_us[f"{name} {target.what}"] for name in (_SEAWAY, _BARE)}
        report.add(case, f"CPU time, {_SEAWAY}", used[_SEAWAY], "us/request", baseline=used[_BARE], baseline_name=_BARE)
        report.add(case, f"CPU time, {_BARE}", used[_BARE], "us/request")
