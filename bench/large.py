"""One large upload: its speed compared with hashing and writing, its memory, and its effect on other requests."""

import argparse
import random
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench import bounds, http_client, instances, servers
from bench.folders import scratch
from bench.http_client import Address, Connection
from bench.measure import Samples
from bench.report import Report, progress
from bench.servers import Running
from bench.synthetic_packages import SUBDIR
from tests.support.packages import Tar, index_json, info_files, zstd
from tests.support.requests import BOUNDARY, Part, multipart

TITLE = "an upload of 1 GB: its speed compared with hashing, memory, and the latency of other requests"
QUICK = {"sizes": [1], "rounds": 3, "megabytes": 1_000}
FULL = {"sizes": [1], "rounds": 9, "megabytes": 1_000}

_CHANNEL = "bench"
_PIECE_BYTES = 1024 * 1024
_MB = 1_000_000
_PROBE_SECONDS = 0.005
_MEMORY_SECONDS = 0.05
_QUIET_SECONDS = 3.0
_OVERHEAD_BYTES = 1_000_000  # of the archive around its payload


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand; it does not use `--sizes`."""
    parser.add_argument("--megabytes", type=int, help="size of the package")


def run(options: argparse.Namespace, report: Report) -> None:
    """Upload one file to a new server each time, alternately with hashing and writing it."""
    samples = Samples()
    with scratch(options.folder) as folder, servers.module("bench.null") as null:
        progress(f"creating a package of {options.megabytes:,} MB")
        package = make(folder, "large", options.megabytes * _MB)
        for number in range(options.rounds):
            progress(f"round {number + 1} of {options.rounds}")
            _bounds(package, folder, samples)
            _upload_alone(options, package, samples)
            _upload(options, package, null.address, samples)
    _add_rows(report, f"{options.megabytes:,} MB", options.megabytes, samples)


def make(folder: Path, name: str, size: int) -> Path:
    """Create a .conda with an incompressible payload of `size` bytes, the same in every run."""
    stem = f"{name}-1.0-h1_0"
    path = folder / f"{stem}.conda"
    paths = [{"_path": "share/data", "path_type": "hardlink", "size_in_bytes": size}]
    index = index_json(name, subdir=SUBDIR, noarch=...)
    info = Tar(info_files(index, paths={"paths": paths, "paths_version": 1})).build()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("metadata.json"), b'{"conda_pkg_format_version": 2}')
        with archive.open(zipfile.ZipInfo(f"pkg-{stem}.tar.zst"), "w", force_zip64=size > 2**31) as payload:
            compressor = zstd.ZstdCompressor(level=1)
            for piece in _tar(size):
                payload.write(compressor.compress(piece))
            payload.write(compressor.flush())
        archive.writestr(zipfile.ZipInfo(f"info-{stem}.tar.zst"), zstd.compress(info))
    return path


def send(address: Address, channel: str, package: Path, key: str) -> tuple[float, float]:
    """Upload a file as rattler's clients do; return the total seconds, and the seconds after the last byte."""
    head, tail = _wrapping(package)
    length = len(head) + package.stat().st_size + len(tail)
    with Connection(address) as connection, package.open("rb") as file:
        started = time.perf_counter()
        connection.socket.sendall(http_client.upload_head(channel, length, key) + head)
        connection.socket.sendfile(file)
        connection.socket.sendall(tail)
        sent = time.perf_counter()
        connection.read_response().expect(201)
        ended = time.perf_counter()
    return ended - started, ended - sent


def _tar(size: int) -> Iterator[bytes]:
    info = tarfile.TarInfo("share/data")
    info.size = size
    yield info.tobuf(tarfile.PAX_FORMAT)
    dice = random.Random(size)
    for start in range(0, size, _PIECE_BYTES):
        yield dice.randbytes(min(_PIECE_BYTES, size - start))
    yield bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _wrapping(package: Path) -> tuple[bytes, bytes]:
    """Return the parts of the body before and after the bytes of the file."""
    headers = [
        ("content-disposition", f'form-data; name="file"; filename="{package.name}"'),
        ("content-type", "application/octet-stream"),
        ("x-file-name", package.name),
    ]
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    return multipart(Part(headers)).removesuffix(end), end


def _bounds(package: Path, folder: Path, samples: Samples) -> None:
    samples["hash in turn"].append(bounds.hash_in_turn(package))
    samples["hash in threads"].append(bounds.hash_in_threads(package))
    copy = folder / "copy"
    samples["write"].append(bounds.write_and_sync(package, copy))
    copy.unlink()


@contextmanager
def _served(options: argparse.Namespace, package: Path) -> Iterator[tuple[Running, str]]:
    """Run a new server that accepts the package; yield it with an API key."""
    with scratch(options.folder) as folder:
        key = instances.prepare_instance(folder, {}, {_CHANNEL: 0}, None)
        limit = package.stat().st_size + _OVERHEAD_BYTES
        with servers.seaway(folder, upload_limit=limit, **dict(options.set)) as server:
            yield server, key


def _upload_alone(options: argparse.Namespace, package: Path, samples: Samples) -> None:
    """Upload without other requests: on two CPUs, the probe takes a third of them."""
    with _served(options, package) as (server, key):
        before = server.cpu_seconds()
        seconds, after_last_byte = send(server.address, _CHANNEL, package, key)
        samples["cpu"].append(server.cpu_seconds() - before)
        samples["upload alone"].append(seconds)
        samples["received alone"].append(seconds - after_last_byte)
        samples["after the last byte"].append(after_last_byte)


def _upload(options: argparse.Namespace, package: Path, null: Address, samples: Samples) -> None:
    with _served(options, package) as (server, key):
        probe = _Probe(server.address, null)
        with probe.running(samples, "quiet"):
            time.sleep(_QUIET_SECONDS)
        with probe.running(samples, "busy"), _memory(server, samples):
            seconds, _ = send(server.address, _CHANNEL, package, key)
        samples["upload"].append(seconds)


@dataclass(frozen=True)
class _Probe:
    """
    Probe that measures the latency of a trivial request every few milliseconds.

    It alternates with the null server: a delay of both is caused by the machine, not by the event loop.
    """

    server: Address
    null: Address
    stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self, samples: Samples, phase: str) -> Iterator[None]:
        """Send probes until the block ends."""
        self.stop.clear()
        with ThreadPoolExecutor(1) as threads:
            probing = threads.submit(self._run, samples[f"live, {phase}"], samples[f"null, {phase}"])
            try:
                yield
            finally:
                self.stop.set()
            probing.result()

    def _run(self, live: list[float], null: list[float]) -> None:
        request = http_client.get("/health/live")
        with Connection(self.server) as server, Connection(self.null) as null_connection:
            while not self.stop.wait(_PROBE_SECONDS):
                for connection, into in ((server, live), (null_connection, null)):
                    started = time.perf_counter()
                    connection.exchange(request).expect(200, 201)
                    into.append(time.perf_counter() - started)


@contextmanager
def _memory(server: Running, samples: Samples) -> Iterator[None]:
    """Measure the peak memory growth of the server in the block, without and with its child processes."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        watched = threads.submit(_watch, server.pid, stop)
        try:
            yield
        finally:
            stop.set()
        alone, family = watched.result()
    samples["memory"].append(alone / 2**20)
    samples["memory of all"].append(family / 2**20)


def _watch(pid: int, stop: threading.Event) -> tuple[int, int]:
    first_alone, first_family = most_alone, most_family = _memory_of(pid)
    while not stop.wait(_MEMORY_SECONDS):
        alone, family = _memory_of(pid)
        most_alone, most_family = max(most_alone, alone), max(most_family, family)
    return most_alone - first_alone, most_family - first_family


def _memory_of(pid: int) -> tuple[int, int]:
    parent = psutil.Process(pid)
    own = parent.memory_info().rss
    total = own
    for child in parent.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return own, total


def _add_rows(report: Report, case: str, megabytes: int, samples: Samples) -> None:
    speeds = {
        what: [megabytes / seconds for seconds in samples[what]]
        for what in ("upload alone", "received alone", "upload", "hash in turn", "hash in threads", "write")
    }
    in_turn = speeds["hash in turn"]
    report.add(
        case, "upload", speeds["upload alone"], "MB/s", baseline=in_turn, baseline_name="sha256 and md5 in sequence"
    )
    report.add(
        case, "  until its last byte", speeds["received alone"], "MB/s", baseline=in_turn, baseline_name="the same"
    )
    report.add(case, "  with concurrent probes", speeds["upload"], "MB/s", baseline=in_turn, baseline_name="the same")
    report.add(case, "sha256 and md5 in sequence", speeds["hash in turn"], "MB/s")
    report.add(case, "sha256 and md5 in two threads", speeds["hash in threads"], "MB/s")
    report.add(case, "write and sync", speeds["write"], "MB/s")
    report.add(case, "upload, after the last byte", samples["after the last byte"], "s")
    report.add(case, "CPU time of the server", samples["cpu"], "s")
    report.add(case, "memory growth of the server", samples["memory"], "MiB")
    report.add(case, "memory growth with its examiners", samples["memory of all"], "MiB")
    for phase in ("quiet", "busy"):
        when = "during the upload" if phase == "busy" else "before"
        beside = samples["live, quiet"] if phase == "busy" else []
        report.add_ms(
            case,
            f"GET /health/live {when}",
            samples[f"live, {phase}"],
            baseline=beside,
            baseline_name="before",
            with_tail=True,
        )
        report.add_ms(case, f"null server {when}", samples[f"null, {phase}"], with_tail=True)
