"""
The upload log: one row for every uploaded file, by any sender, and for every overwrite.

1. Rows are added in the transaction that creates the file row and are never changed or deleted, even when the channel
   or the user is deleted: rows have names and ids, but no foreign keys.
2. The rows of a channel form a hash chain: each hash is the sha256 of the row's JSON, which includes the hash of the
   previous row. Changing, removing or inserting a row breaks the chain there; removing rows from the end is detected by
   the count and the head, which are stored separately (`broken`).
3. A chain belongs to the id of its channel: reusing a channel name starts a new chain.

An attacker with write access to the database can also rebuild the chain from the first changed row on. To detect that,
keep the output of `seaway uploads export`, or its last hash, in another place.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, insert, or_, select, update

from seaway.callers.caller import Caller, Workflow
from seaway.database.damage import as_stored
from seaway.database.engine import Tx
from seaway.database.tables import upload_chains, uploads

_FIRST = bytes(32)  # the previous hash of the first row
_FETCHED_AT_ONCE = 500
_HASHES = ("sha256", "replaced_sha256", "attestations_sha256")
_FIELDS = tuple(column.name for column in uploads.c if column.name != "hash")

_ADD = insert(uploads)
_ADD_CHAIN = insert(upload_chains)
_MOVE_CHAIN = (
    update(upload_chains)
    .where(upload_chains.c.channel_id == bindparam("of"))
    .values(count=bindparam("counted"), head=bindparam("last"))
)


@dataclass(frozen=True, slots=True)
class Chain:
    """The length and last hash of a channel's chain."""

    channel_id: int
    count: int = 0
    head: bytes = _FIRST


@dataclass(frozen=True, slots=True)
class RecordedUpload:
    """An uploaded file and its sender."""

    at_ms: int
    channel: str
    subdir: str
    file_name: str
    size: int
    sha256: bytes
    replaced_sha256: bytes | None
    attestations_sha256: bytes | None
    by: Caller


def append(tx: Tx, chain: Chain, received: Sequence[RecordedUpload]) -> None:
    """Append rows to a channel's chain, which the transaction has locked; two statements for any number of rows."""
    added, previous = [], chain.head
    for number, upload in enumerate(received, start=chain.count + 1):
        row = _row(chain.channel_id, number, upload)
        previous = row["hash"] = _hash(row, previous)
        added.append(row)
    if not added:
        return
    tx.execute(_ADD, added)
    if chain.count == 0:
        tx.execute(_ADD_CHAIN, {"channel_id": chain.channel_id, "count": len(added), "head": previous})
    else:
        tx.execute(_MOVE_CHAIN, {"of": chain.channel_id, "counted": chain.count + len(added), "last": previous})


def rows(tx: Tx, channel: str) -> Iterator[dict[str, Any]]:
    """Yield the upload log of all channels that ever had this name, oldest first, with the `hash` of each row."""
    query = select(uploads).where(uploads.c.channel == channel).order_by(uploads.c.channel_id, uploads.c.number)
    previous, chain = _FIRST, None
    for row in tx.execute(query.execution_options(yield_per=_FETCHED_AT_ONCE)).mappings():
        if row["channel_id"] != chain:
            previous, chain = _FIRST, row["channel_id"]
        yield {**_shown(row, previous), "hash": row["hash"].hex()}
        previous = row["hash"]


def of_channel(tx: Tx, channel_id: int, *, after: int, limit: int) -> list[dict[str, Any]]:
    """Return a page of one channel's log, after the number `after`; excludes older channels with the same name."""
    return _page(tx, uploads.c.channel_id == channel_id, (channel_id, after), limit)


def of_name(tx: Tx, channel: str, *, after: tuple[int, int], limit: int) -> list[dict[str, Any]]:
    """Return a page of `rows`, after the row with this channel id and number."""
    return _page(tx, uploads.c.channel == channel, after, limit)


def _page(tx: Tx, which: ColumnElement[bool], after: tuple[int, int], limit: int) -> list[dict[str, Any]]:
    chain, number = after
    is_after = or_(uploads.c.channel_id > chain, and_(uploads.c.channel_id == chain, uploads.c.number > number))
    query = select(uploads).where(which, is_after).order_by(uploads.c.channel_id, uploads.c.number).limit(limit)
    last = select(uploads.c.hash).where(uploads.c.channel_id == chain, uploads.c.number == number)
    previous = tx.execute(last).scalar() or _FIRST
    found = []
    for row in tx.execute(query).mappings():
        if row["channel_id"] != chain:
            previous, chain = _FIRST, row["channel_id"]
        found.append({**_shown(row, previous), "hash": row["hash"].hex()})
        previous = row["hash"]
    return found


def has_upload_from(tx: Tx, channel_id: int, publisher_id: int, workflow: Workflow) -> bool:
    """Return whether this run of a workflow has uploaded to the channel."""
    query = select(uploads.c.number).where(
        uploads.c.channel_id == channel_id, uploads.c.publisher_id == publisher_id,
        uploads.c.run == _run(workflow), uploads.c.commit == workflow.sha,
    )  # fmt: skip
    return tx.execute(query.limit(1)).first() is not None


def as_json(row: Mapping[str, Any]) -> bytes:
    """Encode a row as canonical JSON (compact, sorted keys); the sha256 of the row without `hash` is the `hash`."""
    return msgspec.json.encode(row, order="sorted")


def broken(tx: Tx) -> Iterator[tuple[str, str]]:
    """Yield each break of a chain: the channel and number of the row, and a description."""
    of_chains = select(
        as_stored(upload_chains.c.channel_id).label("channel_id"),
        as_stored(upload_chains.c.count).label("counted"),
        as_stored(upload_chains.c.head).label("head"),
    )
    chains = {row.channel_id: Chain(row.channel_id, row.counted, row.head) for row in tx.execute(of_chains)}
    columns = [as_stored(column).label(column.name) for column in uploads.c]
    query = select(*columns).order_by(uploads.c.channel_id, uploads.c.number)
    reached: dict[int, Chain] = {}
    for row in tx.execute(query.execution_options(yield_per=_FETCHED_AT_ONCE)).mappings():
        before = reached.get(row["channel_id"], Chain(row["channel_id"]))
        where = f"{row['channel']}#{row['number']}"
        if not isinstance(row["number"], int):
            yield where, "has a number that cannot be read"
            continue
        if row["number"] != before.count + 1:
            yield where, f"follows upload {before.count} of its channel: the uploads between them are missing"
        elif not _is_linked(row, before.head):
            yield where, "has a hash that does not match its row and the previous row"
        reached[row["channel_id"]] = Chain(row["channel_id"], row["number"], row["hash"])
    for channel_id in sorted(chains.keys() | reached.keys(), key=repr):
        counted, found = chains.get(channel_id, Chain(channel_id)), reached.get(channel_id, Chain(channel_id))
        if counted != found:
            yield (
                f"channel {channel_id}",
                f"has {found.count} uploads, but {counted.count} were counted, or the last one differs",
            )


def _is_linked(row: Mapping[Any, Any], previous: bytes) -> bool:
    try:
        return bool(row["hash"] == _hash(row, previous))
    except (AttributeError, TypeError, ValueError):  # a damaged value can have another type than its column
        return False


def _row(channel_id: int, number: int, upload: RecordedUpload) -> dict[str, Any]:
    by = upload.by.in_channel(channel_id)
    workflow = by.workflow or Workflow(issuer="", kind="")
    return {
        "channel_id": channel_id,
        "number": number,
        "at": upload.at_ms,
        "channel": upload.channel,
        "subdir": upload.subdir,
        "file_name": upload.file_name,
        "size": upload.size,
        "sha256": upload.sha256,
        "replaced_sha256": upload.replaced_sha256,
        "attestations_sha256": upload.attestations_sha256,
        "principal": by.actor.name,
        "user_id": by.user_id,
        "key_id": by.key_id,
        "publisher_id": by.publisher_id,
        "issuer": workflow.issuer,
        "repository": workflow.repository or workflow.account,
        "workflow": workflow.workflow_ref,
        "commit": workflow.sha,
        "run": _run(workflow),
        "address": by.address,
    }


def _run(workflow: Workflow) -> str:
    return "/".join(filter(None, (workflow.run_id, workflow.run_attempt)))


def _hash(row: Mapping[Any, Any], previous: bytes) -> bytes:
    return hashlib.sha256(as_json(_shown(row, previous))).digest()


def _shown(row: Mapping[Any, Any], previous: bytes) -> dict[str, Any]:
    """Return the fields of a row's JSON: hashes in hexadecimal, and the hash of the previous row."""
    shown = {name: row[name] for name in _FIELDS}
    for name in _HASHES:
        shown[name] = None if row[name] is None else row[name].hex()
    return {**shown, "previous": previous.hex()}
