"""Replaced shards are kept if any worker served an index that named them, and only then."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import update

from seaway.clock import DAY_MS
from seaway.database.engine import Database, Tx
from seaway.database.tables import retired_shards, shards, subdirs
from seaway.errors import NotFound, Unavailable
from seaway.indexing.file_rows import Subdir
from seaway.indexing.served_revisions import ServedRevisions
from seaway.indexing.shard_index import ShardIndex, ShardIndexCache
from seaway.indexing.updates import raise_revision
from seaway.packages.sweep import forget_shards
from seaway.server.wiring import Seaway
from tests.indexing.channel import Channel, recorded_statements, with_in_process_examiners
from tests.support import packages, sites
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, index_json, zstd

WEEK_MS = 7 * DAY_MS


def build_of(number: int, name: str = "a") -> PackageFile:
    return packages.conda(index_json(name, version=f"{number}.0"))


@pytest.fixture
def other(tmp_path: Path, clock: ManualClock, channel: Channel) -> Iterator[Channel]:
    """The channel on another worker."""
    built = sites.build(tmp_path, clock)
    yield Channel(with_in_process_examiners(built), channel.name)
    built.close()


def is_readable(channel: Channel, digest: bytes) -> bool:
    try:
        channel.shard(digest)
    except NotFound:
        return False
    return True


def shard_of(channel: Channel) -> bytes:
    """Return the shard in the rows, without requesting an index."""
    (digest,) = channel.column(shards.c.sha256)
    return bytes(digest)


def subdir_id(channel: Channel) -> int:
    with channel.seaway.site.database.read() as tx:
        return channel.subdir(tx).id


@contextmanager
def long_write(seaway: Seaway) -> Iterator[None]:
    """Hold a transaction of another worker that blocks notes on subdirs."""
    with seaway.site.database.write_unlocked() as tx:
        tx.execute(update(subdirs).values(changed_at=subdirs.c.changed_at))
        yield


# Kept and dropped shards.


def test_shards_that_no_served_index_named_are_dropped_at_once(channel: Channel) -> None:
    """Change invariant 3: any number of uploads without a reader leaves only the last shard."""
    for number in range(12):
        channel.put(build_of(number))
        channel.repodata()  # whole documents do not name shards
    assert [] == channel.rows(retired_shards)


def test_each_served_index_keeps_its_shard(channel: Channel, other: Channel) -> None:
    """Change invariant 3: of twelve uploads with a reader after every third, the shards that were read are kept."""
    seen = []
    for number in range(12):
        (channel, other)[number % 2].put(build_of(number))
        if number % 3 == 2:
            seen.append((other, channel)[number % 2].shard_index()["shards"]["a"])
    assert sorted(seen[:-1]) == sorted(bytes(digest) for digest in channel.column(retired_shards.c.sha256))


@pytest.mark.parametrize("seed", range(4))
def test_a_reader_finds_every_shard_for_a_week(seed: int, channel: Channel, other: Channel, clock: ManualClock) -> None:
    """Shards named by an index that either worker served stay for a week, independent of later changes."""
    chance = random.Random(seed)
    workers, files = (channel, other), [build_of(number, name) for name in "ab" for number in range(3)]
    is_yanked: dict[str, bool] = {}  # for each stored file
    seen: list[tuple[int, set[bytes]]] = []
    for _ in range(30):
        worker, file, act = chance.choice(workers), chance.choice(files), chance.random()
        if act < 0.3:
            seen.append((clock.now_ms(), set(worker.shard_index()["shards"].values())))
        elif file.name not in is_yanked:
            worker.put(file)
            is_yanked[file.name] = False
        elif act < 0.6:
            (worker.unyank if is_yanked[file.name] else worker.yank)(file)
            is_yanked[file.name] = not is_yanked[file.name]
        elif act < 0.7:
            with worker.seaway.site.database.write_channel(worker.name) as tx:
                raise_revision(tx, worker.subdir(tx).id, ["a"], clock.now_ms())
        else:
            worker.delete(file)
            del is_yanked[file.name]
            files.remove(file)
            files.append(build_of(len(files) + chance.randrange(10**6), chance.choice("ab")))
        clock.move(chance.randrange(DAY_MS // 2))
        forget_shards(worker.seaway.site.database, clock.now_ms())
        for at_ms, digests in seen:
            if clock.now_ms() < at_ms + WEEK_MS:
                assert all(is_readable(worker, digest) for digest in digests)


def test_a_revision_without_shard_changes_keeps_the_served_shard(channel: Channel) -> None:
    """A shard with a new revision but the same bytes is the one that readers have."""
    channel.put(build_of(1))
    digest = channel.shard_index()["shards"]["a"]
    with channel.seaway.site.database.write_channel(channel.name) as tx:
        raise_revision(tx, channel.subdir(tx).id, ["a"], 1)
    channel.put(build_of(2))
    assert is_readable(channel, digest)


@pytest.mark.parametrize("wrong_by", [-40 * DAY_MS, 700 * DAY_MS])
def test_a_wrong_clock_does_not_change_how_long_shards_are_kept(
    channel: Channel, clock: ManualClock, wrong_by: int
) -> None:
    """A shard replaced while the clock was wrong stays for a week after the clock is corrected, and not longer."""
    channel.put(build_of(1))
    digest = channel.shard_index()["shards"]["a"]
    clock.move(wrong_by)
    channel.put(build_of(2))
    clock.move(-wrong_by)
    forget_shards(channel.seaway.site.database, clock.now_ms())
    assert is_readable(channel, digest)
    clock.move(WEEK_MS + 1)
    forget_shards(channel.seaway.site.database, clock.now_ms())
    assert not is_readable(channel, digest)


# 1: the note is written before the index is returned.


def test_each_served_revision_is_noted_once(channel: Channel, other: Channel) -> None:
    """Served invariant 1: two workers together write one note per revision, and nothing for later requests."""
    for number in range(3):
        channel.put(build_of(number))
        with recorded_statements(channel.seaway) as first, recorded_statements(other.seaway) as second:
            for worker in (channel, other, channel, other):
                assert [shard_of(worker)] == list(worker.shard_index()["shards"].values())
        (statement,) = first.writing() + second.writing()
        assert statement.startswith("UPDATE subdirs SET served_revision")
        assert [number + 1] == channel.column(subdirs.c.served_revision)


class _Interrupted(ShardIndexCache):
    """A cache that commits a change after each of the first `changes` reads, before the reader continues."""

    def __init__(self, channel: Channel, changes: int) -> None:
        super().__init__()
        self._channel, self._changes = channel, [100 * changes + number for number in range(changes)]

    def document(self, tx: Tx, subdir: Subdir) -> ShardIndex:
        document = super().document(tx, subdir)
        if self._changes:
            self._channel.put(build_of(self._changes.pop()))
        return document


def test_a_change_between_read_and_note(channel: Channel, other: Channel) -> None:
    """Served invariants 1 and 2: the returned index names shards that stay, for any number of such changes."""
    for changes in range(1, 5):
        channel.put(build_of(changes))
        served = ServedRevisions(channel.seaway.site.database, _Interrupted(other, changes))
        document = served.first(subdir_id(channel))
        assert document is not None
        digest = _named_by(document)
        for number in range(2):
            other.put(build_of(1000 * changes + number))
        assert is_readable(channel, digest)
        served.stop()


def _named_by(document: ShardIndex) -> bytes:
    (digest,) = msgspec.msgpack.decode(zstd.decompress(document.content))["shards"].values()
    assert isinstance(digest, bytes)
    return digest


# 2: notes that cannot be written.


def test_no_shard_is_dropped_while_a_note_cannot_be_written(channel: Channel, other: Channel) -> None:
    """Served invariants 2 and 3: the index is served, no worker drops its shards, and the note is written later."""
    channel.put(build_of(1))
    with long_write(other.seaway):
        digest = channel.shard_index()["shards"]["a"]
    assert [0] == channel.column(subdirs.c.served_revision)
    for number in range(2, 5):
        other.put(build_of(number))
    assert is_readable(channel, digest)
    channel.seaway.request_parts.reading.served.flush_notes()
    assert [channel.revision()] == channel.column(subdirs.c.served_revision)
    kept = len(channel.rows(retired_shards))
    for number in range(5, 9):
        other.put(build_of(number))
    assert kept + 1 == len(channel.rows(retired_shards))


class _ReadOnly:
    """A database that refuses notes of this worker, as on a full disk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)

    def write_briefly(self) -> None:
        raise Unavailable("The database is read-only.", "Try again later.")


def test_shards_served_from_a_read_only_database_stay(channel: Channel, other: Channel) -> None:
    """Served invariant 2: holds for every index served in that time, also after changes by other workers."""
    served = ServedRevisions(_ReadOnly(channel.seaway.site.database), ShardIndexCache())  # type: ignore[arg-type]
    seen = []
    for number in range(4):
        other.put(build_of(number))
        document = served.first(subdir_id(channel))
        assert document is not None
        assert other.revision() == document.revision
        seen.append(_named_by(document))
    assert all(is_readable(other, digest) for digest in seen)
    served.stop()
    other.put(build_of(8))
    other.put(build_of(9))
    assert sorted(seen[:-1]) == sorted(bytes(digest) for digest in other.column(retired_shards.c.sha256))
