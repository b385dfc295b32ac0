"""Which store a restored or moved database says it belongs to (moving.restore 1, moving.storage 4, moving.database 6)."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from seaway.backup.backup import backup
from seaway.backup.locations import other_database
from seaway.backup.move_database import move_database
from seaway.backup.move_storage import move_storage
from seaway.backup.restore import restore
from seaway.backup.tar import TarTarget, open_backup
from seaway.errors import BadSetting
from seaway.maintenance.check import check
from seaway.packages.sweep import SweepStopped, sweep
from seaway.pairing import identity_storage
from seaway.pairing.identity import Verdict
from seaway.pairing.pairing import Pairing
from seaway.server.wiring import Seaway
from seaway.storage import keys
from tests.backup.sites import PUBLIC, open_house
from tests.indexing.channel import Channel
from tests.support import state
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json

LATE = conda(index_json("late"))
EVERYTHING_IS_OLD = -(1 << 60)


@pytest.fixture
def kept(source: Seaway, tmp_path: Path) -> Path:
    """A backup of the source, whose identity no other site of these tests has."""
    source.pairing.adopt()
    path = tmp_path / "all.tar"
    backup(source.database, source.blobs, source.spool, source.clock, TarTarget(path))
    return path


def restored(seaway: Seaway, path: Path) -> Verdict:
    with open_backup(path) as found:
        restore(seaway.database, state.raw(seaway.blobs), seaway.spool, found)
    seaway.pairing.write_to_store()
    return seaway.pairing.check()


def test_a_new_store_gets_an_identity_of_its_own(source: Seaway, empty: Seaway, kept: Path) -> None:
    """The copy and the original never take each other's store for their own."""
    state.raw(empty.blobs).delete(keys.IDENTITY)
    assert Verdict.MATCHES is restored(empty, kept)
    assert source.pairing.store_id() != empty.pairing.store_id()
    sweep(empty.sweeping, grace_ms=EVERYTHING_IS_OLD)
    assert [] == list(check(empty))


def test_a_store_that_is_the_databases_stays_so(source: Seaway, empty: Seaway, kept: Path) -> None:
    before = empty.pairing.store_id()
    assert Verdict.MATCHES is restored(empty, kept)
    assert before == empty.pairing.store_id()


@pytest.mark.on_disk
def test_the_store_of_the_backup_loses_nothing_that_came_since(
    source: Seaway, kept: Path, tmp_path: Path, clock: ManualClock
) -> None:
    """The database is lost, and an older backup is restored on the store: it is behind until an operator adopts it."""
    source.pairing.raise_counter()
    Channel(source, PUBLIC).put(LATE)
    store = source.settings.effective_storage_url
    with closing(open_house(tmp_path / "again", clock, storage_url=store, paired=False)) as again:
        assert Verdict.BEHIND is restored(again, kept)
    with closing(open_house(tmp_path / "again", clock, storage_url=store)) as again:
        with pytest.raises(SweepStopped, match="older than its store"):
            sweep(again.sweeping, grace_ms=EVERYTHING_IS_OLD)
        assert state.raw(again.blobs).stat(keys.blob(bytes.fromhex(LATE.sha256))) is not None
        assert [] == list(check(again))


def test_a_store_of_another_database_is_refused(
    new_house: Callable[..., Seaway], empty: Seaway, kept: Path, tmp_path: Path
) -> None:
    """Its files would be swept by a database that knows nothing of them."""
    identity = identity_storage.of_store(state.raw(empty.blobs))
    empty.pairing.adopt()
    assert identity is not None
    with empty.database.write_site() as tx:
        identity_storage.put_in_database(tx, identity_storage.of_database(tx).raised())  # type: ignore[union-attr]
    other = new_house()
    identity_storage.put_in_store(state.raw(other.blobs), identity_storage.of_store(state.raw(empty.blobs)))  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="another database"):
        restored(other, kept)


def test_a_moved_store_carries_the_identity(source: Seaway, tmp_path: Path) -> None:
    """What went on in the old store after the last run makes the new one an older copy, and the start stops."""
    target = state.folder_store(tmp_path / "target")
    move_storage(source.database, source.blobs, target, source.spool, verify=False)
    assert identity_storage.of_store(target) == identity_storage.of_store(source.blobs)
    for _ in range(2):
        source.pairing.raise_counter()
    with pytest.raises(BadSetting, match="older copy"):
        open_house(tmp_path / "source", storage_url=(tmp_path / "target").as_uri())
    move_storage(source.database, source.blobs, target, source.spool, verify=False)
    open_house(tmp_path / "source", storage_url=(tmp_path / "target").as_uri()).close()


def test_a_store_is_not_moved_into_that_of_another_database(source: Seaway, empty: Seaway) -> None:
    source.pairing.adopt()
    with pytest.raises(BadSetting, match="another database"):
        move_storage(source.database, source.blobs, state.raw(empty.blobs), source.spool, verify=False)


def test_a_moved_database_leaves_the_old_one_behind(source: Seaway, tmp_path: Path) -> None:
    """Both would sweep the same store otherwise, and the old one does not know what comes from now on."""
    target = other_database(f"sqlite:///{tmp_path}/moved/seaway.db")
    with closing(target):
        move_database(source.database, target)
        assert Verdict.MATCHES is Pairing(target, state.raw(source.blobs)).raise_counter()  # as its first start does
    assert Verdict.BEHIND is source.pairing.check()
    with pytest.raises(SweepStopped, match="older than its store"):
        sweep(source.sweeping, grace_ms=EVERYTHING_IS_OLD)


def test_a_moved_database_is_behind_one_that_went_on(source: Seaway, tmp_path: Path) -> None:
    """It does not name what the old one took after the move, and must not sweep it."""
    target = other_database(f"sqlite:///{tmp_path}/moved/seaway.db")
    with closing(target):
        move_database(source.database, target)
        assert Verdict.MATCHES is source.pairing.raise_counter()  # as its next manifests do
        assert Verdict.BEHIND is Pairing(target, state.raw(source.blobs)).check()
