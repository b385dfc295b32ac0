"""Channel manifests in the store follow the database: a run writes only what changed."""

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
from seaway.channels.channel import ChannelSettings
from seaway.clock import MINUTE_MS
from seaway.database.tables import channels as channel_rows
from seaway.database.tables import files, jobs, manifest_marks
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
from tests.support import images, packages
from tests.support.clock import ManualClock
from tests.support.jobs import run_job
from tests.support.packages import index_json
from tests.support.sites import Factory

OTHER_STORE = "f" * 32


class SimulatedKill(Exception):
    """A simulated kill that the code under test does not catch."""


@pytest.fixture
def channel(seaway: Seaway, factory: Factory) -> Channel:
    return Channel(with_in_process_examiners(seaway), factory.channel("demo"))


@dataclass
class RecordingStore:
    """A store that records writes and deletes, and can stop before a given call."""

    blobs: BlobStore
    stop_at: int | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def _record(self, operation: str, key: str) -> None:
        with self.lock:
            if self.stop_at is not None and len(self.calls) >= self.stop_at:
                raise SimulatedKill
            self.calls.append((operation, key))

    def write(self, key: str, content: bytes) -> None:
        self._record("write", key)
        self.blobs.write(key, content)

    def delete(self, key: str) -> None:
        self._record("delete", key)
        self.blobs.delete(key)

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        return self.blobs.list(folder)


def run(seaway: Seaway, **more: Any) -> WriteResult:
    return write_changes(
        replace(seaway.site, blobs=more.pop("blobs", seaway.site.blobs)),
        more.pop("store_id", seaway.pairing.store_id()),
        **more,
    )


def objects(seaway: Seaway) -> dict[str, bytes]:
    """Return the manifest objects in the store by key."""
    found = {}
    for stat in seaway.site.blobs.list(keys.MANIFESTS):
        with seaway.site.blobs.open(stat.key) as file:
            found[stat.key] = file.read()
    return found


def names(seaway: Seaway) -> dict[tuple[str, str, str], NameManifest]:
    """Return the name manifests by channel, subdir and package."""
    decoded = [decode_name(content) for key, content in objects(seaway).items() if not key.endswith("/channel")]
    return {(manifest.channel, manifest.subdir, manifest.package): manifest for manifest in decoded}


def states(seaway: Seaway) -> dict[str, FileState]:
    return {file.file_name: file.state for manifest in names(seaway).values() for file in manifest.files}


def complete_set(seaway: Seaway) -> dict[str, bytes]:
    """Write everything below another store id; return the objects without the store id in their keys."""
    run(seaway, store_id=OTHER_STORE)
    found = objects(seaway)
    assert all(key.startswith(keys.store_manifests(OTHER_STORE)) for key in found)
    return {key.partition("/")[2].partition("/")[2]: content for key, content in found.items()}


def current_set(seaway: Seaway) -> dict[str, bytes]:
    assert all(key.startswith(keys.store_manifests(seaway.pairing.store_id())) for key in objects(seaway))
    return {key.partition("/")[2].partition("/")[2]: content for key, content in objects(seaway).items()}


# Cost of a run


def test_run_without_changes_takes_three_queries_and_writes_nothing(seaway: Seaway, channel: Channel) -> None:
    """`before_writing` is not called."""
    channel.put(A)
    run(seaway)
    calls: list[str] = []
    with recorded_statements(seaway) as statements:
        written = run(seaway, before_writing=lambda: calls.append("called"))

    assert WriteResult() == written
    assert [] == calls
    assert [] == statements.writing()
    assert 3 == sum(text.startswith("SELECT") and "manifest_marks" in text for text in statements.texts)


@pytest.mark.parametrize("others", [0, 40])
def test_cost_of_a_run_depends_only_on_changes(seaway: Seaway, channel: Channel, others: int) -> None:
    """Invariant 4: one object and the same queries, however many names the channel has."""
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


def test_uploads_do_not_write_manifests(seaway: Seaway, channel: Channel) -> None:
    """Invariant 1: neither the store nor the marks table is touched before the next run."""
    channel.put(A)
    run(seaway)
    before = objects(seaway)
    with recorded_statements(seaway) as statements:
        channel.put(A2)
        channel.yank(A)

    assert before == objects(seaway)
    assert [] == [text for text in statements.texts if "manifest" in text]


# Objects that are written


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
def test_each_file_change_is_written(
    seaway: Seaway, channel: Channel, change: Callable[[Channel], object], expected: dict[str, FileState]
) -> None:
    """The name manifest matches the rows."""
    channel.put(A)
    run(seaway)
    change(channel)
    run(seaway)

    assert expected == states(seaway)
    assert current_set(seaway) == complete_set(seaway)


def test_yank_reason_is_written(seaway: Seaway, channel: Channel) -> None:
    """Also when it changes while the file stays yanked."""
    channel.put(A)
    for reason in ("a leak", "wrong license"):
        removal.yank(seaway.site, OPERATOR, channel.name, "noarch", A.name, reason=reason)
        run(seaway)
        assert [reason] == [file.yank_reason for file in names(seaway)["demo", "noarch", "a"].files]


def test_overwrite_is_written(seaway: Seaway, channel: Channel) -> None:
    """The manifest has the hash, record and uploader of the new bytes."""
    new = packages.conda(index_json("a"), files={"share/x": b"other"})
    channel.put(A)
    run(seaway)
    channel.put(new, force=True)
    run(seaway)

    (file,) = names(seaway)["demo", "noarch", "a"].files
    assert bytes.fromhex(new.sha256) == file.sha256
    assert new.sha256.encode() in file.record
    assert "operator" == file.uploaded_as


def test_channel_settings_are_written(seaway: Seaway, channel: Channel) -> None:
    """A change of description, owner or logo writes only the channel object."""
    channel.put(A)
    run(seaway)
    with seaway.site.database.write_site() as tx:
        channels.change(
            tx, seaway.site.clock.now_ms(), OPERATOR, "demo", ChannelSettings(description="boats", only_publishers=True)
        )
    described = run(seaway)
    seaway.request_parts.logos.store(OPERATOR, "demo", images.png())
    with_logo = run(seaway)
    (key,) = (key for key in objects(seaway) if key.endswith("/channel"))
    found = decode_channel(objects(seaway)[key])

    assert 1 == described.objects == with_logo.objects
    assert ("demo", "boats", "owner", True, True) == (
        found.name, found.settings["description"], found.owner, found.settings["is_public"],
        found.settings["only_publishers"],
    )  # fmt: skip
    with seaway.site.database.read() as tx:
        assert channels.get(tx, "demo").logo_sha256 == found.logo


def test_objects_of_a_removed_channel_are_deleted(seaway: Seaway, factory: Factory, channel: Channel) -> None:
    """Objects are deleted before marks, and other channels keep theirs."""
    other = Channel(channel.seaway, factory.channel("other"))
    for each in (channel, other):
        each.put(A)
        each.put(B)
    run(seaway)
    channel.remove()
    written = run(seaway)

    assert (0, 3) == (written.objects, written.deleted)
    assert {"other"} == {key[0] for key in names(seaway)}
    assert 2 == len(channel.rows(manifest_marks))
    assert current_set(seaway) == complete_set(seaway)


# Interrupted runs


def change_everything(channel: Channel, factory: Factory) -> None:
    """Make one change of each kind since the last run, including a removed channel."""
    other = Channel(channel.seaway, factory.channel("other"))
    for each in (channel, other):
        each.put(A)
        each.put(B)
    run(channel.seaway)
    other.remove()
    channel.put(A2)
    channel.delete(B)
    factory.channel("late")


def test_run_after_an_interrupted_one_completes_the_work(seaway: Seaway, factory: Factory, channel: Channel) -> None:
    """Invariants 2 and 3: the result is that of an uninterrupted run, wherever the run stopped."""
    change_everything(channel, factory)
    stop_at, is_done = 0, False
    while not is_done:
        try:
            run(seaway, blobs=RecordingStore(seaway.site.blobs, stop_at=stop_at))
            is_done = True
        except SimulatedKill:
            stop_at += 1

    assert stop_at > 2
    assert current_set(seaway) == complete_set(seaway)


def test_channel_removed_after_an_interrupted_run_is_cleaned_up(seaway: Seaway, channel: Channel) -> None:
    """Invariant 2: marks are written before objects, so the objects of an interrupted run are found."""
    channel.put(A)
    with pytest.raises(SimulatedKill):
        run(seaway, blobs=RecordingStore(seaway.site.blobs, stop_at=1))
    assert objects(seaway)
    channel.remove()
    run(seaway)

    assert {} == objects(seaway)
    assert [] == channel.rows(manifest_marks)


def test_only_one_process_writes(seaway: Seaway, channel: Channel) -> None:
    """A second run at the same time does nothing."""
    channel.put(A)
    with seaway.site.database.exclusive(MANIFEST_LOCK):
        assert WriteResult() == run(seaway)
    assert 2 == run(seaway).objects


# Change of the store id


def test_new_store_id_gets_all_objects_before_old_ones_are_deleted(seaway: Seaway, channel: Channel) -> None:
    """Invariant 5: nothing below the old id is deleted until the new set is complete."""
    channel.put(A)
    channel.put(B)
    run(seaway)
    old = set(objects(seaway))
    with pytest.raises(SimulatedKill):
        run(seaway, blobs=RecordingStore(seaway.site.blobs, stop_at=2), store_id=OTHER_STORE)
    assert old <= set(objects(seaway))
    recording = RecordingStore(seaway.site.blobs)
    run(seaway, blobs=recording, store_id=OTHER_STORE)

    assert old == {key for operation, key in recording.calls if operation == "delete"}
    assert "delete" not in [operation for operation, _ in recording.calls[: -len(old)]]
    assert all(key.startswith(keys.store_manifests(OTHER_STORE)) for key in objects(seaway))
    assert {OTHER_STORE} == {row[0] for row in channel.rows(manifest_marks)}


def test_foreign_objects_are_left_alone(seaway: Seaway, channel: Channel) -> None:
    """Invariant 5: a database that is empty or belongs to another store deletes nothing."""
    foreign = keys.manifest(OTHER_STORE, keys.ManifestIds(7))
    seaway.site.blobs.write(foreign, b"x")
    channel.put(A)
    run(seaway)
    channel.remove()
    run(seaway)

    assert {foreign} == set(objects(seaway))


def test_before_writing_is_called_once_before_the_first_write(
    seaway: Seaway, factory: Factory, channel: Channel
) -> None:
    """Only by a run that writes or deletes."""
    change_everything(channel, factory)
    recording = RecordingStore(seaway.site.blobs)
    call_counts: list[int] = []
    run(seaway, blobs=recording, before_writing=lambda: call_counts.append(len(recording.calls)))

    assert [0] == call_counts
    assert {"write", "delete"} == {operation for operation, _ in recording.calls}


# Damaged rows

NOT_UTF8 = b"\xff"
ONLY_IN_SQLITE = [
    (files.c.uploaded_as, NOT_UTF8),
    (files.c.file_name, NOT_UTF8),
    (files.c.record, "text"),
    (files.c.sha256, "text"),
    (files.c.size, "text"),
]
DAMAGES = [
    (files.c.state, "xyz"),
    (files.c.section, "xyz"),
    (files.c.about, b"{"),
    (files.c.version, "9.9"),
    *ONLY_IN_SQLITE,
]


def set_value(seaway: Seaway, column: "Column[Any]", value: object) -> None:
    """Write a value into the first row, as flipped bits would: SQLite takes any bytes for text."""
    statement = f"UPDATE {column.table.name} SET {column.name} = :value WHERE id = 1"
    if seaway.site.database.engine.dialect.name != "sqlite":
        with seaway.site.database.write_site() as tx:
            tx.execute(text(statement), {"value": value})
        return
    with closing(sqlite3.connect(seaway.settings.database_file)) as connection, connection:
        is_text = value == NOT_UTF8
        connection.execute(
            statement.replace(":value", "CAST(:value AS TEXT)") if is_text else statement, {"value": value}
        )


def value_of(seaway: Seaway, column: "Column[Any]") -> object:
    with seaway.site.database.read() as tx:
        return tx.execute(select(column).where(column.table.c.id == 1)).scalar_one()


def skip_without_sqlite(seaway: Seaway) -> None:
    if seaway.site.database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL keeps values of the type of their column only")


@pytest.mark.parametrize(("column", "value"), DAMAGES, ids=lambda value: getattr(value, "name", repr(value)[:9]))
def test_damaged_row_blocks_only_its_own_object(
    seaway: Seaway, factory: Factory, channel: Channel, column: "Column[Any]", value: object
) -> None:
    """Invariant 6: the good object stays, all others are written, and a repair is noticed without another change."""
    if (column, value) in ONLY_IN_SQLITE:
        skip_without_sqlite(seaway)
    other = Channel(channel.seaway, factory.channel("other"))
    for each in (channel, other):
        each.put(A)
        each.put(B)
    run(seaway)
    before, good = names(seaway), value_of(seaway, column)
    channel.put(A2)
    for each in (channel, other):
        each.yank(B)
    set_value(seaway, column, value)
    with capture_logs() as logs:
        first, again = run(seaway), run(seaway, before_writing=lambda: pytest.fail("nothing changed"))

    damaged = ("demo", "noarch", "a")
    assert (2, 0) == (first.objects, again.objects)
    assert before[damaged] == names(seaway)[damaged]
    assert {FileState.YANKED} == {names(seaway)[name, "noarch", "b"].files[0].state for name in ("demo", "other")}
    assert ["demo/noarch/a"] == [line["object"] for line in logs if line["event"] == "manifests.skipped"]
    set_value(seaway, column, good)
    assert 1 == run(seaway).objects
    assert {A.name, A2.name} == {file.file_name for file in names(seaway)[damaged].files}
    assert current_set(seaway) == complete_set(seaway)
    assert WriteResult() == run(seaway, store_id=OTHER_STORE)


@pytest.mark.parametrize(
    ("column", "value"), [(channel_rows.c.attestations, "xyz"), (channel_rows.c.description, NOT_UTF8)]
)
def test_damaged_channel_row_blocks_only_its_own_object(
    seaway: Seaway, factory: Factory, channel: Channel, column: "Column[Any]", value: object
) -> None:
    """The channel keeps its last good object, and its names are written."""
    if value == NOT_UTF8:
        skip_without_sqlite(seaway)
    factory.channel("other")
    run(seaway)
    before, good = objects(seaway), value_of(seaway, column)
    channel.put(A)
    set_value(seaway, column, value)
    with seaway.site.database.write_site() as tx:
        channels.change(tx, seaway.site.clock.now_ms(), OPERATOR, "other", ChannelSettings(description="boats"))
    with capture_logs() as logs:
        written = [run(seaway).objects, run(seaway).objects]
    own = keys.manifest(seaway.pairing.store_id(), keys.ManifestIds(1))

    assert [2, 0] == written
    assert before[own] == objects(seaway)[own]
    assert ["demo"] == [line["object"] for line in logs if line["event"] == "manifests.skipped"]
    set_value(seaway, column, good)
    run(seaway)
    assert current_set(seaway) == complete_set(seaway)


def test_good_object_of_a_damaged_row_moves_to_the_new_store_id(seaway: Seaway, channel: Channel) -> None:
    """Invariants 5 and 6."""
    channel.put(A)
    run(seaway)
    expected = names(seaway)
    set_value(seaway, files.c.state, "xyz")
    run(seaway, store_id=OTHER_STORE)

    assert expected == names(seaway)
    assert all(key.startswith(keys.store_manifests(OTHER_STORE)) for key in objects(seaway))


def test_object_above_the_size_limit_is_not_written(
    seaway: Seaway, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebuild would refuse it, so it must not replace a usable one."""
    channel.put(A)
    run(seaway)
    before = objects(seaway)
    channel.put(A2)
    monkeypatch.setattr(channel_manifests, "MAX_BYTES", 1000)
    run(seaway)

    assert before == objects(seaway)


def test_repaired_row_is_written_again(seaway: Seaway, channel: Channel) -> None:
    """Damage that the reader accepts is replaced after the repair, which raises the revision of the name."""
    channel.put(A)
    channel.put(B)
    set_value(seaway, files.c.about, b'{"summary":"damaged"}')
    run(seaway)
    revision = channel.revision()
    assert 1 == reindex(seaway, None, from_blobs=True).files_rebuilt
    written = run(seaway)

    assert (revision + 1, 1) == (channel.revision(), written.objects)
    assert b"damaged" not in names(seaway)["demo", "noarch", "a"].files[0].about


# Stores that refuse changes


class RefusingBlobs(RecordingStore):
    """A store that deletes nothing, as one whose pairing cannot be confirmed."""

    def delete(self, key: str) -> None:
        pass


@pytest.mark.parametrize("store_id", [None, OTHER_STORE], ids=["a removed channel", "another id"])
def test_marks_stay_until_objects_are_deleted(seaway: Seaway, channel: Channel, store_id: str | None) -> None:
    """Invariant 2: a later run deletes what was not deleted."""
    channel.put(A)
    run(seaway)
    store_id = store_id or seaway.pairing.store_id()
    channel.remove()
    refused = run(seaway, blobs=RefusingBlobs(seaway.site.blobs), store_id=store_id)

    assert 0 == refused.deleted < len(objects(seaway))
    assert 2 == run(seaway, store_id=store_id).deleted
    assert {} == objects(seaway)
    assert [] == channel.rows(manifest_marks)


def test_channel_removed_after_a_reset_of_marks_is_cleaned_up(seaway: Seaway, channel: Channel) -> None:
    """Invariant 2: marks are reset and not deleted."""
    channel.put(A)
    run(seaway)
    forget_marks(seaway.site.database)
    channel.remove()
    run(seaway)

    assert {} == objects(seaway)
    assert [] == channel.rows(manifest_marks)


def test_reset_of_marks_waits_for_a_run_in_progress(seaway: Seaway, channel: Channel) -> None:
    """That run wrote to the previous store, so its marks must not count for the next one."""
    channel.put(A)
    resetting = threading.Thread(target=forget_marks, args=[seaway.site.database])
    run(seaway, before_writing=resetting.start)
    resetting.join(60)

    assert {-1} == {row[3] for row in channel.rows(manifest_marks)}
    assert 2 == run(seaway).objects


def test_new_set_gets_channel_objects_last(seaway: Seaway, channel: Channel) -> None:
    """A set with the object of a channel is complete; in later runs a channel comes before its names."""
    channel.put(A)
    recording = RecordingStore(seaway.site.blobs)
    run(seaway, blobs=recording)
    assert ["1", "channel"] == [key.rpartition("/")[2] for _, key in recording.calls]
    with seaway.site.database.write_site() as tx:
        channels.change(tx, seaway.site.clock.now_ms(), OPERATOR, "demo", ChannelSettings(description="boats"))
    channel.put(A2)
    run(seaway, blobs=recording)
    assert ["channel", "1"] == [key.rpartition("/")[2] for _, key in recording.calls[2:]]


# The job


def test_job_runs_every_minute(seaway: Seaway, clock: ManualClock, channel: Channel) -> None:
    """Committed changes are in the store within five minutes."""
    channel.put(A)
    seaway.runner.run_due()
    channel.put(B)
    clock.move(MINUTE_MS)
    seaway.runner.run_due()

    assert {A.name, B.name} == set(states(seaway))


class UnavailableStore(RecordingStore):
    """A store that does not respond."""

    def write(self, key: str, content: bytes) -> None:
        raise Unavailable("The storage does not respond.", "Try again in a moment.")


def test_job_retries_an_unavailable_store_after_a_minute(seaway: Seaway, clock: ManualClock, channel: Channel) -> None:
    """The job does not fail, because failed jobs are retried at growing intervals."""
    channel.put(A)
    unavailable = replace(seaway.site, blobs=UnavailableStore(seaway.site.blobs))
    handlers = JobHandlers(
        unavailable, seaway.pairing, seaway.documents, seaway.request_parts.accounts,
        seaway.request_parts.publishing.attesting.roots, None, sweep_max_percent=100, scrub_days=0,
    )  # fmt: skip
    run_job(handlers.table(), WriteManifests())
    run_job(replace(handlers, site=seaway.site).table(), WriteManifests())

    assert [A.name] == list(states(seaway))
    with seaway.site.database.read() as tx:
        assert [] == tx.execute(select(jobs)).all()
