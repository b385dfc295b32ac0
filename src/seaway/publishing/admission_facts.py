"""
Query what is known when an upload is admitted (`publishing.admit`): the channel, the names that it has, the quotas.

The number of statements does not depend on the number of names.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import bindparam, func, select

from seaway.callers.caller import Caller
from seaway.channels import permissions, quotas
from seaway.channels.channel import Attestations
from seaway.channels.permissions import Access, Verdict
from seaway.channels.quotas import StorageRoom
from seaway.channels.roles import Action
from seaway.channels.upload_log import Chain
from seaway.conda import filename
from seaway.conda.filename import FileName
from seaway.database.engine import Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import channels as channel_rows
from seaway.database.tables import files, packages, subdirs, upload_chains
from seaway.indexing.file_rows import FileState
from seaway.publishing.admit import AdmissionFacts, ExistingFile


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """Facts about an upload that are known before its bytes arrive."""

    channel: str
    file_name: str  # as sent
    announced_sha256: str | None
    by: Caller
    force: bool
    min_size: int = 1  # the minimum size that the request implies, to refuse an upload over the quota early
    in_pieces: int = 0  # its bytes that are stored as pieces, which the quota and the rate limit have counted


@dataclass(frozen=True, slots=True)
class ChannelState:
    """The state of a channel for some file and package names, independent of the caller."""

    taken: Mapping[tuple[str, str], AnyRow]  # by subdir and file name
    refuses_lookalikes: bool
    attestations: Attestations
    packages: dict[str, dict[str, int]]  # package ids by folded name and name
    chain: Chain
    room: StorageRoom
    allows_overwrite: bool
    allows_v3: bool


# Built once for all uploads: building a statement takes longer than running it in SQLite.
_TAKEN = (
    select(
        files.c.id, files.c.file_name, files.c.state, files.c.section, files.c.sha256, files.c.indexed_at,
        files.c.uploaded_by, files.c.uploaded_as, files.c.size,
        files.c.correction.is_not(None).label("is_corrected"), subdirs.c.name.label("subdir"), subdirs.c.revision,
    )
    .join(subdirs, subdirs.c.id == files.c.subdir_id)
    .where(
        subdirs.c.channel_id == bindparam("channel_id"),
        func.lower(files.c.file_name).in_(bindparam("lower_names", expanding=True)),
    )
)  # fmt: skip
_ALIKE = (
    select(
        channel_rows.c.refuses_lookalikes, channel_rows.c.allows_overwrite, channel_rows.c.allows_v3, *quotas.ROOM,
        packages.c.id, packages.c.name, packages.c.folded_name,
        channel_rows.c.attestations, upload_chains.c.count.label("chain_count"), upload_chains.c.head,
    )
    .outerjoin(upload_chains, upload_chains.c.channel_id == channel_rows.c.id)
    .outerjoin(
        packages,
        (packages.c.channel_id == channel_rows.c.id)
        & packages.c.folded_name.in_(bindparam("folded_names", expanding=True)),
    )
    .where(channel_rows.c.id == bindparam("channel_id"))
)  # fmt: skip


def early_facts(
    tx: Tx, upload: UploadRequest, access: Access, file_name: FileName, sha256: bytes | None, user_quota: int | None
) -> AdmissionFacts:
    """
    Return the facts that are known before the bytes arrive, when the subdir is unknown.

    The name alone does not identify an existing file, since several subdirs often have the same file name.
    Name and hash do, so that a client that repeats an upload need not send its bytes again.
    """
    taken = [] if sha256 is None else [str(file_name)]
    known = look_up(tx, access.channel_id, taken, [file_name.name], user_quota)
    row = next((row for row in known.taken.values() if row.sha256 == sha256 and row.file_name == str(file_name)), None)
    where = f"{upload.channel}/{'' if row is None else row.subdir}"
    facts = facts_of_name(known, where, row, access, file_name, upload.by, force=upload.force, is_attested=None)
    # The file that it may replace is not known yet, so the recording transaction decides about the quota.
    return facts if upload.force else replace(facts, room=known.room.after(-upload.in_pieces), grows_by=upload.min_size)


def look_up(
    tx: Tx, channel_id: int, file_names: Collection[str], names: Collection[str], user_quota: int | None
) -> ChannelState:
    """Query the state of a channel for these file and package names, in two statements."""
    lower_names = list({name.lower() for name in file_names})
    taken = tx.execute(_TAKEN, {"channel_id": channel_id, "lower_names": lower_names}).all() if file_names else []
    folded_names = list({filename.normalize_name(name) for name in names})
    parameters = {"channel_id": channel_id, "folded_names": folded_names, "user_quota": user_quota}
    alike = tx.execute(_ALIKE, parameters).all()
    by_folded: dict[str, dict[str, int]] = {}
    for row in alike:
        if row.id is not None:
            by_folded.setdefault(row.folded_name, {})[row.name] = row.id
    first = alike[0]
    chain = Chain(channel_id) if first.chain_count is None else Chain(channel_id, first.chain_count, first.head)
    attestations = Attestations(first.attestations)
    room = quotas.room_from_row(first)
    return ChannelState(
        {(row.subdir, row.file_name): row for row in taken}, first.refuses_lookalikes, attestations, by_folded,
        chain, room, first.allows_overwrite, first.allows_v3,
    )  # fmt: skip


def facts_of_name(
    known: ChannelState,
    where: str,
    row: AnyRow | None,
    access: Access,
    file_name: FileName,
    by: Caller,
    *,
    force: bool,
    is_attested: bool | None,
) -> AdmissionFacts:
    """Return the facts for an upload of this file name; `row` is the file that has it, if there is one."""
    alike = known.packages.get(filename.normalize_name(file_name.name), {})
    return AdmissionFacts(
        where=where,
        existing=None if row is None else _existing(row, access, by),
        lookalikes=tuple(sorted(name for name in alike if name != file_name.name)),
        refuses_lookalikes=known.refuses_lookalikes,
        force=force,
        attestations=known.attestations,
        by_workflow=by.workflow is not None,
        is_attested=is_attested,
        room=known.room,
        allows_overwrite=known.allows_overwrite,
        allows_v3=known.allows_v3,
    )


def in_other_case(known: ChannelState, file_name: str) -> str | None:
    """
    Return the file of the channel whose name differs only in case; package caches do not distinguish subdirs.

    A deleted file counts only in a channel that never overwrites files.
    """
    for row in known.taken.values():
        is_deleted = row.state == FileState.DELETED.value
        if row.file_name == file_name or row.file_name.lower() != file_name.lower():
            continue
        if not is_deleted or not known.allows_overwrite:
            return f"{row.subdir}/{row.file_name}{', which was deleted' if is_deleted else ''}"
    return None


def _existing(row: AnyRow, access: Access, by: Caller) -> ExistingFile:
    own = by.user_id is not None and row.uploaded_by == by.user_id
    name = filename.parse(row.file_name).name
    verdict = permissions.decide(by, Action.OVERWRITE, access, own_file=own, package=name)
    uploaded = datetime.fromtimestamp(row.indexed_at / 1000, UTC)
    by_workflow = by.workflow is not None and row.uploaded_by is None and row.uploaded_as == by.actor.name
    return ExistingFile(
        row.id,
        FileState(row.state),
        row.sha256,
        f"{uploaded:%Y-%m-%d}",
        can_overwrite=verdict is Verdict.ALLOWED,
        hint="" if verdict is Verdict.ALLOWED else permissions.hint(by, Action.OVERWRITE, access),
        is_own=own or by_workflow,
        is_corrected=row.is_corrected,
    )
