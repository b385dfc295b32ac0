"""
Resumable uploads: a file arrives in pieces, and resumes after a lost connection or a page reload, on any worker.

1. Acknowledged bytes are kept: a piece is a blob, named by a row, before the offset rises. It is hashed again when it
   is read, so that damage in the store is not mistaken for a damaged file.
2. Pieces never overlap or leave gaps: a piece begins at the offset, as checked by the transaction that records it.
3. The file enters its channel only through `publish`, with the same rules and refusals. The offset reaches the length
   only once the file is published, so that the client can then delete its copy.
4. A refused file leaves no pieces. The result of a published file is kept for an hour, in case the response was lost.
5. Unfinished uploads expire after a day; the sweep deletes their pieces like all blobs that no row names.
6. A file counts in the upload rate limit when it is begun, and its pieces count in the quotas while they are stored.
7. A request has at least `min_piece_bytes`, or contains the end of the file. A lost connection can leave a shorter
   piece, which counts as an upload in the rate limit and is joined with the next one: the number of objects grows with
   the bytes.
"""

import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import msgspec
from anyio import to_thread
from sqlalchemy import delete, func, insert, select, update

from seaway.callers.caller import Caller
from seaway.channels import channels as all_channels
from seaway.channels import quotas
from seaway.clock import DAY_MS, HOUR_MS
from seaway.database.engine import Tx, lock_channel
from seaway.database.rows import total
from seaway.database.tables import channels, files, resumable_pieces, resumable_uploads, subdirs
from seaway.errors import Malformed, NotFound, SeawayError, TooLarge, TooManyRequests, Unavailable, WrongOffset
from seaway.indexing.blob_references import discard, referencing
from seaway.indexing.file_rows import FileState
from seaway.publishing.admission_facts import UploadRequest
from seaway.publishing.publish import Published, PublishingParts, publish, refuse_early, run_in_slot
from seaway.publishing.receive import Received, receive, too_large
from seaway.publishing.record import require_upload
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.blobs import DamagedBlob

EXPIRES_AFTER_MS = DAY_MS
RESULT_KEPT_MS = HOUR_MS
MAX_UNFINISHED = 200  # per user: unfinished uploads take space in the store for a day
_PIECE_BYTES = 16 * 1024 * 1024
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ResumableRequest:
    """The announced file: channel, file name, length, and the hash if the client knows it."""

    channel: str
    file_name: str
    length: int
    sha256: str | None
    force: bool


@dataclass(frozen=True, slots=True)
class ResumableUpload:
    """An unfinished upload, or a finished one with its result in `published`."""

    id: str
    request: ResumableRequest
    offset: int
    expires_at_ms: int
    published: Published | None


async def begin(parts: PublishingParts, request: ResumableRequest, *, by: Caller) -> ResumableUpload:
    """Begin an upload, or refuse it early; `by` is a user."""
    if request.length < 1:
        raise Malformed("The upload announces an empty file.", "Send the length of the file.")
    if request.length > parts.upload_limit:
        raise too_large(parts.upload_limit)
    upload = UploadRequest(
        request.channel, request.file_name, request.sha256, by, request.force, min_size=request.length
    )
    await to_thread.run_sync(refuse_early, parts, upload)
    return await to_thread.run_sync(_begin, parts, request, by)


async def append(
    parts: PublishingParts,
    upload_id: str,
    offset: int,
    chunks: AsyncIterator[bytes],
    *,
    by: Caller,
    announced: int | None = None,
) -> ResumableUpload:
    """
    Receive bytes from `offset` on; with the last byte the file is published. Bytes before a lost connection are kept.

    `announced` is the length of the request body, if the request states it.
    """
    upload = await to_thread.run_sync(_find_at_offset, parts, upload_id, offset, by)
    if announced is not None:
        _require_enough(parts, upload, announced)
    parts.site.reserve.require_room()
    body = _Body(chunks, upload.request.length - offset)
    while not body.ended and upload.published is None:
        upload = await _take_piece(parts, upload, body, by)
    if body.broken is not None:
        raise body.broken
    return upload


def get(site: Site, upload_id: str, by: Caller) -> ResumableUpload:
    """Return the upload; raise `NotFound` unless the caller began it and can still upload to the channel."""
    with site.database.read() as tx:
        return _find(tx, upload_id, by, site.clock.now_ms())


def _find_at_offset(parts: PublishingParts, upload_id: str, offset: int, by: Caller) -> ResumableUpload:
    """Return the upload if more bytes are expected at this offset."""
    with parts.site.database.read() as tx:
        upload = _find(tx, upload_id, by, parts.site.clock.now_ms())
        if upload.published is not None or offset != upload.offset:
            raise _wrong_offset(upload)
        stored_bytes = total(tx, resumable_pieces.c.size, resumable_pieces.c.upload_id == upload.id)
        _require_room(tx, parts, upload.request, max(upload.request.length - stored_bytes, 0))
    return upload


def _require_enough(parts: PublishingParts, upload: ResumableUpload, size: int) -> None:
    if 0 < size < parts.min_piece_bytes and upload.offset + size < upload.request.length:
        raise Malformed(
            f"A piece of {size:,} bytes is too small.",
            f"Send at least {parts.min_piece_bytes:,} bytes at a time, or the rest of the file.",
        )


def _require_room(tx: Tx, parts: PublishingParts, request: ResumableRequest, size: int) -> None:
    """Refuse `size` more bytes if a quota is exceeded; the bytes of a file to be replaced are subtracted."""
    if not size:
        return
    channel_id, replaced = all_channels.get(tx, request.channel).id, 0
    if request.force:
        size_query = select(func.coalesce(func.max(files.c.size), 0)).join(subdirs, subdirs.c.id == files.c.subdir_id)
        file_rows = subdirs.c.channel_id == channel_id, files.c.file_name == request.file_name
        replaced = tx.execute(size_query.where(*file_rows, files.c.state != FileState.DELETED.value)).scalar_one()
    quotas.room_of_channel(tx, channel_id, parts.user_quota).require(size, request.channel, replaced=replaced)


def cancel(site: Site, upload_id: str, by: Caller) -> None:
    """Cancel an upload."""
    _delete(site, get(site, upload_id, by))


def expire(tx: Tx, now_ms: int) -> int:
    """Delete expired uploads; return the count."""
    return tx.execute(delete(resumable_uploads).where(resumable_uploads.c.expires_at <= now_ms)).rowcount


_UPLOAD = select(
    resumable_uploads.c.id, channels.c.name, resumable_uploads.c.file_name, resumable_uploads.c.length,
    resumable_uploads.c.sha256, resumable_uploads.c.force, resumable_uploads.c.offset, resumable_uploads.c.expires_at,
    resumable_uploads.c.published,
).join(channels, channels.c.id == resumable_uploads.c.channel_id)  # fmt: skip


def _begin(parts: PublishingParts, request: ResumableRequest, by: Caller) -> ResumableUpload:
    now_ms = parts.site.clock.now_ms()
    with parts.site.database.write_unlocked() as tx:
        parts.site.database.lock(tx, f"uploads-of/{by.user_id}")
        access = require_upload(tx, request.channel, by)
        is_unfinished = (resumable_uploads.c.user_id == by.user_id) & resumable_uploads.c.published.is_(None)
        if tx.execute(select(func.count()).where(is_unfinished)).scalar_one() >= MAX_UNFINISHED:
            raise TooManyRequests(
                f"{by.name} has {MAX_UNFINISHED} unfinished uploads.", "Finish or cancel some, or wait a day."
            )
        _require_room(tx, parts, request, request.length)
        _count(tx, parts, now_ms, by)
        upload = ResumableUpload(secrets.token_hex(16), request, 0, now_ms + EXPIRES_AFTER_MS, None)
        tx.execute(
            insert(resumable_uploads).values(
                id=upload.id,
                user_id=by.user_id,
                channel_id=access.channel_id,
                file_name=request.file_name,
                length=request.length,
                sha256=request.sha256,
                force=request.force,
                offset=0,
                expires_at=upload.expires_at_ms,
            )
        )
    return upload


def _find(tx: Tx, upload_id: str, by: Caller, now_ms: int) -> ResumableUpload:
    row = tx.execute(
        _UPLOAD.where(
            resumable_uploads.c.id == upload_id,
            resumable_uploads.c.user_id == by.user_id,
            resumable_uploads.c.expires_at > now_ms,
        )
    ).one_or_none()
    if row is None:
        raise _missing()
    try:
        require_upload(tx, row.name, by)
    except NotFound:  # an unreadable channel must not be distinguishable from a missing upload
        raise _missing() from None
    published = None if row.published is None else msgspec.json.decode(row.published, type=Published)
    request = ResumableRequest(row.name, row.file_name, row.length, row.sha256, row.force)
    return ResumableUpload(row.id, request, row.offset, row.expires_at, published)


@dataclass(frozen=True, slots=True)
class _Tail:
    """The last piece, if it is too short for a separate object, to be joined with the next one (invariant 7)."""

    start: int
    content: bytes
    sha256: bytes  # of the whole piece


async def _take_piece(parts: PublishingParts, upload: ResumableUpload, body: "_Body", by: Caller) -> ResumableUpload:
    tail = await run_in_slot(parts, by, _tail_of, parts, upload)
    with parts.site.spool.file() as spool_file:
        arrived = await receive(body.piece(tail.content), spool_file, limit=_PIECE_BYTES, disk=parts.disk)
        if body.ended and body.broken is None:
            _require_enough(parts, upload, body.received)
        received = await run_in_slot(parts, by, arrived.finish, None)
        offset = tail.start + received.hashes.size
        if offset == upload.offset:
            return upload
        await run_in_slot(parts, by, _store_piece, parts, upload, tail, received, by)
    if offset < upload.request.length:
        return replace(upload, offset=offset)
    return await _finish(parts, upload, by)


def _tail_of(parts: PublishingParts, upload: ResumableUpload) -> _Tail:
    with parts.site.database.read() as tx:
        row = tx.execute(
            select(resumable_pieces.c.start, resumable_pieces.c.sha256)
            .where(resumable_pieces.c.upload_id == upload.id, resumable_pieces.c.start < upload.offset)
            .order_by(resumable_pieces.c.start.desc())
            .limit(1)
        ).one_or_none()
    if row is None or upload.offset - row.start >= parts.min_piece_bytes:
        return _Tail(upload.offset, b"", b"")
    with _deleted_if_lost(parts.site, upload), parts.site.blobs.open(keys.blob(row.sha256)) as file:
        content = file.read()
        if hashlib.sha256(content).digest() != row.sha256:
            raise DamagedBlob(keys.blob(row.sha256))
    return _Tail(row.start, content[: upload.offset - row.start], row.sha256)


def _store_piece(parts: PublishingParts, upload: ResumableUpload, tail: _Tail, received: Received, by: Caller) -> None:
    """Store and record the piece; raise the offset with it, unless it is the last one (invariant 3)."""
    sha256 = received.hashes.sha256
    while True:
        is_new = parts.site.blobs.put_file(keys.blob(sha256), received.path)
        try:
            with referencing(parts.site, [sha256]) as (tx, missing):
                if missing:
                    continue
                parts.site.database.lock(tx, f"upload/{upload.id}")
                _record_piece(tx, parts, upload, tail, received, by)
        except SeawayError:
            if is_new:
                discard(parts.site, [sha256])
            raise
        break
    if tail.content and tail.sha256 != sha256:
        discard(parts.site, [tail.sha256])


def _record_piece(
    tx: Tx, parts: PublishingParts, upload: ResumableUpload, tail: _Tail, received: Received, by: Caller
) -> None:
    current = _find(tx, upload.id, by, parts.site.clock.now_ms())
    if current.offset != upload.offset or current.published is not None:
        raise _wrong_offset(current)
    sha256, size = received.hashes.sha256, received.hashes.size
    offset = tail.start + size
    of_upload = resumable_pieces.c.upload_id == upload.id
    tx.execute(delete(resumable_pieces).where(of_upload, resumable_pieces.c.start >= tail.start))
    lock_channel(parts.site.database, tx, upload.request.channel)  # the quota may have room for only one of two uploads
    _require_room(tx, parts, upload.request, size)
    tx.execute(insert(resumable_pieces).values(upload_id=upload.id, start=tail.start, size=size, sha256=sha256))
    if offset < upload.request.length:
        if size < parts.min_piece_bytes:
            _count(tx, parts, parts.site.clock.now_ms(), by)
        _set(tx, upload, offset=offset)


def _count(tx: Tx, parts: PublishingParts, now_ms: int, by: Caller) -> None:
    """Count an upload in the rate limit of its sender, or refuse it."""
    refusal = parts.rate.count(tx, now_ms, [by])[0]
    if refusal is not None:
        raise refusal


@contextmanager
def _deleted_if_lost(site: Site, upload: ResumableUpload) -> Iterator[None]:
    """Delete the upload if the store has lost a piece of it."""
    try:
        yield
    except FileNotFoundError:
        _delete(site, upload)
        raise NotFound("The server lost a part of this upload.", "Start it again.") from None


async def _finish(parts: PublishingParts, upload: ResumableUpload, by: Caller) -> ResumableUpload:
    request = upload.request
    try:
        published = await publish(
            parts, request.channel, _Assembled(parts, upload), by=by, force=request.force, in_pieces=request.length
        )
    except (Unavailable, TooManyRequests):
        raise  # the last piece can be sent again
    except FileNotFoundError:
        await to_thread.run_sync(_delete, parts.site, upload)
        raise NotFound("The server lost a part of this upload.", "Start it again.") from None
    except SeawayError:
        await to_thread.run_sync(_delete, parts.site, upload)
        raise
    return await to_thread.run_sync(_store_result, parts.site, upload, published)


def _store_result(site: Site, upload: ResumableUpload, published: Published) -> ResumableUpload:
    expires_at = site.clock.now_ms() + RESULT_KEPT_MS
    with site.database.write_unlocked() as tx:
        site.database.lock(tx, f"upload/{upload.id}")
        result = msgspec.json.encode(published).decode()
        _set(tx, upload, offset=upload.request.length, expires_at=expires_at, published=result)
    _drop_pieces(site, upload)
    return replace(upload, offset=upload.request.length, expires_at_ms=expires_at, published=published)


def _delete(site: Site, upload: ResumableUpload) -> None:
    _drop_pieces(site, upload)
    with site.database.write_unlocked() as tx:
        site.database.lock(tx, f"upload/{upload.id}")
        tx.execute(delete(resumable_uploads).where(resumable_uploads.c.id == upload.id))


def _drop_pieces(site: Site, upload: ResumableUpload) -> None:
    of_upload = resumable_pieces.c.upload_id == upload.id
    with site.database.write_unlocked() as tx:
        site.database.lock(tx, f"upload/{upload.id}")
        digests = set(tx.execute(select(resumable_pieces.c.sha256).where(of_upload)).scalars())
        tx.execute(delete(resumable_pieces).where(of_upload))
    discard(site, digests)


def _set(tx: Tx, upload: ResumableUpload, **values: object) -> None:
    tx.execute(update(resumable_uploads).where(resumable_uploads.c.id == upload.id).values(**values))


def _missing() -> NotFound:
    return NotFound("There is no such upload, or it has expired after a day.", "Start it again.")


def _wrong_offset(upload: ResumableUpload) -> WrongOffset:
    return WrongOffset(
        f"The server has {upload.offset:,} of {upload.request.length:,} bytes.", "Query the offset and continue there."
    )


class _Body:
    """The body of a request, cut into pieces; `broken` is the error that ended it early."""

    def __init__(self, chunks: AsyncIterator[bytes], expected: int) -> None:
        self._chunks, self._left, self._rest = chunks, expected, b""
        self.ended = False
        self.broken: Exception | None = None
        self.received = 0

    async def piece(self, before: bytes) -> AsyncIterator[bytes]:
        """Yield the bytes of the next piece, which begins with `before`."""
        if before:
            yield before
        room = _PIECE_BYTES - len(before)
        while room and (chunk := self._rest or await self._next()):
            taken, self._rest = chunk[:room], chunk[room:]
            room -= len(taken)
            yield taken

    async def _next(self) -> bytes:
        try:
            chunk = await anext(self._chunks, b"")
        except Exception as error:  # noqa: BLE001  raised again after the bytes before it are stored
            self.broken, chunk = error, b""
        self.ended = not chunk
        self.received += len(chunk)
        self._left -= len(chunk)
        if self._left < 0:
            raise TooLarge("The upload has more bytes than announced.", "Start it again with the right length.")
        return chunk


class _Assembled:
    """The pieces of an upload as one incoming file for `publish`."""

    def __init__(self, parts: PublishingParts, upload: ResumableUpload) -> None:
        self._parts, self._upload = parts, upload
        self.file_name = upload.request.file_name
        self.announced_sha256 = upload.request.sha256

    async def chunks(self) -> AsyncIterator[bytes]:
        for digest in await to_thread.run_sync(self._digests):
            file = await to_thread.run_sync(self._parts.site.blobs.open, keys.blob(digest))
            found = hashlib.sha256()
            with file:
                while chunk := await to_thread.run_sync(file.read, _READ_BYTES):
                    found.update(chunk)
                    yield chunk
            if found.digest() != digest:
                raise DamagedBlob(keys.blob(digest))

    async def finish(self) -> bytes | None:
        return None

    def _digests(self) -> Sequence[bytes]:
        of_upload = select(resumable_pieces.c.sha256).where(resumable_pieces.c.upload_id == self._upload.id)
        with self._parts.site.database.read() as tx:
            return tx.execute(of_upload.order_by(resumable_pieces.c.start)).scalars().all()
