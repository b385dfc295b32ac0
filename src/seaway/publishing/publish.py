"""
From the bytes of a stranger to a package in a channel.

1. Every file row names a blob that exists (S1): bytes first, then one transaction that names them.
2. No reader reaches a blob that no row names.
3. A file in a channel never changes its bytes under its name, unless someone with the right overwrote it.
4. Every change has its audit line, its shard and its revision in the same commit (S2, S4).

What a kill leaves, line by line:
    while receiving or examining    an unlocked spool file; removed at the next start and by every sweep
    after the store                 a blob that no row names; removed by the sweep when it is a day old
                                    (a refusal there, such as a lost race for a name, takes it away itself)
    after the record                the package is there, whole; whole documents are built when asked for
"""

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

import structlog
from anyio import CapacityLimiter, to_thread

from seaway import system_errors
from seaway.accounts.principal import Principal
from seaway.channels import permissions
from seaway.channels.roles import Action
from seaway.clock import Clock
from seaway.conda import filename
from seaway.conda.filename import FileName
from seaway.counts import Counts, Outcome, Stage
from seaway.database.engine import Database
from seaway.errors import Malformed, SeawayError, Unavailable
from seaway.fair_turns import FairTurns, Turn
from seaway.indexing.claims import BlobSwept, discard
from seaway.publishing import admit
from seaway.publishing.attest import Attesting, require_workflow, verified
from seaway.publishing.batches import Batches
from seaway.publishing.examine import Candidate
from seaway.publishing.examiners import Examiners
from seaway.publishing.rates import RefusedTime, UploadRate, sender_of
from seaway.publishing.receive import Arrived, receive
from seaway.publishing.record import Recorded, Submission, early_facts, require_upload
from seaway.storage import keys
from seaway.storage.blobs import Blobs
from seaway.storage.reserve import Reserve
from seaway.storage.spool import Spool

log = structlog.get_logger()

_LONGEST_LOGGED = 255

P = ParamSpec("P")
T = TypeVar("T")


class Incoming(Protocol):
    """A file on its way in, as any door hands it over."""

    file_name: str
    announced_sha256: str | None

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the file, once."""
        ...

    async def finish(self) -> bytes | None:
        """Read what follows the file; the attestation, if one came."""
        ...


@dataclass(frozen=True, slots=True)
class Publishing:
    """The parts that publishing works with."""

    database: Database
    blobs: Blobs
    spool: Spool
    examiners: Examiners
    clock: Clock
    upload_limit: int
    user_quota: int | None  # of users for whom no admin set another
    least_piece: int  # of a resumable upload, in bytes
    rate: UploadRate
    refused_time: RefusedTime
    # Finishing an upload waits for the store and for the one write lock. In threads of their own, a hundred uploads
    # that wait do not hold the threads that readers need; and no sender holds all of these.
    turns: FairTurns
    threads: CapacityLimiter
    batches: Batches[Submission, Recorded]
    disk: Executor  # writes and syncs what arrives, beside the threads that wait for it
    counts: Counts
    attesting: Attesting
    reserve: Reserve


@dataclass(frozen=True, slots=True)
class Order:
    """What a request wants of the file that it sends."""

    channel: str
    file_name: FileName
    announced_sha256: str | None
    attestation: bytes | None
    by: Principal
    force: bool
    in_pieces: int


@dataclass(frozen=True, slots=True)
class Published:
    """A file that readers see now."""

    channel: str
    subdir: str
    file_name: str
    sha256: str
    revision: int
    replaced: bool
    warnings: tuple[str, ...] = field(default=())
    repeated: bool = False  # its uploader had sent the same bytes before


async def publish(
    house: Publishing,
    channel: str,
    incoming: Incoming,
    *,
    by: Principal,
    force: bool,
    least_size: int = 1,
    in_pieces: int = 0,
) -> Published:
    """
    Take one package file from `by` into `channel`; the invariants are in the module's head.

    `least_size` is what the request tells of the bytes to come, so that they are not sent in vain. `in_pieces` is the
    size of a file that is stored in pieces: the quota and the rate counted it when they came.
    """
    try:
        published = await _publish(
            house, channel, incoming, by=by, force=force, least_size=least_size, in_pieces=in_pieces
        )
    except BaseException as error:  # a client that hung up is counted too
        tell_failure(house.counts, channel, incoming.file_name, error)
        raise
    tell_success(house.counts, published)
    return published


def tell_success(counts: Counts, published: Published) -> None:
    """Count an upload that came in."""
    is_new = Outcome.REPLACED if published.replaced else Outcome.PUBLISHED
    counts.upload(Outcome.REPEATED if published.repeated else is_new)


def tell_failure(counts: Counts, channel: str, file_name: str, error: BaseException) -> None:
    """Count and log an upload that did not come in."""
    if isinstance(error, OSError):
        counts.upload(Outcome.FAILED, "disk")
    elif isinstance(error, Exception) and system_errors.is_unavailable(error):
        counts.upload(Outcome.FAILED, Unavailable.code)
    elif isinstance(error, SeawayError):
        counts.upload(Outcome.REFUSED, error.code)
        log.info(
            "upload.refused", channel=channel, file=file_name[:_LONGEST_LOGGED], code=error.code, reason=error.message
        )
    else:
        counts.upload(Outcome.BROKEN_OFF)


async def _publish(
    house: Publishing,
    channel: str,
    incoming: Incoming,
    *,
    by: Principal,
    force: bool,
    least_size: int,
    in_pieces: int,
) -> Published:
    file_name = await to_thread.run_sync(
        refuse_early, house, channel, incoming.file_name, incoming.announced_sha256, by, force, least_size, in_pieces
    )
    with house.spool.file() as spool_file:
        with house.counts.timed(Stage.RECEIVE):
            arrived = await receive(incoming.chunks(), spool_file, limit=house.upload_limit, disk=house.disk)
            attestation = await incoming.finish()
        require_workflow(attestation, by)
        order = Order(channel, file_name, incoming.announced_sha256, attestation, by, force, in_pieces)
        with await house.examiners.turns.wait(sender_of(by)) as examining:
            return await in_turn(house, by, _take_in, house, order, arrived, examining)


async def in_turn(house: Publishing, by: Principal, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """The outcome of a step of an upload, in one of the threads for them when this sender has its turn."""
    with await house.turns.wait(sender_of(by)):
        return await to_thread.run_sync(partial(work, *args, **named), limiter=house.threads)


def _take_in(house: Publishing, order: Order, arrived: Arrived, examining: Turn) -> Published:
    """The rest in one thread: each way between the event loop and a thread costs as much as opening a small package."""
    if examining.waited:  # meanwhile other files of this sender may have been refused
        with house.database.read() as tx:
            house.refused_time.require_room(tx, order.by)
    received = arrived.finish(order.announced_sha256)
    house.counts.received(received.hashes.size)
    # While the package is opened, the disk does what keeping it will need, which takes as long.
    prepared = house.disk.submit(house.blobs.prepare_file, received.path)
    with house.refused_time.counted(order.by) as stopwatch:
        with house.counts.timed(Stage.EXAMINE):
            with examining, stopwatch:
                candidate = house.examiners.examine(received.path, order.file_name, received.hashes)
            attested = verified(house.attesting, order.channel, candidate, order.attestation, order.by)
        with house.counts.timed(Stage.RECORD):
            prepared.result()  # a disk that could not keep the file says so once only
            submission = Submission(candidate, order.by, order.force, attested, order.in_pieces)
            recorded = store_and_record(house, order.channel, received.path, submission)
    return published(order.channel, candidate, recorded)


def refuse_early(
    house: Publishing,
    channel: str,
    named: str,
    announced_sha256: str | None,
    by: Principal,
    force: bool,
    least_size: int,
    in_pieces: int,
) -> FileName:
    """What can be refused before the bytes are read; who may not upload is not told what is wrong with the name."""
    with house.database.read() as tx:
        access = require_upload(tx, channel, by)
        if not in_pieces:
            house.rate.require_room(tx, house.clock.now_ms(), by)
        house.refused_time.require_room(tx, by)
        file_name = filename.parse(named)
        permissions.require(by, Action.UPLOAD, access, channel_name=channel, package=file_name.name)
        sha256 = _parse_sha256(announced_sha256)
        facts = early_facts(
            tx,
            channel,
            access,
            file_name,
            by,
            force=force,
            sha256=sha256,
            size=least_size,
            in_pieces=in_pieces,
            user_quota=house.user_quota,
        )
        # The bytes of a repeated upload are received and compared: an announced hash alone proves nothing.
        if not admit.is_repeated(sha256, facts):
            admit.admit(file_name, sha256, facts)
    house.reserve.require_room()
    return file_name


def _parse_sha256(announced: str | None) -> bytes | None:
    if announced is None:
        return None
    try:
        sha256 = bytes.fromhex(announced)
    except ValueError:
        sha256 = b""
    if len(sha256) != 32:
        raise Malformed("X-File-SHA256 is not the 64 hexadecimal digits of a sha256.", "Send the hash of the file.")
    return sha256


def store_and_record(house: Publishing, channel: str, path: Path, submission: Submission) -> Recorded:
    """Keep the file and name it; the final yes or no comes from the transaction: the channel may be gone, the name taken, the role lost."""
    sha256 = submission.candidate.hashes.sha256
    while True:
        is_new = house.blobs.put_file(keys.blob(sha256), path)
        try:
            return house.batches.record(sha256, channel, submission)
        except BlobSwept:
            continue
        except SeawayError:
            if is_new:  # what was there before may be what a backup is copying
                discard(house.database, house.blobs, [sha256])
            raise


def published(channel: str, candidate: Candidate, recorded: Recorded) -> Published:
    """What there is to tell of an upload that was recorded."""
    return Published(
        channel=channel,
        subdir=candidate.subdir,
        file_name=str(candidate.file_name),
        sha256=candidate.hashes.sha256.hex(),
        revision=recorded.revision,
        replaced=recorded.replaced,
        repeated=recorded.repeated,
        warnings=recorded.warnings,
    )
