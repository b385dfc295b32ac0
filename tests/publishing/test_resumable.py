"""Resumable uploads: acknowledged bytes stay, and the result equals that of an upload in one piece."""

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
from tests.support import packages, sites
from tests.support.clock import ManualClock
from tests.support.packages import index_json
from tests.support.sites import Factory

CHANNEL = "demo"
# Incompressible and larger than one piece, so that there are several pieces.
FILE = packages.conda(index_json("big"), files={"share/noise": os.urandom(17 * 1024 * 1024)})
SMALL = packages.conda(index_json("small"))


class ConnectionLost(Exception):
    """Raised by a request body when the client disconnects."""


@dataclass
class Uploads:
    """A channel user who sends files in pieces."""

    seaway: Seaway
    by: Caller
    clock: ManualClock

    def begin(self, file: packages.PackageFile = SMALL, **changes: Any) -> ResumableUpload:
        request = ResumableRequest(CHANNEL, file.name, len(file.content), file.sha256, force=False)
        return anyio.run(
            partial(
                resumable.begin,
                self.seaway.request_parts.publishing,
                replace(request, **changes),
                by=changes.pop("by", self.by),
            )
        )

    def send(
        self, upload: ResumableUpload, offset: int, *chunks: bytes | Exception, by: Caller | None = None
    ) -> ResumableUpload:
        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk

        return anyio.run(
            partial(resumable.append, self.seaway.request_parts.publishing, upload.id, offset, body(), by=by or self.by)
        )

    def get(self, upload: ResumableUpload, by: Caller | None = None) -> ResumableUpload:
        return resumable.get(self.seaway.request_parts.publishing.site, upload.id, by or self.by)

    def cancel(self, upload: ResumableUpload) -> None:
        resumable.cancel(self.seaway.request_parts.publishing.site, upload.id, self.by)

    def row_counts(self) -> tuple[int, int]:
        """Return the number of upload rows and of piece rows."""
        with self.seaway.site.database.read() as tx:
            counts = [
                tx.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (resumable_uploads, resumable_pieces)
            ]
        return counts[0], counts[1]

    def blobs(self) -> set[str]:
        return {stat.key for stat in self.seaway.site.blobs.list() if storage_keys.is_swept(stat.key)}


@pytest.fixture
def uploads(on_both: str, tmp_path: Path, clock: ManualClock) -> Iterator[Uploads]:
    with closing(with_in_process_examiners(sites.build(tmp_path, clock))) as seaway:
        factory = Factory(seaway)
        factory.channel(CHANNEL, owner="owner")
        yield Uploads(with_min_piece_bytes(1, seaway), caller_with_key(seaway, factory.key("owner")), clock)


def with_min_piece_bytes(min_piece_bytes: int, seaway: Seaway, **changes: Any) -> Seaway:
    """Return the same Seaway instance with another minimum piece size."""
    publishing = replace(seaway.request_parts.publishing, min_piece_bytes=min_piece_bytes, **changes)
    return replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing))


def caller_with_key(seaway: Seaway, secret: str) -> Caller:
    with seaway.site.database.read() as tx:
        caller = api_keys.caller_of(tx, secret, seaway.site.clock.now_ms())
    assert caller is not None
    return caller


def assert_published(uploads: Uploads, file: packages.PackageFile) -> None:
    channel = Channel(uploads.seaway, CHANNEL)
    assert file.content == channel.read("noarch", file.name)
    assert file.sha256 == channel.repodata()["packages.conda"][file.name]["sha256"]
    assert [] == list(check(uploads.seaway))


def test_file_is_uploaded_in_several_requests_and_pieces(uploads: Uploads) -> None:
    """Invariants 1 to 3: the upload resumes at its offset, and the file is published with the last byte."""
    upload = uploads.begin(FILE)
    half = len(FILE.content) // 2
    assert half == uploads.send(upload, 0, FILE.content[:half]).offset == uploads.get(upload).offset
    assert uploads.get(upload).published is None
    finished = uploads.send(upload, half, FILE.content[half:])
    assert len(FILE.content) == finished.offset == uploads.get(upload).offset
    assert finished.published is not None
    assert finished.published == uploads.get(upload).published
    assert 1 == finished.published.revision
    assert_published(uploads, FILE)


def test_bytes_received_before_a_lost_connection_are_kept(uploads: Uploads) -> None:
    """Invariant 1: a connection lost within a piece costs only the bytes that were not received."""
    upload = uploads.begin(FILE)
    with pytest.raises(ConnectionLost):
        uploads.send(upload, 0, FILE.content[:1_000], FILE.content[1_000:5_000], ConnectionLost())
    assert 5_000 == uploads.get(upload).offset
    with pytest.raises(ConnectionLost):
        uploads.send(upload, 5_000, ConnectionLost())
    assert 5_000 == uploads.get(upload).offset
    uploads.send(upload, 5_000, FILE.content[5_000:])
    assert_published(uploads, FILE)


def test_request_at_another_offset_is_refused(uploads: Uploads) -> None:
    """Invariant 2: the refusal has the right offset, and nothing changes."""
    upload = uploads.begin()
    uploads.send(upload, 0, SMALL.content[:10])
    for wrong in (0, 9, 11, len(SMALL.content)):
        with pytest.raises(WrongOffset, match=f"has 10 of {len(SMALL.content):,} bytes"):
            uploads.send(upload, wrong, SMALL.content[wrong:])
    uploads.send(upload, 10, SMALL.content[10:])
    assert_published(uploads, SMALL)


def test_one_of_two_concurrent_requests_wins(uploads: Uploads) -> None:
    """Invariant 2: both start at the same offset, and either can be faster."""
    upload = uploads.begin()
    outcomes: list[object] = []

    async def append_both() -> None:
        async def append(content: bytes) -> None:
            async def body() -> AsyncIterator[bytes]:
                await anyio.lowlevel.checkpoint()
                yield content

            try:
                outcomes.append(
                    await resumable.append(uploads.seaway.request_parts.publishing, upload.id, 0, body(), by=uploads.by)
                )
            except WrongOffset as error:
                outcomes.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(append, SMALL.content[:10])
            tasks.start_soon(append, SMALL.content[:20])

    anyio.run(append_both)
    winners = [outcome for outcome in outcomes if isinstance(outcome, ResumableUpload)]
    assert 1 == len(winners)
    assert winners[0].offset == uploads.get(upload).offset
    uploads.send(upload, winners[0].offset, SMALL.content[winners[0].offset :])
    assert_published(uploads, SMALL)


def test_refused_file_leaves_nothing(uploads: Uploads) -> None:
    """Invariant 4: the refusal is that of an upload in one piece, and the bytes are deleted."""
    before = uploads.blobs()
    upload = uploads.begin(sha256=None)
    with pytest.raises(Refused):
        uploads.send(upload, 0, SMALL.content[:10], bytes(len(SMALL.content) - 10))
    assert (0, 0) == uploads.row_counts()
    assert before == uploads.blobs()
    with pytest.raises(NotFound):
        uploads.get(upload)


def test_announced_hash_is_verified(uploads: Uploads) -> None:
    upload = uploads.begin(sha256="0" * 64)
    with pytest.raises(Refused, match="sha256"):
        uploads.send(upload, 0, SMALL.content)
    assert (0, 0) == uploads.row_counts()


def test_invalid_request_is_refused_at_the_start(uploads: Uploads) -> None:
    """No byte is accepted for a file that cannot be published."""
    anyio.run(sites.publish_file, uploads.seaway, CHANNEL, SMALL)
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
    assert (0, 0) == uploads.row_counts()


def test_permission_is_checked_before_the_request_is_validated(uploads: Uploads) -> None:
    """A caller without the right to upload gets no error about the file name or the hash."""
    factory = Factory(uploads.seaway)
    factory.member(CHANNEL, "viewer", Role.VIEWER)
    viewer = replace(uploads, by=caller_with_key(uploads.seaway, factory.key("viewer")))
    for changes in ({"file_name": "no-package.zip"}, {"sha256": "x"}):
        with pytest.raises(NotAllowed):
            viewer.begin(**changes)


def test_more_bytes_than_announced_are_refused(uploads: Uploads) -> None:
    upload = uploads.begin()
    with pytest.raises(TooLarge):
        uploads.send(upload, 0, SMALL.content, b"x")
    assert 0 == uploads.get(upload).offset


def test_upload_is_visible_only_to_the_user_who_began_it(uploads: Uploads) -> None:
    """Other callers get NotFound, whatever their role."""
    upload = uploads.begin()
    another_caller = caller_with_key(uploads.seaway, Factory(uploads.seaway).key("nonmember"))
    with pytest.raises(NotFound):
        uploads.get(upload, another_caller)
    with pytest.raises(NotFound):
        uploads.send(upload, 0, SMALL.content, by=another_caller)
    assert 0 == uploads.get(upload).offset


def test_permission_is_checked_for_each_piece(uploads: Uploads) -> None:
    """A user who was removed since the start cannot continue, and publishes nothing."""
    factory = Factory(uploads.seaway)
    factory.member(CHANNEL, "helper", Role.CONTRIBUTOR)
    uploads.by = caller_with_key(uploads.seaway, factory.key("helper"))
    upload = uploads.begin()
    uploads.send(upload, 0, SMALL.content[:10])
    with uploads.seaway.site.database.write_site() as tx:
        members.remove(tx, 1, OPERATOR, CHANNEL, "helper")
    with pytest.raises(NotAllowed):
        uploads.send(upload, 10, SMALL.content[10:])
    assert {} == Channel(uploads.seaway, CHANNEL).repodata()["packages.conda"]


def test_upload_survives_an_unavailable_database_at_the_end(uploads: Uploads) -> None:
    """Invariant 3: the offset stays below the length, so the client sends the last piece again."""
    upload = uploads.begin()
    working = uploads.seaway
    publishing = replace(working.request_parts.publishing, batches=UnavailableBatches())
    uploads.seaway = replace(working, request_parts=replace(working.request_parts, publishing=publishing))
    with pytest.raises(Unavailable):
        uploads.send(upload, 0, SMALL.content)
    assert uploads.get(upload).offset < len(SMALL.content)
    uploads.seaway = working
    uploads.send(upload, uploads.get(upload).offset, SMALL.content)
    assert_published(uploads, SMALL)


class UnavailableBatches:
    """Batches that cannot record anything."""

    def record(self, *_: object) -> None:
        raise Unavailable("The database does not respond.")


def test_canceled_upload_leaves_nothing(uploads: Uploads) -> None:
    before = uploads.blobs()
    upload = uploads.begin()
    uploads.send(upload, 0, SMALL.content[:10])
    uploads.cancel(upload)
    assert (0, 0) == uploads.row_counts()
    assert before == uploads.blobs()


def test_unfinished_upload_expires_after_a_day(uploads: Uploads) -> None:
    """Invariant 5: it is then not found, its row expires, and the sweep deletes its pieces, but not before."""
    upload = uploads.begin()
    uploads.send(upload, 0, SMALL.content[:10])
    sweep_now(uploads)
    assert 10 == uploads.get(upload).offset
    uploads.clock.move(resumable.EXPIRES_AFTER_MS)
    with pytest.raises(NotFound):
        uploads.get(upload)
    with uploads.seaway.site.database.write_site() as tx:
        assert 1 == resumable.expire(tx, uploads.clock.now_ms())
    sweep_now(uploads)
    assert set() == uploads.blobs()


def sweep_now(uploads: Uploads) -> None:
    seaway = uploads.seaway
    sweep(seaway.site, seaway.pairing, max_percent=100, grace_ms=-(1 << 60))


def test_published_upload_can_be_queried_for_an_hour(uploads: Uploads) -> None:
    """Invariant 4: a client that lost the last response can see that the file was published."""
    upload = uploads.begin()
    uploads.send(upload, 0, SMALL.content)
    uploads.clock.move(HOUR_MS - 1)
    assert uploads.get(upload).published is not None
    uploads.clock.move(1)
    with pytest.raises(NotFound):
        uploads.get(upload)


def test_unfinished_uploads_of_a_user_are_limited(uploads: Uploads) -> None:
    """They take storage; finished uploads do not count."""
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
def test_any_division_into_pieces_gives_the_same_file(
    uploads: Uploads, cuts: Sequence[int], losses: Sequence[bool]
) -> None:
    """With or without a lost connection at each cut."""
    channel = Channel(uploads.seaway, CHANNEL)
    upload = uploads.begin(force=True) if SMALL.name in channel.repodata()["packages.conda"] else uploads.begin()
    for start, stop, is_lost in zip([0, *cuts], [*cuts, len(SMALL.content)], losses, strict=False):
        loss = [ConnectionLost()] if is_lost and stop < len(SMALL.content) else []
        try:
            uploads.send(upload, start, SMALL.content[start:stop], *loss)
        except ConnectionLost:
            assert loss
    assert uploads.get(upload).published is not None
    assert SMALL.content == channel.read("noarch", SMALL.name)


MIN_PIECE_BYTES = 300
LARGE = packages.conda(index_json("large"), files={"share/noise": os.urandom(5_000)})


@pytest.fixture
def with_minimum(uploads: Uploads) -> Uploads:
    """Return uploads with a minimum piece size of 300 bytes."""
    uploads.seaway = with_min_piece_bytes(MIN_PIECE_BYTES, uploads.seaway)
    return uploads


def sizes_of_pieces(uploads: Uploads) -> list[int]:
    with uploads.seaway.site.database.read() as tx:
        return list(tx.execute(select(resumable_pieces.c.size).order_by(resumable_pieces.c.start)).scalars())


def test_piece_below_the_minimum_size_is_refused(with_minimum: Uploads) -> None:
    """Invariant 7: the refusal has the minimum size, and nothing is kept; the last piece can be smaller."""
    upload, content = with_minimum.begin(LARGE), LARGE.content
    before = with_minimum.blobs()
    with pytest.raises(
        Malformed, match=r"A piece of 299 bytes is too small. Send at least 300 bytes at a time, or the rest"
    ):
        with_minimum.send(upload, 0, content[:299])
    assert (0, before) == (with_minimum.get(upload).offset, with_minimum.blobs())
    with_minimum.send(upload, 0, content[:300])
    with_minimum.send(upload, 300, content[300:-4])
    with_minimum.send(upload, len(content) - 4, content[-4:])
    assert_published(with_minimum, LARGE)


def test_announced_piece_below_the_minimum_size_is_refused_unread(with_minimum: Uploads) -> None:
    upload = with_minimum.begin(LARGE)

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    with pytest.raises(Malformed, match="too small"):
        anyio.run(
            partial(
                resumable.append,
                with_minimum.seaway.request_parts.publishing,
                upload.id,
                0,
                unread(),
                by=with_minimum.by,
                announced=4,
            )
        )


def test_short_pieces_of_lost_connections_are_joined(with_minimum: Uploads) -> None:
    """Invariant 7: received bytes are kept, and the number of objects grows only with the bytes."""
    upload, content = with_minimum.begin(LARGE), LARGE.content
    for start in range(0, 1_000, 10):
        with pytest.raises(ConnectionLost):
            with_minimum.send(upload, start, content[start : start + 10], ConnectionLost())
        assert start + 10 == with_minimum.get(upload).offset
    assert [300, 300, 300, 100] == sizes_of_pieces(with_minimum)
    assert 4 == len(with_minimum.blobs())
    with_minimum.send(upload, 1_000, content[1_000:])
    assert_published(with_minimum, LARGE)


def test_short_piece_is_kept_when_the_last_one_fails(with_minimum: Uploads) -> None:
    """Invariants 3 and 7: a failure at the end does not shift the bytes."""
    upload, content = with_minimum.begin(LARGE), LARGE.content
    with pytest.raises(ConnectionLost):
        with_minimum.send(upload, 0, content[:10], ConnectionLost())
    working = with_minimum.seaway
    with_minimum.seaway = with_min_piece_bytes(MIN_PIECE_BYTES, working, batches=UnavailableBatches())
    for _ in range(2):
        with pytest.raises(Unavailable):
            with_minimum.send(upload, 10, content[10:])
        assert 10 == with_minimum.get(upload).offset
    with_minimum.seaway = working
    with pytest.raises(ConnectionLost):
        with_minimum.send(upload, 10, content[10:20], ConnectionLost())
    assert [20] == sizes_of_pieces(with_minimum)
    with_minimum.send(upload, 20, content[20:])
    assert_published(with_minimum, LARGE)


def test_lost_short_piece_ends_the_upload(with_minimum: Uploads) -> None:
    upload = with_minimum.begin(LARGE)
    with pytest.raises(ConnectionLost):
        with_minimum.send(upload, 0, LARGE.content[:10], ConnectionLost())
    for key in with_minimum.blobs():
        with_minimum.seaway.site.blobs.delete(key)
    with pytest.raises(NotFound, match="lost a part"):
        with_minimum.send(upload, 10, LARGE.content[10:])
    assert (0, 0) == with_minimum.row_counts()


def test_upload_counts_in_the_rate_when_it_begins(with_minimum: Uploads) -> None:
    """Invariant 6: beginning counts as one upload, and publishing the same file does not count again."""
    limit_uploads(with_minimum, 3)
    begun = [with_minimum.begin(packages.conda(index_json(f"p{number}"))) for number in range(3)]
    with pytest.raises(TooManyRequests, match="Too many uploads"):
        with_minimum.begin()
    for number, upload in enumerate(begun):
        with_minimum.send(upload, 0, packages.conda(index_json(f"p{number}")).content)
    assert 3 == len(Channel(with_minimum.seaway, CHANNEL).repodata()["packages.conda"])
    with pytest.raises(TooManyRequests):
        with_minimum.begin()


def test_short_pieces_count_in_the_upload_rate(with_minimum: Uploads) -> None:
    """Invariant 7: over the rate a short piece is not kept, and a piece of sufficient size still is."""
    limit_uploads(with_minimum, 3)
    upload, content = with_minimum.begin(LARGE), LARGE.content
    for start in (0, 10):
        with pytest.raises(ConnectionLost):
            with_minimum.send(upload, start, content[start : start + 10], ConnectionLost())
    with pytest.raises(TooManyRequests):
        with_minimum.send(upload, 20, content[20:30], ConnectionLost())
    assert (20, 1) == (with_minimum.get(upload).offset, len(with_minimum.blobs()))
    with_minimum.send(upload, 20, content[20:])
    assert_published(with_minimum, LARGE)


def limit_uploads(uploads: Uploads, count: int) -> None:
    """Limit each sender to this number of uploads an hour."""
    rate = UploadRate(Limit(count, HOUR_MS))
    batches = uploads.seaway.request_parts.publishing.batches
    counting = Batches(replace(batches._parts, rate=rate))
    uploads.seaway = with_min_piece_bytes(MIN_PIECE_BYTES, uploads.seaway, rate=rate, batches=counting)


def test_pieces_count_in_the_channel_quota(with_minimum: Uploads) -> None:
    """Invariant 6: unfinished uploads reduce the space for other files, to the byte, until they end."""
    upload, content = with_minimum.begin(LARGE), LARGE.content
    other = packages.conda(index_json("other"), files={"share/noise": os.urandom(3_000)})
    set_quota(with_minimum, len(content) + 1_999)
    with_minimum.send(upload, 0, content[:1_000])
    assert 1_000 == quota_of(with_minimum).used
    second = with_minimum.begin(other)
    with_minimum.send(second, 0, other.content[:2_000])
    assert 3_000 == quota_of(with_minimum).used
    with pytest.raises(
        TooLarge, match=f"The channel demo holds 3,000 of .* and {len(content) - 1_000:,} more do not fit"
    ):
        with_minimum.send(upload, 1_000, content[1_000:])
    with pytest.raises(TooLarge):
        Channel(with_minimum.seaway, CHANNEL).put(
            packages.conda(index_json("whole"), files={"a": os.urandom(len(content))})
        )
    with pytest.raises(TooLarge):
        with_minimum.begin(LARGE)
    with_minimum.cancel(second)
    assert 1_000 == quota_of(with_minimum).used
    with_minimum.send(upload, 1_000, content[1_000:])
    assert len(content) == quota_of(with_minimum).used
    assert_published(with_minimum, LARGE)


def test_file_that_fills_the_quota_is_accepted(with_minimum: Uploads) -> None:
    """Its own pieces do not count against it."""
    set_quota(with_minimum, len(LARGE.content))
    upload = with_minimum.begin(LARGE)
    for start in range(0, len(LARGE.content), 1_000):
        with_minimum.send(upload, start, LARGE.content[start : start + 1_000])
    assert_published(with_minimum, LARGE)


def test_replacement_can_use_the_quota_of_the_replaced_file(with_minimum: Uploads) -> None:
    """Only once: two unfinished replacements at a time do not fit."""
    Channel(with_minimum.seaway, CHANNEL).put(LARGE)
    set_quota(with_minimum, len(LARGE.content) + 100)
    replacement = packages.conda(index_json("large"), files={"share/noise": os.urandom(5_000)})
    first, second = (with_minimum.begin(replacement, force=True) for _ in range(2))
    with_minimum.send(first, 0, replacement.content[:3_000])
    with pytest.raises(TooLarge):
        with_minimum.send(second, 0, replacement.content[:3_000])
    with_minimum.send(first, 3_000, replacement.content[3_000:])
    assert replacement.content == Channel(with_minimum.seaway, CHANNEL).read("noarch", replacement.name)


def test_pieces_count_in_the_owner_quota(with_minimum: Uploads) -> None:
    """In all channels that a user owns, for every uploader; `user_quota` is the default of users."""
    factory = Factory(with_minimum.seaway)
    factory.channel("second", owner="owner")
    with_minimum.seaway = with_min_piece_bytes(MIN_PIECE_BYTES, with_minimum.seaway, user_quota=len(LARGE.content) + 10)
    upload = with_minimum.begin(LARGE)
    with_minimum.send(upload, 0, LARGE.content[:-10])
    with pytest.raises(TooLarge, match="The channels of the owner of second hold"):
        with_minimum.begin(channel="second")
    with with_minimum.seaway.site.database.write_site() as tx:
        quotas.set_of_user(tx, 0, OPERATOR, "owner", 10**6)
    with_minimum.begin(channel="second")
    with with_minimum.seaway.site.database.write_site() as tx:
        assert quotas.QuotaUsage(10**6, len(LARGE.content) - 10) == quotas.of_user(tx, with_minimum.by.user_id or 0, 5)
        quotas.set_of_user(tx, 0, OPERATOR, "owner", None)
        assert quotas.QuotaUsage(5, len(LARGE.content) - 10, is_default=True) == quotas.of_user(
            tx, with_minimum.by.user_id or 0, 5
        )


def set_quota(uploads: Uploads, quota: int) -> None:
    with uploads.seaway.site.database.write_site() as tx:
        quotas.set_of_channel(tx, 0, OPERATOR, CHANNEL, quota)


def quota_of(uploads: Uploads) -> quotas.QuotaUsage:
    with uploads.seaway.site.database.read() as tx:
        return quotas.of_channel(tx, channels.get(tx, CHANNEL).id)


def test_quota_is_checked_again_for_each_piece(uploads: Uploads) -> None:
    """The first upload completes while a piece of the second one is sent: that piece is not kept."""
    other = packages.conda(index_json("other"))
    with uploads.seaway.site.database.write_site() as tx:
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
    assert (2, 0) == uploads.row_counts()
    assert_published(uploads, SMALL)
