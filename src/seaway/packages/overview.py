"""
One line for each package of a channel: cached in memory, and updated when packages change.

1. The lines of a channel match its file rows at the revisions of one committed state, or of a later state that another
   request has read.
2. An update costs one query for the changed names and three queries for their data, not a read of the channel.
3. The cache can be dropped at any time, and is bounded: by packages per channel, and by lines in total.
4. A channel is identified by its id, which only callers that passed `channels.require` have.

Dependents are computed from here, so that uploads do not maintain a table for them. Measured with SQLite on two cores:
the first request to a worker takes 0.2 s for 5,000 packages of three builds each, and 0.8 s for 5,000 packages as in a
large channel (200,000 builds); a request after an upload takes 2 ms, and without a change 0.5 ms. So a package page
shows dependents at once only if the channel is in memory (`is_read`).
"""

import functools
import re
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from sys import intern
from typing import Any

import msgspec
from cachetools import LRUCache
from sqlalchemy import and_, func, or_, select

from seaway.conda.version import parse_published
from seaway.database.engine import Tx
from seaway.database.rows import AnyRow, in_batches
from seaway.database.tables import files, packages, shards, subdirs
from seaway.indexing.file_rows import FileState
from seaway.packages.files import about_decoder

MAX_PACKAGES = 50_000  # a channel with more is listed by name only
_MAX_LINES = 60_000  # of 1.7 kB each, measured
_ROWS_AT_ONCE = 5_000
_LISTED = FileState.LISTED.value
_NAME_OF_SPEC = re.compile(r"(?:.*::)?\s*([A-Za-z0-9._-]+)")


@dataclass(frozen=True, slots=True)
class PackageLine:
    """A package, as shown in lists: by its newest version that is not yanked, or its newest if all are."""

    name: str
    version: str
    summary: str
    license: str
    subdirs: tuple[str, ...]
    files: int  # listed files
    uploaded_at_ms: int  # time of the latest upload
    dependencies: frozenset[str]  # names of the dependencies of the newest files of its subdirs


@dataclass(slots=True)
class _Channel:
    """The cached lines of one channel."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    revisions: dict[int, int] = field(default_factory=dict)
    lines: dict[str, PackageLine] = field(default_factory=dict)


class PackageOverviews:
    """Cache of the lines that this process has read."""

    def __init__(self, max_lines: int = _MAX_LINES, max_packages: int = MAX_PACKAGES) -> None:
        self._lock = threading.Lock()
        self._channels: LRUCache[int, _Channel] = LRUCache(
            max_lines, lambda channel: min(len(channel.lines) + 1, max_lines)
        )
        self._max_packages = max_packages

    def of(self, tx: Tx, channel_id: int) -> Mapping[str, PackageLine] | None:
        """Return the packages of a channel by name; None if it has too many to cache."""
        channel = self._channel(channel_id)
        channel_subdirs = _subdirs(tx, channel_id)
        with channel.lock:
            is_complete = self._update(tx, channel_id, channel, channel_subdirs)
            lines = channel.lines
        return lines if is_complete else None

    def dependents(self, tx: Tx, channel_id: int, package: str) -> list[PackageLine] | None:
        """Return the packages whose newest files depend on this one, by name; None if the channel has too many."""
        lines = self.of(tx, channel_id)
        if lines is None:
            return None
        return sorted((line for line in lines.values() if package in line.dependencies), key=attrgetter("name"))

    def is_read(self, channel_id: int) -> bool:
        """Return whether the lines of a channel are in memory, so that reading them is fast."""
        with self._lock:
            channel = self._channels.get(channel_id)
        return channel is not None and bool(channel.lines)

    def _update(self, tx: Tx, channel_id: int, channel: _Channel, channel_subdirs: Sequence[AnyRow]) -> bool:
        outdated = [subdir for subdir in channel_subdirs if channel.revisions.get(subdir.id, -1) < subdir.revision]
        if not outdated:
            return True
        names = _changed(tx, channel.revisions, outdated) if channel.lines else None
        if names is None and _count(tx, channel_id) > self._max_packages:
            return False
        fresh = read_lines(tx, channel_subdirs, None if names is None else _ids_of(tx, channel_id, names)).values()
        # A new mapping replaces the old one, so that threads that iterate over the old one are not affected.
        kept = {} if names is None else {name: line for name, line in channel.lines.items() if name not in names}
        channel.lines = kept | {line.name: line for line in fresh}
        channel.revisions |= {subdir.id: subdir.revision for subdir in outdated}
        with self._lock:
            self._channels[channel_id] = channel  # again, since its size has changed
        return True

    def _channel(self, channel_id: int) -> _Channel:
        with self._lock:
            return self._channels.setdefault(channel_id, _Channel())


def read_lines(
    tx: Tx, channel_subdirs: Sequence[AnyRow], package_ids: Collection[int] | None
) -> dict[int, PackageLine]:
    """Return the lines of these packages, or of all that have files in these subdirs, by package id."""
    builds: dict[int, _Builds] = {}
    for row in _rows(tx, [subdir.id for subdir in channel_subdirs], package_ids):
        package_builds = builds.get(row.package_id)
        if package_builds is None:
            package_builds = builds[row.package_id] = _Builds(row.name)
        package_builds.add(row.subdir_id, row.version, (row.indexed_at, row.id), is_listed=row.state == _LISTED)
    newest = {package_id: package_builds.newest() for package_id, package_builds in builds.items()}
    wanted = [file_id for package_builds in newest.values() for file_id in package_builds.by_subdir.values()]
    texts: dict[int, tuple[_Record, bytes]] = {}
    for ids in in_batches(wanted, _ROWS_AT_ONCE):
        query = select(files.c.id, files.c.record, files.c.about).where(files.c.id.in_(ids))
        texts |= {row.id: (_records.decode(row.record), row.about) for row in tx.execute(query)}
    subdir_names = {subdir.id: subdir.name for subdir in channel_subdirs}
    return {package_id: package_builds.line(subdir_names, texts) for package_id, package_builds in newest.items()}


@functools.lru_cache(32_768)
def name_of_spec(spec: str) -> str:
    """Return the package name of a dependency."""
    match = _NAME_OF_SPEC.match(spec)
    return match[1].lower() if match else ""


class _Record(msgspec.Struct):
    """The fields of a record that a line needs."""

    depends: list[str] = []
    license: str | None = None


_records = msgspec.json.Decoder(_Record)


_Arrival = tuple[int, int]  # a file's indexed time and id


@dataclass(slots=True)
class _Builds:
    """The files of a package while rows are read: the latest one of each subdir and version, listed or yanked."""

    name: str
    files: int = 0
    uploaded_at_ms: int = 0
    listed: dict[int, dict[str, _Arrival]] = field(default_factory=dict)
    yanked: dict[int, dict[str, _Arrival]] = field(default_factory=dict)

    def add(self, subdir_id: int, version: str, arrival: _Arrival, *, is_listed: bool) -> None:
        # Versions are compared after all rows were read, each text once: there are many rows, and comparing is slow.
        self.files += is_listed
        self.uploaded_at_ms = max(self.uploaded_at_ms, arrival[0])
        versions = (self.listed if is_listed else self.yanked).setdefault(subdir_id, {})
        if versions.get(version, arrival) <= arrival:
            versions[version] = arrival

    def newest(self) -> "_Newest":
        by_subdir = {
            subdir_id: max(versions.items(), key=_age) for subdir_id, versions in (self.yanked | self.listed).items()
        }
        version, (_, best) = max((by_subdir[subdir_id] for subdir_id in self.listed or self.yanked), key=_age)
        return _Newest(self, version, best, {subdir_id: file_id for subdir_id, (_, (_, file_id)) in by_subdir.items()})


@dataclass(frozen=True, slots=True)
class _Newest:
    """The newest file of a package and of each of its subdirs; a yanked file only if there is no other."""

    builds: _Builds
    version: str
    file_id: int
    by_subdir: dict[int, int]

    def line(self, subdir_names: Mapping[int, str], texts: Mapping[int, tuple[_Record, bytes]]) -> PackageLine:
        record, about = texts[self.file_id]
        dependencies = {
            intern(name_of_spec(spec)) for file_id in self.by_subdir.values() for spec in texts[file_id][0].depends
        }
        return PackageLine(
            name=self.builds.name,
            version=self.version,
            summary=about_decoder.decode(about).summary,
            license=record.license or "",
            subdirs=tuple(sorted(subdir_names[subdir_id] for subdir_id in self.by_subdir)),
            files=self.builds.files,
            uploaded_at_ms=self.builds.uploaded_at_ms,
            dependencies=frozenset(dependencies),
        )


def _age(build: tuple[str, _Arrival]) -> tuple[Any, _Arrival]:
    version, arrival = build
    return parse_published(version), arrival


def _subdirs(tx: Tx, channel_id: int) -> Sequence[AnyRow]:
    query = select(subdirs.c.id, subdirs.c.name, subdirs.c.revision).where(subdirs.c.channel_id == channel_id)
    return tx.execute(query).all()


def _rows(tx: Tx, subdir_ids: Sequence[int], package_ids: Collection[int] | None) -> Iterable[Any]:
    query = (
        select(
            files.c.id, files.c.package_id, packages.c.name, files.c.subdir_id, files.c.version, files.c.indexed_at,
            files.c.state,
        )
        .join(packages, packages.c.id == files.c.package_id)
        .where(files.c.subdir_id.in_(subdir_ids), files.c.state != FileState.DELETED.value)
    )  # fmt: skip
    if package_ids is None:
        yield from tx.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
        return
    for ids in in_batches(sorted(package_ids), _ROWS_AT_ONCE):
        yield from tx.execute(query.where(files.c.package_id.in_(ids)))


def _changed(tx: Tx, known: Mapping[int, int], outdated: Sequence[AnyRow]) -> set[str] | None:
    """Return the names that changed since the known revisions; None if reading all of them costs less."""
    since = or_(
        *(and_(shards.c.subdir_id == subdir.id, shards.c.revision > known.get(subdir.id, -1)) for subdir in outdated)
    )
    found = tx.execute(select(shards.c.name).where(since).limit(_ROWS_AT_ONCE)).scalars().all()
    return set(found) if len(found) < _ROWS_AT_ONCE else None


def _ids_of(tx: Tx, channel_id: int, names: Collection[str]) -> Sequence[int]:
    query = select(packages.c.id).where(packages.c.channel_id == channel_id, packages.c.name.in_(names))
    return tx.execute(query).scalars().all()


def _count(tx: Tx, channel_id: int) -> int:
    return tx.execute(select(func.count()).where(packages.c.channel_id == channel_id)).scalar_one()
