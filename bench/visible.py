"""Time from an upload until the index contains it, compared with indexing a folder again."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench import channels, http_client, instances, peers, servers, synthetic_packages
from bench.folders import scratch
from bench.http_client import Address, Connection, Response
from bench.measure import Samples
from bench.peers import Folder
from bench.report import Report, progress
from bench.synthetic_packages import SUBDIR, SyntheticPackage
from tests.support.packages import PackageFile, zstd

TITLE = "time from an upload until the index contains it, compared with index_fs and conda-index"
QUICK = {"sizes": [1_000, 10_000, 100_000], "rounds": 5, "peer_limit": 10_000}
FULL = {"sizes": [1_000, 10_000, 100_000], "rounds": 15, "peer_limit": 100_000}

_CHANNEL = "bench"
_UPLOADS_A_ROUND = 3
_RATTLER = "index_fs"
_CONDA = "conda-index"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument("--state", choices=servers.STATES, default=servers.SQLITE_FOLDER)
    parser.add_argument("--peer-limit", type=int, help="skip the peers for larger sizes")


def run(options: argparse.Namespace, report: Report) -> None:
    """Measure channels of each size."""
    command = peers.conda_index()
    if command is None:
        report.note("conda-index is not installed.")
    for size in options.sizes:
        with scratch(options.folder) as folder, servers.new_state(options.state) as settings:
            # The size includes the uploads of the run, so a subdir of 100,000 records stays within the document limit.
            start_size = max(size - _UPLOADS_A_ROUND * (options.rounds + 1), 1)
            key = instances.prepare_instance(folder, settings, {_CHANNEL: start_size}, options.cache)
            watched = _folders(options, folder, size, command)
            with servers.seaway(folder, **settings, **dict(options.set)) as server:
                samples = _measure(_Site(server.address, key), watched, start_size, options.rounds, size)
        _add_rows(report, f"{size:,} files", samples)


Indexing = dict[str, tuple[Folder, Callable[[], None]]]


def _folders(options: argparse.Namespace, folder: Path, size: int, command: list[str] | None) -> Indexing:
    if size > options.peer_limit:
        return {}
    with _packed(options, size) as files:
        indexing: Indexing = {}
        rattler = Folder(folder / "rattler", files)
        indexing[_RATTLER] = (rattler, rattler.index_by_rattler)
        if command is not None:
            conda = Folder(folder / "conda", files)
            indexing[_CONDA] = (conda, lambda: conda.index_by_conda(command))
    for name, (_, index) in indexing.items():
        progress(f"{name}: first index of {size:,} files")
        index()
    return indexing


@contextmanager
def _packed(options: argparse.Namespace, size: int) -> Iterator[Path]:
    with scratch(options.folder) as folder:
        yield channels.package_files(options.cache, folder, size)


def _measure(site: "_Site", watched: Indexing, start_size: int, rounds: int, size: int) -> Samples:
    names = synthetic_packages.generate(start_size)
    largest = max(names, key=lambda package: package.count)
    _one_round(site, watched, _files(names, largest, "warm"), Samples())
    samples = Samples()
    for number in range(rounds):
        progress(f"{size:,} files, round {number + 1} of {rounds}")
        _one_round(site, watched, _files(names, largest, f"round{number}"), samples)
    return samples


def _files(names: list[SyntheticPackage], largest: SyntheticPackage, tag: str) -> list[PackageFile]:
    typical = synthetic_packages.new_builds(names, 2, tag)
    of_largest = synthetic_packages.new_builds([largest], 1, f"{tag}.most")
    return [build.pack() for build in (*typical, *of_largest)]


def _one_round(site: "_Site", watched: Indexing, files: list[PackageFile], samples: Samples) -> None:
    for_shards, for_documents, of_largest = files
    # A new connection in each round: the server would close one that is idle while a folder is indexed.
    with Connection(site.address) as connection:
        reader = _Reader(connection, site.key)
        samples["shards"].append(reader.until_in_shards(for_shards, samples, ""))
        samples["documents"].append(reader.until_in_documents(for_documents, samples))
        samples["shards, largest name"].append(reader.until_in_shards(of_largest, samples, ", largest name"))
    for name, (folder, index) in watched.items():
        with samples.timed(name):
            folder.add(for_shards)
            index()
        if not folder.contains(for_shards):
            raise RuntimeError(f"{name} did not index {for_shards.name}")


@dataclass(frozen=True)
class _Site:
    """Address of the server, and the API key of the channel's owner."""

    address: Address
    key: str


@dataclass(frozen=True)
class _Reader:
    """Client that uploads a file and immediately reads the index."""

    connection: Connection
    key: str

    def until_in_shards(self, file: PackageFile, samples: Samples, suffix: str) -> float:
        """Return the seconds of the upload, the shard index and the shard; then check that they contain the file."""
        published = self._timed(f"upload{suffix}", http_client.upload(_CHANNEL, file, self.key), samples).expect(201)
        index = self._timed(f"shard index{suffix}", _path("repodata_shards.msgpack.zst"), samples).expect(200)
        digest = _unpacked(index)["shards"][_name_of(file)].hex()
        shard = self._timed(f"shard{suffix}", _path(f"shards/{digest}.msgpack.zst"), samples).expect(200)
        _same(published.header("Seaway-Revision"), index.header("Seaway-Revision"))
        _same(file.sha256, _unpacked(shard)["packages.conda"][file.name]["sha256"].hex())
        return sum(samples[f"{what}{suffix}"][-1] for what in ("upload", "shard index", "shard"))

    def until_in_documents(self, file: PackageFile, samples: Samples) -> float:
        """Return the seconds of the upload, repodata.json and repodata.json.zst, with the same checks."""
        before = len(samples["upload"])
        published = self._timed("upload", http_client.upload(_CHANNEL, file, self.key), samples).expect(201)
        plain = self._timed("repodata.json", _path("repodata.json"), samples).expect(200)
        packed = self._timed("repodata.json.zst", _path("repodata.json.zst"), samples).expect(200)
        for response in (plain, packed):
            _same(published.header("Seaway-Revision"), response.header("Seaway-Revision"))
        _same(plain.body, zstd.decompress(packed.body))
        _same(file.sha256, msgspec.json.decode(plain.body)["packages.conda"][file.name]["sha256"])
        return samples["upload"][before] + samples["repodata.json"][-1] + samples["repodata.json.zst"][-1]

    def _timed(self, what: str, request: bytes, samples: Samples) -> Response:
        with samples.timed(what):
            return self.connection.exchange(request)


def _path(within: str) -> bytes:
    return http_client.get(f"/{_CHANNEL}/{SUBDIR}/{within}")


def _name_of(file: PackageFile) -> str:
    return file.name.rsplit("-", 2)[0]


def _unpacked(response: Response) -> Any:
    return msgspec.msgpack.decode(zstd.decompress(response.body))


def _same(expected: object, found: object) -> None:
    if expected != found:
        raise RuntimeError(f"expected {str(expected)[:100]}, found {str(found)[:100]}")


def _add_rows(report: Report, case: str, samples: Samples) -> None:
    for what in ("shards", "documents", "shards, largest name"):
        report.add_ms(
            case, f"upload until in {what}", samples[what], baseline=samples.get(_RATTLER, []), baseline_name=_RATTLER
        )
    for peer in (_RATTLER, _CONDA):
        if peer in samples:
            report.add_ms(case, f"index one more file, {peer}", samples[peer])
    if _CONDA in samples:
        report.add_ms(case, "upload until in shards", samples["shards"], baseline=samples[_CONDA], baseline_name=_CONDA)
        report.add_ms(
            case, "upload until in documents", samples["documents"], baseline=samples[_CONDA], baseline_name=_CONDA
        )
    for what in ("upload", "shard index", "shard", "repodata.json", "repodata.json.zst"):
        report.add_ms(case, f"  of that, {what}", samples[what])
