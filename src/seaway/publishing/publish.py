"""
Upload a package file to a channel.

The steps, in the order of `_publish` and `_examine_and_record`:
    refuse early    by what is known before the bytes arrive (`admit`)
    receive         into a spool file, counted and hashed
    examine         in another process (`examiners`, `examine`); verify the attestation
    store           the blob under its sha256
    record          in one transaction with concurrent uploads (`batches`), which admits and writes them (`record`)

1. Every file row names a blob that exists (S1): bytes first, then one transaction that names them.
2. Readers cannot reach a blob that no row names.
3. The bytes of a file name in a channel never change, except by a permitted overwrite.
4. Every change has its audit entry, its shard and its revision in the same commit (S2, S4).

What remains if the process is killed:
    while receiving or examining    an unlocked spool file; removed at the next start and by every sweep
    after storing                   a blob that no row names; removed by the sweep when it is a day old
                                    (a refusal at this step, such as a lost race for a name, deletes it at once)
    after recording                 the complete package; whole documents are built when requested
"""

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar, TypeVarTuple

import structlog
from anyio import CapacityLimiter, to_thread

from seaway import os_errors
from seaway.callers.caller import Caller
from seaway.channels import permissions
from seaway.channels.roles import Action
from seaway.conda import filename
from seaway.conda.filename import FileName
from seaway.errors import Malformed, SeawayError, Unavailable
from seaway.fair_slots import FairSlots, Slot
from seaway.indexing.blob_references import BlobSwept, discard
from seaway.metric_events import EventCounter, UploadOutcome, UploadStage
from seaway.publishing import admit
from seaway.publishing.admission_facts import UploadRequest, early_facts
from seaway.publishing.batches import Batches
from seaway.publishing.examine import Candidate
from seaway.publishing.examiners import Examiners
from seaway.publishing.receive import PendingFile, receive
from seaway.publishing.record import Recorded, Submission, require_upload
from seaway.publishing.upload_rates import RefusedTime, UploadRate, sender_of
from seaway.publishing.verify_attestation import AttestationParts, require_workflow, verify
from seaway.site import Site
from seaway.storage import keys

log = structlog.get_logger()

_MAX_LOGGED_CHARS = 255

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Incoming(Protocol):
    """An incoming file, as the upload routes pass it."""

    file_name: str
    announced_sha256: str | None

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file; call it once."""
        ...

    async def finish(self) -> bytes | None:
        """Read the rest of the request after the file; return the attestation, if there is one."""
        ...


@dataclass(frozen=True, slots=True)
class PublishingParts:
    """The parts that publishing works with."""

    site: Site
    examiners: Examiners
    upload_limit: int
    user_quota: int | None  # default for users, in bytes; admins can set another one
    min_piece_bytes: int  # smallest piece of a resumable upload, in bytes
    rate: UploadRate
    refused_time: RefusedTime
    # Finishing an upload waits for the store and for the write lock. With separate threads, a hundred waiting uploads
    # do not take the threads that readers need; and no sender gets all of these.
    upload_slots: FairSlots
    threads: CapacityLimiter
    batches: Batches
    disk: Executor  # writes and syncs incoming bytes, separate from the threads that wait for it
    counts: EventCounter
    attesting: AttestationParts


@dataclass(frozen=True, slots=True)
class Published:
    """The result of an upload: a file that readers see now."""

    channel: str
    subdir: str
    file_name: str
    sha256: str
    revision: int
    replaced: bool
    warnings: tuple[str, ...] = field(default=())
    repeated: bool = False  # the same uploader had uploaded the same bytes before

    @property
    def outcome(self) -> Literal["published", "replaced", "repeated"]:
        """Outcome of the upload."""
        return "repeated" if self.repeated else "replaced" if self.replaced else "published"


async def publish(
    parts: PublishingParts,
    channel: str,
    incoming: Incoming,
    *,
    by: Caller,
    force: bool,
    min_size: int = 1,
    in_pieces: int = 0,
) -> Published:
    """Publish a package file from `by` in `channel`; see the invariants of the module."""
    upload = UploadRequest(
        channel, incoming.file_name, incoming.announced_sha256, by, force, min_size=min_size, in_pieces=in_pieces
    )
    try:
        published = await _publish(parts, upload, incoming)
    except BaseException as error:  # includes cancellation: a lost connection is counted too
        count_failure(parts.counts, channel, incoming.file_name, error)
        raise
    count_success(parts.counts, published)
    return published


async def _publish(parts: PublishingParts, upload: UploadRequest, incoming: Incoming) -> Published:
    file_name = await to_thread.run_sync(refuse_early, parts, upload)
    with parts.site.spool.file() as spool_file:
        with parts.counts.timed(UploadStage.RECEIVE):
            arrived = await receive(incoming.chunks(), spool_file, limit=parts.upload_limit, disk=parts.disk)
            attestation = await incoming.finish()
        require_workflow(attestation, upload.by)
        with await parts.examiners.slots.acquire(sender_of(upload.by)) as examining:
            return await run_in_slot(
                parts, upload.by, _examine_and_record, parts, upload, file_name, attestation, arrived, examining
            )


def refuse_early(parts: PublishingParts, upload: UploadRequest) -> FileName:
    """Refuse an upload before its bytes are read, if possible; check the permission first, to reveal nothing else."""
    channel, by = upload.channel, upload.by
    with parts.site.database.read() as tx:
        access = require_upload(tx, channel, by)
        if not upload.in_pieces:
            parts.rate.require_room(tx, parts.site.clock.now_ms(), by)
        parts.refused_time.require_room(tx, by)
        file_name = filename.parse(upload.file_name)
        permissions.require(by, Action.UPLOAD, access, channel_name=channel, package=file_name.name)
        sha256 = _parse_sha256(upload.announced_sha256)
        facts = early_facts(tx, upload, access, file_name, sha256, parts.user_quota)
        # A repeated upload goes on, to compare its bytes: an announced hash alone proves nothing.
        if not admit.is_repeated(sha256, facts):
            admit.admit(file_name, sha256, facts)
    parts.site.reserve.require_room()
    return file_name


def _parse_sha256(announced: str | None) -> bytes | None:
    if announced is None:
        return None
    try:
        sha256 = bytes.fromhex(announced)
    except ValueError:
        sha256 = b""
    if len(sha256) != 32:
        raise Malformed("X-File-SHA256 is not a sha256 of 64 hexadecimal digits.", "Send the sha256 of the file.")
    return sha256


async def run_in_slot(parts: PublishingParts, by: Caller, work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run a step of an upload in an upload thread once the sender gets a slot; return its result."""
    with await parts.upload_slots.acquire(sender_of(by)):
        return await to_thread.run_sync(work, *args, limiter=parts.threads)


def _examine_and_record(
    parts: PublishingParts,
    upload: UploadRequest,
    file_name: FileName,
    attestation: bytes | None,
    arrived: PendingFile,
    examining: Slot,
) -> Published:
    """Examine, store and record in one thread: a thread switch costs as much as opening a small package."""
    if examining.has_waited:  # other files of this sender may have been refused meanwhile
        with parts.site.database.read() as tx:
            parts.refused_time.require_room(tx, upload.by)
    received = arrived.finish(upload.announced_sha256)
    parts.counts.received(received.hashes.size)
    # Prepares storing the file (the sync) during the examination, since both take equally long.
    prepared = parts.disk.submit(parts.site.blobs.prepare_file, received.path)
    with parts.refused_time.counted(upload.by) as stopwatch:
        with parts.counts.timed(UploadStage.EXAMINE):
            with examining, stopwatch:
                candidate = parts.examiners.examine(received.path, file_name, received.hashes)
            attested = verify(parts.attesting, upload.channel, candidate, attestation, upload.by)
        with parts.counts.timed(UploadStage.RECORD):
            prepared.result()  # raises a disk error, which is reported only once
            submission = Submission(candidate, upload.by, upload.force, attested, upload.in_pieces)
            recorded = store_and_record(parts, upload.channel, received.path, submission)
    return result_of(upload.channel, candidate, recorded)


def store_and_record(parts: PublishingParts, channel: str, path: Path, submission: Submission) -> Recorded:
    """
    Store the file and record it.

    The transaction decides: since the early checks the channel may be gone, the name taken or the role lost.
    """
    sha256 = submission.candidate.hashes.sha256
    while True:
        is_new = parts.site.blobs.put_file(keys.blob(sha256), path)
        try:
            return parts.batches.record(sha256, channel, submission)
        except BlobSwept:
            continue
        except SeawayError:
            if is_new:  # a backup may be copying a blob that existed before
                discard(parts.site, [sha256])
            raise


def result_of(channel: str, candidate: Candidate, recorded: Recorded) -> Published:
    """Return the result of a recorded upload."""
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


def count_success(counts: EventCounter, published: Published) -> None:
    """Count a successful upload."""
    outcome = UploadOutcome.REPLACED if published.replaced else UploadOutcome.PUBLISHED
    counts.upload(UploadOutcome.REPEATED if published.repeated else outcome)


def count_failure(counts: EventCounter, channel: str, file_name: str, error: BaseException) -> None:
    """Count and log a failed or refused upload."""
    if isinstance(error, OSError):
        counts.upload(UploadOutcome.FAILED, "disk")
    elif isinstance(error, Exception) and os_errors.is_server_failure(error):
        counts.upload(UploadOutcome.FAILED, Unavailable.code)
    elif isinstance(error, SeawayError):
        counts.upload(UploadOutcome.REFUSED, error.code)
        log.info(
            "upload.refused", channel=channel, file=file_name[:_MAX_LOGGED_CHARS], code=error.code, reason=error.message
        )
    else:
        counts.upload(UploadOutcome.ABORTED)
