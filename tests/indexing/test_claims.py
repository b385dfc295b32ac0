"""A row never names a blob that is not there, whoever takes blobs away meanwhile (S1)."""

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
from tests.indexing.channel import Channel, Meddled
from tests.support import packages, state
from tests.support.house import People
from tests.support.packages import PackageFile, index_json
from tests.support.requests import until

FILE = packages.conda(index_json("a"))
SAME_NAME = packages.conda(index_json("a", license="BSD"))


def on(channel: Channel, blobs: BlobStore) -> Channel:
    """The same channel, with uploads going to another store."""
    house = channel.seaway.request_parts
    publishing = replace(house.publishing, blobs=blobs)
    return Channel(replace(channel.seaway, request_parts=replace(house, publishing=publishing)), channel.name)


def sweep_everything(channel: Channel) -> int:
    """Sweep as if every blob were old; how many were taken."""
    seaway = channel.seaway
    return sweep(seaway.sweeping, grace_ms=-(1 << 60)).blobs


def put_nameless(channel: Channel, file: PackageFile) -> None:
    with channel.seaway.spool.file() as spooled:
        spooled.write(file.content)
        spooled.flush()
        key = keys.blob(hashlib.sha256(file.content).digest())
        channel.seaway.blobs.put_file(key, Path(spooled.name))


def assert_served(channel: Channel, file: PackageFile) -> None:
    assert file.content == channel.read("noarch", file.name)
    assert [] == list(check(channel.seaway))


def test_old_bytes_that_are_swept_between_put_and_record_are_put_again(channel: Channel) -> None:
    """An upload that found its bytes in the store, and lost them to the sweep before it could name them, stores them itself."""
    put_nameless(channel, FILE)
    taken: list[int] = []
    meddled = Meddled(channel.seaway.blobs, after_put=lambda: taken.append(sweep_everything(channel)))
    on(channel, meddled).put(FILE)
    assert [1] == taken
    assert_served(channel, FILE)


def test_a_sweep_between_two_uploads_of_equal_bytes_takes_nothing(channel: Channel, people: People) -> None:
    """Bytes that one channel names are found by an upload to another, and stay for both."""
    other = Channel(channel.seaway, people.channel("other"))
    channel.put(FILE)
    meddled = Meddled(channel.seaway.blobs, after_put=lambda: sweep_everything(channel))
    on(other, meddled).put(FILE)
    for one in (channel, other):
        assert_served(one, FILE)


def test_bytes_whose_last_name_goes_during_an_upload_are_put_again(channel: Channel, people: People) -> None:
    """The other channel deletes its file, and the sweep comes, while an upload relies on the bytes."""
    other = Channel(channel.seaway, people.channel("other"))
    other.put(FILE)

    def delete_and_sweep() -> None:
        other.delete(FILE)
        sweep_everything(channel)

    on(channel, Meddled(channel.seaway.blobs, after_put=delete_and_sweep)).put(FILE)
    assert_served(channel, FILE)


class Interrupted(Pairing):
    """A pairing that is asked before a sweep deletes: something else happens at that moment."""

    def __init__(self, pairing: Pairing, act: Callable[[], object]) -> None:
        self._pairing, self._act = pairing, act

    def prepare_sweep(self) -> tuple[str, str] | None:
        return self._pairing.prepare_sweep()

    def may_delete(self) -> bool:
        self._act()
        return self._pairing.can_delete()


def sweep_with(channel: Channel, after_list: Callable[[], object]) -> int:
    """Sweep as if every blob were old, with something that happens after the listing; how many were taken."""
    parts = channel.seaway.sweeping
    return sweep(replace(parts, pairing=Interrupted(parts.pairing, after_list)), grace_ms=-(1 << 60)).blobs


def test_a_blob_that_is_put_again_after_the_listing_stays(channel: Channel) -> None:
    """The old blob was listed; a new one of the same bytes belongs to an upload that is about to name it."""
    put_nameless(channel, FILE)
    blobs, key = channel.seaway.blobs, keys.blob(bytes.fromhex(FILE.sha256))
    listed = blobs.stat(key)
    assert listed is not None

    def put_again() -> None:
        def is_new() -> bool:  # a bucket may tell whole seconds only
            blobs.delete(key)
            put_nameless(channel, FILE)
            stat = blobs.stat(key)
            return stat is not None and stat.modified_ms != listed.modified_ms

        until(is_new)

    assert 0 == sweep_with(channel, put_again)
    assert blobs.stat(key) is not None
    assert 1 == sweep_everything(channel)


def test_a_blob_that_is_named_after_the_listing_stays(channel: Channel) -> None:
    """An upload found the old bytes in the store and named them before the sweep came to delete them."""
    put_nameless(channel, FILE)
    assert 0 == sweep_with(channel, lambda: channel.put(FILE))
    assert_served(channel, FILE)


def test_a_store_that_lost_its_identity_after_the_listing_is_left_alone(channel: Channel) -> None:
    """Another store may have been mounted in its place; what was deleted before then was deleted."""
    put_nameless(channel, FILE)
    store = state.raw(channel.seaway.blobs)
    assert 0 == sweep_with(channel, lambda: store.delete(keys.IDENTITY))
    assert store.stat(keys.blob(bytes.fromhex(FILE.sha256))) is not None


def test_a_refused_upload_leaves_no_bytes(channel: Channel) -> None:
    """Bytes that were stored for nothing are taken back at once."""
    channel.put(FILE)
    before = sorted(stat.key for stat in channel.seaway.blobs.list())
    with pytest.raises(FileExists):
        channel.put(SAME_NAME)
    assert before == sorted(stat.key for stat in channel.seaway.blobs.list())


def test_a_refused_upload_leaves_bytes_that_were_there(channel: Channel, tmp_path: Path) -> None:
    """A backup may be copying them: only the sweep, which waits for backups, takes old bytes."""
    channel.put(FILE)
    put_nameless(channel, SAME_NAME)
    key = keys.blob(bytes.fromhex(SAME_NAME.sha256))
    with pytest.raises(FileExists):
        channel.put(SAME_NAME)
    assert channel.seaway.blobs.stat(key) is not None
    (refused,) = channel.bring([SAME_NAME.write_to(tmp_path)])
    assert isinstance(refused, FileExists)
    assert channel.seaway.blobs.stat(key) is not None


class Overlapped(Meddled):
    """A store in which each put met another of the same bytes: both looked, both moved their file in, both call it new."""

    def put_file(self, key: str, path: Path) -> bool:
        super().put_file(key, path)
        return True


def test_a_refused_upload_does_not_take_the_bytes_of_another(channel: Channel, people: People) -> None:
    """Of two uploads that put equal bytes at the same moment, the one that is refused leaves them to the other."""
    other = Channel(channel.seaway, people.channel("other"))
    other.put(SAME_NAME)

    def be_refused() -> None:
        with pytest.raises(FileExists):
            on(other, Overlapped(channel.seaway.blobs)).put(FILE)

    on(channel, Meddled(channel.seaway.blobs, after_put=be_refused)).put(FILE)
    assert_served(channel, FILE)
