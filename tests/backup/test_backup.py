"""A backup is a whole house at one moment, and what is restored from it is that house."""

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
from seaway.backup import rows as moving_rows
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
from tests.backup.conftest import Source
from tests.backup.sites import (
    LARGE,
    PRIVATE,
    PUBLIC,
    Hooked,
    StopError,
    back_up,
    count,
    is_empty,
    key_of,
    later,
    named_blobs,
    restore_into,
    rows,
    served,
    status_without_key,
    stop_at,
)
from tests.indexing.channel import Channel
from tests.support import state
from tests.support.migrations import later_migrations
from tests.support.packages import conda, index_json
from tests.support.sites import Factory
from tests.support.state import folder_store

NewHouse = Callable[..., Seaway]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup.tar"


@pytest.fixture
def backed_up(source: Seaway, file: Path) -> Path:
    """A file with a backup of the house."""
    back_up(source, TarTarget(file))
    return file


def restore_file(seaway: Seaway, file: Path, blobs: BlobStore | None = None) -> int:
    with tar.open_backup(file) as found:
        return restore_into(seaway, found, blobs)


# What is restored


def test_there_and_back(
    source: Seaway,
    furnished: Source,
    served_there: dict[str, bytes],
    new_house: NewHouse,
    file: Path,
    shelf: BackupRepository,
) -> None:
    """
    By a file from one state to the other, and by a folder back: every promise holds, readers get the same bytes, and
    keys read what they read before, and nobody else does.
    """
    names = (state.POSTGRES_S3, state.SQLITE_DISK)
    middle = new_house(names[names[0] == state.chosen_state()])
    made = back_up(source, TarTarget(file))
    sent = restore_file(middle, file)
    back_up(middle, shelf)
    last = new_house()
    restore_into(last, shelf.source(None))

    assert made.manifest.blobs == made.sent == sent == len(named_blobs(source))
    assert made.manifest.rows == count(source.database)
    for copy in (middle, last):
        assert [] == list(check(copy))
        assert rows(source.database) == rows(copy.database)
        assert served_there == served(copy, furnished.key)
        assert 401 == status_without_key(copy)
        assert [] == list(check(copy))  # of the documents that were built again, too


def test_a_copy_goes_on(source: Seaway, empty: Seaway, backed_up: Path) -> None:
    """A restored house takes uploads, and gives out no id that its source ever gave out."""
    restore_file(empty, backed_up)
    factory = Factory(empty)
    Channel(empty, PUBLIC).put(conda(index_json("later")))
    factory.channel("newer", owner="another")

    with source.database.read() as tx:
        before = tables.last_ids(tx)
    with empty.database.read() as tx:
        after = tables.last_ids(tx)
        new_id = tx.execute(text("SELECT id FROM channels WHERE name = 'newer'")).scalar_one()
    assert before["channels"] + 1 == after["channels"] == new_id
    assert before["users"] + 1 == after["users"]
    assert before["files"] + 1 == after["files"]
    assert [] == list(check(empty))


def test_a_backup_beside_uploads_is_of_one_moment(source: Seaway, new_house: NewHouse, shelf: BackupRepository) -> None:
    """Backup invariants 1 and 2: while files come, go and are replaced, every backup is a house in which all promises hold."""
    channel = Channel(source, PUBLIC)
    stopping = threading.Event()
    came = threading.Barrier(2, timeout=60)

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
                came.wait()

    thread = threading.Thread(target=upload)
    thread.start()
    came.wait()
    made = []
    for _ in range(3):
        made.append(back_up(source, shelf).manifest)
        later(source.clock)
    stopping.set()
    thread.join(60)

    assert made[0].rows < made[-1].rows
    for manifest in made:
        copy = new_house()
        restore_into(copy, shelf.source(manifest.time))
        assert [] == list(check(copy))


class Looking:
    """A target beside which something is done first."""

    def __init__(self, target: BackupTarget, look: Callable[[], object]) -> None:
        self._target, self._look = target, look

    def write(self, snapshot: Snapshot, blobs: BlobStore, spool: Spool) -> int:
        self._look()
        return self._target.write(snapshot, blobs, spool)


def test_what_is_deleted_meanwhile_is_in_it(source: Seaway, empty: Seaway, file: Path) -> None:
    """Backup invariant 2: no sweep runs, so the blob of a file that is deleted after the snapshot is still there."""
    swept = []

    def delete() -> None:
        Channel(source, PUBLIC).delete(LARGE, "noarch")
        Channel(source, PRIVATE).delete(LARGE, "noarch")
        with source.database.exclusive(SWEEP_LOCK, wait=False) as free:
            swept.append(free)

    back_up(source, Looking(TarTarget(file), delete))
    restore_file(empty, file)

    assert [False] == swept
    assert bytes.fromhex(LARGE.sha256) not in named_blobs(source)
    assert bytes.fromhex(LARGE.sha256) in named_blobs(empty)
    assert [] == list(check(empty))


@pytest.mark.parametrize("damage", ["other bytes", "too short", "gone"])
@pytest.mark.parametrize("to_file", [True, False], ids=["file", "folder"])
def test_a_damaged_blob_fails_the_backup(
    source: Seaway, shelf: BackupRepository, file: Path, damage: str, to_file: bool
) -> None:
    """Backup invariant 2: what is not what its row says is named, and there is no backup."""
    if damage == "gone":
        source.blobs.delete(key_of(LARGE))
    else:
        content = LARGE.content[:-1] + (b"" if damage == "too short" else bytes([LARGE.content[-1] ^ 1]))
        state.overwrite_blob(source.blobs, key_of(LARGE), content)

    with pytest.raises(DamagedData, match=LARGE.sha256):
        back_up(source, TarTarget(file) if to_file else shelf)

    assert [] == [path.name for path in file.parent.iterdir() if path.suffix in (".tar", ".part")]
    with pytest.raises(BadSetting, match="no backup at the shelf"):
        shelf.source(None)


# A file


def test_a_file_is_its_operators_alone(backed_up: Path) -> None:
    """A backup holds hashes of keys and private packages, so nobody else may read it."""
    assert 0o600 == stat.S_IMODE(backed_up.stat().st_mode)


def test_a_file_is_a_tar(source: Seaway, backed_up: Path) -> None:
    """What any tar reads: the manifest first, and each blob under its key."""
    with tarfile.open(backed_up) as found:
        names = found.getnames()
        large = found.extractfile(key_of(LARGE))
        assert large is not None
        assert LARGE.content == large.read()
    assert "manifest" == names[0]
    assert len(named_blobs(source)) == sum(name.startswith("blobs/") for name in names)


def test_a_backup_that_fails_leaves_the_older_one(source: Seaway, empty: Seaway, backed_up: Path) -> None:
    """Backup invariant 3: a file is replaced when the new one is whole, and not before."""
    before = backed_up.read_bytes()
    source.blobs.delete(key_of(LARGE))
    with pytest.raises(DamagedData):
        back_up(source, TarTarget(backed_up))

    assert before == backed_up.read_bytes()
    assert [backed_up.name] == [path.name for path in backed_up.parent.iterdir() if path.is_file()]


def test_what_a_kill_left_is_replaced(source: Seaway, file: Path) -> None:
    """Backup invariant 3: the beginning of a file is no backup, and the next one takes its place."""
    near = file.with_name(f".{file.name}.part")
    near.symlink_to(file.parent / "elsewhere")
    back_up(source, TarTarget(file))

    assert [file] == [path for path in file.parent.iterdir() if path.is_file() or path.is_symlink()]


def spots(file: Path) -> dict[str, tuple[int, int]]:
    """A place in the head and one in the content of each member that is not a blob, and of the last blob."""
    with tarfile.open(file) as found:
        members = [member for member in found if not member.name.startswith("blobs/")] + found.getmembers()[-1:]
        return {member.name: (member.offset + 2, member.offset_data + member.size // 2) for member in members}


def refused(seaway: Seaway, file: Path) -> bool:
    try:
        restore_file(seaway, file, MemoryBlobs())
    except SeawayError:
        return is_empty(seaway)
    return False


def test_a_changed_file_is_refused(empty: Seaway, backed_up: Path) -> None:
    """Wherever a byte of a backup has changed, it is refused and the database stays empty."""
    content = backed_up.read_bytes()
    taken = []
    for name, positions in spots(backed_up).items():
        for position in positions:
            changed = bytes([content[position] ^ 0x10])
            backed_up.write_bytes(content[:position] + changed + content[position + 1 :])
            if not refused(empty, backed_up):
                taken.append((name, position))

    assert [] == taken


def test_a_file_that_was_cut_off_is_refused(empty: Seaway, backed_up: Path) -> None:
    """Wherever a backup ends too early, it is refused and the database stays empty."""
    content = backed_up.read_bytes()
    taken = []
    for name, (_, position) in spots(backed_up).items():
        backed_up.write_bytes(content[:position])
        if not refused(empty, backed_up):
            taken.append(name)

    assert [] == taken


# A place for many


def test_backups_share_their_blobs(
    source: Seaway, new_house: NewHouse, shelf: BackupRepository, tmp_path: Path
) -> None:
    """The second backup sends what is new; each of them can be restored, the newest if none is named."""
    first = back_up(source, shelf)
    later(source.clock)
    Channel(source, PUBLIC).put(conda(index_json("later")))
    Channel(source, PUBLIC).delete(LARGE)
    second = back_up(source, shelf)
    copies = [new_house() for _ in range(2)]
    restore_into(copies[0], shelf.source(first.manifest.time))
    restore_into(copies[1], shelf.source(None))

    assert (first.manifest.blobs, 1) == (first.sent, second.sent)
    assert first.manifest.time < second.manifest.time
    assert [False, True] == ["later" in str(rows(copy.database)["packages"]) for copy in copies]
    assert [[], []] == [list(check(copy)) for copy in copies]


def test_a_damaged_blob_of_a_place_is_replaced(source: Seaway, tmp_path: Path) -> None:
    """One of another size always; one of the right size when the operator asks for a backup that verifies."""
    place = (tmp_path / "place").as_uri()
    store_url, access = source.settings.effective_storage_url, BucketAccess()
    sent = []
    for content, verify in ((None, False), (b"short", False), (b"x" * len(LARGE.content), False), (None, True)):
        if content is not None:
            (tmp_path / "place" / key_of(LARGE)).write_bytes(content)
        target = locations.backup_target(place, store_url, access, verify=verify)
        sent.append(back_up(source, target).sent)
        later(source.clock)
    assert [1, 0, 1] == sent[1:]
    assert LARGE.content == (tmp_path / "place" / key_of(LARGE)).read_bytes()


def test_a_time_that_is_not_there_is_refused(source: Seaway, shelf: BackupRepository) -> None:
    """The sentence says which backup is the newest."""
    newest = back_up(source, shelf).manifest.time
    with pytest.raises(BadSetting, match=newest):
        shelf.source("20200101T000000.000Z")
    with pytest.raises(SeawayError, match="with this time"):
        back_up(source, shelf)


def test_an_interrupted_backup_is_none(source: Seaway, empty: Seaway, tmp_path: Path) -> None:
    """Backup invariant 3: without its manifest it is not found, and the next one sends only what it did not."""
    blobs, backups = folder_store(tmp_path / "shelf"), folder_store(tmp_path / "shelf" / "backups")
    shelf = BackupRepository(blobs, backups, "the shelf")
    parts = len(tables.metadata.sorted_tables) - len(tables.LEFT_OUT) + 1
    for broken in (
        BackupRepository(Hooked(blobs, stop_at(5)), backups, "the shelf"),
        BackupRepository(blobs, Hooked(backups, stop_at(1)), "the shelf"),
        BackupRepository(blobs, Hooked(backups, stop_at(parts + 1)), "the shelf"),
    ):
        with pytest.raises(StopError):
            back_up(source, broken)
        with pytest.raises(BadSetting, match="There is no backup"):
            shelf.source(None)
        later(source.clock)

    assert 0 == back_up(source, shelf).sent
    restore_into(empty, shelf.source(None))
    assert [] == list(check(empty))


def test_a_place_that_lost_something_is_refused(
    source: Seaway, empty: Seaway, shelf: BackupRepository, tmp_path: Path
) -> None:
    """A blob that is gone or damaged is named; so is a part."""
    time = back_up(source, shelf).manifest.time
    part = tmp_path / "shelf" / "backups" / time / "rows" / "files"
    blob = tmp_path / "shelf" / key_of(LARGE)
    content, rest = blob.read_bytes(), part.read_bytes()
    sentences = []
    for path, damaged in ((blob, content[:-1] + b"x"), (blob, b""), (blob, None), (part, rest[:-1]), (part, None)):
        blob.write_bytes(content)
        if damaged is None:
            path.unlink()
        else:
            path.write_bytes(damaged)
        with pytest.raises(DamagedData) as error:
            restore_into(empty, shelf.source(None))
        sentences.append(error.value.full_message)
        assert is_empty(empty)

    assert [True] * 3 + [False] * 2 == [LARGE.sha256 in sentence for sentence in sentences]


# Restoring


def test_a_house_in_which_somebody_lives_is_refused(source: Seaway, new_house: NewHouse, backed_up: Path) -> None:
    """Restore invariant 1: nothing of it changes, not even a blob comes."""
    lived_in = new_house()
    Factory(lived_in).user("first")
    before = rows(lived_in.database)
    for seaway in (lived_in, source):
        with pytest.raises(BadSetting, match="not empty"):
            restore_file(seaway, backed_up)

    assert before == rows(lived_in.database)
    assert [] == state.stored_blobs(lived_in.blobs)


def test_somebody_else_s_tables_are_refused(source: Seaway, backed_up: Path, tmp_path: Path) -> None:
    """Restore invariant 1: a database with tables of the same names, which no migration made, is left alone."""
    database = SqliteDatabase(tmp_path / "other.db", tmp_path / "locks")
    with database.write_site() as tx:
        tx.execute(text("CREATE TABLE users (name TEXT)"))
    with pytest.raises(BadSetting, match="did not create"):
        restore_file(replace(source, database=database), backed_up)
    database.close()


@pytest.mark.parametrize("at", [1, 7, 20])
def test_a_killed_restore_is_run_again(empty: Seaway, backed_up: Path, at: int) -> None:
    """Restore invariant 3: the database is empty until all is there, and what was sent is not sent again."""
    with pytest.raises(StopError):
        restore_file(empty, backed_up, Hooked(empty.blobs, stop_at(at)))

    assert is_empty(empty)
    assert [] == list(check(empty))
    assert at - 1 + restore_file(empty, backed_up) == len(named_blobs(empty))
    assert [] == list(check(empty))


def test_a_restore_that_fails_in_its_rows_leaves_none(
    empty: Seaway, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restore invariant 3: the rows come in one transaction."""
    with monkeypatch.context() as patched:
        patched.setattr(tables, "put_last_ids", stop)
        with pytest.raises(StopError):
            restore_file(empty, backed_up)

    assert is_empty(empty)
    assert 0 == restore_file(empty, backed_up)
    assert [] == list(check(empty))


def stop(*_: object) -> None:
    raise StopError


@pytest.mark.parametrize("size", [len(LARGE.content), 5], ids=["of the right size", "too short"])
def test_a_damaged_blob_of_the_store_is_replaced(empty: Seaway, backed_up: Path, size: int) -> None:
    """Restore invariant 2: a blob that is there already is read, and put again if it is not what it should be."""
    path = empty.settings.data / "content"
    path.write_bytes(b"x" * size)
    empty.blobs.put_file(key_of(LARGE), path)
    restore_file(empty, backed_up)

    assert [] == list(check(empty))


# Versions


class Rewritten:
    """A target that is given another manifest."""

    def __init__(self, target: BackupTarget, **changes: Any) -> None:
        self._target, self._changes = target, changes

    def write(self, snapshot: Snapshot, blobs: BlobStore, spool: Spool) -> int:
        manifest: BackupManifest = replace(snapshot.manifest, **self._changes)
        return self._target.write(Snapshot(manifest, snapshot.parts), blobs, spool)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "newer version of Seaway"),
        ({"schema": "9999"}, "9999, which is newer"),
        ({"parts": {}}, "not a complete"),
    ],
    ids=["format", "schema", "parts"],
)
def test_what_cannot_be_restored_is_refused_first(
    source: Seaway, empty: Seaway, file: Path, changes: dict[str, Any], says: str
) -> None:
    """The manifest is looked at before anything is written."""
    written = Rewritten(TarTarget(file), **changes)
    if "parts" in changes:
        back_up(source, TarTarget(file))
        content = manifests.encode(BackupManifest(1, "0", migrate.NEWEST, "", {}, 0, {}))
        file.write_bytes(tarred("manifest", content))
    else:
        back_up(source, written)
    with pytest.raises(SeawayError, match=says):
        restore_file(empty, file)

    assert is_empty(empty)
    assert [] == state.stored_blobs(empty.blobs)


def tarred(name: str, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf() + content + bytes(-len(content) % 512) + bytes(1024)


@pytest.mark.parametrize("content", [b"", b"x" * 2000, tarred("other", b"x"), tarred("manifest", b"{}\n")])
def test_what_is_no_backup_is_refused(empty: Seaway, file: Path, content: bytes) -> None:
    """Any other file is refused with a sentence; so is one that is not there."""
    file.write_bytes(content)
    with pytest.raises(DamagedData, match="not a complete backup"):
        restore_file(empty, file)
    file.unlink()
    with pytest.raises(BadSetting, match="There is no backup"):
        restore_file(empty, file)


def test_an_older_backup_is_migrated(source: Seaway, empty: Seaway, file: Path, tmp_path: Path) -> None:
    """Restore invariant 4: a later version creates the schema of the backup, fills it, and migrates it."""
    made = back_up(source, TarTarget(file))
    later = later_migrations(tmp_path / "later")
    with tar.open_backup(file) as backup:
        restore(empty.database, empty.blobs, empty.spool, backup, later)

    assert migrate.NEWEST == made.manifest.schema
    with empty.database.read() as tx:
        assert "later" == migrate.current(tx)
        names = set(tx.execute(text("SELECT name FROM later_names")).scalars())
        assert names == {user.name for user in users.all_users(tx)}
    assert names


def test_a_database_without_tables_is_nothing_to_back_up(source: Seaway, file: Path, tmp_path: Path) -> None:
    """A sentence says so, since the data folder may be a wrong one."""
    nothing = SqliteDatabase(tmp_path / "nothing.db", tmp_path / "locks")
    with pytest.raises(BadSetting, match="nothing to back up"):
        back_up(replace(source, database=nothing), TarTarget(file))
    nothing.close()
    assert not file.exists()


# Rows


def test_rows_come_in_batches(tmp_path: Path) -> None:
    """Never more than some hundred rows, or some megabytes of them, are in memory, and none is lost."""
    few = [(number, b"x" * 1_500_000) for number in range(10)]
    many = [(number, None, True, "ä") for number in range(1_203)]
    for expected, sizes in ((few, [3, 3, 3, 1]), (many, [500, 500, 203]), ([], [])):
        batches = list(moving_rows.in_batches(iter(expected)))
        assert sizes == [len(batch) for batch in batches]
        with (tmp_path / "part").open("w+b") as file:
            part = moving_rows.write_part(file, ["a", "b"], iter(expected))
            file.seek(0)
            columns, found = moving_rows.read_part(file)
            assert ["a", "b"] == columns
            assert expected == [tuple(row) for batch in found for row in batch]
        assert (len(expected), (tmp_path / "part").stat().st_size) == (part.rows, part.bytes)


def test_times_of_backups_sort_as_moments_do() -> None:
    """The newest is the last by its name."""
    moments = [0, 1, 999, 1000, DAY_MS, 1_800_000_000_000, 1_800_000_000_001]
    names = [keys.backup_time(moment) for moment in moments]
    assert sorted(names) == names
    assert names == [keys.backup_time_of(keys.backup_manifest(name)) for name in names]
    assert None is keys.backup_time_of(keys.backup_part(names[0], "rows/users"))
