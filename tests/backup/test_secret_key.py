"""Backups and moves include the secret key of the store (backup/backup.py 3, restore.py, move_storage.py 3)."""

from pathlib import Path

import pytest

from seaway.backup.backup import backup
from seaway.backup.move_storage import move_storage
from seaway.backup.restore import restore
from seaway.backup.tar import TarTarget, open_backup
from seaway.server.wiring import Seaway
from seaway.storage import keys
from tests.support import sites
from tests.support.state import folder_store


@pytest.fixture
def encrypted(seaway: Seaway) -> bytes:
    sites.Factory(seaway).user("ada")
    return seaway.request_parts.accounts.encryption.encrypt(b"seed", "totp")


def test_restored_site_can_decrypt(seaway: Seaway, encrypted: bytes, tmp_path: Path) -> None:
    """The secret key of the backup replaces the one that the new site created at its start."""
    backup(
        seaway.site.database, seaway.site.blobs, seaway.site.spool, seaway.site.clock, TarTarget(tmp_path / "all.tar")
    )
    new = sites.build(tmp_path / "new")
    with open_backup(tmp_path / "all.tar") as source:
        restore(new.site, source)
    new.close()
    reopened = sites.build(tmp_path / "new")
    assert b"seed" == reopened.request_parts.accounts.encryption.decrypt(encrypted, "totp")
    reopened.close()


@pytest.mark.on_disk
def test_moved_store_has_secret_key(seaway: Seaway, encrypted: bytes, tmp_path: Path) -> None:
    """Its file is readable only by its owner."""
    target = folder_store(tmp_path / "target")
    for _ in range(2):
        move_storage(seaway.site, target, verify=False)
    path = target.local_path(keys.SECRET_KEY)
    assert 0o600 == path.stat().st_mode & 0o777
    with seaway.site.blobs.open(keys.SECRET_KEY) as file:
        assert path.read_bytes() == file.read()
    assert encrypted


def test_secret_key_from_settings_is_not_stored(tmp_path: Path) -> None:
    """Neither the store nor a backup contains it: the operator keeps it."""
    seaway = sites.build(tmp_path / "set", secret_key="k" * 32)
    assert seaway.site.blobs.stat(keys.SECRET_KEY) is None
    backup(
        seaway.site.database, seaway.site.blobs, seaway.site.spool, seaway.site.clock, TarTarget(tmp_path / "all.tar")
    )
    assert b"k" * 32 not in (tmp_path / "all.tar").read_bytes()
    seaway.close()
