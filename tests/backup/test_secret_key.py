"""The secret key of the site goes where its house goes (backup/backup.py 3, restore.py, storage.py)."""

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
def sealed(seaway: Seaway) -> bytes:
    sites.Factory(seaway).user("ada")
    return seaway.request_parts.accounts.encryption.encrypt(b"seed", "totp")


def test_a_restored_house_reads_what_was_encrypted(seaway: Seaway, sealed: bytes, tmp_path: Path) -> None:
    """The key of the backup takes the place of the one that the new house made at its start."""
    backup(
        seaway.site.database, seaway.site.blobs, seaway.site.spool, seaway.site.clock, TarTarget(tmp_path / "all.tar")
    )
    fresh = sites.build(tmp_path / "new")
    with open_backup(tmp_path / "all.tar") as source:
        restore(fresh.site, source)
    fresh.close()
    again = sites.build(tmp_path / "new")
    assert b"seed" == again.request_parts.accounts.encryption.decrypt(sealed, "totp")
    again.close()


@pytest.mark.on_disk
def test_a_moved_store_has_the_key(seaway: Seaway, sealed: bytes, tmp_path: Path) -> None:
    """For its owner alone, there too."""
    target = folder_store(tmp_path / "target")
    for _ in range(2):
        move_storage(seaway.site, target, verify=False)
    path = target.local_path(keys.SECRET_KEY)
    assert 0o600 == path.stat().st_mode & 0o777
    with seaway.site.blobs.open(keys.SECRET_KEY) as file:
        assert path.read_bytes() == file.read()
    assert sealed


def test_a_house_with_a_key_of_its_own_makes_none(tmp_path: Path) -> None:
    """The setting is the operator's to keep: neither the store nor a backup has it."""
    seaway = sites.build(tmp_path / "set", secret_key="k" * 32)
    assert seaway.site.blobs.stat(keys.SECRET_KEY) is None
    backup(
        seaway.site.database, seaway.site.blobs, seaway.site.spool, seaway.site.clock, TarTarget(tmp_path / "all.tar")
    )
    assert b"k" * 32 not in (tmp_path / "all.tar").read_bytes()
    seaway.close()
