"""channeldata.json: metadata of the packages of a channel across its subdirs (CEP 38), built on request."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import msgspec
from cachetools import LRUCache
from sqlalchemy import select

from seaway.conda import version
from seaway.conda.record import timestamp_ms as timestamp_ms_of
from seaway.database.engine import Database, Tx
from seaway.database.rows import AnyRow, total
from seaway.database.tables import files, packages, subdirs
from seaway.indexing.file_rows import FileState

_BYTES_IN_MEMORY = 32 * 1024 * 1024
_ROWS_AT_ONCE = 500
_TEXTS = ("dev_url", "doc_url", "home", "license", "source_url", "summary")
_TRAITS = ("activate.d", "deactivate.d", "post_link", "pre_link", "pre_unlink", "binary_prefix", "text_prefix")


@dataclass(frozen=True, slots=True)
class ChannelData:
    """channeldata.json at one revision of the channel, which is the sum of its subdirs' revisions."""

    content: bytes
    revision: int


class ChannelDataCache:
    """Cache of channeldata.json documents in this process."""

    def __init__(self, max_bytes: int = _BYTES_IN_MEMORY) -> None:
        self._lock = threading.Lock()
        self._building = threading.Lock()
        # A document larger than the cache counts as its size: it is kept alone.
        self._channels: LRUCache[int, ChannelData] = LRUCache(max_bytes, lambda data: min(len(data.content), max_bytes))

    def current(self, tx: Tx, channel_id: int) -> ChannelData | None:
        """Return the document of the channel state that `tx` sees, or None if it must be built first (`build`)."""
        with self._lock:
            cached = self._channels.get(channel_id)
        return cached if cached is not None and cached.revision == _revision(tx, channel_id) else None

    def build(self, database: Database, channel_id: int) -> ChannelData:
        """Build the document. Builds run one at a time: each reads every record, and a burst of requests needs one."""
        with self._building, database.read() as tx:
            cached = self.current(tx, channel_id)
            if cached is not None:
                return cached
            built = ChannelData(_build(tx, channel_id), _revision(tx, channel_id))
        with self._lock:
            self._channels[channel_id] = built
        return built


def _revision(tx: Tx, channel_id: int) -> int:
    return total(tx, subdirs.c.revision, subdirs.c.channel_id == channel_id)


@dataclass(slots=True)
class _Package:
    newest: tuple[Any, int] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    subdirs: set[str] = field(default_factory=set)
    traits: set[str] = field(default_factory=set)
    run_exports: dict[str, Any] = field(default_factory=dict)
    timestamp_ms: int = 0


class _Record(msgspec.Struct):
    version: str
    timestamp: int = 0
    license: str = ""
    run_exports: dict[str, list[str]] = {}


_record_decoder = msgspec.json.Decoder(_Record)
_about_decoder = msgspec.json.Decoder(dict[str, Any])


def _build(tx: Tx, channel_id: int) -> bytes:
    described: dict[str, Any] = {}
    all_subdirs: set[str] = set()
    for name, rows in groupby(_rows(tx, channel_id), key=lambda row: row.name):
        package = _Package()
        for row in rows:
            _add(package, row.subdir, _record_decoder.decode(row.record), _about_decoder.decode(row.about))
        described[name] = _describe(package)
        all_subdirs |= package.subdirs
    document = {"channeldata_version": 1, "packages": described, "subdirs": sorted(all_subdirs | {"noarch"})}
    return msgspec.json.encode(document, order="sorted")


def _rows(tx: Tx, channel_id: int) -> Iterable[AnyRow]:
    return tx.execute(
        select(packages.c.name, subdirs.c.name.label("subdir"), files.c.record, files.c.about)
        .join(packages, packages.c.id == files.c.package_id)
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .where(packages.c.channel_id == channel_id, files.c.state == FileState.LISTED.value)
        .order_by(packages.c.name, subdirs.c.name, files.c.file_name)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )


def _add(package: _Package, subdir: str, record: _Record, about: dict[str, Any]) -> None:
    package.subdirs.add(subdir)
    package.traits.update(about.get("traits", ()))
    timestamp_ms = timestamp_ms_of(record.timestamp)
    package.timestamp_ms = max(package.timestamp_ms, timestamp_ms)
    if record.run_exports:
        package.run_exports[record.version] = record.run_exports
    age = (version.parse(record.version), timestamp_ms)
    if package.newest is None or age > package.newest:
        package.newest = age
        package.fields = {key: about[key] for key in _TEXTS if key in about}
        package.fields["version"] = record.version
        if record.license:
            package.fields["license"] = record.license


def _describe(package: _Package) -> dict[str, Any]:
    return {
        **package.fields,
        **{trait: trait in package.traits for trait in _TRAITS},
        "run_exports": package.run_exports,
        "subdirs": sorted(package.subdirs),
        "timestamp": package.timestamp_ms // 1000,
    }
