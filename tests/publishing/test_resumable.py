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

from seaway.callers.caller import OPERATOR, Caller
from seaway.callers.rate_limits import Limit
from seaway.channels import channels, members, quotas
from seaway.channels.roles import Role
from seaway.clock import HOUR_MS
from seaway.conda.refusals import Refused
from seaway.database.tables import resumable_pieces, resumable_uploads
from seaway.errors import (
    FileExists,
    Malformed,
    NotAllowed,
    NotFound,
    SeawayError,
    TooLarge,
    TooManyRequests,
    Unavailable,
    WrongOffset,
)
from seaway.keys import api_keys
from seaway.maintenance.check import check
from seaway.packages.sweep import sweep
from seaway.publishing import resumable
from seaway.publishing.batches import Batches
from seaway.publishing.resumable import ResumableRequest, ResumableUpload
from seaway.publishing.upload_rates import UploadRate
from seaway.server.wiring import Seaway
from seaway.storage import keys as storage_keys
from tests.indexing.channel import Channel, with_in_process_examiners
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
    by: Caller
    clock: TurnedClock

    def begin(self, file: packages.PackageFile = SMALL, **changes: Any) -> ResumableUpload:
        order = ResumableRequest(CHANNEL, file.name, len(file.content), file.sha256, force=False)
        return anyio.run(
            partial(
                resumable.begin,
                self.seaway.request_parts.publishing,
                replace(order, **changes),
                by=changes.pop("by", self.by),
            )
        )

    def send(
        self, upload: ResumableUpload, offset: int, *chunks: bytes | Exception, by: Caller | None = None
    ) -> ResumableUpload:
        async def coming() -> AsyncIterator[bytes]:
            for chunk in chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk

        return anyio.run(
            partial(
                resumable.append, self.seaway.request_parts.publishing, upload.id, offset, coming(), by=by or self.by
            )
        )

    def look(self, upload: ResumableUpload, by: Caller | None = None) -> ResumableUpload:
        return resumable.get(self.seaway.request_parts.publishing, upload.id, by or self.by)

    def end(self, upload: ResumableUpload) -> None:
        resumable.cancel(self.seaway.request_parts.publishing, upload.id, self.by)

    def left(self) -> tuple[int, int]:
        """How many uploads and pieces rows tell of."""
        with self.seaway.database.read() as tx:
            counts = [
                tx.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (resumable_uploads, resumable_pieces)
            ]
        return counts[0], counts[1]

    def blobs(self) -> set[str]:
        return {stat.key for stat in self.seaway.blobs.list() if storage_keys.is_swept(stat.key)}


@pytest.fixture
def uploads(on_both: str, tmp_path: Path, clock: TurnedClock) -> Iterator[Uploads]:
    with closing(with_in_process_examiners(house.build(tmp_path, clock))) as seaway:
        people = People(seaway)
        people.channel(CHANNEL, owner="owner")
        yield Uploads(taking_pieces_of(1, seaway), principal(seaway, people.key("owner")), clock)


def taking_pieces_of(least: int, seaway: Seaway, **changes: Any) -> Seaway:
    """The same house, with another least size of pieces."""
    publishing = replace(seaway.request_parts.publishing, min_piece_bytes=least, **changes)
    return replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing))


def principal(seaway: Seaway, secret: str) -> Caller:
    with seaway.database.read() as tx:
        found = api_keys.caller_of(tx, secret, seaway.clock.now_ms())
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
                    await resumable.append(
                        uploads.seaway.request_parts.publishing, upload.id, 0, coming(), by=uploads.by
                    )
                )
            except WrongOffset as error:
                outcomes.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, SMALL.content[:10])
            tasks.start_soon(one, SMALL.content[:20])

    anyio.run(both)
    won = [outcome for outcome in outcomes if isinstance(outcome, ResumableUpload)]
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
    anyio.run(house.publish_file, uploads.seaway, CHANNEL, SMALL)
    refusals: list[tuple[type[SeawayError], dict[str, Any]]] = [
        (FileExists, {}),
        (Refused, {"file_name": "no-package.zip"}),
        (Malformed, {"length": 0}),
        (Malformed, {"sha256": "x"}),
        (TooLarge, {"length": uploads.seaway.settings.upload_limit + 1}),
        (NotFound, {"channel": "elsewhere"}),
    ]
    for error, changes in refusals:
        with pytest.raises(error):
            uploads.begin(**changes)
    assert (0, 0) == uploads.left()


def test_a_caller_without_the_right_learns_nothing_of_the_request(uploads: Uploads) -> None:
    """The right to upload is checked before the file name and the hash."""
    people = People(uploads.seaway)
    people.member(CHANNEL, "viewer", Role.VIEWER)
    viewer = replace(uploads, by=principal(uploads.seaway, people.key("viewer")))
    for changes in ({"file_name": "no-package.zip"}, {"sha256": "x"}):
        with pytest.raises(NotAllowed):
            viewer.begin(**changes)


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
    with uploads.seaway.database.write_site() as tx:
        members.remove(tx, 1, OPERATOR, CHANNEL, "helper")
    with pytest.raises(NotAllowed):
        uploads.send(upload, 10, SMALL.content[10:])
    assert {} == Channel(uploads.seaway, CHANNEL).repodata()["packages.conda"]


def test_a_store_that_is_away_at_the_end_costs_nothing(uploads: Uploads) -> None:
    """Invariant 3: the offset does not reach the length, so the client sends the last piece again."""
    upload = uploads.begin()
    working = uploads.seaway
    publishing = replace(working.request_parts.publishing, batches=Away())
    uploads.seaway = replace(working, request_parts=replace(working.request_parts, publishing=publishing))
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
    uploads.clock.move(resumable.EXPIRES_AFTER_MS)
    with pytest.raises(NotFound):
        uploads.look(upload)
    with uploads.seaway.database.write_site() as tx:
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
    for _ in range(resumable.MAX_UNFINISHED):
        uploads.begin(other)
    with pytest.raises(TooManyRequests):
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


LEAST = 300
LARGE = packages.conda(index_json("large"), files={"share/noise": os.urandom(5_000)})


@pytest.fixture
def strict(uploads: Uploads) -> Uploads:
    """Pieces have at least 300 bytes."""
    uploads.seaway = taking_pieces_of(LEAST, uploads.seaway)
    return uploads


def sizes_of_pieces(uploads: Uploads) -> list[int]:
    with uploads.seaway.database.read() as tx:
        return list(tx.execute(select(resumable_pieces.c.size).order_by(resumable_pieces.c.start)).scalars())


def test_a_piece_that_is_too_small_is_refused(strict: Uploads) -> None:
    """Invariant 7: with the least size, nothing of it is kept; the last piece of a file may be smaller."""
    upload, content = strict.begin(LARGE), LARGE.content
    before = strict.blobs()
    with pytest.raises(
        Malformed, match=r"A piece of 299 bytes is too small. Send at least 300 bytes at a time, or the rest"
    ):
        strict.send(upload, 0, content[:299])
    assert (0, before) == (strict.look(upload).offset, strict.blobs())
    strict.send(upload, 0, content[:300])
    strict.send(upload, 300, content[300:-4])
    strict.send(upload, len(content) - 4, content[-4:])
    assert_published(strict, LARGE)


def test_an_announced_piece_that_is_too_small_is_refused_unread(strict: Uploads) -> None:
    upload = strict.begin(LARGE)

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    with pytest.raises(Malformed, match="too small"):
        anyio.run(
            partial(
                resumable.append,
                strict.seaway.request_parts.publishing,
                upload.id,
                0,
                unread(),
                by=strict.by,
                announced=4,
            )
        )


def test_short_pieces_of_broken_connections_are_joined(strict: Uploads) -> None:
    """Invariant 7: what arrived before a loss is kept, and the number of objects grows with the bytes only."""
    upload, content = strict.begin(LARGE), LARGE.content
    for start in range(0, 1_000, 10):
        with pytest.raises(ConnectionLost):
            strict.send(upload, start, content[start : start + 10], ConnectionLost())
        assert start + 10 == strict.look(upload).offset
    assert [300, 300, 300, 100] == sizes_of_pieces(strict)
    assert 4 == len(strict.blobs())
    strict.send(upload, 1_000, content[1_000:])
    assert_published(strict, LARGE)


def test_a_short_piece_joined_with_the_last_one_is_kept_for_another_try(strict: Uploads) -> None:
    """Invariants 3 and 7: a store that is away at the end does not shift the bytes."""
    upload, content = strict.begin(LARGE), LARGE.content
    with pytest.raises(ConnectionLost):
        strict.send(upload, 0, content[:10], ConnectionLost())
    working = strict.seaway
    strict.seaway = taking_pieces_of(LEAST, working, batches=Away())
    for _ in range(2):
        with pytest.raises(Unavailable):
            strict.send(upload, 10, content[10:])
        assert 10 == strict.look(upload).offset
    strict.seaway = working
    with pytest.raises(ConnectionLost):
        strict.send(upload, 10, content[10:20], ConnectionLost())
    assert [20] == sizes_of_pieces(strict)
    strict.send(upload, 20, content[20:])
    assert_published(strict, LARGE)


def test_a_lost_short_piece_ends_its_upload(strict: Uploads) -> None:
    upload = strict.begin(LARGE)
    with pytest.raises(ConnectionLost):
        strict.send(upload, 0, LARGE.content[:10], ConnectionLost())
    for key in strict.blobs():
        strict.seaway.blobs.delete(key)
    with pytest.raises(NotFound, match="lost a part"):
        strict.send(upload, 10, LARGE.content[10:])
    assert (0, 0) == strict.left()


def test_files_count_when_they_are_begun(strict: Uploads) -> None:
    """Invariant 6: beginning costs the rate what an upload costs, and the end of the same file costs nothing more."""
    limited(strict, 3)
    begun = [strict.begin(packages.conda(index_json(f"p{number}"))) for number in range(3)]
    with pytest.raises(TooManyRequests, match="Too many uploads"):
        strict.begin()
    for number, upload in enumerate(begun):
        strict.send(upload, 0, packages.conda(index_json(f"p{number}")).content)
    assert 3 == len(Channel(strict.seaway, CHANNEL).repodata()["packages.conda"])
    with pytest.raises(TooManyRequests):
        strict.begin()


def test_short_pieces_count_as_uploads(strict: Uploads) -> None:
    """Invariant 7: over the rate a short piece is not kept, and a piece of the right size still is."""
    limited(strict, 3)
    upload, content = strict.begin(LARGE), LARGE.content
    for start in (0, 10):
        with pytest.raises(ConnectionLost):
            strict.send(upload, start, content[start : start + 10], ConnectionLost())
    with pytest.raises(TooManyRequests):
        strict.send(upload, 20, content[20:30], ConnectionLost())
    assert (20, 1) == (strict.look(upload).offset, len(strict.blobs()))
    strict.send(upload, 20, content[20:])
    assert_published(strict, LARGE)


def limited(uploads: Uploads, count: int) -> None:
    """Let each sender begin so many uploads an hour."""
    rate = UploadRate(Limit(count, HOUR_MS))
    batches = uploads.seaway.request_parts.publishing.batches
    counting = Batches(batches._database, batches._blobs, replace(batches._parts, rate=rate))
    uploads.seaway = taking_pieces_of(LEAST, uploads.seaway, rate=rate, batches=counting)


def test_pieces_count_in_the_quota_of_the_channel(strict: Uploads) -> None:
    """Invariant 6: what is unfinished takes room from other files, to the byte, until it ends."""
    upload, content = strict.begin(LARGE), LARGE.content
    other = packages.conda(index_json("other"), files={"share/noise": os.urandom(3_000)})
    set_quota(strict, len(content) + 1_999)
    strict.send(upload, 0, content[:1_000])
    assert 1_000 == quota_of(strict).used
    second = strict.begin(other)
    strict.send(second, 0, other.content[:2_000])
    assert 3_000 == quota_of(strict).used
    with pytest.raises(
        TooLarge, match=f"The channel demo holds 3,000 of .* and {len(content) - 1_000:,} more do not fit"
    ):
        strict.send(upload, 1_000, content[1_000:])
    with pytest.raises(TooLarge):
        Channel(strict.seaway, CHANNEL).put(packages.conda(index_json("whole"), files={"a": os.urandom(len(content))}))
    with pytest.raises(TooLarge):
        strict.begin(LARGE)
    strict.end(second)
    assert 1_000 == quota_of(strict).used
    strict.send(upload, 1_000, content[1_000:])
    assert len(content) == quota_of(strict).used
    assert_published(strict, LARGE)


def test_a_file_that_fills_the_quota_comes_in(strict: Uploads) -> None:
    """Its own pieces do not count against it."""
    set_quota(strict, len(LARGE.content))
    upload = strict.begin(LARGE)
    for start in range(0, len(LARGE.content), 1_000):
        strict.send(upload, start, LARGE.content[start : start + 1_000])
    assert_published(strict, LARGE)


def test_a_replacement_has_the_room_of_what_it_replaces(strict: Uploads) -> None:
    """Once: two unfinished replacements at a time do not fit."""
    Channel(strict.seaway, CHANNEL).put(LARGE)
    set_quota(strict, len(LARGE.content) + 100)
    better = packages.conda(index_json("large"), files={"share/noise": os.urandom(5_000)})
    first, second = (strict.begin(better, force=True) for _ in range(2))
    strict.send(first, 0, better.content[:3_000])
    with pytest.raises(TooLarge):
        strict.send(second, 0, better.content[:3_000])
    strict.send(first, 3_000, better.content[3_000:])
    assert better.content == Channel(strict.seaway, CHANNEL).read("noarch", better.name)


def test_pieces_count_in_the_quota_of_the_owner(strict: Uploads) -> None:
    """Of all channels that a user owns, whoever sends them; `user_quota` is that of users without another one."""
    people = People(strict.seaway)
    people.channel("second", owner="owner")
    strict.seaway = taking_pieces_of(LEAST, strict.seaway, user_quota=len(LARGE.content) + 10)
    upload = strict.begin(LARGE)
    strict.send(upload, 0, LARGE.content[:-10])
    with pytest.raises(TooLarge, match="The channels of the owner of second hold"):
        strict.begin(channel="second")
    with strict.seaway.database.write_site() as tx:
        quotas.set_of_user(tx, 0, OPERATOR, "owner", 10**6)
    strict.begin(channel="second")
    with strict.seaway.database.write_site() as tx:
        assert quotas.Usage(10**6, len(LARGE.content) - 10) == quotas.of_user(tx, strict.by.user_id or 0, 5)
        quotas.set_of_user(tx, 0, OPERATOR, "owner", None)
        assert quotas.Usage(5, len(LARGE.content) - 10, is_default=True) == quotas.of_user(
            tx, strict.by.user_id or 0, 5
        )


def set_quota(uploads: Uploads, quota: int) -> None:
    with uploads.seaway.database.write_site() as tx:
        quotas.set_of_channel(tx, 0, OPERATOR, CHANNEL, quota)


def quota_of(uploads: Uploads) -> quotas.Usage:
    with uploads.seaway.database.read() as tx:
        return quotas.of_channel(tx, channels.get(tx, CHANNEL).id)


def test_of_two_uploads_that_fit_one_by_one_one_gets_the_room(uploads: Uploads) -> None:
    """Both were begun, and the other one came in while a piece of this one was on its way: nothing is kept of it."""
    other = packages.conda(index_json("other"))
    with uploads.seaway.database.write_site() as tx:
        quotas.set_of_channel(tx, 0, OPERATOR, CHANNEL, len(SMALL.content) + len(other.content) // 4)
    first, second = uploads.begin(), uploads.begin(other)
    publishing = uploads.seaway.request_parts.publishing

    async def whole() -> AsyncIterator[bytes]:
        yield SMALL.content

    async def overtaken() -> AsyncIterator[bytes]:
        assert (await resumable.append(publishing, first.id, 0, whole(), by=uploads.by)).published
        yield other.content[: len(other.content) // 2]

    with pytest.raises(TooLarge):
        anyio.run(partial(resumable.append, publishing, second.id, 0, overtaken(), by=uploads.by))
    assert (2, 0) == uploads.left()
    assert_published(uploads, SMALL)
