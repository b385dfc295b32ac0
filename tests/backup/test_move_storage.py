"""A moved store has all blobs that rows refer to, intact; an interrupted move can be repeated."""

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
from tests.backup.conftest import SampleSite
from tests.backup.helpers import (
    LARGE,
    PUBLIC,
    HookedStore,
    SimulatedKill,
    blob_key,
    kill_at,
    open_site,
    referenced_blobs,
    responses,
)
from tests.indexing.channel import Channel
from tests.support import state
from tests.support.packages import conda, index_json
from tests.support.state import folder_store

NEW = conda(index_json("uploaded-meanwhile"))


@pytest.fixture
def target(tmp_path: Path) -> DiskBlobs:
    return folder_store(tmp_path / "target")


def move(seaway: Seaway, target: BlobStore, *, verify: bool = False) -> StorageMoveResult:
    return move_storage(seaway.site, target, verify=verify)


def damaged(blobs: BlobStore) -> list[str]:
    """The keys of blobs whose content has another hash."""
    keys_ = []
    for stat in state.stored_blobs(blobs):
        with blobs.open(stat.key) as file:
            if stat.key != keys.blob(hashlib.sha256(file.read()).digest()):
                keys_.append(stat.key)
    return keys_


def test_site_continues_in_its_new_store(
    source: Seaway, sample_site: SampleSite, sample_responses: dict[str, bytes], target: DiskBlobs, tmp_path: Path
) -> None:
    """Files and documents are copied once each, and nothing else; a second run sends nothing."""
    moved = move(source, target)
    again = move(source, target)
    source.close()
    opened = open_site(tmp_path / "source", storage_url=(tmp_path / "target").as_uri())

    assert moved.blobs == moved.sent == len(state.stored_blobs(target)) > len(referenced_blobs(source))
    assert sum(stat.size for stat in state.stored_blobs(target)) == moved.bytes
    assert StorageMoveResult(moved.blobs, moved.bytes, 0) == again
    assert [] == list(check(opened))
    assert sample_responses == responses(opened, sample_site.key)
    opened.close()


def test_blobs_kept_by_rebuild_are_moved(source: Seaway, target: DiskBlobs, tmp_path: Path) -> None:
    """No package refers to them."""
    content = b"of a package that was not listed"
    (tmp_path / "kept").write_bytes(content)
    digest = hashlib.sha256(content).digest()
    source.site.blobs.put_file(keys.blob(digest), tmp_path / "kept")
    with source.site.database.write_site() as tx:
        tx.execute(insert(kept_blobs).values(sha256=digest, size=len(content)))
    move(source, target)
    with target.open(keys.blob(digest)) as file:
        assert content == file.read()


def test_manifests_are_not_moved(source: Seaway, target: DiskBlobs, tmp_path: Path) -> None:
    """Manifests of an earlier move are deleted in the new store; the first run there writes all manifests."""
    folder = keys.store_manifests(source.pairing.store_id())
    write_changes(source.site, source.pairing.store_id())
    manifests = {stat.key for stat in source.site.blobs.list(folder)}
    target.write(f"{folder}/999/999", b"of a deleted channel")
    move(source, target)
    assert [] == list(target.list(folder))
    source.close()
    moved = open_site(tmp_path / "source", storage_url=(tmp_path / "target").as_uri())
    write_changes(moved.site, moved.pairing.store_id())
    assert manifests == {stat.key for stat in target.list(folder)} != set()
    moved.close()


def test_interrupted_move_continues(source: Seaway, target: DiskBlobs) -> None:
    """Blobs that were copied are not sent again."""
    with pytest.raises(SimulatedKill):
        move(source, HookedStore(target, kill_at(6)))
    copied = len(state.stored_blobs(target))
    second = move(source, target)

    assert 5 == copied
    assert second.blobs == copied + second.sent == len(state.stored_blobs(target))
    assert [] == damaged(target)


@pytest.mark.parametrize("size", [len(LARGE.content), 5], ids=["of the right size", "too short"])
def test_damaged_blob_in_new_store_is_replaced(source: Seaway, target: DiskBlobs, size: int) -> None:
    """Always if its size is wrong; only with `verify` if its size is right."""
    move(source, target)
    target.local_path(blob_key(LARGE)).write_bytes(b"x" * size)
    sent = [move(source, target, verify=verify).sent for verify in (False, True)]

    assert ([0, 1] if size > 5 else [1, 0]) == sent
    assert [] == damaged(target)


def test_store_that_keeps_other_bytes_fails_the_move(source: Seaway, target: DiskBlobs) -> None:
    """Storage invariant 1: each blob is read back."""
    with pytest.raises(DamagedData, match="did not keep"):
        move(source, HookedStore(target, lambda _: None, stores=b"other bytes"))


@pytest.mark.parametrize("damage", [b"x" * len(LARGE.content), b"short", None])
def test_damaged_blob_in_old_store_fails_the_move(source: Seaway, target: DiskBlobs, damage: bytes | None) -> None:
    """The error names the blob."""
    if damage is None:
        source.site.blobs.delete(blob_key(LARGE))
    else:
        state.overwrite_blob(source.site.blobs, blob_key(LARGE), damage)
    with pytest.raises(DamagedData, match=LARGE.sha256):
        move(source, target)

    assert None is target.stat(blob_key(LARGE))


def test_file_uploaded_during_move_is_moved(source: Seaway, target: DiskBlobs) -> None:
    """A second pass copies files that were uploaded and documents that were replaced during the first."""
    lock = threading.Lock()
    uploaded: list[bool] = []

    def upload(_: int) -> None:
        with lock:
            if not uploaded:
                uploaded.append(True)
                channel = Channel(source, PUBLIC)
                channel.put(NEW)
                channel.read("noarch", "repodata.json")

    moved = move(source, HookedStore(target, upload))

    assert target.stat(blob_key(NEW)) is not None
    assert moved.blobs == len(referenced_blobs(source)) + count_documents(source)
    assert [] == damaged(target)


def count_documents(seaway: Seaway) -> int:
    """Number of blobs that are documents."""
    with seaway.site.database.read() as tx:
        return len(set(tx.execute(select(documents.c.sha256)).scalars()))


def test_no_sweep_runs_during_move(source: Seaway, target: DiskBlobs) -> None:
    """Storage invariant 2."""
    could_sweep = []

    def try_lock(_: int) -> None:
        with source.site.database.exclusive("sweep", wait=False) as free:
            could_sweep.append(free)

    move(source, HookedStore(target, try_lock))

    assert {False} == set(could_sweep)
