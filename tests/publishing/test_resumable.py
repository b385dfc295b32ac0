"""Uploads in pieces: what was acknowledged stays, what comes out is what an upload in one piece makes."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from seaway.accounts import keys
from seaway.accounts.principal import OPERATOR, Principal
from seaway.channels import members
from seaway.channels.roles import Role
from seaway.cli.check import check
from seaway.clock import HOUR_MS
from seaway.conda.refusals import Refused
from seaway.database.tables import resumable_pieces, resumable_uploads
from seaway.errors import (
    AlreadyThere,
    Malformed,
    NotAllowed,
    NotFound,
    SeawayError,
    TooLarge,
    TooMany,
    Unavailable,
    WrongOffset,
)
from seaway.packages.sweep import sweep
from seaway.publishing import resumable
from seaway.publishing.resumable import Order, Resumable
from seaway.server.wiring import Seaway
from seaway.storage import keys as storage_keys
from tests.indexing.channel import Channel, examining_here
from tests.support import house, packages
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.packages import index_json

CHANNEL = "demo"
# Bytes that do not compress, over the size of one piece, so that there are several of them.
FILE = packages.conda(index_json("big"), files={"share/noise": os.urandom(17 * 1024 * 1024)})
SMALL = packages.conda(index_json("small"))


class ConnectionLost(Exception):
    """What the body of a request raises when the client is gone."""


@dataclass
class Uploads:
    """One user of a channel, who sends files in pieces."""

    seaway: Seaway
    by: Principal
    clock: TurnedClock

    def begin(self, file: packages.PackageFile = SMALL, **changes: Any) -> Resumable:
        order = Order(CHANNEL, file.name, len(file.content), file.sha256, force=False)
        return anyio.run(
            partial(
                resumable.begin, self.seaway.house.publishing, replace(order, **changes), by=changes.pop("by", self.by)
            )
        )

    def send(
        self, upload: Resumable, offset: int, *chunks: bytes | Exception, by: Principal | None = None
    ) -> Resumable:
        async def coming() -> AsyncIterator[bytes]:
            for chunk in chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk

        return anyio.run(
            partial(resumable.go_on, self.seaway.house.publishing, upload.id, offset, coming(), by=by or self.by)
        )

    def look(self, upload: Resumable, by: Principal | None = None) -> Resumable:
        return resumable.look(self.seaway.house.publishing, upload.id, by or self.by)

    def end(self, upload: Resumable) -> None:
        resumable.end(self.seaway.house.publishing, upload.id, self.by)

    def left(self) -> tuple[int, int]:
        """How many uploads and pieces rows tell of."""
        with self.seaway.database.read() as tx:
            counts = [
                tx.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (resumable_uploads, resumable_pieces)
            ]
        return counts[0], counts[1]

    def blobs(self) -> set[str]:
        return {stat.key for stat in self.seaway.blobs.list() if storage_keys.is_ours(stat.key)}


@pytest.fixture
def uploads(on_both: str, tmp_path: Path, clock: TurnedClock) -> Iterator[Uploads]:
    with closing(examining_here(house.build(tmp_path, clock))) as seaway:
        people = People(seaway)
        people.channel(CHANNEL, owner="owner")
        yield Uploads(seaway, principal(seaway, people.key("owner")), clock)


def principal(seaway: Seaway, secret: str) -> Principal:
    with seaway.database.read() as tx:
        found = keys.principal_of(tx, secret, seaway.clock.now_ms())
    assert found is not None
    return found


def assert_published(uploads: Uploads, file: packages.PackageFile) -> None:
    channel = Channel(uploads.seaway, CHANNEL)
    assert file.content == channel.read("noarch", file.name)
    assert file.sha256 == channel.repodata()["packages.conda"][file.name]["sha256"]
    assert [] == list(check(uploads.seaway))


def test_a_file_in_several_requests_and_pieces(uploads: Uploads) -> None:
    """Invariants 1 to 3: it goes on where it stopped, and is published with the last byte."""
    upload = uploads.begin(FILE)
    half = len(FILE.content) // 2
    assert half == uploads.send(upload, 0, FILE.content[:half]).offset == uploads.look(upload).offset
    assert uploads.look(upload).published is None
    done = uploads.send(upload, half, FILE.content[half:])
    assert len(FILE.content) == done.offset == uploads.look(upload).offset
    assert done.published is not None
    assert done.published == uploads.look(upload).published
    assert 1 == done.published.revision
    assert_published(uploads, FILE)


def test_what_came_before_a_loss_is_kept(uploads: Uploads) -> None:
    """Invariant 1: a connection that breaks in the middle of a piece costs what was not received."""
    upload = uploads.begin(FILE)
    with pytest.raises(ConnectionLost):
        uploads.send(upload, 0, FILE.content[:1_000], FILE.content[1_000:5_000], ConnectionLost())
    assert 5_000 == uploads.look(upload).offset
    with pytest.raises(ConnectionLost):
        uploads.send(upload, 5_000, ConnectionLost())
    assert 5_000 == uploads.look(upload).offset
    uploads.send(upload, 5_000, FILE.content[5_000:])
    assert_published(uploads, FILE)


def test_pieces_do_not_overlap(uploads: Uploads) -> None:
    """Invariant 2: another offset than the server's is refused, with the right one, and changes nothing."""
    upload = uploads.begin()
    uploads.send(upload, 0, SMALL.content[:10])
    for wrong in (0, 9, 11, len(SMALL.content)):
        with pytest.raises(WrongOffset, match=f"has 10 of {len(SMALL.content):,} bytes"):
            uploads.send(upload, wrong, SMALL.content[wrong:])
    uploads.send(upload, 10, SMALL.content[10:])
    assert_published(uploads, SMALL)


def test_two_that_go_on_at_once(uploads: Uploads) -> None:
    """Invariant 2: of two requests that begin at one offset, one wins, whichever reads faster."""
    upload = uploads.begin()
    outcomes: list[object] = []

    async def both() -> None:
        async def one(content: bytes) -> None:
            async def coming() -> AsyncIterator[bytes]:
                await anyio.lowlevel.checkpoint()
                yield content

            try:
                outcomes.append(
                    await resumable.go_on(uploads.seaway.house.publishing, upload.id, 0, coming(), by=uploads.by)
                )
            except WrongOffset as error:
                outcomes.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, SMALL.content[:10])
            tasks.start_soon(one, SMALL.content[:20])

    anyio.run(both)
    won = [outcome for outcome in outcomes if isinstance(outcome, Resumable)]
    assert 1 == len(won)
    assert won[0].offset == uploads.look(upload).offset
    uploads.send(upload, won[0].offset, SMALL.content[won[0].offset :])
    assert_published(uploads, SMALL)


def test_nothing_is_left_of_a_refused_file(uploads: Uploads) -> None:
    """Invariant 4: it is refused in the words of an upload in one piece, and its bytes go."""
    before = uploads.blobs()
    upload = uploads.begin(sha256=None)
    with pytest.raises(Refused):
        uploads.send(upload, 0, SMALL.content[:10], bytes(len(SMALL.content) - 10))
    assert (0, 0) == uploads.left()
    assert before == uploads.blobs()
    with pytest.raises(NotFound):
        uploads.look(upload)


def test_the_announced_hash_is_held(uploads: Uploads) -> None:
    upload = uploads.begin(sha256="0" * 64)
    with pytest.raises(Refused, match="sha256"):
        uploads.send(upload, 0, SMALL.content)
    assert (0, 0) == uploads.left()


def test_what_can_be_refused_at_once_is(uploads: Uploads) -> None:
    """No byte is taken for a file that cannot come in."""
    uploads.send(uploads.begin(), 0, SMALL.content)
    refusals: list[tuple[type[SeawayError], dict[str, Any]]] = [
        (AlreadyThere, {}),
        (Refused, {"file_name": "no-package.zip"}),
        (Malformed, {"length": 0}),
        (Malformed, {"sha256": "x"}),
        (TooLarge, {"length": uploads.seaway.settings.upload_limit + 1}),
        (NotFound, {"channel": "elsewhere"}),
    ]
    for error, changes in refusals:
        with pytest.raises(error):
            uploads.begin(**changes)
    assert (1, 0) == uploads.left()  # the one that was published


def test_more_bytes_than_were_announced(uploads: Uploads) -> None:
    upload = uploads.begin()
    with pytest.raises(TooLarge):
        uploads.send(upload, 0, SMALL.content, b"x")
    assert 0 == uploads.look(upload).offset


def test_an_upload_belongs_to_who_began_it(uploads: Uploads) -> None:
    """For everybody else it is not there, whatever their role."""
    upload = uploads.begin()
    stranger = principal(uploads.seaway, People(uploads.seaway).key("stranger"))
    with pytest.raises(NotFound):
        uploads.look(upload, stranger)
    with pytest.raises(NotFound):
        uploads.send(upload, 0, SMALL.content, by=stranger)
    assert 0 == uploads.look(upload).offset


def test_the_right_is_asked_each_time(uploads: Uploads) -> None:
    """Who lost the role since the beginning does not go on, and publishes nothing."""
    people = People(uploads.seaway)
    people.member(CHANNEL, "helper", Role.CONTRIBUTOR)
    uploads.by = principal(uploads.seaway, people.key("helper"))
    upload = uploads.begin()
    uploads.send(upload, 0, SMALL.content[:10])
    with uploads.seaway.database.write() as tx:
        members.remove(tx, 1, OPERATOR, CHANNEL, "helper")
    with pytest.raises(NotAllowed):
        uploads.send(upload, 10, SMALL.content[10:])
    assert {} == Channel(uploads.seaway, CHANNEL).repodata()["packages.conda"]


def test_a_store_that_is_away_at_the_end_costs_nothing(uploads: Uploads) -> None:
    """Invariant 3: the offset does not reach the length, so the client sends the last piece again."""
    upload = uploads.begin()
    working = uploads.seaway
    publishing = replace(working.house.publishing, batches=Away())
    uploads.seaway = replace(working, house=replace(working.house, publishing=publishing))
    with pytest.raises(Unavailable):
        uploads.send(upload, 0, SMALL.content)
    assert uploads.look(upload).offset < len(SMALL.content)
    uploads.seaway = working
    uploads.send(upload, uploads.look(upload).offset, SMALL.content)
    assert_published(uploads, SMALL)


class Away:
    """A database that cannot record anything now."""

    def record(self, *_: object) -> None:
        raise Unavailable("The database does not answer.")


def test_a_given_up_upload_leaves_nothing(uploads: Uploads) -> None:
    before = uploads.blobs()
    upload = uploads.begin()
    uploads.send(upload, 0, SMALL.content[:10])
    uploads.end(upload)
    assert (0, 0) == uploads.left()
    assert before == uploads.blobs()


def test_what_nobody_goes_on_with_ends(uploads: Uploads) -> None:
    """Invariant 5: after a day it is not there, its row expires, and the sweep takes its pieces, not before."""
    upload = uploads.begin()
    uploads.send(upload, 0, SMALL.content[:10])
    sweep_now(uploads)
    assert 10 == uploads.look(upload).offset
    uploads.clock.move(resumable.LASTS_MS)
    with pytest.raises(NotFound):
        uploads.look(upload)
    with uploads.seaway.database.write() as tx:
        assert 1 == resumable.expire(tx, uploads.clock.now_ms())
    sweep_now(uploads)
    assert set() == uploads.blobs()


def sweep_now(uploads: Uploads) -> None:
    seaway = uploads.seaway
    sweep(seaway.sweeping, grace_ms=-(1 << 60))


def test_what_was_published_is_told_for_an_hour(uploads: Uploads) -> None:
    """Invariant 4: a client whose connection broke in the last answer learns that all is well."""
    upload = uploads.begin()
    uploads.send(upload, 0, SMALL.content)
    uploads.clock.move(HOUR_MS - 1)
    assert uploads.look(upload).published is not None
    uploads.clock.move(1)
    with pytest.raises(NotFound):
        uploads.look(upload)


def test_nobody_can_open_uploads_without_end(uploads: Uploads) -> None:
    """What is unfinished takes room of the store, so there is an end to it; finished ones do not count."""
    uploads.send(uploads.begin(), 0, SMALL.content)
    other = packages.conda(index_json("other"))
    for _ in range(resumable.MOST_OPEN):
        uploads.begin(other)
    with pytest.raises(TooMany):
        uploads.begin(other)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, len(SMALL.content) - 1), max_size=6, unique=True).map(sorted),
    losses=st.lists(st.booleans(), min_size=7, max_size=7),
)
def test_wherever_it_is_cut(uploads: Uploads, cuts: Sequence[int], losses: Sequence[bool]) -> None:
    """Any cuts, with or without a loss of the connection at each, make the same file."""
    channel = Channel(uploads.seaway, CHANNEL)
    upload = uploads.begin(force=True) if SMALL.name in channel.repodata()["packages.conda"] else uploads.begin()
    for start, stop, is_lost in zip([0, *cuts], [*cuts, len(SMALL.content)], losses, strict=False):
        loss = [ConnectionLost()] if is_lost and stop < len(SMALL.content) else []
        try:
            uploads.send(upload, start, SMALL.content[start:stop], *loss)
        except ConnectionLost:
            assert loss
    assert uploads.look(upload).published is not None
    assert SMALL.content == channel.read("noarch", SMALL.name)
