"""Uploads recorded together: one commit, and to each its own outcome."""

import hashlib
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
from seaway.database.tables import released_names
from seaway.errors import FileExists, SeawayError, Unavailable
from seaway.indexing.blob_references import BlobSwept
from seaway.publishing.batches import Batches
from seaway.publishing.examine import Candidate
from seaway.publishing.record import Recorded, RecordingParts, Submission
from seaway.server.wiring import Seaway
from seaway.storage import keys
from tests.support import house
from tests.support.requests import until

CONTENT = b"content"
SHA256 = hashlib.sha256(CONTENT).digest()


@pytest.fixture
def seaway(on_both: str, tmp_path: Path) -> Iterator[Seaway]:
    with closing(house.build(tmp_path)) as built:
        with built.spool.file() as file:
            file.write(CONTENT)
            file.flush()
            built.blobs.put_file(keys.blob(SHA256), Path(file.name))
        yield built


Work = Callable[[Tx], int]


@pytest.fixture
def batches(seaway: Seaway, monkeypatch: pytest.MonkeyPatch) -> Batches:
    monkeypatch.setattr("seaway.publishing.batches.record_submissions", do_all)
    return seaway.request_parts.publishing.batches


def do_all(
    tx: Tx, _parts: RecordingParts, _channel: str, submissions: Sequence[Submission]
) -> list[Recorded | SeawayError]:
    """Here each upload is some work; a refusal is decided before anything is written."""
    works = [cast("Work", submission.candidate) for submission in submissions]
    return [FileExists("It is there.") if work is refuse else recorded(work(tx)) for work in works]


def of(work: Work) -> Submission:
    """An upload that is this work."""
    return Submission(cast("Candidate", work), OPERATOR, force=False)


def recorded(number: int) -> Recorded:
    return Recorded(number, replaced=False, warnings=())


def leave(name: str, number: int) -> Work:
    """Work that leaves a row."""

    def work(tx: Tx) -> int:
        tx.execute(insert(released_names).values(name=name, owner_id=None, released_at=number))
        return number

    return work


def left(seaway: Seaway) -> int:
    with seaway.database.read() as tx:
        return tx.execute(select(func.count()).select_from(released_names)).scalar_one()


@contextmanager
def together(batches: Batches, works: list[Work], sha256: bytes = SHA256) -> Iterator[list]:  # type: ignore[type-arg]
    """Hold the turn until all wait, so that they are recorded at once; the futures of what became of them."""
    with ThreadPoolExecutor(len(works)) as threads:
        with batches._recording:
            waiting = [threads.submit(batches.record, sha256, "demo", of(work)) for work in works]
            until(lambda: len(batches._waiting) == len(works))
        yield waiting


def refuse(tx: Tx) -> int:
    """Work that is refused."""
    raise NotImplementedError


def test_what_waits_together_is_committed_once(seaway: Seaway, batches: Batches) -> None:
    """Twenty that wait cost one commit, and each gets its own result."""
    commits: list[object] = []

    def note(connection: object) -> None:
        commits.append(connection)

    event.listen(seaway.database.engine, "commit", note)
    with together(batches, [leave(f"n{number}", number) for number in range(20)]) as waiting:
        assert list(range(20)) == [one.result().revision for one in waiting]
    event.remove(seaway.database.engine, "commit", note)
    assert 1 == len(commits)
    assert 20 == left(seaway)


def test_a_refusal_is_of_one(seaway: Seaway, batches: Batches) -> None:
    """Batches invariant 1: of three, one is refused and the others are there."""
    with together(batches, [leave("first", 1), refuse, leave("last", 3)]) as waiting:
        assert recorded(1) == waiting[0].result()
        with pytest.raises(FileExists):
            waiting[1].result()
        assert recorded(3) == waiting[2].result()
    assert 2 == left(seaway)


def test_what_nobody_foresaw_is_an_error_of_one(seaway: Seaway, batches: Batches) -> None:
    """Batches invariant 1: a mistake of ours, after a part was written, leaves nothing and spoils no other upload."""

    def break_down(tx: Tx) -> int:
        leave("half", 0)(tx)
        raise ZeroDivisionError

    with together(batches, [leave("first", 1), break_down, leave("last", 3)]) as waiting:
        assert (recorded(1), recorded(3)) == (waiting[0].result(), waiting[2].result())
        with pytest.raises(ZeroDivisionError):
            waiting[1].result()
    assert 2 == left(seaway)


def test_one_alone_that_is_refused_leaves_nothing(seaway: Seaway, batches: Batches) -> None:
    """Batches invariant 3: the same without company."""
    with pytest.raises(FileExists):
        batches.record(SHA256, "demo", of(refuse))
    assert 0 == left(seaway)
    assert recorded(7) == batches.record(SHA256, "demo", of(leave("next", 7)))


def test_nobody_is_answered_before_the_commit(seaway: Seaway, batches: Batches) -> None:
    """Batches invariant 2: who has an answer finds the row from any other connection."""

    def record_and_look(number: int) -> bool:
        batches.record(SHA256, "demo", of(leave(f"n{number}", number)))
        with seaway.database.read() as tx:
            return tx.execute(select(released_names).where(released_names.c.name == f"n{number}")).first() is not None

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(record_and_look, range(60)))


def test_a_commit_that_fails_fails_all_of_it(seaway: Seaway, batches: Batches) -> None:
    """When the database refuses the whole, all are told, nothing is there, and the next ones are not held up."""

    def fail(_connection: object) -> None:
        raise Unavailable("The database went away.")

    event.listen(seaway.database.engine, "commit", fail)
    with together(batches, [leave("a", 1), leave("b", 2)]) as waiting:
        for one in waiting:
            with pytest.raises(Unavailable):
                one.result()
    event.remove(seaway.database.engine, "commit", fail)
    assert 0 == left(seaway)
    assert recorded(3) == batches.record(SHA256, "demo", of(leave("c", 3)))


def test_a_database_that_goes_away_is_told_to_all(seaway: Seaway, batches: Batches) -> None:
    """What breaks the transaction itself is a 503 for everybody in it, and never an error of ours for one."""

    def break_off(tx: Tx) -> int:
        raise OperationalError("INSERT", {}, RuntimeError("disk I/O error"))

    with together(batches, [leave("a", 1), break_off, leave("b", 2)]) as waiting:
        for one in waiting:
            with pytest.raises(Unavailable):
                one.result()
    assert 0 == left(seaway)


def test_only_whose_blob_is_gone_has_to_put_it_again(seaway: Seaway, batches: Batches) -> None:
    """S1: an upload whose bytes were swept is not recorded; the one beside it is."""
    ready = threading.Barrier(3)

    def record(sha256: bytes, name: str) -> Recorded:
        ready.wait()
        return batches.record(sha256, "demo", of(leave(name, 1)))

    with ThreadPoolExecutor(2) as threads:
        with batches._recording:
            gone = threads.submit(record, bytes(32), "gone")
            there = threads.submit(record, SHA256, "there")
            ready.wait()
            until(lambda: len(batches._waiting) == 2)
        with pytest.raises(BlobSwept):
            gone.result()
        assert recorded(1) == there.result()
    assert 1 == left(seaway)
