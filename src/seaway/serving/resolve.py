"""
Find what a reader asked for: (credentials, channel, path) -> `Answer`, or the refusal that gives nothing away.

1. Whether the caller may read the channel is decided first, by today's rows (P6). A refusal depends on the path alone,
   so that a private channel is not distinguishable from an unknown one: anonymous callers get 401; a credential that
   may not read it gets 403 for index documents and shards, since rattler caches a 404 of the shard index permanently
   and would miss them when the channel exists or the access is granted; and 404 elsewhere.
2. An index document of a known subdir of an existing channel is always there, empty if nothing was
   uploaded (S6): rattler writes down a 404 of the shard index and never asks again.
3. Every document is of one revision and says which (S2, S4). One whose bytes are lost is built again for the request.
4. Where a document cannot be built because the disk, the database or the store takes no writes, the last complete one
   is the answer, which is not remembered: the first request after the recovery builds again. What is away for a moment
   is a 503 instead: clients try again, and nobody misses what they have just uploaded.
5. A shard is served only if its bytes have the sha256 of its address, and so is a document that is kept in memory.
   This costs 3 µs for a name of five builds and 1.1 ms for one of 5,000 builds, once for each answer that
   `serving.memory` keeps.
6. A package file that is known to be damaged or missing is refused by its name, wherever its bytes would come from,
   until the store has it again.
7. A shard index is sent (or confirmed by a 304) only after its revision was recorded as served (`indexing.served`).
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog
from anyio import CapacityLimiter, to_thread
from sqlalchemy import bindparam, select

from seaway import system_errors
from seaway.accounts.principal import Principal
from seaway.channels import channels, notices, permissions
from seaway.channels.permissions import Access
from seaway.channels.roles import Action
from seaway.clock import Clock
from seaway.conda import zstd
from seaway.conda.repodata import ChannelRelations, repodata_pieces, run_exports_pieces
from seaway.conda.shards import build_index
from seaway.conda.subdir import is_known
from seaway.database.damage import raw
from seaway.database.engine import Database, Tx
from seaway.database.tables import channels as channel_rows
from seaway.database.tables import damaged_blobs, files, retired_shards, shards, subdirs
from seaway.errors import DamagedRecord, NotAllowed, NotFound, NotWritable
from seaway.indexing import documents as kinds
from seaway.indexing.change import derive_name
from seaway.indexing.channeldata import ChannelData, ChannelDatas
from seaway.indexing.documents import Document, Documents
from seaway.indexing.name_index import derive, is_whole
from seaway.indexing.names import relations_of
from seaway.indexing.rows import State, find_subdir, records_of
from seaway.indexing.served import ServedIndexes
from seaway.packages import damage
from seaway.serving.answer import Answer, Keep
from seaway.serving.identity import Accepted, Identifying, Secrets, identify
from seaway.serving.memory import Held, Memory, Question
from seaway.storage import keys
from seaway.storage.blobs import Blobs, read_whole
from seaway.trust import sidecars

log = structlog.get_logger()

SHARD_INDEX = "repodata_shards.msgpack.zst"
SHARDS_FOLDER = "shards"
SHARD_SUFFIX = ".msgpack.zst"
NOTICES = "notices.json"
# The attestations of a file (CEP 50): those of now, the same as prefix.dev names them, and any by their hash.
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
# Documents up to this size are read whole and kept with their answer; larger ones are streamed from the store.
_SMALL_DOCUMENT_BYTES = 4 * 1024 * 1024
# The forms of a JSON document under its own address, as Content-Encoding asks for them.
_ENCODED = {
    (kinds.REPODATA, "zstd"): kinds.REPODATA_ZST,
    (kinds.REPODATA, "gzip"): kinds.REPODATA_GZ,
    (kinds.RUN_EXPORTS_JSON, "zstd"): kinds.RUN_EXPORTS_ZST,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """The parts that reading works with."""

    database: Database
    documents: Documents
    identifying: Identifying
    served: ServedIndexes
    channel_datas: ChannelDatas
    clock: Clock
    blobs: Blobs
    building_turns: CapacityLimiter
    memory: Memory


class _Address:
    """Where a whole document is read, and in which coding it leaves."""

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

    def without_encoding(self) -> "_Address":
        """The same document as it is."""
        return _Address(self.access, self.channel, self.subdir, self.name, ())


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """An answer that needs more than a read transaction, such as an outdated document; `build` makes it."""

    build: Callable[[], Answer]
    takes_long: bool = True


def resolve(
    house: Reading, secrets: Secrets, channel: str, path: tuple[str, ...], encodings: Sequence[str]
) -> tuple[Answer | Unbuilt, Principal]:
    """
    What lies at `path` of `channel`, and who asks for it, by the credential that opened it.

    `encodings` are the content codings that the asker takes, best first.
    """
    with house.database.read() as tx:
        by = identify(tx, house.identifying, secrets, Accepted.ANY)
        access = _require_read(tx, by, channel, path)
        return _find(house, tx, access, channel, path, encodings), by


def _require_read(tx: Tx, by: Principal, channel: str, path: tuple[str, ...]) -> Access:
    try:
        return permissions.require(by, Action.READ, channels.access_of(tx, channel, by), channel_name=channel)
    except NotFound as error:
        if _is_of_index(path):
            raise NotAllowed(error.message, error.hint) from None
        raise


def _is_of_index(path: tuple[str, ...]) -> bool:
    match path:
        case (subdir, name):
            return is_known(subdir) and (name == SHARD_INDEX or name in _WHOLE_DOCUMENTS)
        case (subdir, folder, name):
            return is_known(subdir) and folder == SHARDS_FOLDER and name.endswith(SHARD_SUFFIX)
        case _:
            return False


def _find(
    house: Reading, tx: Tx, access: Access, channel: str, path: tuple[str, ...], encodings: Sequence[str]
) -> Answer | Unbuilt:
    match path:
        case (name,):
            return _of_channel(house, tx, access, channel, name)
        case (subdir, _, *_) if not is_known(subdir):
            raise _nothing()
        case (subdir, name) if name == SHARD_INDEX:
            return _shard_index(house, tx, access, channel, subdir)
        case (subdir, name) if (asked := _SIDECAR.fullmatch(name)) is not None:
            return _sidecar(tx, access, channel, subdir, asked)
        case (subdir, name) if name not in _WHOLE_DOCUMENTS:
            return _package(house, tx, access, subdir, name)
        case (subdir, folder, name) if folder == SHARDS_FOLDER and name.endswith(SHARD_SUFFIX):
            return _shard(house, tx, access, channel, subdir, name.removesuffix(SHARD_SUFFIX))
        case (subdir, name):
            return _whole_document(house, tx, _Address(access, channel, subdir, name, encodings))
        case _:
            raise _nothing()


async def answer(house: Reading, question: Question) -> Held:
    """
    As `resolve`, off the event loop and only if anything changed since it was last asked.

    FileNotFoundError when the bytes of a document were replaced or lost since: ask again.
    """
    mark = await house.memory.mark()
    held = house.memory.recall(question, house.clock.now_ms())
    if held is not None:
        return held
    found, by = await to_thread.run_sync(resolve, house, *question)
    if isinstance(found, Unbuilt):
        # Who waits for a build waits for a turn, not in a thread: others read meanwhile.
        found = await to_thread.run_sync(found.build, limiter=house.building_turns if found.takes_long else None)
    if found.content is None and found.size <= _SMALL_DOCUMENT_BYTES and not found.is_package:
        found = await to_thread.run_sync(_with_content, house, found)
    if found.is_outdated:
        return Held(found, None, by.key_id)
    ends = [moment for moment in (by.expires_at_ms, found.good_until_ms) if moment is not None]
    held = Held(found, min(ends, default=None), by.key_id)
    house.memory.keep(mark, question, held)
    return held


def _with_content(house: Reading, found: Answer) -> Answer:
    try:
        content = read_whole(house.blobs, found.blob_key)
    except FileNotFoundError:
        forget_document(house, found)
        raise
    return replace(found, content=content)


def forget_document(house: Reading, answer: Answer) -> None:
    """The bytes of a document are lost or damaged: have it built again, unless another took its place already."""
    sha256 = keys.sha256_of(answer.blob_key)
    if sha256 is not None and not answer.is_package:
        house.documents.forget(sha256)


def _of_channel(house: Reading, tx: Tx, access: Access, channel: str, name: str) -> Answer | Unbuilt:
    if name == NOTICES:
        return _notices(house, tx, access, channel)
    if name == CHANNELDATA:
        data = house.channel_datas.current(tx, access.channel_id)
        return (
            Unbuilt(partial(_build_channeldata, house, access, channel))
            if data is None
            else _channeldata(access, channel, data)
        )
    raise _nothing()


def _notices(house: Reading, tx: Tx, access: Access, channel: str) -> Answer:
    found = notices.current(tx, house.clock.now_ms(), access.channel_id)
    content = notices.document(found)
    told = _document(access, f"{channel}/{NOTICES}", content, _JSON, revision=None)
    return replace(told, good_until_ms=min((notice.expires_at_ms for notice in found), default=None))


def _build_channeldata(house: Reading, access: Access, channel: str) -> Answer:
    return _channeldata(access, channel, house.channel_datas.build(house.database, access.channel_id))


def _channeldata(access: Access, channel: str, data: ChannelData) -> Answer:
    return _document(access, f"{channel}/{CHANNELDATA}", data.content, _JSON, revision=data.revision)


def _shard_index(house: Reading, tx: Tx, access: Access, channel: str, subdir: str) -> Answer | Unbuilt:
    found = find_subdir(tx, access.channel_id, subdir)
    if found is None:
        created_at = tx.execute(
            select(channel_rows.c.created_at).where(channel_rows.c.id == access.channel_id)
        ).scalar_one()
        relations = relations_of(tx, access.channel_id)
        return _index(access, channel, subdir, build_index(subdir, {}, created_at, None, relations), 0)
    document = house.served.noted(tx, found)
    if document is None:
        return Unbuilt(partial(_first_index, house, access, channel, subdir, found.id), takes_long=False)
    return _index(access, channel, subdir, document.content, document.revision)


def _first_index(house: Reading, access: Access, channel: str, subdir: str, subdir_id: int) -> Answer:
    document = house.served.first(subdir_id)
    if document is None:
        raise _nothing()  # the channel was removed meanwhile
    return _index(access, channel, subdir, document.content, document.revision)


def _index(access: Access, channel: str, subdir: str, content: bytes, revision: int) -> Answer:
    return _document(access, f"{channel}/{subdir}/{SHARD_INDEX}", content, _ZSTD, revision=revision)


_OF_SUBDIR = (subdirs.c.channel_id == bindparam("channel_id"), subdirs.c.name == bindparam("subdir"))
_SHARD_CONTENT = [
    select(raw(table.c.content))
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
    .where(*_OF_SUBDIR, files.c.file_name == bindparam("name_of_file"), files.c.state != State.DELETED.value)
)  # fmt: skip


def _shard(house: Reading, tx: Tx, access: Access, channel: str, subdir: str, digest: str) -> Answer | Unbuilt:
    sha256 = _digest(digest)
    where = {"channel_id": access.channel_id, "subdir": subdir, "sha256": sha256}
    for statement in _SHARD_CONTENT:
        content = tx.execute(statement, where).scalar()
        if content is None:
            continue
        if not is_whole(sha256, content):
            return Unbuilt(partial(_mend_shard, house, access, channel, subdir, digest))
        return _shard_of(access, digest, content)
    raise _nothing()


def _shard_of(access: Access, digest: str, content: bytes) -> Answer:
    return Answer(
        etag=digest,
        size=len(content),
        media_type=_BYTES,
        keep=Keep.FOR_EVER,
        is_public=access.is_public,
        content=content,
    )


def _mend_shard(house: Reading, access: Access, channel: str, subdir: str, digest: str) -> Answer:
    """
    Derive a damaged shard again (5) and answer with it, if its file rows still make these bytes.

    Nothing is locked before it is known that they can be read: otherwise each request would ask for the lock.
    """
    log.error("shard.damaged", channel=channel, subdir=subdir, sha256=digest)
    with house.database.read() as tx:
        name = _name_of_shard(tx, access, subdir, digest)
        found = find_subdir(tx, access.channel_id, subdir)
        content = None if name is None or found is None else derive(records_of(tx, found.id, name)).shard
    if name is None or found is None:
        raise _damaged_shard(digest, channel)
    with house.database.write_channel(channel) as tx:
        current = find_subdir(tx, access.channel_id, subdir)
        if current is not None and _name_of_shard(tx, access, subdir, digest) == name:
            derive_name(tx, current, name, house.clock.now_ms(), house.documents.limit)
    if content is None or not is_whole(bytes.fromhex(digest), content):
        raise _damaged_shard(digest, channel)
    return _shard_of(access, digest, content)


def _name_of_shard(tx: Tx, access: Access, subdir: str, digest: str) -> str | None:
    """The name that has this shard now; None of a replaced one, which cannot be derived."""
    where = {"channel_id": access.channel_id, "subdir": subdir, "sha256": bytes.fromhex(digest)}
    name: str | None = tx.execute(_NAME_OF_SHARD, where).scalar()
    return name


def _damaged_shard(digest: str, channel: str) -> DamagedRecord:
    return DamagedRecord(f"The shard {digest}", cause="its sha256 is another one", cure=f"seaway reindex {channel}")


def _package(house: Reading, tx: Tx, access: Access, subdir: str, file_name: str) -> Answer:
    where = {"channel_id": access.channel_id, "subdir": subdir, "name_of_file": file_name}
    row = tx.execute(_PACKAGE, where).one_or_none()
    if row is None:
        raise _nothing()
    if row.problem is not None and damage.is_refused(house.blobs, row.sha256, row.problem, row.found_at):
        raise damage.refusal(file_name, row.problem)
    return Answer(
        etag=row.sha256.hex(),
        size=row.size,
        media_type=_BYTES,
        keep=Keep.NEVER if row.allows_overwrite else Keep.FOR_EVER,
        is_public=access.is_public,
        blob_key=keys.blob(row.sha256),
        is_package=True,
        file_id=row.id,
    )


def _sidecar(tx: Tx, access: Access, channel: str, subdir: str, asked: re.Match[str]) -> Answer:
    """The attestations of a file; under their hash for as long as the file is there, whatever took their place since."""
    name, file_name, digest = asked[0], asked[1], asked[2]
    if digest is None:
        content = sidecars.current(tx, access.channel_id, subdir, file_name)
    else:
        content = sidecars.by_hash(tx, access.channel_id, subdir, file_name, bytes.fromhex(digest))
    if content is None:
        raise _nothing()
    return Answer(
        etag=_etag(f"{channel}/{subdir}/{name}", hashlib.sha256(content).digest()),
        size=len(content),
        media_type=_JSON,
        keep=Keep.NEVER if digest is None else Keep.FOR_EVER,
        is_public=access.is_public,
        content=content,
    )


def _whole_document(house: Reading, tx: Tx, address: _Address) -> Answer | Unbuilt:
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
    document = house.documents.current(tx, found, address.kind)
    if document is None:
        return Unbuilt(partial(_build_document, house, found.id, address))
    return _built(address, document)


def _build_document(house: Reading, subdir_id: int, address: _Address) -> Answer:
    try:
        document = house.documents.build(subdir_id, address.kind)
    except FileNotFoundError:
        raise  # it was swept while we built: the request looks again
    except Exception as error:
        told = system_errors.unavailable(error) or error
        if not isinstance(told, NotWritable):
            raise
        outdated = _last_complete(house, subdir_id, address)
        if outdated is None:
            raise
        log.warning("documents.not_built", address=address.text, error=told.message, cause=told.cause)
        return outdated
    if document is None:
        raise _nothing()  # the channel was removed while we built
    return _built(address, document)


def _last_complete(house: Reading, subdir_id: int, address: _Address) -> Answer | None:
    """The newest document that is there, without the encoding if that form is not; None where there was never one."""
    document = house.documents.last(subdir_id, address.kind)
    if document is None and address.kind != address.name:
        address = address.without_encoding()
        document = house.documents.last(subdir_id, address.kind)
    return None if document is None else replace(_built(address, document), keep=Keep.NEVER, is_outdated=True)


def _built(address: _Address, document: Document) -> Answer:
    return Answer(
        etag=_etag(address.text + address.encoding, document.sha256),
        size=document.size,
        media_type=_WHOLE_DOCUMENTS[address.name],
        keep=Keep.REVALIDATE,
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
    return zstd.pack(content) if name.endswith(".zst") else content


def _document(
    access: Access,
    address: str,
    content: bytes,
    media_type: str,
    *,
    revision: int | None,
    varies_by_encoding: bool = False,
) -> Answer:
    return Answer(
        etag=_etag(address, hashlib.sha256(content).digest()),
        size=len(content),
        media_type=media_type,
        keep=Keep.REVALIDATE,
        is_public=access.is_public,
        content=content,
        varies_by_encoding=varies_by_encoding,
        revision=revision,
    )


def _etag(address: str, sha256: bytes) -> str:
    return hashlib.sha256(address.encode() + b"\0" + sha256).hexdigest()[:40]


def _digest(text: str) -> bytes:
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise _nothing()
    return bytes.fromhex(text)


def _nothing() -> NotFound:
    return NotFound("This page does not exist.", "Check the URL.")
