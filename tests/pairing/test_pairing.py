"""An empty, foreign or older database deletes nothing; a foreign store refuses writes (pairing.pairing)."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from sqlalchemy import delete

from seaway.database.tables import site_values
from seaway.encryption import secret_key
from seaway.errors import BadSetting, Unavailable
from seaway.maintenance.check import check
from seaway.packages.sweep import SweepStopped, last, sweep
from seaway.pairing import identity_storage
from seaway.pairing.identity import PairingVerdict
from seaway.pairing.pairing import Pairing
from seaway.server.wiring import Seaway
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import s3, sites, state
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.proxy import FaultProxy, Pass, Refuse
from tests.support.sites import Factory

FILES = [conda(index_json(name)) for name in ("one", "two", "three")]
ANY_AGE = -(1 << 60)


def blobs_of(seaway: Seaway) -> set[str]:
    """Return the keys of the blobs in the store, without checking the pairing."""
    return {stat.key for stat in state.raw(seaway.site.blobs).list(keys.BLOBS)}


def opened(folder: Path, **settings: object) -> Seaway:
    return with_in_process_examiners(sites.build(folder, ManualClock(), **settings))


def sweep_all(seaway: Seaway) -> None:
    sweep(seaway.site, seaway.pairing, max_percent=seaway.settings.sweep_max_percent, grace_ms=ANY_AGE)


@pytest.fixture
def filled(tmp_path: Path, on_both: str) -> Iterator[Path]:
    """A folder with a site of three packages, not opened by any process."""
    folder = tmp_path / "site"
    with closing(opened(folder)) as seaway:
        channel = Channel(seaway, Factory(seaway).channel("chan"))
        for file in FILES:
            channel.put(file)
        seaway.pairing.raise_counter()
    return folder


def without_rows(folder: Path, target: Path) -> dict[str, object]:
    """Return the settings of the same store with a new database."""
    current = dict(state.settings(folder))
    fresh = state.settings(target)
    if "database_url" in fresh:
        return {**current, "database_url": fresh["database_url"]}
    return {"storage_url": (folder / "data" / "store").as_uri()}


def test_a_start_with_an_empty_database_and_a_filled_store_is_refused(filled: Path, tmp_path: Path) -> None:
    """The database is lost or its URL is wrong: the start fails with the options and deletes nothing (3)."""
    with closing(opened(filled)) as seaway:
        before = blobs_of(seaway)
    with pytest.raises(BadSetting, match=r"another database.*restore.*rebuild.*adopt.*empty store"):
        opened(tmp_path / "new", **without_rows(filled, tmp_path / "new"))
    with closing(opened(filled)) as seaway:
        assert before == blobs_of(seaway)
        assert [] == list(check(seaway))


def test_a_store_with_blobs_and_no_identity_is_refused(filled: Path, tmp_path: Path) -> None:
    """A store with manually copied content is not empty (1)."""
    with closing(opened(filled)) as seaway:
        state.raw(seaway.site.blobs).delete(keys.IDENTITY)
    with pytest.raises(BadSetting, match="has content"):
        opened(tmp_path / "new", **without_rows(filled, tmp_path / "new"))


def test_an_unpaired_store_and_database_require_adopt(filled: Path) -> None:
    """`adopt` pairs a store and a database that have no identities."""
    with closing(opened(filled)) as seaway:
        state.raw(seaway.site.blobs).delete(keys.IDENTITY)
        with seaway.site.database.write_site() as tx:
            tx.execute(delete(site_values))
    with pytest.raises(BadSetting, match="seaway adopt"):
        opened(filled)
    with closing(opened(filled, paired=False)) as seaway:
        seaway.pairing.adopt()
    with closing(opened(filled)) as seaway:
        sweep_all(seaway)
        assert [] == list(check(seaway))


def test_the_older_of_two_databases_from_one_dump_deletes_nothing(filled: Path, tmp_path: Path) -> None:
    """The older one has no rows for newer files, so it serves but never sweeps (3)."""
    older = tmp_path / "older"
    settings = state.copy_rows(filled, older)
    late = conda(index_json("late"))
    with closing(opened(filled)) as newer:
        newer.pairing.raise_counter()  # every start of a server does this
        Channel(newer, "chan").put(late)
    with closing(opened(older, **settings)) as seaway:
        assert PairingVerdict.BEHIND is seaway.pairing.check()
        before = blobs_of(seaway)
        with pytest.raises(SweepStopped, match=r"older than its store.*seaway adopt"):
            sweep_all(seaway)
        channel = Channel(seaway, "chan")
        channel.delete(FILES[0])
        channel.put(conda(index_json("another")))
        channel.repodata()
        channel.put(conda(index_json("further")))
        channel.repodata()  # normally deletes the documents that it replaces
        assert before < blobs_of(seaway)
        with seaway.site.database.read() as tx:
            last_sweep = last(tx)
        assert last_sweep is not None
        assert "older than its store" in last_sweep.blocked_reason
    with closing(opened(filled)) as newer:
        assert [] == list(check(newer))
        sweep_all(newer)
        assert [] == list(check(newer))


def test_adopt_pairs_an_older_database(filled: Path, tmp_path: Path) -> None:
    """Afterwards the store belongs to it, and the other database is refused."""
    older = tmp_path / "older"
    settings = state.copy_rows(filled, older)
    with closing(opened(filled)) as newer:
        newer.pairing.raise_counter()
    with closing(opened(older, paired=False, **settings)) as seaway:
        seaway.pairing.adopt()
    with closing(opened(older, **settings)) as seaway:
        assert PairingVerdict.MATCHES is seaway.pairing.check()
        sweep_all(seaway)
        assert [] == list(check(seaway))
    with pytest.raises(BadSetting, match="another database"):
        opened(filled)


def test_a_start_with_an_older_copy_of_the_store_is_refused(filled: Path) -> None:
    with closing(opened(filled)) as seaway:
        identity = identity_storage.of_store(seaway.site.blobs)
        for _ in range(2):
            seaway.pairing.raise_counter()
        assert identity is not None
        identity_storage.put_in_store(state.raw(seaway.site.blobs), identity)
        seaway.pairing.check()  # a bucket is checked every few seconds
        with pytest.raises(Unavailable, match="older copy"):
            Channel(seaway, "chan").put(conda(index_json("late")))
    with pytest.raises(BadSetting, match="older copy"):
        opened(filled)


def test_a_sweep_of_much_of_the_store_requires_confirmation(filled: Path) -> None:
    """Sweep invariant 6: without it nothing is deleted and the message has the number of blobs."""
    with closing(opened(filled, sweep_max_percent=50)) as seaway:
        channel = Channel(seaway, "chan")
        for file in FILES:
            channel.delete(file)
        before = blobs_of(seaway)
        with pytest.raises(SweepStopped, match=r"3 of 3 blobs.*50 %.*seaway sweep --yes"):
            sweep_all(seaway)
        assert before == blobs_of(seaway)
        sweep(seaway.site, seaway.pairing, max_percent=100, grace_ms=ANY_AGE)
        assert set() == blobs_of(seaway)


def test_a_sweep_raises_the_counter_of_both_sides(filled: Path) -> None:
    with closing(opened(filled)) as seaway:
        before = identity_storage.of_store(seaway.site.blobs)
        sweep_all(seaway)
        after = identity_storage.of_store(seaway.site.blobs)
        with seaway.site.database.read() as tx:
            in_database = identity_storage.of_database(tx)
        assert before is not None
        assert after is not None
        assert in_database is not None
        assert (before.counter + 1, after) == (after.counter, in_database.of_store)


@pytest.mark.on_disk
def test_a_missing_store_refuses_uploads_and_is_not_created(tmp_path: Path) -> None:
    """If it is unmounted, renamed or emptied while a server runs, uploads are refused until it is back (2)."""
    store, moved = tmp_path / "data" / "store", tmp_path / "elsewhere"
    with closing(opened(tmp_path)) as seaway:
        channel = Channel(seaway, Factory(seaway).channel("chan"))
        channel.put(FILES[0])
        for replace_store in (lambda: None, store.mkdir):  # no folder, or an empty mount point
            store.rename(moved)
            replace_store()
            with pytest.raises(Unavailable, match="is missing"):
                channel.put(FILES[1])
            assert not store.exists() or [] == list(store.iterdir())
            shutil.rmtree(store, ignore_errors=True)
            moved.rename(store)
            channel.put(FILES[1], force=True)
        assert [] == list(check(seaway))


@pytest.mark.on_disk
def test_a_replaced_store_is_detected(tmp_path: Path) -> None:
    """The store of another site is moved to the same path while a server runs."""
    with closing(opened(tmp_path / "other")) as other:
        other.pairing.adopt()
        Channel(other, Factory(other).channel("chan")).put(FILES[0])
    with closing(opened(tmp_path / "site")) as seaway:
        channel = Channel(seaway, Factory(seaway).channel("chan"))
        channel.put(FILES[0])
        store = tmp_path / "site" / "data" / "store"
        store.rename(tmp_path / "away")
        (tmp_path / "other" / "data" / "store").rename(store)
        with pytest.raises(Unavailable, match="another database"):
            channel.put(FILES[1])
        with pytest.raises(SweepStopped, match="another database"):
            sweep_all(seaway)
    with pytest.raises(BadSetting, match="another database"):
        opened(tmp_path / "site")


@pytest.mark.on_disk
def test_a_start_without_the_store_does_not_create_one(tmp_path: Path) -> None:
    """The server refuses uploads, creates neither a store nor a secret key, and works again with the store."""
    store = tmp_path / "data" / "store"
    with closing(opened(tmp_path)) as seaway:
        Channel(seaway, Factory(seaway).channel("chan")).put(FILES[0])
    store.rename(tmp_path / "elsewhere")
    with closing(opened(tmp_path)) as seaway:
        with pytest.raises(Unavailable, match="is missing"):
            seaway.request_parts.accounts.encryption.encrypt(b"x", "y")
        with pytest.raises(Unavailable, match="is missing"):
            Channel(seaway, "chan").put(FILES[1])
        assert not store.exists()
        (tmp_path / "elsewhere").rename(store)
        Channel(seaway, "chan").put(FILES[1])
        assert [] == list(check(seaway))


def test_a_lost_secret_key_is_not_replaced_silently(filled: Path) -> None:
    """accounts.secret_key 4: data encrypted with it would be lost without a message."""
    with closing(opened(filled)) as seaway:
        encrypted = seaway.request_parts.accounts.encryption.encrypt(b"seed", "totp")
        with state.raw(seaway.site.blobs).open(keys.SECRET_KEY) as file:
            secret = file.read()
        state.raw(seaway.site.blobs).delete(keys.SECRET_KEY)
    with closing(opened(filled)) as seaway:
        with pytest.raises(Unavailable, match="secret key of the site is missing"):
            seaway.request_parts.accounts.encryption.decrypt(encrypted, "totp")
        state.raw(seaway.site.blobs).write(keys.SECRET_KEY, secret)
        assert b"seed" == seaway.request_parts.accounts.encryption.decrypt(encrypted, "totp")


def test_a_lost_secret_key_from_elsewhere_is_not_replaced(filled: Path) -> None:
    """A key that existed before `adopt`, or that an older Seaway created, is recorded when it is read."""
    with closing(opened(filled)) as seaway, seaway.site.database.write_site() as tx:
        tx.execute(delete(site_values).where(site_values.c.name == "secret-key-made"))
    with closing(opened(filled)) as seaway:
        seaway.pairing.adopt()
        with seaway.site.database.write_site() as tx:
            secret_key.forget_lost(tx, seaway.site.blobs)
        state.raw(seaway.site.blobs).delete(keys.SECRET_KEY)
    with closing(opened(filled)) as seaway:
        with pytest.raises(Unavailable, match="secret key of the site is missing"):
            seaway.request_parts.accounts.encryption.encrypt(b"seed", "totp")
        with seaway.site.database.write_site() as tx:
            secret_key.forget_lost(tx, seaway.site.blobs)
        assert seaway.request_parts.accounts.encryption.encrypt(b"seed", "totp")


class ConcurrentlyRaisedStore:
    """A store whose counter another process raises right after each of the first `times` reads."""

    def __init__(self, seaway: Seaway, times: int) -> None:
        self._blobs, self._other, self._times = state.raw(seaway.site.blobs), seaway.pairing, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def open(self, key: str, start: int = 0) -> BinaryIO:
        file = self._blobs.open(key, start)
        if self._times:
            self._times -= 1
            assert PairingVerdict.MATCHES is self._other.raise_counter()
        return file


@pytest.mark.parametrize("times", [1, 2])
def test_a_check_during_a_raise_sees_a_match(filled: Path, times: int) -> None:
    """The two sides are read one after the other, and read again if they change in between."""
    with closing(opened(filled)) as seaway:
        assert PairingVerdict.MATCHES is Pairing(seaway.site.database, ConcurrentlyRaisedStore(seaway, times)).check()  # type: ignore[arg-type]


def test_interrupted_raises_leave_a_match(filled: Path) -> None:
    """One raise ends before the last write to the database, another before the write to the store."""
    with closing(opened(filled)) as seaway:
        blobs = state.raw(seaway.site.blobs)
        with seaway.site.database.write_site() as tx:
            before = identity_storage.of_database(tx)
            assert before is not None
            identity_storage.put_in_database(tx, before.raised())
        identity_storage.put_in_store(blobs, before.raised().of_store)
        pairing = Pairing(seaway.site.database, Unwritable(blobs))  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(Unavailable):
                pairing.raise_counter()
            assert PairingVerdict.MATCHES is seaway.pairing.check()
        assert PairingVerdict.MATCHES is seaway.pairing.raise_counter()


class Unwritable:
    """A read-only store."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def write(self, key: str, content: bytes) -> None:
        raise Unavailable("The storage does not respond.", "Try again in a moment.")


@pytest.mark.on_disk
def test_a_first_start_without_the_bucket_is_paired_later(tmp_path: Path) -> None:
    """This happens if all parts of a site are started at once."""
    bucket = s3.shared()
    with FaultProxy("127.0.0.1", bucket.port) as proxy:
        proxy.mode = Refuse()
        settings = {
            "storage_url": f"s3://{bucket.new_bucket()}/site",
            "s3_endpoint": proxy.through(bucket.endpoint),
            "s3_region": bucket.region,
            "s3_access_key": bucket.access_key,
            "s3_secret_key": bucket.secret_key,
        }
        with closing(opened(tmp_path, **settings)) as seaway:
            channel = Channel(seaway, Factory(seaway).channel("chan"))
            with pytest.raises(Unavailable):
                channel.put(FILES[0])
            proxy.mode = Pass()
            channel.put(FILES[0])
            assert PairingVerdict.MATCHES is seaway.pairing.check()
            assert [] == list(check(seaway))
