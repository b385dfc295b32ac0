"""A store that was moved has what rows name, whole, and the move can be interrupted and repeated."""

import hashlib
import threading
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from seaway.backup.blob_copy import DamagedData
from seaway.backup.move_storage import StorageMoveResult, move_storage
from seaway.database.tables import documents, kept_blobs
from seaway.maintenance.check import check
from seaway.packages.manifest_writer import write_changes
from seaway.server.wiring import Seaway
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from seaway.storage.disk import DiskBlobs
from tests.backup.conftest import Source
from tests.backup.sites import LARGE, PUBLIC, Hooked, StopError, key_of, named_blobs, open_house, served, stop_at
from tests.indexing.channel import Channel
from tests.support import state
from tests.support.packages import conda, index_json
from tests.support.state import folder_store

NEW = conda(index_json("came-meanwhile"))


@pytest.fixture
def target(tmp_path: Path) -> DiskBlobs:
    return folder_store(tmp_path / "target")


def move(seaway: Seaway, target: BlobStore, *, verify: bool = False) -> StorageMoveResult:
    return move_storage(seaway.database, seaway.blobs, target, seaway.spool, verify=verify)


def wrong(blobs: BlobStore) -> list[str]:
    """The keys of blobs that are not what they are named by."""
    found = []
    for stat in state.stored_blobs(blobs):
        with blobs.open(stat.key) as file:
            if stat.key != keys.blob(hashlib.sha256(file.read()).digest()):
                found.append(stat.key)
    return found


def test_a_house_goes_on_in_its_new_store(
    source: Seaway, furnished: Source, served_there: dict[str, bytes], target: DiskBlobs, tmp_path: Path
) -> None:
    """Files and documents are there, each once, and nothing that no row names; the old store is as it was."""
    moved = move(source, target)
    again = move(source, target)
    source.close()
    here = open_house(tmp_path / "source", storage_url=(tmp_path / "target").as_uri())

    assert moved.blobs == moved.sent == len(state.stored_blobs(target)) > len(named_blobs(source))
    assert sum(stat.size for stat in state.stored_blobs(target)) == moved.bytes
    assert StorageMoveResult(moved.blobs, moved.bytes, 0) == again
    assert [] == list(check(here))
    assert served_there == served(here, furnished.key)
    here.close()


def test_what_a_rebuild_keeps_is_brought(source: Seaway, target: DiskBlobs, tmp_path: Path) -> None:
    """Blobs that no package names but a rebuild keeps go along."""
    content = b"of a package that was not listed"
    (tmp_path / "kept").write_bytes(content)
    digest = hashlib.sha256(content).digest()
    source.blobs.put_file(keys.blob(digest), tmp_path / "kept")
    with source.database.write_site() as tx:
        tx.execute(insert(kept_blobs).values(sha256=digest, size=len(content)))
    move(source, target)
    with target.open(keys.blob(digest)) as file:
        assert content == file.read()


def test_the_manifests_of_the_new_store_are_written_anew(source: Seaway, target: DiskBlobs, tmp_path: Path) -> None:
    """Older ones, of an earlier move there, are gone; the first run there writes all."""
    folder = keys.store_manifests(source.pairing.store_id())
    write_changes(source.database, source.blobs, source.pairing.store_id())
    here = {stat.key for stat in source.blobs.list(folder)}
    target.write(f"{folder}/999/999", b"of a channel that is gone")
    move(source, target)
    assert [] == list(target.list(folder))
    source.close()
    moved = open_house(tmp_path / "source", storage_url=(tmp_path / "target").as_uri())
    write_changes(moved.database, moved.blobs, moved.pairing.store_id())
    assert here == {stat.key for stat in target.list(folder)} != set()
    moved.close()


def test_an_interrupted_move_goes_on(source: Seaway, target: DiskBlobs) -> None:
    """What is there is not sent again."""
    with pytest.raises(StopError):
        move(source, Hooked(target, stop_at(6)))
    there = len(state.stored_blobs(target))
    rest = move(source, target)

    assert 5 == there
    assert rest.blobs == there + rest.sent == len(state.stored_blobs(target))
    assert [] == wrong(target)


@pytest.mark.parametrize("size", [len(LARGE.content), 5], ids=["of the right size", "too short"])
def test_a_damaged_blob_of_the_new_store_is_mended(source: Seaway, target: DiskBlobs, size: int) -> None:
    """One that is too short is always seen; one of the right size when the operator asks for it."""
    move(source, target)
    target.local_path(key_of(LARGE)).write_bytes(b"x" * size)
    sent = [move(source, target, verify=verify).sent for verify in (False, True)]

    assert ([0, 1] if size > 5 else [1, 0]) == sent
    assert [] == wrong(target)


def test_a_store_that_does_not_keep_what_it_got_is_told(source: Seaway, target: DiskBlobs) -> None:
    """Storage invariant 1: what was sent is read back."""
    with pytest.raises(DamagedData, match="did not keep"):
        move(source, Hooked(target, lambda _: None, keeps=b"something else"))


@pytest.mark.parametrize("damage", [b"x" * len(LARGE.content), b"short", None])
def test_a_damaged_blob_is_not_moved(source: Seaway, target: DiskBlobs, damage: bytes | None) -> None:
    """A blob of the old store that is gone or not what it should be is named."""
    if damage is None:
        source.blobs.delete(key_of(LARGE))
    else:
        state.overwrite_blob(source.blobs, key_of(LARGE), damage)
    with pytest.raises(DamagedData, match=LARGE.sha256):
        move(source, target)

    assert None is target.stat(key_of(LARGE))


def test_what_comes_meanwhile_is_brought(source: Seaway, target: DiskBlobs) -> None:
    """A second pass copies what was uploaded during the first, and documents that were replaced are not missed."""
    lock = threading.Lock()
    came: list[bool] = []

    def upload(_: int) -> None:
        with lock:
            if not came:
                came.append(True)
                channel = Channel(source, PUBLIC)
                channel.put(NEW)
                channel.read("noarch", "repodata.json")

    moved = move(source, Hooked(target, upload))

    assert target.stat(key_of(NEW)) is not None
    assert moved.blobs == len(named_blobs(source)) + documents_of(source)
    assert [] == wrong(target)


def documents_of(seaway: Seaway) -> int:
    """How many blobs are documents."""
    with seaway.database.read() as tx:
        return len(set(tx.execute(select(documents.c.sha256)).scalars()))


def test_nothing_is_swept_meanwhile(source: Seaway, target: DiskBlobs) -> None:
    """Storage invariant 2: the sweep waits."""
    free = []

    def look(_: int) -> None:
        with source.database.exclusive("sweep", wait=False) as alone:
            free.append(alone)

    move(source, Hooked(target, look))

    assert {False} == set(free)
