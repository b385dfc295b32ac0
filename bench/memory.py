"""Memory of the workers of one server under mixed load, to find where it stops growing."""

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec
import psutil

from bench import http_client, instances, servers, synthetic_packages
from bench.channels import OWNER
from bench.folders import scratch
from bench.http_client import Connection
from bench.report import Report, progress
from bench.synthetic_packages import SUBDIR, SyntheticPackage
from seaway.callers.caller import OPERATOR
from seaway.channels import channels as channel_rows
from seaway.channels.channel import ChannelSettings
from tests.support.packages import conda, zstd
from tests.support.sites import Factory

TITLE = "memory of the workers under mixed load, and where it stops growing"
QUICK = {"sizes": [5_000], "rounds": 12, "count": 2_000}
FULL = {"sizes": [5_000, 50_000], "rounds": 40, "count": 4_000}

MIB = 1024 * 1024

_PUBLIC, _PRIVATE = "open", "closed"
_CHANNELS = (_PUBLIC, _PRIVATE)
_CLIENTS = 16
_KEYS = 6
_SIZES_OF_NOISE = (500, 4_000, 30_000, 250_000)  # packages of up to 256 KiB are cached in memory
_LARGE_BYTES = 3_000_000
_LARGE_PART = 0.03
_MAX_PATHS = 2_000
_BROWSER = {"Accept": "text/html"}
_ALLOWED_STATUSES = (200, 201, 206, 302, 303, 304, 401, 403, 404, 422, 429)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument("--count", type=int, help="requests in each round")
    parser.add_argument("--workers", type=int, default=2, help="workers of the server")
    parser.add_argument(
        "--fill", type=int, default=0, metavar="FILES", help="first fill the caches with this many files"
    )


def run(options: argparse.Namespace, report: Report) -> None:
    """Load one server in several rounds; read the memory of its workers after each."""
    for size in options.sizes:
        with loaded(options, size) as load:
            samples = [load.rss()]
            load.fill_caches(options.fill)
            for number in range(options.rounds):
                load.do(options.count)
                samples.append(load.rss())
                shown = ", ".join(f"{each:.0f}" for each in samples[-1])
                progress(f"{size:,} records, round {number + 1} of {options.rounds}: {shown} MiB")
            _add_rows(report, f"{size:,} records", samples, load)


def _add_rows(report: Report, case: str, samples: Sequence[Sequence[float]], load: "MixedLoad") -> None:
    largest = [max(each) for each in samples]
    later = largest[len(largest) // 2 :]
    report.add(case, "idle worker", samples[0], "MiB")
    report.add(case, "largest worker, after each round", largest[1:], "MiB", with_tail=True)
    report.add(case, "growth in the second half", [max(0, later[-1] - later[0])], "MiB")
    report.add(case, "requests", load.rates, "/s")
    report.note(f"{case}, largest worker in MiB: {', '.join(f'{memory:.0f}' for memory in largest)}.")


@contextmanager
def loaded(options: argparse.Namespace, size: int) -> Iterator["MixedLoad"]:
    """Run a server with a public and a private channel of this size."""
    with scratch(options.folder) as folder:
        instances.prepare_instance(folder, {}, dict.fromkeys(_CHANNELS, size), options.cache)
        with instances.open_instance(folder, {}) as seaway:
            with seaway.site.database.write_site() as tx:
                private = ChannelSettings.parse({"public": False})
                channel_rows.change(tx, seaway.site.clock.now_ms(), OPERATOR, _PRIVATE, private)
            keys = [Factory(seaway).key(OWNER) for _ in range(_KEYS)]
        settings = {"workers": options.workers, "searches_per_minute": 10**9, **dict(options.set)}
        with servers.seaway(folder, **settings) as server:
            yield MixedLoad(server, keys, synthetic_packages.generate(size), options.workers)


@dataclass
class MixedLoad:
    """Requests of every kind to one server; the same in every run, except for their order."""

    server: servers.Running
    keys: Sequence[str]
    packages: Sequence[SyntheticPackage]
    workers: int
    rates: list[float] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)  # paths of uploaded files
    _rounds: int = 0

    def rss(self) -> list[float]:
        """Return the memory of each worker in MiB, without its examiners."""
        return [each.memory_info().rss / MIB for each in self._workers()]

    def do(self, count: int) -> None:
        """Send `count` requests over parallel connections, each of which waits for its response."""
        self._rounds += 1
        started = time.perf_counter()
        with ThreadPoolExecutor(_CLIENTS) as threads:
            for each in [threads.submit(self._client, number, count // _CLIENTS) for number in range(_CLIENTS)]:
                each.result()
        self.rates.append(count / (time.perf_counter() - started))

    def fill_caches(self, files: int) -> None:
        """Upload files whose bytes and path lists fit into the memory caches, and read each once."""
        with Connection(self.server.address) as connection:
            client = _Client(self, connection, "fill", random.Random(files))
            for _ in range(files):
                client.upload_and_read()

    def _client(self, number: int, count: int) -> None:
        tag = f"{self._rounds}.{number}"
        with Connection(self.server.address) as connection:
            client = _Client(self, connection, tag, random.Random(tag))
            for what in client.dice.choices(list(_MIX), list(_MIX.values()), k=count):
                what(client)

    def _workers(self) -> list[psutil.Process]:
        parent = psutil.Process(self.server.pid)
        if self.workers == 1:
            return [parent]
        return [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]


@dataclass
class _Client:
    """Client with one connection and a method for each kind of request."""

    load: MixedLoad
    connection: Connection
    tag: str
    dice: random.Random
    _count: int = 0

    def upload(self) -> None:
        size = _LARGE_BYTES if self.dice.random() < _LARGE_PART else self.dice.choice(_SIZES_OF_NOISE)
        self._upload(self.dice.choice(_CHANNELS), size, self.dice.randrange(_MAX_PATHS))

    def upload_and_read(self) -> None:
        self._upload(_PUBLIC, max(_SIZES_OF_NOISE), _MAX_PATHS)
        where = self.load.uploaded[-1]
        channel, subdir, file = where.split("/")
        self._get(f"/{where}", {})
        self._get(f"/api/v1/channels/{channel}/files/{subdir}/{file}/paths", {})

    def _upload(self, channel: str, size: int, path_count: int) -> None:
        self._count += 1
        package = self.dice.choice(self.load.packages)
        (build,) = synthetic_packages.new_builds([package], 1, f"{self.tag}.{self._count}")
        noise = self.dice.randbytes(size)
        names = [f"lib/{package.name}/part{number}.py" for number in range(path_count)]
        paths = [{"_path": name, "path_type": "hardlink", "size_in_bytes": 100} for name in names]
        file = conda(build.index, files={"share/noise": noise}, paths={"paths": paths, "paths_version": 1})
        self.connection.exchange(http_client.upload(channel, file, self._key())).expect(200, 201, 422)
        self.load.uploaded.append(f"{channel}/{SUBDIR}/{file.name}")

    def read_shards(self) -> None:
        channel = self.dice.choice(_CHANNELS)
        index = self._get(f"/{channel}/{SUBDIR}/repodata_shards.msgpack.zst", self._authorized()).body
        digests = list(msgspec.msgpack.decode(zstd.decompress(index))["shards"].values())
        for digest in self.dice.sample(digests, min(5, len(digests))):
            self._get(f"/{channel}/{SUBDIR}/shards/{digest.hex()}.msgpack.zst", self._authorized())

    def read_document(self) -> None:
        name = self.dice.choice(("repodata.json", "repodata.json.zst", "run_exports.json"))
        subdir = self.dice.choice((SUBDIR, SUBDIR, "noarch", "osx-arm64"))
        encoding = self.dice.choice(("gzip", "zstd", "identity"))
        self._get(
            f"/{self.dice.choice(_CHANNELS)}/{subdir}/{name}", {"Accept-Encoding": encoding, **self._authorized()}
        )

    def read_channeldata(self) -> None:
        self._get(f"/{self.dice.choice(_CHANNELS)}/channeldata.json", self._authorized())

    def download(self) -> None:
        if self.load.uploaded:
            start = self.dice.randrange(400)
            part = {"Range": f"bytes={start}-"} if self.dice.random() < 0.2 else {}
            if self.dice.random() < 0.3:
                self._get(f"/t/{self._key()}/{self._file()}", part)
            else:
                self._get(f"/{self._file()}", {**self._authorized(), **part})

    def request_unknown_path(self) -> None:
        name = f"{self.dice.getrandbits(64):x}" * self.dice.randrange(1, 12)
        first = self.dice.choice((_PUBLIC, _PRIVATE, "unknown", f"u{self.dice.getrandbits(30):x}"))
        self._get(f"/{first}/{SUBDIR}/{name}", self._authorized() if self.dice.random() < 0.5 else {})

    def read_page(self) -> None:
        name = quote(self.dice.choice(self.load.packages).name)
        channel_page = f"/channels/{_PUBLIC}"
        paths = [
            channel_page,
            f"{channel_page}?page={self.dice.randrange(1, 9)}",
            f"{channel_page}?sort=updated",
            f"{channel_page}/packages/{name}",
        ]
        if self.load.uploaded:
            channel, subdir, file = self._file().split("/")
            package = file.rsplit("-", 2)[0]
            paths += [f"/channels/{channel}/packages/{package}/files/{subdir}/{file}"] * 2
        self._get(self.dice.choice(paths), _BROWSER)

    def search(self) -> None:
        package = self.dice.choice(self.load.packages)
        word = package.name[: self.dice.randrange(2, 8)]
        self._get(f"/search?q={quote(word)}", _BROWSER)
        self._get(f"/channels/{_PUBLIC}?q={quote(word)}", _BROWSER)

    def query_api(self) -> None:
        name = quote(self.dice.choice(self.load.packages).name)
        channel = f"/api/v1/channels/{self.dice.choice(_CHANNELS)}"
        paths = [f"{channel}/packages?limit=100", *(f"{channel}/packages/{name}{part}" for part in _OF_PACKAGE)]
        if self.load.uploaded:
            where, subdir, file = self._file().split("/")
            paths += [f"/api/v1/channels/{where}/files/{subdir}/{file}/paths"] * 3
        self._get(self.dice.choice(paths), self._authorized())

    def _file(self) -> str:
        return self.dice.choice(self.load.uploaded)

    def _key(self) -> str:
        return self.dice.choice(self.load.keys)

    def _authorized(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key()}"}

    def _get(self, path: str, headers: dict[str, str]) -> http_client.Response:
        return self.connection.exchange(http_client.get(path, headers)).expect(*_ALLOWED_STATUSES)


_OF_PACKAGE = ("", "/files", "/downloads", "/dependents")
_MIX = {
    _Client.upload: 0.15,
    _Client.read_shards: 0.15,
    _Client.read_document: 0.05,
    _Client.read_channeldata: 0.01,
    _Client.download: 0.25,
    _Client.request_unknown_path: 0.12,
    _Client.read_page: 0.12,
    _Client.search: 0.03,
    _Client.query_api: 0.12,
}
