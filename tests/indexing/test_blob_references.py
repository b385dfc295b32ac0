"""A row never names a missing blob, even if blobs are deleted concurrently (S1)."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from seaway.errors import FileExists
from seaway.maintenance.check import check
from seaway.packages.sweep import sweep
from seaway.pairing.pairing import Pairing
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from tests.indexing.channel import Channel, RacingStore
from tests.support import packages, state
from tests.support.packages import PackageFile, index_json
from tests.support.requests import wait_until
from tests.support.sites import Factory

FILE = packages.conda(index_json("a"))
SAME_NAME = packages.conda(index_json("a", license="BSD"))


def on(channel: Channel, blobs: BlobStore) -> Channel:
    """Return the same channel with uploads to the given store."""
    parts = channel.seaway.request_parts
    publishing = replace(parts.publishing, site=replace(parts.site, blobs=blobs))
    return Channel(replace(channel.seaway, request_parts=replace(parts, publishing=publishing)), channel.name)


def sweep_everything(channel: Channel) -> int:
    """Sweep as if every blob were old; return the number of deleted blobs."""
    seaway = channel.seaway
    return sweep(seaway.site, seaway.pairing, max_percent=100, grace_ms=-(1 << 60)).blobs


def put_unreferenced(channel: Channel, file: PackageFile) -> None:
    with channel.seaway.site.spool.file() as spooled:
        spooled.write(file.content)
        spooled.flush()
        key = keys.blob(hashlib.sha256(file.content).digest())
        channel.seaway.site.blobs.put_file(key, Path(spooled.name))


def assert_served(channel: Channel, file: PackageFile) -> None:
    assert file.content == channel.read("noarch", file.name)
    assert [] == list(check(channel.seaway))


def test_an_existing_blob_swept_before_it_is_recorded_is_stored_again(channel: Channel) -> None:
    """An upload whose bytes were already stored, and were swept before a row named them, stores them itself."""
    put_unreferenced(channel, FILE)
    swept: list[int] = []
    racing_store = RacingStore(channel.seaway.site.blobs, after_put=lambda: swept.append(sweep_everything(channel)))
    on(channel, racing_store).put(FILE)
    assert [1] == swept
    assert_served(channel, FILE)


def test_a_sweep_during_an_upload_of_equal_bytes_deletes_nothing(channel: Channel, factory: Factory) -> None:
    """A blob referenced by one channel is reused by an upload to another and stays for both."""
    other = Channel(channel.seaway, factory.channel("other"))
    channel.put(FILE)
    racing_store = RacingStore(channel.seaway.site.blobs, after_put=lambda: sweep_everything(channel))
    on(other, racing_store).put(FILE)
    for each in (channel, other):
        assert_served(each, FILE)


def test_a_blob_deleted_during_an_upload_is_stored_again(channel: Channel, factory: Factory) -> None:
    """The other channel deletes its file and the blob is swept while an upload relies on it."""
    other = Channel(channel.seaway, factory.channel("other"))
    other.put(FILE)

    def delete_and_sweep() -> None:
        other.delete(FILE)
        sweep_everything(channel)

    on(channel, RacingStore(channel.seaway.site.blobs, after_put=delete_and_sweep)).put(FILE)
    assert_served(channel, FILE)


class Interrupted(Pairing):
    """A pairing that runs an action when a sweep checks whether it can delete."""

    def __init__(self, pairing: Pairing, act: Callable[[], object]) -> None:
        self._pairing, self._act = pairing, act

    def prepare_sweep(self) -> tuple[str, str] | None:
        return self._pairing.prepare_sweep()

    def can_delete(self, *, checks_again: bool = False) -> bool:
        self._act()
        return self._pairing.can_delete(checks_again=checks_again)


def sweep_with(channel: Channel, after_list: Callable[[], object]) -> int:
    """Sweep as if every blob were old, with an action after the listing; return the number of deleted blobs."""
    seaway = channel.seaway
    pairing = Interrupted(seaway.pairing, after_list)
    return sweep(seaway.site, pairing, max_percent=100, grace_ms=-(1 << 60)).blobs


def test_a_blob_stored_again_after_the_listing_stays(channel: Channel) -> None:
    """The old blob was listed; the new one with the same bytes belongs to a running upload."""
    put_unreferenced(channel, FILE)
    blobs, key = channel.seaway.site.blobs, keys.blob(bytes.fromhex(FILE.sha256))
    listed = blobs.stat(key)
    assert listed is not None

    def put_again() -> None:
        def is_new() -> bool:  # a bucket may report only whole seconds
            blobs.delete(key)
            put_unreferenced(channel, FILE)
            stat = blobs.stat(key)
            return stat is not None and stat.modified_ms != listed.modified_ms

        wait_until(is_new)

    assert 0 == sweep_with(channel, put_again)
    assert blobs.stat(key) is not None
    assert 1 == sweep_everything(channel)


def test_a_blob_referenced_after_the_listing_stays(channel: Channel) -> None:
    """An upload found the stored bytes and recorded them before the sweep deleted them."""
    put_unreferenced(channel, FILE)
    assert 0 == sweep_with(channel, lambda: channel.put(FILE))
    assert_served(channel, FILE)


def test_a_store_without_identity_after_the_listing_is_not_swept(channel: Channel) -> None:
    """Another store may have been mounted in its place."""
    put_unreferenced(channel, FILE)
    store = state.raw(channel.seaway.site.blobs)
    assert 0 == sweep_with(channel, lambda: store.delete(keys.IDENTITY))
    assert store.stat(keys.blob(bytes.fromhex(FILE.sha256))) is not None


def test_a_refused_upload_leaves_no_bytes(channel: Channel) -> None:
    """Its bytes are deleted at once."""
    channel.put(FILE)
    before = sorted(stat.key for stat in channel.seaway.site.blobs.list())
    with pytest.raises(FileExists):
        channel.put(SAME_NAME)
    assert before == sorted(stat.key for stat in channel.seaway.site.blobs.list())


def test_a_refused_upload_keeps_existing_bytes(channel: Channel, tmp_path: Path) -> None:
    """A backup may be copying them: only the sweep, which waits for backups, deletes existing bytes."""
    channel.put(FILE)
    put_unreferenced(channel, SAME_NAME)
    key = keys.blob(bytes.fromhex(SAME_NAME.sha256))
    with pytest.raises(FileExists):
        channel.put(SAME_NAME)
    assert channel.seaway.site.blobs.stat(key) is not None
    (refused,) = channel.bring([SAME_NAME.write_to(tmp_path)])
    assert isinstance(refused, FileExists)
    assert channel.seaway.site.blobs.stat(key) is not None


class Overlapped(RacingStore):
    """A store in which every put races with another of the same bytes, and both report a new blob."""

    def put_file(self, key: str, path: Path) -> bool:
        super().put_file(key, path)
        return True


def test_a_refused_upload_does_not_delete_the_bytes_of_another(channel: Channel, factory: Factory) -> None:
    """If two uploads store equal bytes at once and one is refused, the bytes stay for the other."""
    other = Channel(channel.seaway, factory.channel("other"))
    other.put(SAME_NAME)

    def refused_upload() -> None:
        with pytest.raises(FileExists):
            on(other, Overlapped(channel.seaway.site.blobs)).put(FILE)

    on(channel, RacingStore(channel.seaway.site.blobs, after_put=refused_upload)).put(FILE)
    assert_served(channel, FILE)
