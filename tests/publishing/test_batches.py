"""Batches: waiting uploads are recorded in one commit, and each gets its own outcome."""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import event, func, insert, select
from sqlalchemy.exc import OperationalError

from seaway.callers.caller import OPERATOR
from seaway.database.engine import Tx
from seaway.database.tables import kept_blobs, released_names
from seaway.errors import FileExists, SeawayError, Unavailable
from seaway.indexing.blob_references import BlobSwept
from seaway.publishing.batches import Batches
from seaway.publishing.examine import Candidate
from seaway.publishing.record import Recorded, RecordingParts, Submission
from seaway.server.wiring import Seaway
from seaway.storage import keys
from tests.support import sites
from tests.support.requests import wait_until

CONTENT = b"content"
SHA256 = hashlib.sha256(CONTENT).digest()


@pytest.fixture
def seaway(on_both: str, tmp_path: Path) -> Iterator[Seaway]:
    with closing(sites.build(tmp_path)) as built:
        with built.site.spool.file() as file:
            file.write(CONTENT)
            file.flush()
            built.site.blobs.put_file(keys.blob(SHA256), Path(file.name))
        yield built


Work = Callable[[Tx], int]


@pytest.fixture
def batches(seaway: Seaway, monkeypatch: pytest.MonkeyPatch) -> Batches:
    monkeypatch.setattr("seaway.publishing.batches.record_submissions", record_works)
    return seaway.request_parts.publishing.batches


def record_works(
    tx: Tx, _parts: RecordingParts, _channel: str, submissions: Sequence[Submission]
) -> list[Recorded | SeawayError]:
    """Replace `record_submissions`: each upload is a callable, and a refusal is decided before anything is written."""
    works = [cast("Work", submission.candidate) for submission in submissions]
    return [FileExists("It is there.") if work is refuse else recorded(work(tx)) for work in works]


def submission_of(work: Work) -> Submission:
    """Return an upload whose recording calls `work`."""
    return Submission(cast("Candidate", work), OPERATOR, force=False)


def recorded(number: int) -> Recorded:
    return Recorded(number, replaced=False, warnings=())


def insert_row(name: str, number: int) -> Work:
    """Return work that inserts a row."""

    def work(tx: Tx) -> int:
        tx.execute(insert(released_names).values(name=name, owner_id=None, released_at=number))
        return number

    return work


def row_count(seaway: Seaway) -> int:
    with seaway.site.database.read() as tx:
        return tx.execute(select(func.count()).select_from(released_names)).scalar_one()


@contextmanager
def batched(batches: Batches, works: list[Work], sha256: bytes = SHA256) -> Iterator[list]:  # type: ignore[type-arg]
    """Hold the recording lock until all works wait, so that one batch records them; yield their futures."""
    with ThreadPoolExecutor(len(works)) as threads:
        with batches._recording:
            futures = [threads.submit(batches.record, sha256, "demo", submission_of(work)) for work in works]
            wait_until(lambda: len(batches._waiting) == len(works))
        yield futures


def refuse(tx: Tx) -> int:
    """Work that is refused."""
    raise NotImplementedError


def test_waiting_uploads_are_committed_together(seaway: Seaway, batches: Batches) -> None:
    """Twenty uploads take one commit, and each gets its own result."""
    commits: list[object] = []

    def count_commit(connection: object) -> None:
        commits.append(connection)

    event.listen(seaway.site.database.engine, "commit", count_commit)
    with batched(batches, [insert_row(f"n{number}", number) for number in range(20)]) as futures:
        assert list(range(20)) == [future.result().revision for future in futures]
    event.remove(seaway.site.database.engine, "commit", count_commit)
    assert 1 == len(commits)
    assert 20 == row_count(seaway)


def test_refusal_affects_one_upload(seaway: Seaway, batches: Batches) -> None:
    """Batches invariant 1: one of three is refused, and the others are recorded."""
    with batched(batches, [insert_row("first", 1), refuse, insert_row("last", 3)]) as futures:
        assert recorded(1) == futures[0].result()
        with pytest.raises(FileExists):
            futures[1].result()
        assert recorded(3) == futures[2].result()
    assert 2 == row_count(seaway)


def test_unexpected_error_affects_one_upload(seaway: Seaway, batches: Batches) -> None:
    """Batches invariant 1: a bug that raises after a write leaves no row and does not affect other uploads."""

    def fail_unexpectedly(tx: Tx) -> int:
        insert_row("partial", 0)(tx)
        raise ZeroDivisionError

    with batched(batches, [insert_row("first", 1), fail_unexpectedly, insert_row("last", 3)]) as futures:
        assert (recorded(1), recorded(3)) == (futures[0].result(), futures[2].result())
        with pytest.raises(ZeroDivisionError):
            futures[1].result()
    assert 2 == row_count(seaway)


def test_refused_single_upload_leaves_nothing(seaway: Seaway, batches: Batches) -> None:
    """Batches invariant 3: also without other uploads in the batch."""
    with pytest.raises(FileExists):
        batches.record(SHA256, "demo", submission_of(refuse))
    assert 0 == row_count(seaway)
    assert recorded(7) == batches.record(SHA256, "demo", submission_of(insert_row("next", 7)))


def test_result_is_returned_after_the_commit(seaway: Seaway, batches: Batches) -> None:
    """Batches invariant 2: a caller with a result finds the row on any other connection."""

    def record_and_read(number: int) -> bool:
        batches.record(SHA256, "demo", submission_of(insert_row(f"n{number}", number)))
        with seaway.site.database.read() as tx:
            return tx.execute(select(released_names).where(released_names.c.name == f"n{number}")).first() is not None

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(record_and_read, range(60)))


def test_failed_commit_fails_the_whole_batch(seaway: Seaway, batches: Batches) -> None:
    """Every upload gets the error, no row is written, and the next batch is not blocked."""

    def fail(_connection: object) -> None:
        raise Unavailable("The database went away.")

    event.listen(seaway.site.database.engine, "commit", fail)
    with batched(batches, [insert_row("a", 1), insert_row("b", 2)]) as futures:
        for future in futures:
            with pytest.raises(Unavailable):
                future.result()
    event.remove(seaway.site.database.engine, "commit", fail)
    assert 0 == row_count(seaway)
    assert recorded(3) == batches.record(SHA256, "demo", submission_of(insert_row("c", 3)))


def test_lost_database_fails_the_whole_batch(seaway: Seaway, batches: Batches) -> None:
    """An error of the transaction itself is a 503 for each upload, and not an internal error of one."""

    def lose_connection(tx: Tx) -> int:
        raise OperationalError("INSERT", {}, RuntimeError("disk I/O error"))

    with batched(batches, [insert_row("a", 1), lose_connection, insert_row("b", 2)]) as futures:
        for future in futures:
            with pytest.raises(Unavailable):
                future.result()
    assert 0 == row_count(seaway)


def test_value_that_the_database_cannot_hold_fails_only_its_own_upload(seaway: Seaway, batches: Batches) -> None:
    """Invariant 1: PostgreSQL reports a value that is too long for an index with the class of a lost connection."""
    if seaway.site.database.engine.dialect.name == "sqlite":
        pytest.skip("An index of SQLite holds values of any length.")
    long = random.Random(1).randbytes(5_000)

    def insert_long(tx: Tx) -> int:
        tx.execute(insert(kept_blobs).values(sha256=long, size=1))
        return 0

    with batched(batches, [insert_row("a", 1), insert_long, insert_row("b", 2)]) as futures:
        assert [recorded(1), recorded(2)] == [futures[0].result(), futures[2].result()]
        with pytest.raises(OperationalError):
            futures[1].result()
    assert 2 == row_count(seaway)


def test_only_the_upload_with_a_swept_blob_is_refused(seaway: Seaway, batches: Batches) -> None:
    """S1: an upload whose bytes were swept is not recorded; the other one in the batch is."""
    ready = threading.Barrier(3)

    def record(sha256: bytes, name: str) -> Recorded:
        ready.wait()
        return batches.record(sha256, "demo", submission_of(insert_row(name, 1)))

    with ThreadPoolExecutor(2) as threads:
        with batches._recording:
            swept = threads.submit(record, bytes(32), "gone")
            stored = threads.submit(record, SHA256, "there")
            ready.wait()
            wait_until(lambda: len(batches._waiting) == 2)
        with pytest.raises(BlobSwept):
            swept.result()
        assert recorded(1) == stored.result()
    assert 1 == row_count(seaway)
