"""
Shard index of each subdir, cached in memory and updated incrementally.

1. A document has the revision of one committed state, and names exactly the shards of that state.
2. An update costs one query for the changed names and one encoding, not a read of all names.
3. The cache can be dropped at any time and is rebuilt from the rows. It is bounded by the total number of names, with a
   few for each subdir; the subdir that changed last is kept, however many names it has.
"""

import threading
from dataclasses import dataclass, field

from cachetools import LRUCache
from sqlalchemy import bindparam, func, select

from seaway.conda.repodata import ChannelRelations, RevisionSummary
from seaway.conda.shards import build_index
from seaway.database.engine import Tx
from seaway.database.tables import channels, shards, subdirs
from seaway.indexing.file_rows import Subdir

_NAMES_IN_MEMORY = 400_000  # measured: 170 bytes each, plus 40 bytes in the document
_NAMES_PER_SUBDIR = 5  # a subdir without names takes as much memory as five names


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """repodata_shards.msgpack.zst at one revision."""

    content: bytes
    revision: int


@dataclass(slots=True)
class _Names:
    """Cached shard hashes of one subdir."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    revision: int = -1
    hashes: dict[str, bytes] = field(default_factory=dict)
    document: ShardIndex | None = None


class ShardIndexCache:
    """Cache of the shard indexes in this process."""

    def __init__(self, max_names: int = _NAMES_IN_MEMORY) -> None:
        self._lock = threading.Lock()
        self._subdirs: LRUCache[int, _Names] = LRUCache(
            max_names, lambda names: min(len(names.hashes) + _NAMES_PER_SUBDIR, max_names)
        )

    def document(self, tx: Tx, subdir: Subdir) -> ShardIndex:
        """Return the shard index at the revision that `tx` sees, or a later one that another request has read."""
        names = self._names_of(subdir.id)
        with names.lock:
            if names.document is None or names.revision < subdir.revision:
                names.hashes = _apply_changes(tx, subdir, names)
                names.revision = subdir.revision
                v3, relations = info_of(tx, subdir.id)
                content = build_index(subdir.name, names.hashes, subdir.changed_at_ms, v3, relations)
                names.document = ShardIndex(content, subdir.revision)
                with self._lock:
                    self._subdirs[subdir.id] = names  # again, since its size has changed
            return names.document

    def _names_of(self, subdir_id: int) -> _Names:
        with self._lock:
            return self._subdirs.setdefault(subdir_id, _Names())


_V3 = select(
    func.sum(shards.c.v3_count).label("v3_count"),
    func.max(shards.c.v3_newest).label("newest"),
    func.min(shards.c.v3_oldest).label("oldest"),
).where(shards.c.subdir_id == bindparam("subdir_id"), shards.c.v3_count > 0)
_CHANNEL_FIELDS = (
    select(channels.c.base, channels.c.overrides, channels.c.v3_message)
    .join(subdirs, subdirs.c.channel_id == channels.c.id)
    .where(subdirs.c.id == bindparam("subdir_id"))
)
_CHANGES = select(shards.c.name, shards.c.sha256).where(
    shards.c.subdir_id == bindparam("subdir_id"), shards.c.revision > bindparam("known")
)


def info_of(tx: Tx, subdir_id: int) -> tuple[RevisionSummary | None, ChannelRelations]:
    """Return the summary of a subdir's v3 records, or None without any, and the relations of its channel."""
    channel = tx.execute(_CHANNEL_FIELDS, {"subdir_id": subdir_id}).one()
    v3 = tx.execute(_V3, {"subdir_id": subdir_id}).one()
    summary = RevisionSummary(v3.v3_count, v3.newest, v3.oldest, channel.v3_message) if v3.v3_count else None
    return summary, ChannelRelations(channel.base, channel.overrides)


def relations_of(tx: Tx, channel_id: int) -> ChannelRelations:
    """Return the relations of a channel, for documents of subdirs without uploads."""
    row = tx.execute(select(channels.c.base, channels.c.overrides).where(channels.c.id == channel_id)).one()
    return ChannelRelations(row.base, row.overrides)


def _apply_changes(tx: Tx, subdir: Subdir, names: _Names) -> dict[str, bytes]:
    hashes = dict(names.hashes)
    changes = tx.execute(_CHANGES, {"subdir_id": subdir.id, "known": names.revision})
    for name, sha256 in changes:
        if sha256 is None:
            hashes.pop(name, None)
        else:
            hashes[name] = sha256
    return hashes
