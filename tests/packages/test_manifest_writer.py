"""The manifests in the store follow the database: what changed is written again, and nothing else."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import Column, select, text
from structlog.testing import capture_logs

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.clock import MINUTE_MS
from seaway.database.tables import channels as channel_rows
from seaway.database.tables import files, jobs, manifest_marks
from seaway.database.tables import packages as package_rows
from seaway.errors import Unavailable
from seaway.indexing.file_rows import FileState
from seaway.maintenance.reindex import reindex
from seaway.packages import channel_manifests, removal
from seaway.packages.channel_manifests import NameManifest, decode_channel, decode_name
from seaway.packages.manifest_writer import MANIFEST_LOCK, WriteResult, forget_marks, write_changes
from seaway.server.job_handlers import JobHandlers, WriteManifests
from seaway.server.wiring import Seaway
from seaway.storage import keys
from seaway.storage.blobs import BlobStat, BlobStore
from tests.indexing.channel import A2, A, B, Channel, recorded_statements, with_in_process_examiners
from tests.support import packages, pictures
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.jobs import run_job
from tests.support.packages import index_json

OTHER_STORE = "f" * 32


class StopError(Exception):
    """A kill, for code that does not know of it."""


@pytest.fixture
def channel(seaway: Seaway, people: People) -> Channel:
    return Channel(with_in_process_examiners(seaway), people.channel("demo"))


@dataclass
class Watched:
    """A store that keeps a list of what is written and deleted, and may stop everything before one of these."""

    blobs: BlobStore
    stop_at: int | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def _note(self, what: str, key: str) -> None:
        with self.lock:
            if self.stop_at is not None and len(self.calls) >= self.stop_at:
                raise StopError
            self.calls.append((what, key))

    def write(self, key: str, content: bytes) -> None:
        self._note("write", key)
        self.blobs.write(key, content)

    def delete(self, key: str) -> None:
        self._note("delete", key)
        self.blobs.delete(key)

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        return self.blobs.list(folder)


def run(seaway: Seaway, **more: Any) -> WriteResult:
    return write_changes(
        seaway.database, more.pop("blobs", seaway.blobs), more.pop("store_id", seaway.pairing.store_id()), **more
    )


def objects(seaway: Seaway) -> dict[str, bytes]:
    """The manifest objects in the store."""
    found = {}
    for stat in seaway.blobs.list(keys.MANIFESTS):
        with seaway.blobs.open(stat.key) as file:
            found[stat.key] = file.read()
    return found


def names(seaway: Seaway) -> dict[tuple[str, str, str], NameManifest]:
    """The name objects, by channel, subdir and package."""
    decoded = [decode_name(content) for key, content in objects(seaway).items() if not key.endswith("/channel")]
    return {(one.channel, one.subdir, one.package): one for one in decoded}


def states(seaway: Seaway) -> dict[str, FileState]:
    return {file.file_name: file.state for one in names(seaway).values() for file in one.files}


def fresh(seaway: Seaway) -> dict[str, bytes]:
    """What a run writes that writes everything, without the ids of stores."""
    run(seaway, store_id=OTHER_STORE)
    found = objects(seaway)
    assert all(key.startswith(keys.store_manifests(OTHER_STORE)) for key in found)
    return {key.partition("/")[2].partition("/")[2]: content for key, content in found.items()}


def below_its_id(seaway: Seaway) -> dict[str, bytes]:
    assert all(key.startswith(keys.store_manifests(seaway.pairing.store_id())) for key in objects(seaway))
    return {key.partition("/")[2].partition("/")[2]: content for key, content in objects(seaway).items()}


# What a run costs


def test_a_run_after_no_change_asks_a_little_and_writes_nothing(seaway: Seaway, channel: Channel) -> None:
    """Three questions tell that nothing changed, and nobody is told that something will be written."""
    channel.put(A)
    run(seaway)
    told: list[str] = []
    with recorded_statements(seaway) as statements:
        written = run(seaway, before_writing=lambda: told.append("told"))

    assert WriteResult() == written
    assert [] == told
    assert [] == statements.writing()
    assert 3 == sum(text.startswith("SELECT") and "manifest_marks" in text for text in statements.texts)


@pytest.mark.parametrize("others", [0, 40])
def test_a_run_costs_what_changed(seaway: Seaway, channel: Channel, others: int) -> None:
    """Invariant 4: one object and the same questions, however many names the channel has."""
    for number in range(others):
        channel.put(packages.conda(index_json(f"other{number}")))
    channel.put(A)
    run(seaway)
    channel.put(A2)
    with recorded_statements(seaway) as statements:
        written = run(seaway)

    assert (1, 0) == (written.objects, written.deleted)
    assert 9 == sum(text.startswith("SELECT") and "FROM" in text for text in statements.texts)
    assert 1 == len(statements.writing())


def test_uploads_do_nothing_for_manifests(seaway: Seaway, channel: Channel) -> None:
    """Invariant 1: neither the store nor the table of marks is touched before the next run."""
    channel.put(A)
    run(seaway)
    before = objects(seaway)
    with recorded_statements(seaway) as statements:
        channel.put(A2)
        channel.yank(A)

    assert before == objects(seaway)
    assert [] == [text for text in statements.texts if "manifest" in text]


# What is written


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda channel: channel.put(A2), {A.name: FileState.LISTED, A2.name: FileState.LISTED}),
        (lambda channel: channel.yank(A), {A.name: FileState.YANKED}),
        (lambda channel: (channel.yank(A), channel.unyank(A)), {A.name: FileState.LISTED}),
        (lambda channel: channel.delete(A), {A.name: FileState.DELETED}),
    ],
    ids=["upload", "yank", "unyank", "delete"],
)
def test_each_change_of_files_is_followed(
    seaway: Seaway, channel: Channel, change: Callable[[Channel], object], expected: dict[str, FileState]
) -> None:
    """The object of the name says what the rows say."""
    channel.put(A)
    run(seaway)
    change(channel)
    run(seaway)

    assert expected == states(seaway)
    assert below_its_id(seaway) == fresh(seaway)


def test_the_reason_of_a_yank_is_followed(seaway: Seaway, channel: Channel) -> None:
    """Also one that changes while the file stays yanked."""
    channel.put(A)
    for reason in ("a leak", "wrong license"):
        removal.yank(seaway.request_parts.removing, OPERATOR, channel.name, "noarch", A.name, reason=reason)
        run(seaway)
        assert [reason] == [file.yank_reason for file in names(seaway)["demo", "noarch", "a"].files]


def test_an_overwrite_is_followed(seaway: Seaway, channel: Channel) -> None:
    """The object has the hash, the record and the time of the new bytes."""
    new = packages.conda(index_json("a"), files={"share/x": b"other"})
    channel.put(A)
    run(seaway)
    channel.put(new, force=True)
    run(seaway)

    (file,) = names(seaway)["demo", "noarch", "a"].files
    assert bytes.fromhex(new.sha256) == file.sha256
    assert new.sha256.encode() in file.record
    assert "operator" == file.uploaded_as


def test_settings_of_a_channel_are_followed(seaway: Seaway, channel: Channel) -> None:
    """Each change of a channel writes its object alone: the description, the owner, the logo."""
    channel.put(A)
    run(seaway)
    with seaway.database.write_site() as tx:
        channels.change(tx, seaway.clock.now_ms(), OPERATOR, "demo", description="boats", only_publishers=True)
    described = run(seaway)
    seaway.request_parts.logos.store(OPERATOR, "demo", pictures.png())
    with_logo = run(seaway)
    (key,) = (key for key in objects(seaway) if key.endswith("/channel"))
    found = decode_channel(objects(seaway)[key])

    assert 1 == described.objects == with_logo.objects
    assert ("demo", "boats", "owner", True, True) == (
        found.name, found.description, found.owner, found.is_public, found.only_publishers,
    )  # fmt: skip
    with seaway.database.read() as tx:
        assert channels.get(tx, "demo").logo == found.logo


def test_a_removed_channel_takes_its_objects_with_it(seaway: Seaway, people: People, channel: Channel) -> None:
    """Objects go first and marks last, and other channels keep theirs."""
    other = Channel(channel.seaway, people.channel("other"))
    for one in (channel, other):
        one.put(A)
        one.put(B)
    run(seaway)
    channel.remove()
    written = run(seaway)

    assert (0, 3) == (written.objects, written.deleted)
    assert {"other"} == {place[0] for place in names(seaway)}
    assert 2 == len(channel.rows(manifest_marks))
    assert below_its_id(seaway) == fresh(seaway)


# What is interrupted


def everything(channel: Channel, people: People) -> None:
    """One of each change since the last run, a removed channel too."""
    other = Channel(channel.seaway, people.channel("other"))
    for one in (channel, other):
        one.put(A)
        one.put(B)
    run(channel.seaway)
    other.remove()
    channel.put(A2)
    channel.delete(B)
    people.channel("late")


def test_a_run_that_died_is_made_up_for(seaway: Seaway, people: People, channel: Channel) -> None:
    """Invariants 2 and 3: wherever a run dies, the next one leaves what an undisturbed one would have left."""
    everything(channel, people)
    stop_at, is_done = 0, False
    while not is_done:
        try:
            run(seaway, blobs=Watched(seaway.blobs, stop_at=stop_at))
            is_done = True
        except StopError:
            stop_at += 1

    assert stop_at > 2
    assert below_its_id(seaway) == fresh(seaway)


def test_a_channel_that_was_removed_before_its_mark_moved_is_not_forgotten(seaway: Seaway, channel: Channel) -> None:
    """Invariant 2: marks come before objects, so the objects of a run that died are found when the channel is gone."""
    channel.put(A)
    with pytest.raises(StopError):
        run(seaway, blobs=Watched(seaway.blobs, stop_at=1))
    assert objects(seaway)
    channel.remove()
    run(seaway)

    assert {} == objects(seaway)
    assert [] == channel.rows(manifest_marks)


def test_only_one_process_writes(seaway: Seaway, channel: Channel) -> None:
    """A run beside another one does nothing."""
    channel.put(A)
    with seaway.database.exclusive(MANIFEST_LOCK):
        assert WriteResult() == run(seaway)
    assert 2 == run(seaway).objects


# Another store


def test_another_store_gets_everything_before_the_old_objects_go(seaway: Seaway, channel: Channel) -> None:
    """Invariant 5: until all is below the new id, nothing below the old one is deleted."""
    channel.put(A)
    channel.put(B)
    run(seaway)
    old = set(objects(seaway))
    with pytest.raises(StopError):
        run(seaway, blobs=Watched(seaway.blobs, stop_at=2), store_id=OTHER_STORE)
    assert old <= set(objects(seaway))
    watched = Watched(seaway.blobs)
    run(seaway, blobs=watched, store_id=OTHER_STORE)

    assert old == {key for what, key in watched.calls if what == "delete"}
    assert "delete" not in [what for what, _ in watched.calls[: -len(old)]]
    assert all(key.startswith(keys.store_manifests(OTHER_STORE)) for key in objects(seaway))
    assert {OTHER_STORE} == {row[0] for row in channel.rows(manifest_marks)}


def test_objects_that_this_database_did_not_write_are_left_alone(seaway: Seaway, channel: Channel) -> None:
    """Invariant 5: an empty database, or one of another store, deletes nothing."""
    strange = keys.manifest(OTHER_STORE, keys.ManifestIds(7))
    seaway.blobs.write(strange, b"x")
    channel.put(A)
    run(seaway)
    channel.remove()
    run(seaway)

    assert {strange} == set(objects(seaway))


def test_it_is_told_once_before_anything_is_written(seaway: Seaway, people: People, channel: Channel) -> None:
    """`before_writing` is called once by a run that writes or deletes, and before that."""
    everything(channel, people)
    watched = Watched(seaway.blobs)
    told: list[int] = []
    run(seaway, blobs=watched, before_writing=lambda: told.append(len(watched.calls)))

    assert [0] == told
    assert {"write", "delete"} == {what for what, _ in watched.calls}


# What is damaged

NOT_UTF8 = b"\xff"
ONLY_IN_SQLITE = [
    (files.c.uploaded_as, NOT_UTF8),
    (files.c.file_name, NOT_UTF8),
    (files.c.record, "text"),
    (files.c.sha256, "text"),
    (files.c.size, "text"),
    (package_rows.c.summary, NOT_UTF8),
]
DAMAGES = [
    (files.c.state, "xyz"),
    (files.c.section, "xyz"),
    (files.c.about, b"{"),
    (files.c.version, "9.9"),
    (package_rows.c.summary, "x" * 5000),
    *ONLY_IN_SQLITE,
]


def put(seaway: Seaway, column: "Column[Any]", value: object) -> None:
    """Write a value into the first row as bits that flipped would: SQLite takes any bytes for text."""
    which = f"UPDATE {column.table.name} SET {column.name} = :value WHERE id = 1"
    if seaway.database.engine.dialect.name != "sqlite":
        with seaway.database.write_site() as tx:
            tx.execute(text(which), {"value": value})
        return
    with closing(sqlite3.connect(seaway.settings.database_file)) as connection, connection:
        is_text = value == NOT_UTF8
        connection.execute(which.replace(":value", "CAST(:value AS TEXT)") if is_text else which, {"value": value})


def value_of(seaway: Seaway, column: "Column[Any]") -> object:
    with seaway.database.read() as tx:
        return tx.execute(select(column).where(column.table.c.id == 1)).scalar_one()


def skip_without_sqlite(seaway: Seaway) -> None:
    if seaway.database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL keeps values of the type of their column only")


@pytest.mark.parametrize(("column", "value"), DAMAGES, ids=lambda given: getattr(given, "name", repr(given)[:9]))
def test_a_damaged_row_stops_only_its_own_object(
    seaway: Seaway, people: People, channel: Channel, column: "Column[Any]", value: object
) -> None:
    """Invariant 6: the good object stays, every other one is written, and a repair is noticed without a change."""
    if (column, value) in ONLY_IN_SQLITE:
        skip_without_sqlite(seaway)
    other = Channel(channel.seaway, people.channel("other"))
    for one in (channel, other):
        one.put(A)
        one.put(B)
    run(seaway)
    before, good = names(seaway), value_of(seaway, column)
    channel.put(A2)
    for one in (channel, other):
        one.yank(B)
    put(seaway, column, value)
    with capture_logs() as logs:
        first, again = run(seaway), run(seaway, before_writing=lambda: pytest.fail("nothing is to be written"))

    damaged = ("demo", "noarch", "a")
    assert (2, 0) == (first.objects, again.objects)
    assert before[damaged] == names(seaway)[damaged]
    assert {FileState.YANKED} == {names(seaway)[name, "noarch", "b"].files[0].state for name in ("demo", "other")}
    assert ["demo/noarch/a"] == [line["object"] for line in logs if line["event"] == "manifests.skipped"]
    put(seaway, column, good)
    assert 1 == run(seaway).objects
    assert {A.name, A2.name} == {file.file_name for file in names(seaway)[damaged].files}
    assert below_its_id(seaway) == fresh(seaway)
    assert WriteResult() == run(seaway, store_id=OTHER_STORE)


@pytest.mark.parametrize(
    ("column", "value"), [(channel_rows.c.attestations, "xyz"), (channel_rows.c.description, NOT_UTF8)]
)
def test_a_damaged_channel_stops_only_its_own_object(
    seaway: Seaway, people: People, channel: Channel, column: "Column[Any]", value: object
) -> None:
    """The same for the row of a channel: the channel keeps the object that it has, and its names are written."""
    if value == NOT_UTF8:
        skip_without_sqlite(seaway)
    people.channel("other")
    run(seaway)
    before, good = objects(seaway), value_of(seaway, column)
    channel.put(A)
    put(seaway, column, value)
    with seaway.database.write_site() as tx:
        channels.change(tx, seaway.clock.now_ms(), OPERATOR, "other", description="boats")
    with capture_logs() as logs:
        written = [run(seaway).objects, run(seaway).objects]
    own = keys.manifest(seaway.pairing.store_id(), keys.ManifestIds(1))

    assert [2, 0] == written
    assert before[own] == objects(seaway)[own]
    assert ["demo"] == [line["object"] for line in logs if line["event"] == "manifests.skipped"]
    put(seaway, column, good)
    run(seaway)
    assert below_its_id(seaway) == fresh(seaway)


def test_what_is_left_is_brought_from_below_an_earlier_id(seaway: Seaway, channel: Channel) -> None:
    """Invariants 5 and 6: when the id of the store changes, the good object of a damaged row moves along."""
    channel.put(A)
    run(seaway)
    expected = names(seaway)
    put(seaway, files.c.state, "xyz")
    run(seaway, store_id=OTHER_STORE)

    assert expected == names(seaway)
    assert all(key.startswith(keys.store_manifests(OTHER_STORE)) for key in objects(seaway))


def test_an_object_that_is_too_large_to_be_read_is_not_written(
    seaway: Seaway, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a rebuild would refuse does not take the place of what it can use."""
    channel.put(A)
    run(seaway)
    before = objects(seaway)
    channel.put(A2)
    monkeypatch.setattr(channel_manifests, "MAX_BYTES", 1000)
    run(seaway)

    assert before == objects(seaway)


def test_a_row_that_was_repaired_is_written_again(seaway: Seaway, channel: Channel) -> None:
    """Damage that the reader accepts is replaced after the repair, which raises the revision of the name."""
    channel.put(A)
    channel.put(B)
    put(seaway, files.c.about, b'{"summary":"damaged"}')
    run(seaway)
    revision = channel.revision()
    assert 1 == reindex(seaway, None, from_blobs=True).files_rebuilt
    written = run(seaway)

    assert (revision + 1, 1) == (channel.revision(), written.objects)
    assert b"damaged" not in names(seaway)["demo", "noarch", "a"].files[0].about


# Stores that refuse


class RefusingBlobs(Watched):
    """A store in which nothing is deleted for the moment, as where its pairing cannot be confirmed."""

    def delete(self, key: str) -> None:
        pass


@pytest.mark.parametrize("store_id", [None, OTHER_STORE], ids=["a removed channel", "another id"])
def test_marks_stay_as_long_as_objects_do(seaway: Seaway, channel: Channel, store_id: str | None) -> None:
    """Invariant 2: what was not deleted is deleted by a later run."""
    channel.put(A)
    run(seaway)
    store_id = store_id or seaway.pairing.store_id()
    channel.remove()
    refused = run(seaway, blobs=RefusingBlobs(seaway.blobs), store_id=store_id)

    assert 0 == refused.deleted < len(objects(seaway))
    assert 2 == run(seaway, store_id=store_id).deleted
    assert {} == objects(seaway)
    assert [] == channel.rows(manifest_marks)


def test_channels_that_are_removed_after_marks_were_reset_are_found(seaway: Seaway, channel: Channel) -> None:
    """Invariant 2: marks are reset and not deleted."""
    channel.put(A)
    run(seaway)
    forget_marks(seaway.database)
    channel.remove()
    run(seaway)

    assert {} == objects(seaway)
    assert [] == channel.rows(manifest_marks)


def test_marks_are_reset_after_a_run_that_is_under_way(seaway: Seaway, channel: Channel) -> None:
    """A run that began before cannot say of the next store what it wrote to this one."""
    channel.put(A)
    resetting = threading.Thread(target=forget_marks, args=[seaway.database])
    run(seaway, before_writing=resetting.start)
    resetting.join(60)

    assert {-1} == {row[3] for row in channel.rows(manifest_marks)}
    assert 2 == run(seaway).objects


def test_a_new_set_gets_its_channels_last(seaway: Seaway, channel: Channel) -> None:
    """A set with the object of a channel is whole; later, a channel comes before its names."""
    channel.put(A)
    watched = Watched(seaway.blobs)
    run(seaway, blobs=watched)
    assert ["1", "channel"] == [key.rpartition("/")[2] for _, key in watched.calls]
    with seaway.database.write_site() as tx:
        channels.change(tx, seaway.clock.now_ms(), OPERATOR, "demo", description="boats")
    channel.put(A2)
    run(seaway, blobs=watched)
    assert ["channel", "1"] == [key.rpartition("/")[2] for _, key in watched.calls[2:]]


# The job


def test_the_job_runs_every_minute(seaway: Seaway, clock: TurnedClock, channel: Channel) -> None:
    """What was committed is in the store well within five minutes."""
    channel.put(A)
    seaway.runner.run_due()
    channel.put(B)
    clock.move(MINUTE_MS)
    seaway.runner.run_due()

    assert {A.name, B.name} == set(states(seaway))


class AwayBlobs(Watched):
    """A store that does not answer."""

    def write(self, key: str, content: bytes) -> None:
        raise Unavailable("The storage does not answer.", "Try again in a moment.")


def test_a_store_that_is_away_is_tried_again_a_minute_later(
    seaway: Seaway, clock: TurnedClock, channel: Channel
) -> None:
    """The job does not fail, since a failed job is tried again later and later."""
    channel.put(A)
    away = replace(seaway.sweeping, blobs=AwayBlobs(seaway.blobs))
    handlers = JobHandlers(
        seaway.database, away, seaway.documents, clock, seaway.request_parts.accounts,
        seaway.request_parts.publishing.attesting.roots, None, None, seaway.pairing, None, 0, False,
    )  # fmt: skip  # type: ignore[arg-type]
    run_job(handlers.table(), WriteManifests())
    run_job(replace(handlers, sweeping=seaway.sweeping).table(), WriteManifests())

    assert [A.name] == list(states(seaway))
    with seaway.database.read() as tx:
        assert [] == tx.execute(select(jobs)).all()
