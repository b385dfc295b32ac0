"""Identity of a restored or moved site (backup.restore 1, backup.move_storage 4, backup.move_database 6)."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
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
from seaway.pairing.identity import PairingVerdict
from seaway.pairing.pairing import Pairing
from seaway.server.wiring import Seaway
from seaway.storage import keys
from tests.backup.helpers import PUBLIC, open_site
from tests.indexing.channel import Channel
from tests.support import state
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json

LATE = conda(index_json("late"))
NO_GRACE_MS = -(1 << 60)


@pytest.fixture
def backup_file(source: Seaway, tmp_path: Path) -> Path:
    """A backup of the source, which has an identity that no other site of these tests has."""
    source.pairing.adopt()
    path = tmp_path / "all.tar"
    backup(source.site.database, source.site.blobs, source.site.spool, source.site.clock, TarTarget(path))
    return path


def restore_and_check(seaway: Seaway, path: Path) -> PairingVerdict:
    with open_backup(path) as source:
        restore(replace(seaway.site, blobs=state.raw(seaway.site.blobs)), source)
    seaway.pairing.write_to_store()
    return seaway.pairing.check()


def test_restored_site_with_new_store_gets_new_identity(source: Seaway, empty: Seaway, backup_file: Path) -> None:
    """The copy and the original never mistake each other's store for their own."""
    state.raw(empty.site.blobs).delete(keys.IDENTITY)
    assert PairingVerdict.MATCHES is restore_and_check(empty, backup_file)
    assert source.pairing.store_id() != empty.pairing.store_id()
    sweep(empty.site, empty.pairing, max_percent=100, grace_ms=NO_GRACE_MS)
    assert [] == list(check(empty))


def test_restored_database_keeps_identity_of_its_store(source: Seaway, empty: Seaway, backup_file: Path) -> None:
    before = empty.pairing.store_id()
    assert PairingVerdict.MATCHES is restore_and_check(empty, backup_file)
    assert before == empty.pairing.store_id()


@pytest.mark.on_disk
def test_older_backup_restored_on_its_store_loses_no_newer_blob(
    source: Seaway, backup_file: Path, tmp_path: Path, clock: ManualClock
) -> None:
    """After the loss of the database: the restored database is behind its store until an operator adopts it."""
    source.pairing.raise_counter()
    Channel(source, PUBLIC).put(LATE)
    store = source.settings.effective_storage_url
    with closing(open_site(tmp_path / "again", clock, storage_url=store, paired=False)) as again:
        assert PairingVerdict.BEHIND is restore_and_check(again, backup_file)
    with closing(open_site(tmp_path / "again", clock, storage_url=store)) as again:
        with pytest.raises(SweepStopped, match="older than its store"):
            sweep(again.site, again.pairing, max_percent=100, grace_ms=NO_GRACE_MS)
        assert state.raw(again.site.blobs).stat(keys.blob(bytes.fromhex(LATE.sha256))) is not None
        assert [] == list(check(again))


def test_restore_on_store_of_another_database_is_refused(
    new_site: Callable[..., Seaway], empty: Seaway, backup_file: Path, tmp_path: Path
) -> None:
    """The restored database would sweep the files of the other one."""
    identity = identity_storage.of_store(state.raw(empty.site.blobs))
    empty.pairing.adopt()
    assert identity is not None
    with empty.site.database.write_site() as tx:
        identity_storage.put_in_database(tx, identity_storage.of_database(tx).raised())  # type: ignore[union-attr]
    other = new_site()
    identity_storage.put_in_store(state.raw(other.site.blobs), identity_storage.of_store(state.raw(empty.site.blobs)))  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="another database"):
        restore_and_check(other, backup_file)


def test_moved_store_has_identity_of_last_run(source: Seaway, tmp_path: Path) -> None:
    """If the old store was used after the last run, the new one is an older copy, and the server does not start on it."""
    target = state.folder_store(tmp_path / "target")
    move_storage(source.site, target, verify=False)
    assert identity_storage.of_store(target) == identity_storage.of_store(source.site.blobs)
    for _ in range(2):
        source.pairing.raise_counter()
    with pytest.raises(BadSetting, match="older copy"):
        open_site(tmp_path / "source", storage_url=(tmp_path / "target").as_uri())
    move_storage(source.site, target, verify=False)
    open_site(tmp_path / "source", storage_url=(tmp_path / "target").as_uri()).close()


def test_move_to_store_of_another_database_is_refused(source: Seaway, empty: Seaway) -> None:
    source.pairing.adopt()
    with pytest.raises(BadSetting, match="another database"):
        move_storage(source.site, state.raw(empty.site.blobs), verify=False)


def test_old_database_is_behind_moved_one_that_was_started(source: Seaway, tmp_path: Path) -> None:
    """Otherwise both would sweep the same store, and the old one does not know the new files."""
    target = other_database(f"sqlite:///{tmp_path}/moved/seaway.db")
    with closing(target):
        move_database(source.site.database, target)
        assert (
            PairingVerdict.MATCHES is Pairing(target, state.raw(source.site.blobs)).raise_counter()
        )  # as its first start does
    assert PairingVerdict.BEHIND is source.pairing.check()
    with pytest.raises(SweepStopped, match="older than its store"):
        sweep(source.site, source.pairing, max_percent=100, grace_ms=NO_GRACE_MS)


def test_moved_database_is_behind_old_one_that_was_used(source: Seaway, tmp_path: Path) -> None:
    """The new database does not know the files that the old one accepted after the move, and must not sweep them."""
    target = other_database(f"sqlite:///{tmp_path}/moved/seaway.db")
    with closing(target):
        move_database(source.site.database, target)
        assert PairingVerdict.MATCHES is source.pairing.raise_counter()  # as its next manifests do
        assert PairingVerdict.BEHIND is Pairing(target, state.raw(source.site.blobs)).check()
