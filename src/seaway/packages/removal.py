"""
Delete and yank.

1. A yanked file is in `removed`, solvers do not choose it, and it stays downloadable: lock files go on working.
   Unyanked, it is what it was, with the time at which it was first indexed. The reason that was given for a yank is
   kept with the file until it is unyanked, replaced or deleted, and in the audit log for good.
2. A deleted file leaves no trace in any document; its name can be used again only with the right to overwrite.
   Its bytes go with the sweep; a download that has begun ends well.
3. Both work on a full disk, as long as the reserve lasts (`storage.reserve`).
"""

from dataclasses import dataclass
from functools import partial

from sqlalchemy import select, update

from seaway import audit
from seaway.accounts.principal import Principal
from seaway.audit import Event
from seaway.channels import channels, permissions
from seaway.channels.roles import Action
from seaway.clock import Clock
from seaway.conda import filename
from seaway.conda.record import Section
from seaway.database.engine import Database, Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import files
from seaway.errors import Malformed, NotFound
from seaway.indexing.change import touch_names
from seaway.indexing.rows import FileRecord, State, Subdir, find_subdir
from seaway.storage.reserve import Reserve
from seaway.trust import sidecars

MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Removing:
    """The parts that removal works with."""

    database: Database
    clock: Clock
    whole_document_limit: int
    reserve: Reserve


def delete(house: Removing, by: Principal, channel: str, subdir: str, file_name: str) -> int:
    """Take a file away for good; the new revision of its subdir."""
    return _change(house, by, channel, subdir, file_name, Action.DELETE, State.DELETED, Event.FILE_DELETED)


def yank(house: Removing, by: Principal, channel: str, subdir: str, file_name: str, *, reason: str = "") -> int:
    """Take a file out of what solvers choose from; a file that is yanked already stays so, and may get another reason."""
    reason = checked_reason(reason)
    return _change(house, by, channel, subdir, file_name, Action.YANK, State.YANKED, Event.FILE_YANKED, reason)


def checked_reason(reason: str) -> str:
    """Return the reason of a yank as one line; `Malformed` when it cannot be kept."""
    line = " ".join(reason.split())
    if len(line) > MAX_REASON:
        raise Malformed(f"The reason is longer than {MAX_REASON} characters.", "Shorten it.")
    if not line.isprintable():
        raise Malformed("The reason has characters that cannot be printed.", "Remove them.")
    return line


def unyank(house: Removing, by: Principal, channel: str, subdir: str, file_name: str) -> int:
    """Let solvers choose a yanked file again; a file that is listed already stays so."""
    return _change(house, by, channel, subdir, file_name, Action.YANK, State.LISTED, Event.FILE_UNYANKED)


def _change(
    house: Removing,
    by: Principal,
    channel: str,
    subdir: str,
    file_name: str,
    action: Action,
    state: State,
    event: Event,
    reason: str = "",
) -> int:
    change = partial(_change_once, house, by, channel, subdir, file_name, action, state, event, reason)
    return house.reserve.with_room(change)


def _change_once(
    house: Removing,
    by: Principal,
    channel: str,
    subdir: str,
    file_name: str,
    action: Action,
    state: State,
    event: Event,
    reason: str,
) -> int:
    with house.database.write_channel(channel) as tx:
        access = channels.access_of(tx, channel, by)
        permissions.require(by, Action.READ, access, channel_name=channel)
        found = None if access is None else find_subdir(tx, access.channel_id, subdir)
        row = None if found is None else _visible_file(tx, found, file_name)
        own = row is not None and by.user_id is not None and row.uploaded_by == by.user_id
        package = None if row is None else filename.parse(file_name).name
        permissions.require(by, action, access, channel_name=channel, own_file=own, package=package)
        if found is None or row is None:
            raise NotFound("There is no such file in the channel.", "Check its subdir and its name.")
        if row.state == state.value and reason in ("", row.yank_reason):
            return found.revision
        now_ms = house.clock.now_ms()
        tx.execute(update(files).where(files.c.id == row.id).values(state=state.value, yank_reason=reason))
        if state is State.DELETED:
            sidecars.forget(tx, found.id, file_name)
        seen = FileRecord(file_name, state, Section(row.section), row.indexed_at, row.record)
        name = filename.parse(file_name).name
        grown = -row.size if state is State.DELETED else 0
        revision = touch_names(tx, found, {name: [seen]}, now_ms, house.whole_document_limit, grown=grown)
        detail = {"sha256": row.sha256.hex(), **({"reason": reason} if reason else {})}
        audit.write(tx, now_ms, by.actor, event, channel=channel, target=f"{subdir}/{file_name}", **detail)
        return revision


def _visible_file(tx: Tx, subdir: Subdir, file_name: str) -> AnyRow | None:
    return tx.execute(
        select(
            files.c.id,
            files.c.state,
            files.c.yank_reason,
            files.c.section,
            files.c.indexed_at,
            files.c.record,
            files.c.uploaded_by,
            files.c.sha256,
            files.c.size,
        ).where(files.c.subdir_id == subdir.id, files.c.file_name == file_name, files.c.state != State.DELETED.value)
    ).one_or_none()
