"""Places are told apart by their addresses, before anything is written."""

from pathlib import Path

import pytest

from seaway.backup.locations import backup_target, other_database, other_store
from seaway.backup.repository import BackupRepository
from seaway.backup.tar import TarTarget
from seaway.database.engine import Database
from seaway.errors import BadSetting
from seaway.storage.open_store import BucketAccess

ACCESS = BucketAccess("http://127.0.0.1:1", "us-east-1", "key", "secret")
STORE = "file:///srv/seaway/store"


@pytest.mark.parametrize(
    ("place", "store"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/backups", "s3://bucket"),
        ("s3://bucket", "s3://bucket/store/"),
        ("s3://bucket/store//deep", "s3://bucket/store"),
        ("file:///srv/seaway/store/new", STORE),
        ("file:///srv/seaway", STORE),
        ("file:///srv/other/../seaway/store", STORE),
    ],
)
def test_a_place_in_or_around_the_store_is_refused(place: str, store: str) -> None:
    """The sweep takes what is no blob, so it would take a backup that lies in the store."""
    for opening in (backup_target, other_store):
        with pytest.raises(BadSetting, match="overlaps the store"):
            opening(place, store, ACCESS)


@pytest.mark.parametrize(
    ("place", "store"),
    [
        ("s3://bucket/backups", "s3://bucket/store"),
        ("s3://bucket/storeroom", "s3://bucket/store"),
        ("s3://bucket-2", "s3://bucket"),
        ("s3://bucket/store", STORE),
    ],
)
def test_a_place_beside_the_store_is_taken(place: str, store: str) -> None:
    """Names that begin alike are not the same place."""
    assert isinstance(backup_target(place, store, ACCESS), BackupRepository)


def test_a_file_in_the_store_is_refused(tmp_path: Path) -> None:
    """A tar is a file like any other to the sweep; a colon in its name makes no address of it."""
    for name in ("backup.tar", "at 12:30.tar"):
        with pytest.raises(BadSetting, match="overlaps the store"):
            backup_target(str(tmp_path / "store" / name), (tmp_path / "store").as_uri(), ACCESS)
        assert isinstance(backup_target(str(tmp_path / name), (tmp_path / "store").as_uri(), ACCESS), TarTarget)


def test_new_folders_are_their_operators_alone(tmp_path: Path) -> None:
    """As the data folder is: a backup holds hashes of keys and private packages."""
    backup_target((tmp_path / "backups").as_uri(), STORE, ACCESS)
    other_store((tmp_path / "store").as_uri(), STORE, ACCESS)
    opened: Database = other_database(f"sqlite:///{tmp_path}/data/seaway.db")
    opened.close()
    assert {0o700} == {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
