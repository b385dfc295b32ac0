"""
Realistic channels, written directly into the database.

The rows are the same as after uploads: the index of each name is made by `indexing.package_index.derive`, so
`indexing.rebuild.differences` finds nothing. Only the blobs are missing: such a channel can be used to read its index
and to upload to it, but not for downloads.
"""

import argparse
import hashlib
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import func, insert, select, update

from bench import folders, synthetic_packages
from bench.measure import Samples
from bench.report import Report, progress
from bench.synthetic_packages import Build, SyntheticPackage
from seaway.callers.caller import OPERATOR
from seaway.channels import channels as channel_rows
from seaway.conda import filename
from seaway.conda.record import FileDigest, Section, build_record, encode, section_of
from seaway.database.engine import Tx
from seaway.database.tables import files, fragments, packages, shards, subdirs
from seaway.indexing.file_rows import FileState, IndexedFile, Subdir, find_subdir
from seaway.indexing.package_index import PackageIndex, derive
from seaway.indexing.rebuild import differences
from seaway.packages import newest_file
from seaway.server.wiring import Seaway
from tests.support import sites
from tests.support.sites import Factory

TITLE = "create realistic channels directly in the database"
QUICK = {"sizes": [1_000, 10_000, 100_000], "rounds": 1}
FULL = {"sizes": [1_000, 10_000, 100_000, 700_000], "rounds": 3}

OWNER = "owner"
_BATCH_RECORDS = 20_000
_CHECKED = 10_000
_SOURCE = Path(__file__).parents[1] / "src" / "seaway"
_FIRST_INDEXED_MS = 1_700_000_000_000


def run(options: argparse.Namespace, report: Report) -> None:
    """Create one channel of each size, and verify the small ones."""
    for size in options.sizes:
        samples = Samples()
        for _ in range(options.rounds):
            with folders.scratch(options.folder) as folder:
                seaway = sites.build(folder)
                try:
                    with samples.timed("creation"):
                        statistics = fill(seaway, "bench", size)
                    samples["rate"].append(size / samples["creation"][-1])
                    differences_found = _check(seaway, "bench") if size <= _CHECKED else "not checked"
                finally:
                    seaway.close()
        report.add(f"{size:,} records", "creation time", samples["creation"], "s")
        report.add(f"{size:,} records", "records per second", samples["rate"], "/s")
        report.add(f"{size:,} records", "record size", statistics.record_sizes, "bytes", with_tail=True)
        report.add(f"{size:,} records", "builds per name", statistics.builds, "", with_tail=True)
        report.note(f"{size:,} records: {len(statistics.builds):,} names; differences: {differences_found}.")


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Sizes of the records and builds per name of a created channel."""

    record_sizes: list[int]
    builds: list[int]


def copy_cached(cache: Path | None, folder: Path, sizes: Mapping[str, int]) -> None:
    """Put a SQLite instance with these channels into `folder`, from the cache if it has one."""
    if cache is None:
        _make_instance(folder, sizes)
        return
    cached = cache / f"instance-{_state_of_code()}-{'-'.join(f'{name}-{size}' for name, size in sizes.items())}"
    if not cached.exists():
        with folders.scratch(cache) as new:
            _make_instance(new, sizes)
            new.rename(cached)
            new.mkdir()  # for `scratch` to remove
    shutil.copytree(cached / "data", folder / "data")


def fill(seaway: Seaway, channel: str, size: int) -> ChannelStatistics:
    """Create a public channel with `size` files in one subdir."""
    factory = Factory(seaway)
    factory.channel(channel, owner=OWNER)
    progress(f"creating {channel} with {size:,} records")
    return _Filler(seaway, channel).fill(synthetic_packages.generate(size))


def package_files(cache: Path | None, folder: Path, size: int) -> Path:
    """Return a folder with the package files of such a channel, from the cache if it has them."""
    if cache is None:
        _pack_all(folder, size)
        return folder
    cached = cache / f"files-{_state_of_code()}-{size}"
    if not cached.exists():
        with folders.scratch(cache) as new:
            _pack_all(new, size)
            new.rename(cached)
            new.mkdir()
    return cached


def _pack_all(folder: Path, size: int) -> None:
    progress(f"packing {size:,} package files")
    for package in synthetic_packages.generate(size):
        for build in synthetic_packages.builds(package):
            build.pack().write_to(folder)


def _make_instance(folder: Path, sizes: Mapping[str, int]) -> None:
    seaway = sites.build(folder)
    try:
        for name, size in sizes.items():
            fill(seaway, name, size)
    finally:
        seaway.close()


def _check(seaway: Seaway, channel: str) -> str:
    with seaway.site.database.read() as tx:
        differing = list(differences(tx, subdir_of(tx, channel)))
    return "none" if not differing else f"{len(differing)}, the first {differing[0]}"


def subdir_of(tx: Tx, channel: str) -> Subdir:
    """Return the subdir that `fill` writes to."""
    found = find_subdir(tx, channel_rows.get(tx, channel).id, synthetic_packages.SUBDIR)
    if found is None:
        raise LookupError(f"{channel} has no {synthetic_packages.SUBDIR}")
    return found


class _Filler:
    """Writer of the rows of one channel."""

    def __init__(self, seaway: Seaway, channel: str) -> None:
        self._seaway, self._channel = seaway, channel
        self._dice = random.Random(channel)
        self._now_ms = seaway.site.clock.now_ms()
        self._record_sizes: list[int] = []

    def fill(self, generated: Sequence[SyntheticPackage]) -> ChannelStatistics:
        with self._seaway.site.database.write_site() as tx:
            channel_id = channel_rows.get(tx, self._channel).id
            self._insert_subdir(tx, channel_id, generated)
            self._insert_packages(tx, channel_id, generated)
            subdir = subdir_of(tx, self._channel)
            package_ids = self._package_ids(tx, channel_id)
        revision = 0
        for batch in _batches(generated):
            with self._seaway.site.database.write_site() as tx:
                revision = self._insert_names(tx, subdir.id, package_ids, batch, revision)
        with self._seaway.site.database.write_site() as tx:
            size = select(func.sum(files.c.size)).where(files.c.subdir_id == subdir.id).scalar_subquery()
            tx.execute(update(subdirs).where(subdirs.c.id == subdir.id).values(size=size))
            newest_file.describe(tx, package_ids.values())
        return ChannelStatistics(self._record_sizes, [package.count for package in generated])

    def _insert_subdir(self, tx: Tx, channel_id: int, generated: Sequence[SyntheticPackage]) -> None:
        values = {
            "channel_id": channel_id,
            "name": synthetic_packages.SUBDIR,
            "revision": len(generated),
            "changed_at": self._now_ms,
            "record_count": sum(package.count for package in generated),
        }
        tx.execute(insert(subdirs).values(values))

    def _insert_packages(self, tx: Tx, channel_id: int, generated: Sequence[SyntheticPackage]) -> None:
        names = [package.name for package in generated]
        rows = [
            {
                "channel_id": channel_id,
                "name": name,
                "folded_name": filename.normalize_name(name),
                "updated_at": self._now_ms,
            }
            for name in names
        ]
        tx.execute(insert(packages), rows)

    def _package_ids(self, tx: Tx, channel_id: int) -> dict[str, int]:
        found = tx.execute(select(packages.c.name, packages.c.id).where(packages.c.channel_id == channel_id))
        return {row.name: row.id for row in found}

    def _insert_names(
        self,
        tx: Tx,
        subdir_id: int,
        package_ids: Mapping[str, int],
        generated: Sequence[SyntheticPackage],
        revision: int,
    ) -> int:
        file_rows: list[dict[str, Any]] = []
        shard_rows: list[dict[str, Any]] = []
        fragment_rows: list[dict[str, Any]] = []
        for package in generated:
            revision += 1
            own = [
                self._file_row(subdir_id, package_ids[package.name], build)
                for build in synthetic_packages.builds(package)
            ]
            index = derive([_indexed_file(row) for row in sorted(own, key=lambda row: str(row["file_name"]))])
            file_rows += own
            shard_rows.append(_shard_row(subdir_id, package.name, revision, index))
            fragment_rows += [
                {"subdir_id": subdir_id, "kind": kind, "name": package.name, "content": content}
                for kind, content in index.fragments.items()
            ]
        for table, rows in ((files, file_rows), (shards, shard_rows), (fragments, fragment_rows)):
            tx.execute(insert(table), rows)
        return revision

    def _file_row(self, subdir_id: int, package_id: int, build: Build) -> dict[str, Any]:
        dice = self._dice
        hashes = FileDigest(dice.randbytes(32), dice.randbytes(16), int(dice.lognormvariate(12, 2)) + 1_000)
        section = section_of(build.index, build.extension)
        indexed_at = _FIRST_INDEXED_MS + dice.randrange(10**10)
        record = encode({**build_record(build.index, {}, section, hashes), "indexed_timestamp": indexed_at})
        self._record_sizes.append(len(record))
        return {
            "subdir_id": subdir_id,
            "package_id": package_id,
            "file_name": build.file_name,
            "state": FileState.LISTED.value,
            "section": section.value,
            "version": build.index["version"],
            "size": hashes.size,
            "sha256": hashes.sha256,
            "indexed_at": indexed_at,
            "uploaded_by": None,
            "uploaded_as": OPERATOR.actor.name,
            "record": record,
            "about": msgspec.json.encode({"license": build.index["license"], "traits": []}),
        }


def _batches(generated: Sequence[SyntheticPackage]) -> Iterator[list[SyntheticPackage]]:
    """Yield the names in batches of about 20,000 files, one for each transaction."""
    batch: list[SyntheticPackage] = []
    for package in generated:
        batch.append(package)
        if sum(package.count for package in batch) >= _BATCH_RECORDS:
            yield batch
            batch = []
    if batch:
        yield batch


def _indexed_file(row: Mapping[str, Any]) -> IndexedFile:
    return IndexedFile(
        row["file_name"], FileState(row["state"]), Section(row["section"]), row["indexed_at"], row["record"]
    )


def _shard_row(subdir_id: int, name: str, revision: int, index: PackageIndex) -> dict[str, Any]:
    times = index.v3_times_ms
    return {
        "subdir_id": subdir_id,
        "name": name,
        "revision": revision,
        "sha256": index.sha256,
        "content": index.shard,
        "record_count": index.record_count,
        "v3_count": len(times),
        "v3_newest": max(times, default=0),
        "v3_oldest": min(times, default=0),
        "checksum": index.checksum,
    }


def _state_of_code() -> str:
    """Return a hash of the code that a cached channel depends on: the synthetic packages, rows and index."""
    sources = [Path(__file__), Path(synthetic_packages.__file__)]
    sources += [path for part in ("conda", "database", "indexing") for path in sorted((_SOURCE / part).rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
