"""Locations of backups and moved stores are compared with the store by URL, before anything is written."""

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
    ("location", "store"),
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
def test_location_that_overlaps_store_is_refused(location: str, store: str) -> None:
    """The sweep deletes objects that are not blobs, so it would delete a backup inside the store."""
    for open_location in (backup_target, other_store):
        with pytest.raises(BadSetting, match="overlaps the store"):
            open_location(location, store, ACCESS)


@pytest.mark.parametrize(
    ("location", "store"),
    [
        ("s3://bucket/backups", "s3://bucket/store"),
        ("s3://bucket/storeroom", "s3://bucket/store"),
        ("s3://bucket-2", "s3://bucket"),
        ("s3://bucket/store", STORE),
    ],
)
def test_location_beside_store_is_accepted(location: str, store: str) -> None:
    """A common prefix of two names is no overlap."""
    assert isinstance(backup_target(location, store, ACCESS), BackupRepository)


def test_backup_file_in_store_is_refused(tmp_path: Path) -> None:
    """The sweep would delete it; a colon in its name does not make it a URL."""
    for name in ("backup.tar", "at 12:30.tar"):
        with pytest.raises(BadSetting, match="overlaps the store"):
            backup_target(str(tmp_path / "store" / name), (tmp_path / "store").as_uri(), ACCESS)
        assert isinstance(backup_target(str(tmp_path / name), (tmp_path / "store").as_uri(), ACCESS), TarTarget)


def test_new_folders_are_private_to_operator(tmp_path: Path) -> None:
    """Like the data folder: a backup contains hashes of API keys and private packages."""
    backup_target((tmp_path / "backups").as_uri(), STORE, ACCESS)
    other_store((tmp_path / "store").as_uri(), STORE, ACCESS)
    opened: Database = other_database(f"sqlite:///{tmp_path}/data/seaway.db")
    opened.close()
    assert {0o700} == {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
