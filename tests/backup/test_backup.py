"""A backup is a consistent snapshot of a site, and restoring it gives the same site."""

import stat
import tarfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from seaway.backup import locations, tables, tar
from seaway.backup import manifest as manifests
from seaway.backup import rows as backup_rows
from seaway.backup.backup import BackupTarget, Snapshot
from seaway.backup.blob_copy import DamagedData
from seaway.backup.manifest import BackupManifest
from seaway.backup.repository import BackupRepository
from seaway.backup.restore import restore
from seaway.backup.tar import TarTarget
from seaway.clock import DAY_MS
from seaway.database import migrate
from seaway.database.sqlite import SqliteDatabase
from seaway.errors import BadSetting, SeawayError
from seaway.maintenance.check import check
from seaway.packages.sweep import SWEEP_LOCK
from seaway.server.wiring import Seaway
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from seaway.storage.memory import MemoryBlobs
from seaway.storage.open_store import BucketAccess
from seaway.storage.spool import Spool
from seaway.users import users
from tests.backup.conftest import SampleSite
from tests.backup.helpers import (
    LARGE,
    PRIVATE,
    PUBLIC,
    HookedStore,
    SimulatedKill,
    back_up,
    blob_key,
    count_rows,
    is_empty,
    kill_at,
    next_day,
    referenced_blobs,
    responses,
    restore_into,
    rows,
    status_without_key,
)
from tests.indexing.channel import Channel
from tests.support import state
from tests.support.migrations import later_migrations
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, with_site
from tests.support.state import folder_store

NewSite = Callable[..., Seaway]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup.tar"


@pytest.fixture
def backed_up(source: Seaway, file: Path) -> Path:
    """A file with a backup of the source."""
    back_up(source, TarTarget(file))
    return file


def restore_file(seaway: Seaway, file: Path, blobs: BlobStore | None = None) -> int:
    with tar.open_backup(file) as source:
        return restore_into(seaway, source, blobs)


# Contents


def test_backup_restores_to_other_state_and_back(
    source: Seaway,
    sample_site: SampleSite,
    sample_responses: dict[str, bytes],
    new_site: NewSite,
    file: Path,
    repository: BackupRepository,
) -> None:
    """
    From one kind of state to the other with a file, and back with a repository: the site is consistent, responses are
    the same, and API keys keep their access.
    """
    names = (state.POSTGRES_S3, state.SQLITE_DISK)
    middle = new_site(names[names[0] == state.chosen_state()])
    made = back_up(source, TarTarget(file))
    sent = restore_file(middle, file)
    back_up(middle, repository)
    last = new_site()
    restore_into(last, repository.source(None))

    assert made.manifest.blobs == made.sent == sent == len(referenced_blobs(source))
    assert made.manifest.rows == count_rows(source.site.database)
    for copy in (middle, last):
        assert [] == list(check(copy))
        assert rows(source.site.database) == rows(copy.site.database)
        assert sample_responses == responses(copy, sample_site.key)
        assert 401 == status_without_key(copy)
        assert [] == list(check(copy))  # the requests above built documents again


def test_restored_site_accepts_uploads(source: Seaway, empty: Seaway, backed_up: Path) -> None:
    """A restored site never reuses an id of its source."""
    restore_file(empty, backed_up)
    factory = Factory(empty)
    Channel(empty, PUBLIC).put(conda(index_json("later")))
    factory.channel("newer", owner="another")

    with source.site.database.read() as tx:
        before = tables.last_ids(tx)
    with empty.site.database.read() as tx:
        after = tables.last_ids(tx)
        new_id = tx.execute(text("SELECT id FROM channels WHERE name = 'newer'")).scalar_one()
    assert before["channels"] + 1 == after["channels"] == new_id
    assert before["users"] + 1 == after["users"]
    assert before["files"] + 1 == after["files"]
    assert [] == list(check(empty))


def test_backup_during_uploads_is_consistent(source: Seaway, new_site: NewSite, repository: BackupRepository) -> None:
    """Backup invariants 1 and 2: backups are consistent while files are uploaded, deleted and replaced."""
    channel = Channel(source, PUBLIC)
    stopping = threading.Event()
    first_upload_done = threading.Barrier(2, timeout=60)

    def upload() -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            channel.put(conda(index_json("steady", f"{number}.0")))
            channel.put(conda(index_json("changing"), files={"share/x": str(number).encode()}), force=True)
            if number > 1:
                channel.delete(conda(index_json("steady", f"{number - 1}.0")))
            channel.read("noarch", "repodata.json")
            if number == 1:
                first_upload_done.wait()

    thread = threading.Thread(target=upload)
    thread.start()
    first_upload_done.wait()
    made = []
    for _ in range(3):
        made.append(back_up(source, repository).manifest)
        next_day(source.site.clock)
    stopping.set()
    thread.join(60)

    assert made[0].rows < made[-1].rows
    for manifest in made:
        copy = new_site()
        restore_into(copy, repository.source(manifest.time))
        assert [] == list(check(copy))


class HookedTarget:
    """A backup target that calls a function before it writes."""

    def __init__(self, target: BackupTarget, before_write: Callable[[], object]) -> None:
        self._target, self._before_write = target, before_write

    def write(self, snapshot: Snapshot, blobs: BlobStore, spool: Spool) -> int:
        self._before_write()
        return self._target.write(snapshot, blobs, spool)


def test_file_deleted_during_backup_is_in_backup(source: Seaway, empty: Seaway, file: Path) -> None:
    """Backup invariant 2: no sweep runs, so the blob of a file that is deleted after the snapshot still exists."""
    could_sweep = []

    def delete() -> None:
        Channel(source, PUBLIC).delete(LARGE, "noarch")
        Channel(source, PRIVATE).delete(LARGE, "noarch")
        with source.site.database.exclusive(SWEEP_LOCK, wait=False) as free:
            could_sweep.append(free)

    back_up(source, HookedTarget(TarTarget(file), delete))
    restore_file(empty, file)

    assert [False] == could_sweep
    assert bytes.fromhex(LARGE.sha256) not in referenced_blobs(source)
    assert bytes.fromhex(LARGE.sha256) in referenced_blobs(empty)
    assert [] == list(check(empty))


@pytest.mark.parametrize("damage", ["other bytes", "too short", "gone"])
@pytest.mark.parametrize("to_file", [True, False], ids=["file", "folder"])
def test_damaged_blob_fails_backup(
    source: Seaway, repository: BackupRepository, file: Path, damage: str, to_file: bool
) -> None:
    """Backup invariant 2: the error names the blob, and no backup is left."""
    if damage == "gone":
        source.site.blobs.delete(blob_key(LARGE))
    else:
        content = LARGE.content[:-1] + (b"" if damage == "too short" else bytes([LARGE.content[-1] ^ 1]))
        state.overwrite_blob(source.site.blobs, blob_key(LARGE), content)

    with pytest.raises(DamagedData, match=LARGE.sha256):
        back_up(source, TarTarget(file) if to_file else repository)

    assert [] == [path.name for path in file.parent.iterdir() if path.suffix in (".tar", ".part")]
    with pytest.raises(BadSetting, match="no backup at the repository"):
        repository.source(None)


# Backup files


def test_backup_file_is_readable_only_by_its_owner(backed_up: Path) -> None:
    """A backup contains hashes of API keys and private packages."""
    assert 0o600 == stat.S_IMODE(backed_up.stat().st_mode)


def test_backup_file_is_tar(source: Seaway, backed_up: Path) -> None:
    """Any tar program can read it: the manifest first, and each blob under its key."""
    with tarfile.open(backed_up) as archive:
        names = archive.getnames()
        large = archive.extractfile(blob_key(LARGE))
        assert large is not None
        assert LARGE.content == large.read()
    assert "manifest" == names[0]
    assert len(referenced_blobs(source)) == sum(name.startswith("blobs/") for name in names)


def test_failed_backup_keeps_older_file(source: Seaway, empty: Seaway, backed_up: Path) -> None:
    """Backup invariant 4: a backup file is replaced only when the new one is complete."""
    before = backed_up.read_bytes()
    source.site.blobs.delete(blob_key(LARGE))
    with pytest.raises(DamagedData):
        back_up(source, TarTarget(backed_up))

    assert before == backed_up.read_bytes()
    assert [backed_up.name] == [path.name for path in backed_up.parent.iterdir() if path.is_file()]


def test_partial_file_of_killed_backup_is_replaced(source: Seaway, file: Path) -> None:
    """Backup invariant 4: a partial file is not a backup, and the next backup replaces it."""
    partial = file.with_name(f".{file.name}.part")
    partial.symlink_to(file.parent / "elsewhere")
    back_up(source, TarTarget(file))

    assert [file] == [path for path in file.parent.iterdir() if path.is_file() or path.is_symlink()]


def positions_to_damage(file: Path) -> dict[str, tuple[int, int]]:
    """A position in the header and one in the content of the last blob and of each member that is not a blob."""
    with tarfile.open(file) as archive:
        members = [member for member in archive if not member.name.startswith("blobs/")] + archive.getmembers()[-1:]
        return {member.name: (member.offset + 2, member.offset_data + member.size // 2) for member in members}


def restore_is_refused(seaway: Seaway, file: Path) -> bool:
    try:
        restore_file(seaway, file, MemoryBlobs())
    except SeawayError:
        return is_empty(seaway)
    return False


def test_changed_file_is_refused(empty: Seaway, backed_up: Path) -> None:
    """A backup with one changed byte is refused wherever the byte is, and the database stays empty."""
    content = backed_up.read_bytes()
    accepted = []
    for name, positions in positions_to_damage(backed_up).items():
        for position in positions:
            changed = bytes([content[position] ^ 0x10])
            backed_up.write_bytes(content[:position] + changed + content[position + 1 :])
            if not restore_is_refused(empty, backed_up):
                accepted.append((name, position))

    assert [] == accepted


def test_truncated_file_is_refused(empty: Seaway, backed_up: Path) -> None:
    """A truncated backup is refused wherever it ends, and the database stays empty."""
    content = backed_up.read_bytes()
    accepted = []
    for name, (_, position) in positions_to_damage(backed_up).items():
        backed_up.write_bytes(content[:position])
        if not restore_is_refused(empty, backed_up):
            accepted.append(name)

    assert [] == accepted


# Repositories


def test_backups_share_blobs(source: Seaway, new_site: NewSite, repository: BackupRepository, tmp_path: Path) -> None:
    """The second backup sends only new blobs; each backup can be restored, by default the newest."""
    first = back_up(source, repository)
    next_day(source.site.clock)
    Channel(source, PUBLIC).put(conda(index_json("later")))
    Channel(source, PUBLIC).delete(LARGE)
    second = back_up(source, repository)
    copies = [new_site() for _ in range(2)]
    restore_into(copies[0], repository.source(first.manifest.time))
    restore_into(copies[1], repository.source(None))

    assert (first.manifest.blobs, 1) == (first.sent, second.sent)
    assert first.manifest.time < second.manifest.time
    assert [False, True] == ["later" in str(rows(copy.site.database)["packages"]) for copy in copies]
    assert [[], []] == [list(check(copy)) for copy in copies]


def test_damaged_blob_of_repository_is_replaced(source: Seaway, tmp_path: Path) -> None:
    """Always if its size is wrong; only by a backup with `verify` if its size is right."""
    location = (tmp_path / "repository").as_uri()
    store_url, access = source.settings.effective_storage_url, BucketAccess()
    sent = []
    for content, verify in ((None, False), (b"short", False), (b"x" * len(LARGE.content), False), (None, True)):
        if content is not None:
            (tmp_path / "repository" / blob_key(LARGE)).write_bytes(content)
        target = locations.backup_target(location, store_url, access, verify=verify)
        sent.append(back_up(source, target).sent)
        next_day(source.site.clock)
    assert [1, 0, 1] == sent[1:]
    assert LARGE.content == (tmp_path / "repository" / blob_key(LARGE)).read_bytes()


def test_missing_backup_time_is_refused(source: Seaway, repository: BackupRepository) -> None:
    """The error names the newest backup."""
    newest = back_up(source, repository).manifest.time
    with pytest.raises(BadSetting, match=newest):
        repository.source("20200101T000000.000Z")
    with pytest.raises(SeawayError, match="with this time"):
        back_up(source, repository)


def test_interrupted_backup_is_not_found(source: Seaway, empty: Seaway, tmp_path: Path) -> None:
    """Backup invariant 4: a backup without a manifest is not found, and the next one sends only the missing blobs."""
    blobs, backups = folder_store(tmp_path / "repository"), folder_store(tmp_path / "repository" / "backups")
    repository = BackupRepository(blobs, backups, "the repository")
    parts = len(tables.metadata.sorted_tables) - len(tables.LEFT_OUT) + 1
    for broken in (
        BackupRepository(HookedStore(blobs, kill_at(5)), backups, "the repository"),
        BackupRepository(blobs, HookedStore(backups, kill_at(1)), "the repository"),
        BackupRepository(blobs, HookedStore(backups, kill_at(parts + 1)), "the repository"),
    ):
        with pytest.raises(SimulatedKill):
            back_up(source, broken)
        with pytest.raises(BadSetting, match="There is no backup"):
            repository.source(None)
        next_day(source.site.clock)

    assert 0 == back_up(source, repository).sent
    restore_into(empty, repository.source(None))
    assert [] == list(check(empty))


def test_repository_with_missing_or_damaged_objects_is_refused(
    source: Seaway, empty: Seaway, repository: BackupRepository, tmp_path: Path
) -> None:
    """The error names the missing or damaged blob or part."""
    time = back_up(source, repository).manifest.time
    part = tmp_path / "repository" / "backups" / time / "rows" / "files"
    blob = tmp_path / "repository" / blob_key(LARGE)
    blob_content, part_content = blob.read_bytes(), part.read_bytes()
    messages = []
    for path, damaged in (
        (blob, blob_content[:-1] + b"x"),
        (blob, b""),
        (blob, None),
        (part, part_content[:-1]),
        (part, None),
    ):
        blob.write_bytes(blob_content)
        if damaged is None:
            path.unlink()
        else:
            path.write_bytes(damaged)
        with pytest.raises(DamagedData) as error:
            restore_into(empty, repository.source(None))
        messages.append(error.value.full_message)
        assert is_empty(empty)

    assert [True] * 3 + [False] * 2 == [LARGE.sha256 in message for message in messages]


# Restoring


def test_site_with_users_is_refused(source: Seaway, new_site: NewSite, backed_up: Path) -> None:
    """Restore invariant 1: the database does not change, and no blob is stored."""
    used = new_site()
    Factory(used).user("first")
    before = rows(used.site.database)
    for seaway in (used, source):
        with pytest.raises(BadSetting, match="not empty"):
            restore_file(seaway, backed_up)

    assert before == rows(used.site.database)
    assert [] == state.stored_blobs(used.site.blobs)


def test_tables_of_another_program_are_refused(source: Seaway, backed_up: Path, tmp_path: Path) -> None:
    """Restore invariant 1: a database with a table of the same name that no migration created is not changed."""
    database = SqliteDatabase(tmp_path / "other.db", tmp_path / "locks")
    with database.write_site() as tx:
        tx.execute(text("CREATE TABLE users (name TEXT)"))
    with pytest.raises(BadSetting, match="did not create"):
        restore_file(with_site(source, database=database), backed_up)
    database.close()


@pytest.mark.parametrize("at", [1, 7, 20])
def test_killed_restore_can_be_repeated(empty: Seaway, backed_up: Path, at: int) -> None:
    """Restore invariant 3: the database is empty until the restore is complete, and no blob is sent twice."""
    with pytest.raises(SimulatedKill):
        restore_file(empty, backed_up, HookedStore(empty.site.blobs, kill_at(at)))

    assert is_empty(empty)
    assert [] == list(check(empty))
    assert at - 1 + restore_file(empty, backed_up) == len(referenced_blobs(empty))
    assert [] == list(check(empty))


def test_restore_that_fails_in_rows_leaves_no_rows(
    empty: Seaway, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restore invariant 3: all rows are inserted in one transaction."""
    with monkeypatch.context() as patched:
        patched.setattr(tables, "put_last_ids", kill)
        with pytest.raises(SimulatedKill):
            restore_file(empty, backed_up)

    assert is_empty(empty)
    assert 0 == restore_file(empty, backed_up)
    assert [] == list(check(empty))


def kill(*_: object) -> None:
    raise SimulatedKill


@pytest.mark.parametrize("size", [len(LARGE.content), 5], ids=["of the right size", "too short"])
def test_damaged_blob_in_store_is_replaced(empty: Seaway, backed_up: Path, size: int) -> None:
    """Restore invariant 2: an existing blob is read, and stored again if its hash is wrong."""
    path = empty.settings.data / "content"
    path.write_bytes(b"x" * size)
    empty.site.blobs.put_file(blob_key(LARGE), path)
    restore_file(empty, backed_up)

    assert [] == list(check(empty))


# Versions


class TargetWithManifest:
    """A backup target that writes a changed manifest."""

    def __init__(self, target: BackupTarget, **changes: Any) -> None:
        self._target, self._changes = target, changes

    def write(self, snapshot: Snapshot, blobs: BlobStore, spool: Spool) -> int:
        manifest: BackupManifest = replace(snapshot.manifest, **self._changes)
        return self._target.write(Snapshot(manifest, snapshot.parts), blobs, spool)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "newer version of Seaway"),
        ({"schema": "9999"}, "9999, which is newer"),
        ({"parts": {}}, "not a complete"),
    ],
    ids=["format", "schema", "parts"],
)
def test_manifest_is_checked_before_anything_is_written(
    source: Seaway, empty: Seaway, file: Path, changes: dict[str, Any], message: str
) -> None:
    if "parts" in changes:
        back_up(source, TarTarget(file))
        content = manifests.encode(BackupManifest(1, "0", migrate.NEWEST, "", {}, 0, {}))
        file.write_bytes(tarred("manifest", content))
    else:
        back_up(source, TargetWithManifest(TarTarget(file), **changes))
    with pytest.raises(SeawayError, match=message):
        restore_file(empty, file)

    assert is_empty(empty)
    assert [] == state.stored_blobs(empty.site.blobs)


def tarred(name: str, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf() + content + bytes(-len(content) % 512) + bytes(1024)


@pytest.mark.parametrize("content", [b"", b"x" * 2000, tarred("other", b"x"), tarred("manifest", b"{}\n")])
def test_other_or_missing_file_is_refused(empty: Seaway, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(DamagedData, match="not a complete backup"):
        restore_file(empty, file)
    file.unlink()
    with pytest.raises(BadSetting, match="There is no backup"):
        restore_file(empty, file)


def test_older_backup_is_migrated(source: Seaway, empty: Seaway, file: Path, tmp_path: Path) -> None:
    """Restore invariant 4: a later version creates the schema of the backup, fills it, and upgrades it."""
    made = back_up(source, TarTarget(file))
    later = later_migrations(tmp_path / "later")
    with tar.open_backup(file) as backup:
        restore(empty.site, backup, later)

    assert migrate.NEWEST == made.manifest.schema
    with empty.site.database.read() as tx:
        assert "later" == migrate.current(tx)
        names = set(tx.execute(text("SELECT name FROM later_names")).scalars())
        assert names == {user.name for user in users.all_users(tx)}
    assert names


def test_backup_of_database_without_tables_is_refused(source: Seaway, file: Path, tmp_path: Path) -> None:
    """The setting of the data folder may be wrong."""
    database = SqliteDatabase(tmp_path / "empty.db", tmp_path / "locks")
    with pytest.raises(BadSetting, match="nothing to back up"):
        back_up(with_site(source, database=database), TarTarget(file))
    database.close()
    assert not file.exists()


# Rows


def test_rows_are_copied_in_batches(tmp_path: Path) -> None:
    """A batch has at most some hundred rows or some megabytes, so that memory stays bounded; no row is lost."""
    few = [(number, b"x" * 1_500_000) for number in range(10)]
    many = [(number, None, True, "ä") for number in range(1_203)]
    for expected, sizes in ((few, [3, 3, 3, 1]), (many, [500, 500, 203]), ([], [])):
        batches = list(backup_rows.in_batches(iter(expected)))
        assert sizes == [len(batch) for batch in batches]
        with (tmp_path / "part").open("w+b") as file:
            part = backup_rows.write_part(file, ["a", "b"], iter(expected))
            file.seek(0)
            columns, found = backup_rows.read_part(file)
            assert ["a", "b"] == columns
            assert expected == [tuple(row) for batch in found for row in batch]
        assert (len(expected), (tmp_path / "part").stat().st_size) == (part.rows, part.bytes)


def test_backup_names_sort_by_time() -> None:
    moments = [0, 1, 999, 1000, DAY_MS, 1_800_000_000_000, 1_800_000_000_001]
    names = [keys.backup_time(moment) for moment in moments]
    assert sorted(names) == names
    assert names == [keys.backup_time_of(keys.backup_manifest(name)) for name in names]
    assert None is keys.backup_time_of(keys.backup_part(names[0], "rows/users"))
