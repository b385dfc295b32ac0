"""
Find the content at a path of a channel: (credentials, channel, path) -> `ChannelResponse`, or a refusal that reveals nothing.

1. Whether the caller can read the channel is decided first, from the current rows (P6). A refusal depends only on the
   path, so that a private channel is not distinguishable from an unknown one: anonymous callers get 401; credentials
   without access get 403 for index documents and shards, since rattler caches a 404 of the shard index permanently
   and would miss them once the channel exists or the access is granted; and 404 elsewhere.
2. Every known subdir of an existing channel has its index documents, which are empty before the first upload (S6):
   rattler caches a 404 of the shard index permanently.
3. Every document is of one revision and states it (S2, S4). If its bytes are lost, it is rebuilt for the request.
4. If a document cannot be built because the disk, the database or the store is not writable, the last complete one
   is sent and not cached: the first request after the recovery builds again. A temporary failure is a 503 instead, so
   that clients retry and users do not miss what they have just uploaded.
5. A shard is served only if its bytes match the sha256 in its path; documents are verified before they are cached.
   This takes 3 µs for a name with five builds and 1.1 ms for one with 5,000 builds, once for each response that
   `serving.response_cache` caches.
6. A download of a package file that is known to be damaged or missing is refused with the file's name, even where the
   bytes would come from another server, until the store has the file again.
7. A shard index is sent (or confirmed with a 304) only after its revision was recorded as served (`indexing.served_revisions`).
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog
from anyio import CapacityLimiter, to_thread
from sqlalchemy import bindparam, select

from seaway import os_errors
from seaway.attestations import sidecars
from seaway.callers.caller import Caller
from seaway.channels import channels, notices, permissions
from seaway.channels.permissions import Access
from seaway.channels.roles import Action
from seaway.conda import zstd
from seaway.conda.repodata import ChannelRelations, repodata_pieces, run_exports_pieces
from seaway.conda.shards import build_index
from seaway.conda.subdir import is_known_subdir
from seaway.database.damage import as_stored
from seaway.database.engine import Tx
from seaway.database.tables import channels as channel_rows
from seaway.database.tables import damaged_blobs, files, retired_shards, shards, subdirs
from seaway.errors import DamagedRecord, NotAllowed, NotFound, NotWritable
from seaway.indexing import documents as kinds
from seaway.indexing.channeldata import ChannelData, ChannelDataCache
from seaway.indexing.documents import Document, Documents
from seaway.indexing.file_rows import FileState, find_subdir, records_of
from seaway.indexing.package_index import derive, matches_sha256
from seaway.indexing.served_revisions import ServedRevisions
from seaway.indexing.shard_index import relations_of
from seaway.indexing.updates import rebuild_name
from seaway.packages import damaged_blobs as damaged
from seaway.serving.caller_identification import Accepted, Secrets, identify
from seaway.serving.channel_response import CachePolicy, ChannelResponse
from seaway.serving.response_cache import CachedResponse, CacheKey, ResponseCache
from seaway.sign_in.policy_settings import AccountPolicy
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.blobs import read_whole

log = structlog.get_logger()

SHARD_INDEX = "repodata_shards.msgpack.zst"
SHARDS_FOLDER = "shards"
SHARD_SUFFIX = ".msgpack.zst"
NOTICES = "notices.json"
# Attestations of a file (CEP 50): the current ones, also under prefix.dev's name for them, and any by hash.
_SIDECAR = re.compile(r"(.+\.(?:conda|tar\.bz2))(?:(?:\.v0)?\.sigs|\.sigs\.([0-9a-f]{64}))")
CHANNELDATA = "channeldata.json"

_JSON = "application/json"
_ZSTD = "application/zstd"
_BYTES = "application/octet-stream"

_WHOLE_DOCUMENTS = {
    kinds.REPODATA: _JSON,
    kinds.REPODATA_ZST: _ZSTD,
    kinds.RUN_EXPORTS_JSON: _JSON,
    kinds.RUN_EXPORTS_ZST: _ZSTD,
}
# Documents up to this size are read into memory and cached; larger ones are streamed from the store.
_SMALL_DOCUMENT_BYTES = 4 * 1024 * 1024
# The encoded forms of a JSON document, selected by Accept-Encoding.
_ENCODED = {
    (kinds.REPODATA, "zstd"): kinds.REPODATA_ZST,
    (kinds.REPODATA, "gzip"): kinds.REPODATA_GZ,
    (kinds.RUN_EXPORTS_JSON, "zstd"): kinds.RUN_EXPORTS_ZST,
}


@dataclass(frozen=True, slots=True)
class ReadingParts:
    """The parts that serving reads works with."""

    site: Site
    documents: Documents
    policy: AccountPolicy
    served: ServedRevisions
    channel_datas: ChannelDataCache
    build_slots: CapacityLimiter
    memory: ResponseCache


class _Address:
    """The path of a whole document, and the content coding to send it in."""

    def __init__(self, access: Access, channel: str, subdir: str, name: str, encodings: Sequence[str]) -> None:
        self.access, self.channel = access, channel
        self.subdir = subdir
        self.name = name
        self.text = f"{channel}/{subdir}/{name}"
        self.varies_by_encoding = any(name == plain for plain, _ in _ENCODED)
        self.encoding, self.kind = "", name
        for encoding in encodings:
            if encoding == "identity":
                break
            if (name, encoding) in _ENCODED:
                self.encoding, self.kind = encoding, _ENCODED[name, encoding]
                break


@dataclass(frozen=True, slots=True)
class Deferred:
    """A response that needs more than a read transaction, such as an outdated document; `build` returns it."""

    build: Callable[[], ChannelResponse]
    takes_long: bool = True


def resolve(
    parts: ReadingParts, secrets: Secrets, channel: str, path: tuple[str, ...], encodings: Sequence[str]
) -> tuple[ChannelResponse | Deferred, Caller]:
    """
    Return the content at `path` of `channel`, and the caller.

    `encodings` are the content codings that the client accepts, best first.
    """
    with parts.site.database.read() as tx:
        by = identify(tx, parts.site.clock.now_ms(), parts.policy, secrets, Accepted.ANY)
        access = _require_read(tx, by, channel, path)
        return _find(parts, tx, access, channel, path, encodings), by


def _require_read(tx: Tx, by: Caller, channel: str, path: tuple[str, ...]) -> Access:
    try:
        return permissions.require(by, Action.READ, channels.access_of(tx, channel, by), channel_name=channel)
    except NotFound as error:
        if _is_of_index(path):
            raise NotAllowed(error.message, error.hint) from None
        raise


def _is_of_index(path: tuple[str, ...]) -> bool:
    match path:
        case (subdir, name):
            return is_known_subdir(subdir) and (name == SHARD_INDEX or name in _WHOLE_DOCUMENTS)
        case (subdir, folder, name):
            return is_known_subdir(subdir) and folder == SHARDS_FOLDER and name.endswith(SHARD_SUFFIX)
        case _:
            return False


def _find(
    parts: ReadingParts, tx: Tx, access: Access, channel: str, path: tuple[str, ...], encodings: Sequence[str]
) -> ChannelResponse | Deferred:
    match path:
        case (name,):
            return _of_channel(parts, tx, access, channel, name)
        case (subdir, _, *_) if not is_known_subdir(subdir):
            raise _not_found()
        case (subdir, name) if name == SHARD_INDEX:
            return _shard_index(parts, tx, access, channel, subdir)
        case (subdir, name) if (matched := _SIDECAR.fullmatch(name)) is not None:
            return _sidecar(tx, access, channel, subdir, matched)
        case (subdir, name) if name not in _WHOLE_DOCUMENTS:
            return _package(parts.site, tx, access, subdir, name)
        case (subdir, folder, name) if folder == SHARDS_FOLDER and name.endswith(SHARD_SUFFIX):
            return _shard(parts.site, tx, access, channel, subdir, name.removesuffix(SHARD_SUFFIX))
        case (subdir, name):
            return _whole_document(parts, tx, _Address(access, channel, subdir, name, encodings))
        case _:
            raise _not_found()


async def resolve_cached(parts: ReadingParts, key: CacheKey) -> CachedResponse:
    """
    Return the cached response, or call `resolve` in a thread.

    FileNotFoundError means that the bytes of a document were replaced or lost meanwhile: call again.
    """
    mark = await parts.memory.mark()
    cached_response = parts.memory.get(key, parts.site.clock.now_ms())
    if cached_response is not None:
        return cached_response
    found, by = await to_thread.run_sync(resolve, parts, *key)
    if isinstance(found, Deferred):
        # Requests wait for a build slot here and not in a thread, so that other reads are not blocked.
        found = await to_thread.run_sync(found.build, limiter=parts.build_slots if found.takes_long else None)
    if found.content is None and found.size <= _SMALL_DOCUMENT_BYTES and not found.is_package:
        found = await to_thread.run_sync(_with_content, parts, found)
    if found.is_outdated:
        return CachedResponse(found, None, by.key_id)
    expiries = [moment for moment in (by.expires_at_ms, found.valid_until_ms) if moment is not None]
    cached_response = CachedResponse(found, min(expiries, default=None), by.key_id)
    parts.memory.put(mark, key, cached_response)
    return cached_response


def _with_content(parts: ReadingParts, found: ChannelResponse) -> ChannelResponse:
    try:
        content = read_whole(parts.site.blobs, found.blob_key)
    except FileNotFoundError:
        forget_document(parts, found)
        raise
    return replace(found, content=content)


def forget_document(parts: ReadingParts, response: ChannelResponse) -> None:
    """Drop a document whose bytes are lost or damaged, so that it is rebuilt; unless it was already replaced."""
    sha256 = keys.sha256_of(response.blob_key)
    if sha256 is not None and not response.is_package:
        parts.documents.forget(sha256)


def _of_channel(parts: ReadingParts, tx: Tx, access: Access, channel: str, name: str) -> ChannelResponse | Deferred:
    if name == NOTICES:
        return _notices(parts.site, tx, access, channel)
    if name == CHANNELDATA:
        data = parts.channel_datas.current(tx, access.channel_id)
        return (
            Deferred(partial(_build_channeldata, parts, access, channel))
            if data is None
            else _channeldata(access, channel, data)
        )
    raise _not_found()


def _notices(site: Site, tx: Tx, access: Access, channel: str) -> ChannelResponse:
    found = notices.current(tx, site.clock.now_ms(), access.channel_id)
    content = notices.notices_json(found)
    response = _document(access, f"{channel}/{NOTICES}", content, _JSON, revision=None)
    return replace(response, valid_until_ms=min((notice.expires_at_ms for notice in found), default=None))


def _build_channeldata(parts: ReadingParts, access: Access, channel: str) -> ChannelResponse:
    return _channeldata(access, channel, parts.channel_datas.build(parts.site.database, access.channel_id))


def _channeldata(access: Access, channel: str, data: ChannelData) -> ChannelResponse:
    return _document(access, f"{channel}/{CHANNELDATA}", data.content, _JSON, revision=data.revision)


def _shard_index(parts: ReadingParts, tx: Tx, access: Access, channel: str, subdir: str) -> ChannelResponse | Deferred:
    found = find_subdir(tx, access.channel_id, subdir)
    if found is None:
        created_at = tx.execute(
            select(channel_rows.c.created_at).where(channel_rows.c.id == access.channel_id)
        ).scalar_one()
        relations = relations_of(tx, access.channel_id)
        return _index(access, channel, subdir, build_index(subdir, {}, created_at, None, relations), 0)
    document = parts.served.recorded(tx, found)
    if document is None:
        return Deferred(partial(_first_index, parts, access, channel, subdir, found.id), takes_long=False)
    return _index(access, channel, subdir, document.content, document.revision)


def _first_index(parts: ReadingParts, access: Access, channel: str, subdir: str, subdir_id: int) -> ChannelResponse:
    document = parts.served.first(subdir_id)
    if document is None:
        raise _not_found()  # the channel was deleted meanwhile
    return _index(access, channel, subdir, document.content, document.revision)


def _index(access: Access, channel: str, subdir: str, content: bytes, revision: int) -> ChannelResponse:
    return _document(access, f"{channel}/{subdir}/{SHARD_INDEX}", content, _ZSTD, revision=revision)


_OF_SUBDIR = (subdirs.c.channel_id == bindparam("channel_id"), subdirs.c.name == bindparam("subdir"))
_SHARD_CONTENT = [
    select(as_stored(table.c.content))
    .join(subdirs, subdirs.c.id == table.c.subdir_id)
    .where(*_OF_SUBDIR, table.c.sha256 == bindparam("sha256"))
    .limit(1)
    for table in (shards, retired_shards)
]
_NAME_OF_SHARD = (
    select(shards.c.name)
    .join(subdirs, subdirs.c.id == shards.c.subdir_id)
    .where(*_OF_SUBDIR, shards.c.sha256 == bindparam("sha256"))
    .limit(1)
)
_PACKAGE = (
    select(
        files.c.id, files.c.sha256, files.c.size, damaged_blobs.c.problem, damaged_blobs.c.found_at,
        channel_rows.c.allows_overwrite,
    )
    .join(subdirs, subdirs.c.id == files.c.subdir_id)
    .join(channel_rows, channel_rows.c.id == subdirs.c.channel_id)
    .outerjoin(damaged_blobs, damaged_blobs.c.sha256 == files.c.sha256)
    .where(*_OF_SUBDIR, files.c.file_name == bindparam("name_of_file"), files.c.state != FileState.DELETED.value)
)  # fmt: skip


def _shard(site: Site, tx: Tx, access: Access, channel: str, subdir: str, digest: str) -> ChannelResponse | Deferred:
    sha256 = _digest(digest)
    where = {"channel_id": access.channel_id, "subdir": subdir, "sha256": sha256}
    for statement in _SHARD_CONTENT:
        content = tx.execute(statement, where).scalar()
        if content is None:
            continue
        if not matches_sha256(sha256, content):
            return Deferred(partial(_rebuild_shard, site, access, channel, subdir, digest))
        return _shard_of(access, digest, content)
    raise _not_found()


def _shard_of(access: Access, digest: str, content: bytes) -> ChannelResponse:
    return ChannelResponse(
        etag=digest,
        size=len(content),
        media_type=_BYTES,
        keep=CachePolicy.IMMUTABLE,
        is_public=access.is_public,
        content=content,
    )


def _rebuild_shard(site: Site, access: Access, channel: str, subdir: str, digest: str) -> ChannelResponse:
    """
    Rebuild a damaged shard (invariant 5) and return it, if its file rows still give these bytes.

    The file rows are read before the lock is taken: otherwise every request for unreadable rows would take the lock.
    """
    log.error("shard.damaged", channel=channel, subdir=subdir, sha256=digest)
    with site.database.read() as tx:
        name = _name_of_shard(tx, access, subdir, digest)
        found = find_subdir(tx, access.channel_id, subdir)
        content = None if name is None or found is None else derive(records_of(tx, found.id, name)).shard
    if name is None or found is None:
        raise _damaged_shard(digest, channel)
    with site.database.write_channel(channel) as tx:
        current = find_subdir(tx, access.channel_id, subdir)
        if current is not None and _name_of_shard(tx, access, subdir, digest) == name:
            rebuild_name(tx, current, name, site.clock.now_ms(), site.whole_document_limit)
    if content is None or not matches_sha256(bytes.fromhex(digest), content):
        raise _damaged_shard(digest, channel)
    return _shard_of(access, digest, content)


def _name_of_shard(tx: Tx, access: Access, subdir: str, digest: str) -> str | None:
    """Return the package name of a current shard; None for a replaced shard, which cannot be rebuilt."""
    where = {"channel_id": access.channel_id, "subdir": subdir, "sha256": bytes.fromhex(digest)}
    name: str | None = tx.execute(_NAME_OF_SHARD, where).scalar()
    return name


def _damaged_shard(digest: str, channel: str) -> DamagedRecord:
    return DamagedRecord(
        f"The shard {digest}", cause="its sha256 does not match", repair_command=f"seaway reindex {channel}"
    )


def _package(site: Site, tx: Tx, access: Access, subdir: str, file_name: str) -> ChannelResponse:
    where = {"channel_id": access.channel_id, "subdir": subdir, "name_of_file": file_name}
    row = tx.execute(_PACKAGE, where).one_or_none()
    if row is None:
        raise _not_found()
    if row.problem is not None and damaged.is_refused(site.blobs, row.sha256, row.problem, row.found_at):
        raise damaged.refusal(file_name, row.problem)
    return ChannelResponse(
        etag=row.sha256.hex(),
        size=row.size,
        media_type=_BYTES,
        keep=CachePolicy.NEVER if row.allows_overwrite else CachePolicy.IMMUTABLE,
        is_public=access.is_public,
        blob_key=keys.blob(row.sha256),
        is_package=True,
        file_id=row.id,
    )


def _sidecar(tx: Tx, access: Access, channel: str, subdir: str, matched: re.Match[str]) -> ChannelResponse:
    """Return the attestations of a file: the current ones, or those with a hash, even if they were superseded."""
    name, file_name, digest = matched[0], matched[1], matched[2]
    if digest is None:
        content = sidecars.current(tx, access.channel_id, subdir, file_name)
    else:
        content = sidecars.by_hash(tx, access.channel_id, subdir, file_name, bytes.fromhex(digest))
    if content is None:
        raise _not_found()
    return ChannelResponse(
        etag=_etag(f"{channel}/{subdir}/{name}", hashlib.sha256(content).digest()),
        size=len(content),
        media_type=_JSON,
        keep=CachePolicy.NEVER if digest is None else CachePolicy.IMMUTABLE,
        is_public=access.is_public,
        content=content,
    )


def _whole_document(parts: ReadingParts, tx: Tx, address: _Address) -> ChannelResponse | Deferred:
    found = find_subdir(tx, address.access.channel_id, address.subdir)
    if found is None:
        return _document(
            address.access,
            address.text,
            _empty_document(address.subdir, address.name, relations_of(tx, address.access.channel_id)),
            _WHOLE_DOCUMENTS[address.name],
            revision=0,
            varies_by_encoding=address.varies_by_encoding,
        )
    document = parts.documents.current(tx, found, address.kind)
    if document is None:
        return Deferred(partial(_build_document, parts, found.id, address))
    return _built(address, document)


def _build_document(parts: ReadingParts, subdir_id: int, address: _Address) -> ChannelResponse:
    try:
        document = parts.documents.build(subdir_id, address.kind)
    except FileNotFoundError:
        raise  # swept during the build; the caller tries again
    except Exception as error:
        known = os_errors.as_unavailable(error) or error
        if not isinstance(known, NotWritable):
            raise
        outdated = _last_complete(parts, subdir_id, address)
        if outdated is None:
            raise
        log.warning("documents.not_built", address=address.text, error=known.message, cause=known.cause)
        return outdated
    if document is None:
        raise _not_found()  # the channel was deleted during the build
    return _built(address, document)


def _last_complete(parts: ReadingParts, subdir_id: int, address: _Address) -> ChannelResponse | None:
    """Return the newest stored document, unencoded if that form was never built; None if there is none."""
    document = parts.documents.last(subdir_id, address.kind)
    if document is None and address.kind != address.name:
        address = _Address(address.access, address.channel, address.subdir, address.name, encodings=())
        document = parts.documents.last(subdir_id, address.kind)
    return None if document is None else replace(_built(address, document), keep=CachePolicy.NEVER, is_outdated=True)


def _built(address: _Address, document: Document) -> ChannelResponse:
    return ChannelResponse(
        etag=_etag(address.text + address.encoding, document.sha256),
        size=document.size,
        media_type=_WHOLE_DOCUMENTS[address.name],
        keep=CachePolicy.REVALIDATE,
        is_public=address.access.is_public,
        blob_key=keys.blob(document.sha256),
        content_encoding=address.encoding,
        varies_by_encoding=address.varies_by_encoding,
        revision=document.revision,
    )


def _empty_document(subdir: str, name: str, relations: ChannelRelations) -> bytes:
    is_repodata = name in (kinds.REPODATA, kinds.REPODATA_ZST)
    pieces = (
        repodata_pieces(subdir, lambda _: (), (), None, relations)
        if is_repodata
        else run_exports_pieces(subdir, lambda _: (), None)
    )
    content = b"".join(pieces)
    return zstd.compress_frame(content) if name.endswith(".zst") else content


def _document(
    access: Access,
    address: str,
    content: bytes,
    media_type: str,
    *,
    revision: int | None,
    varies_by_encoding: bool = False,
) -> ChannelResponse:
    return ChannelResponse(
        etag=_etag(address, hashlib.sha256(content).digest()),
        size=len(content),
        media_type=media_type,
        keep=CachePolicy.REVALIDATE,
        is_public=access.is_public,
        content=content,
        varies_by_encoding=varies_by_encoding,
        revision=revision,
    )


def _etag(address: str, sha256: bytes) -> str:
    return hashlib.sha256(address.encode() + b"\0" + sha256).hexdigest()[:40]


def _digest(text: str) -> bytes:
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise _not_found()
    return bytes.fromhex(text)


def _not_found() -> NotFound:
    return NotFound("This page does not exist.", "Check the URL.")
