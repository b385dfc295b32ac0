"""
Yank, unyank and delete files: named files, the files of a version, or the files of a whole package.

1. A yanked file is in `removed`, solvers do not choose it, and it stays downloadable: lock files continue to work.
   Unyanking restores it with the time at which it was first indexed. The reason for a yank is kept with the file until
   it is unyanked, replaced or deleted, and permanently in the audit log.
2. A deleted file is in no document; its name can be used again only with the right to overwrite. The sweep deletes its
   bytes; a download that has started finishes.
3. Both work on a full disk, as long as the reserve lasts (`storage.disk_reserve`).
4. All chosen files change in one transaction, or none does: if the caller is not allowed to change one of them, or one
   does not exist, nothing changes and the refusal names it. Readers of a subdir see one new revision. The audit log
   names every file with its sha256, `_FILES_IN_AN_ENTRY` files in each entry.
5. The number of statements grows by one for each batch of files, not for each file, and `MAX_FILES` bounds both.
6. A caller who is not allowed to do this to any file of the channel is refused before the channel is locked and before
   a file is read.
7. A yank can be undone: each file names the change that yanked it last, by an id of the audit log. `undo_yank` restores
   the files that still name the change, and no others, to their state before it: listed, or yanked with the earlier
   reason. One earlier yank is kept with each file, so a yank that itself replaced another one cannot be undone anymore
   once it is replaced.
8. Only the files that were confirmed change: if the caller sends the digest of the list they saw, and the list is
   different now, nothing changes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Select, case, select, update

from seaway import audit
from seaway.attestations import sidecars
from seaway.audit import Detail, Event, NewEntry
from seaway.callers.caller import Caller
from seaway.channels import channels, permissions
from seaway.channels.permissions import Access, Verdict
from seaway.channels.roles import Action
from seaway.conda.record import Section
from seaway.counted_nouns import counted
from seaway.database.engine import Tx
from seaway.database.rows import AnyRow, in_batches
from seaway.database.tables import audit as audit_rows
from seaway.database.tables import files, packages, subdirs
from seaway.errors import Conflict, Malformed, NotAllowed, NotFound
from seaway.indexing.file_rows import NOT_YANKED, FileState, IndexedFile, find_subdir
from seaway.indexing.updates import update_names
from seaway.packages import newest_file
from seaway.site import Site

MAX_FILES = 10_000
MAX_NAMED = 200  # files named in one request of the API or a page: as many as its body can hold
MAX_REASON = 500
_ROWS_AT_ONCE = 500
_NAMES_IN_A_REFUSAL = 3
_FILES_IN_AN_ENTRY = 200
_ALREADY_YANKED = "already_yanked"  # in the audit log: only the reason was changed


class FileAction(Enum):
    """An operation on files: the permission that it needs, the state that it sets, and its audit event."""

    action: Action
    state: FileState
    event: Event

    YANK = "yank", Action.YANK, FileState.YANKED, Event.FILE_YANKED
    UNYANK = "unyank", Action.YANK, FileState.LISTED, Event.FILE_UNYANKED
    DELETE = "delete", Action.DELETE, FileState.DELETED, Event.FILE_DELETED

    def __new__(cls, value: str, action: Action, state: FileState, event: Event) -> "FileAction":
        member = object.__new__(cls)
        member._value_ = value
        member.action, member.state, member.event = action, state, event
        return member


@dataclass(frozen=True, slots=True)
class Selection:
    """
    Selected files of a channel: named as SUBDIR/FILE, or all of a package, optionally of one version or subdir.

    With both files and a package, the named files are selected, and all of them must belong to the package.
    """

    files: tuple[str, ...] = ()
    package: str = ""
    version: str = ""
    subdir: str = ""

    def __str__(self) -> str:
        if self.files:
            return self.files[0] if len(self.files) == 1 else counted(len(self.files), "file")
        return " ".join(filter(None, (self.package, self.version, self.subdir and f"for {self.subdir}")))


@dataclass(frozen=True, slots=True)
class RemovalResult:
    """
    Result of a change: the changed files, how many already had the state, and the revision of each subdir.

    `yank` is the id with which a yank can be undone; None if it changed nothing.
    """

    files: tuple[str, ...]
    unchanged: int
    revisions: dict[str, int]
    yank: int | None = None


@dataclass(frozen=True, slots=True)
class UndoneYank:
    """The files that a yank had changed and that were restored, as SUBDIR/FILE, by their state before it."""

    listed: tuple[str, ...]
    yanked: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """All restored files."""
        return self.listed + self.yanked


@dataclass(frozen=True, slots=True)
class ChosenFile:
    """A file that a change would affect, or that already has the wanted state."""

    path: str  # SUBDIR/FILE
    size: int
    state: FileState


def digest(places: Iterable[str]) -> str:
    """Return a digest of a list of files, in any order."""
    return sha256("\n".join(sorted(places)).encode()).hexdigest()


def select_files(
    *, files: Sequence[str] = (), package: str | None = None, version: str | None = None, subdir: str | None = None
) -> Selection:
    """Return the selection for these values; raise `Malformed` if there are none or two, or if a name is empty."""
    if "" in (package, version, subdir):  # would select more files than intended
        raise Malformed("A package, version or platform must not be empty.", "Leave it out, or name one.")
    if bool(files) == bool(package):
        raise Malformed("Either files or a package must be chosen.", "Name files as SUBDIR/FILE, or one package.")
    if files and (version or subdir):
        raise Malformed(
            "A version or a platform can be combined with a package only, not with a list of files.",
            "Choose either files, or a package with a version and a platform.",
        )
    for place in files:
        if place.count("/") != 1:
            raise Malformed(f"{place[:250]!a} is not SUBDIR/FILE.", "Write noarch/demo-1.0-0.conda, for example.")
    return Selection(tuple(dict.fromkeys(files)), package or "", version or "", subdir or "")


def checked_reason(reason: str) -> str:
    """Return the reason for a yank as one line; raise `Malformed` if it cannot be stored."""
    line = " ".join(reason.split())
    if len(line) > MAX_REASON:
        raise Malformed(f"The reason is longer than {MAX_REASON} characters.", "Shorten it.", field="reason")
    if not line.isprintable():
        raise Malformed("The reason contains unprintable characters.", "Remove them.", field="reason")
    return line


def change(
    site: Site,
    by: Caller,
    channel: str,
    act: FileAction,
    selection: Selection,
    *,
    reason: str = "",
    expected: str | None = None,
) -> RemovalResult:
    """
    Yank, unyank or delete the chosen files, all or none.

    Only a yank has a reason. Files that are already yanked stay yanked, and get the new reason if there is one.
    `expected` is the digest of the confirmed files; raise `Conflict` if the selection has changed since.
    """
    reason = checked_reason(reason)
    if reason and act is not FileAction.YANK:
        raise Malformed("A reason can be given for a yank only.", "Leave it out.")
    with site.database.read() as tx:
        _access(tx, by, channel, act)
    return site.reserve.retry_with_reserve(partial(_change, site, by, channel, act, selection, reason, expected))


def preview(tx: Tx, by: Caller, channel: str, act: FileAction, selection: Selection) -> list[ChosenFile]:
    """Return the files that `change` would change; raise the refusals that it would raise."""
    _, rows = _choose(tx, by, channel, act, selection)
    return [ChosenFile(row.path, row.size, FileState(row.state)) for row in rows]


def delete(site: Site, by: Caller, channel: str, subdir: str, file_name: str) -> int:
    """Delete one file; return the revision of its subdir."""
    return change(site, by, channel, FileAction.DELETE, _single_file(subdir, file_name)).revisions[subdir]


def yank(site: Site, by: Caller, channel: str, subdir: str, file_name: str, *, reason: str = "") -> int:
    """Yank one file; return the revision of its subdir."""
    return change(site, by, channel, FileAction.YANK, _single_file(subdir, file_name), reason=reason).revisions[subdir]


def unyank(site: Site, by: Caller, channel: str, subdir: str, file_name: str) -> int:
    """Unyank one file; return the revision of its subdir."""
    return change(site, by, channel, FileAction.UNYANK, _single_file(subdir, file_name)).revisions[subdir]


def undo_yank(site: Site, by: Caller, channel: str, yank: int) -> UndoneYank:
    """
    Restore the files that a yank has changed to their state before it.

    Files that were deleted, replaced, unyanked or yanked again since do not change; raise `Conflict` if all were.
    """
    with site.database.read() as tx:
        _access(tx, by, channel, FileAction.UNYANK)
    return site.reserve.retry_with_reserve(partial(_undo_yank, site, by, channel, yank))


def _undo_yank(site: Site, by: Caller, channel: str, yank: int) -> UndoneYank:
    with site.database.write_channel(channel) as tx:
        access = _access(tx, by, channel, FileAction.UNYANK)
        rows = _read(tx, [_ROWS.where(subdirs.c.channel_id == access.channel_id, files.c.yank_id == yank)])
        if not rows:
            raise Conflict(
                "This yank can no longer be undone.",
                "Its files were unyanked, yanked again, replaced or deleted since. Nothing was changed.",
            )
        _require_each(by, FileAction.UNYANK, access, channel, rows)
        now_ms = site.clock.now_ms()
        listed = [row for row in rows if row.earlier_yank_reason is None]
        yanked = [row for row in rows if row.earlier_yank_reason is not None]
        _write(tx, listed, {**NOT_YANKED, "state": FileState.LISTED.value})
        _write(tx, yanked, _EARLIER_YANK)
        changed = [*((row, FileState.LISTED) for row in listed), *((row, FileState.YANKED) for row in yanked)]
        _update_indexes(site, tx, access.channel_id, rows, changed, now_ms)
        target = str(Selection(tuple(row.path for row in rows)))
        details = _details_of_undo(rows, listed, yanked)
        audit.write_all(tx, [NewEntry(now_ms, by.actor, event, channel, target, detail) for event, detail in details])
        return UndoneYank(tuple(row.path for row in listed), tuple(row.path for row in yanked))


def _details_of_undo(
    rows: Sequence[AnyRow], listed: Sequence[AnyRow], yanked: Sequence[AnyRow]
) -> Iterator[tuple[Event, dict[str, Detail]]]:
    """Return the event and the details of each audit entry; files that are yanked as before are grouped by reason."""
    for detail in _audit_details(rows, len(rows), listed, {}):
        yield Event.FILE_UNYANKED, detail
    reason_of = attrgetter("earlier_yank_reason")
    for reason, alike in groupby(sorted(yanked, key=reason_of), key=reason_of):
        shared = {**_reason_detail(reason), _ALREADY_YANKED: True}
        for detail in _audit_details(rows, len(rows), list(alike), shared):
            yield Event.FILE_YANKED, detail


def _single_file(subdir: str, file_name: str) -> Selection:
    return Selection((f"{subdir}/{file_name}",))


def _change(
    site: Site,
    by: Caller,
    channel: str,
    act: FileAction,
    selection: Selection,
    reason: str,
    expected: str | None,
) -> RemovalResult:
    with site.database.write_channel(channel) as tx:
        access, rows = _choose(tx, by, channel, act, selection)
        if expected is not None and expected != digest(row.path for row in rows):
            raise Conflict(
                "The selected files have changed. Nothing was changed.", "Review the list and confirm again."
            )
        now_ms = site.clock.now_ms()
        changed = [row for row in rows if row.state != act.state.value or reason not in ("", row.yank_reason)]
        first = [row for row in changed if row.state != act.state.value]
        again = [row for row in changed if row.state == act.state.value]  # yanked with another reason
        if changed:
            target = rows[0].path if len(rows) == 1 else str(selection)
            detail = _reason_detail(reason)
            details = [
                *_audit_details(rows, len(changed), again, {**detail, _ALREADY_YANKED: True}),
                *_audit_details(rows, len(changed), first, detail),
            ]
            audit.write_all(tx, [NewEntry(now_ms, by.actor, act.event, channel, target, each) for each in details])
        yank = _last_entry(tx, channel, act.event) if changed and act is FileAction.YANK else None
        values = {"state": act.state.value, "yank_reason": reason, "yank_id": yank}
        _write(tx, first, {**NOT_YANKED, **values})
        _write(tx, again, {**_KEEPING_THE_YANK, **values})
        new_states = [(row, act.state) for row in changed]
        revisions = _update_indexes(site, tx, access.channel_id, rows, new_states, now_ms)
        return RemovalResult(tuple(row.path for row in changed), len(rows) - len(changed), revisions, yank)


def _reason_detail(reason: str) -> dict[str, Detail]:
    return {"reason": reason} if reason else {}


def _audit_details(
    rows: Sequence[AnyRow], total: int, changed: Sequence[AnyRow], shared: Mapping[str, Detail]
) -> Iterator[dict[str, Detail]]:
    """Return the details of the audit entries about some of the `total` changed files; `rows` are the chosen ones."""
    if len(rows) == 1:
        yield from ({**shared, "sha256": row.sha256.hex()} for row in changed)
        return
    parts = list(in_batches(changed, _FILES_IN_AN_ENTRY))
    for number, part in enumerate(parts, start=1):
        of_many: dict[str, Detail] = {"part": f"{number} of {len(parts)}"} if len(parts) > 1 else {}
        yield {**shared, "files": total, **of_many, "sha256": {row.path: row.sha256.hex() for row in part}}


def _last_entry(tx: Tx, channel: str, event: Event) -> int:
    """Return the id of the last audit entry of the change that this transaction has made."""
    of_change = (audit_rows.c.channel == channel, audit_rows.c.action == event.value)
    query = select(audit_rows.c.id).where(*of_change).order_by(audit_rows.c.id.desc()).limit(1)
    return int(tx.execute(query).scalar_one())


def _access(tx: Tx, by: Caller, channel: str, act: FileAction) -> Access:
    """Return the access to the channel if the caller can do this, at least to files that they uploaded."""
    access = permissions.require(by, Action.READ, channels.access_of(tx, channel, by), channel_name=channel)
    return permissions.require(by, act.action, access, channel_name=channel, own_file=True)


def _choose(tx: Tx, by: Caller, channel: str, act: FileAction, selection: Selection) -> tuple[Access, Sequence[AnyRow]]:
    """Return the rows of the chosen files, by subdir and name, if the caller can do this to all of them."""
    access = _access(tx, by, channel, act)
    rows = _read(tx, _queries(access.channel_id, selection))
    if not rows:
        permissions.require(by, act.action, access, channel_name=channel)
        raise _missing_files(selection)
    _require_each(by, act, access, channel, rows)
    found = {row.path for row in rows}
    missing = [place for place in selection.files if place not in found]
    if missing and selection.package:
        raise _not_of_package(selection.package, missing)
    if missing:
        raise Conflict(
            f"The channel has no file {_named(missing)}.", "Nothing was changed. Choose files that are in the channel."
        )
    if len(rows) > MAX_FILES:
        raise Conflict(
            f"More than {MAX_FILES:,} files are chosen, the limit for one request.",
            "Choose one version or one platform at a time.",
        )
    return access, rows


def _require_each(by: Caller, act: FileAction, access: Access, channel: str, rows: Sequence[AnyRow]) -> None:
    """Refuse the caller if they cannot do this to all of these files."""
    refused = [
        row
        for row in rows
        if permissions.decide(by, act.action, access, own_file=_is_own(by, row), package=row.package)
        is not Verdict.ALLOWED
    ]
    if refused:
        _raise_refusal(by, act, access, channel, refused, is_one=len(rows) == 1)


def _raise_refusal(
    by: Caller, act: FileAction, access: Access, channel: str, refused: Sequence[AnyRow], *, is_one: bool
) -> None:
    """Raise the refusal for the first of these files, with the names of all if several files were chosen."""
    row = refused[0]
    try:
        permissions.require(
            by, act.action, access, channel_name=channel, own_file=_is_own(by, row), package=row.package
        )
    except NotAllowed as error:
        if is_one:
            raise
        names = _named([row.path for row in refused])
        raise NotAllowed(f"{error.message} Affected files: {names}.", error.hint) from None


def _missing_files(selection: Selection) -> NotFound:
    if selection.files and selection.package:
        return _not_of_package(selection.package, selection.files)
    if selection.files:
        return NotFound("There is no such file in the channel.", "Check its subdir and its name.")
    return NotFound("There is no file of this package, version and platform in the channel.", "Check your selection.")


def _not_of_package(package: str, places: Sequence[str]) -> NotFound:
    return NotFound(f"The package {package} has no file {_named(places)}.", "Nothing was changed. Select its files.")


def _is_own(by: Caller, row: AnyRow) -> bool:
    return by.user_id is not None and row.uploaded_by == by.user_id


def _named(places: Sequence[str]) -> str:
    """Return the names of the first of these files, and the number of the others."""
    more = len(places) - _NAMES_IN_A_REFUSAL
    return ", ".join(places[:_NAMES_IN_A_REFUSAL]) + (f" and {more:,} more" if more > 0 else "")


def _read(tx: Tx, queries: Iterable[Select[Any]]) -> list[AnyRow]:
    rows = [row for query in queries for row in tx.execute(query)]
    return sorted(rows, key=lambda row: (row.subdir, row.package, row.file_name))


def _queries(channel_id: int, selection: Selection) -> Iterator[Select[Any]]:
    query = _ROWS.where(subdirs.c.channel_id == channel_id)
    if selection.package:
        query = query.where(packages.c.channel_id == channel_id, packages.c.name == selection.package)
    if not selection.files:
        if selection.version:
            query = query.where(files.c.version == selection.version)
        if selection.subdir:
            query = query.where(subdirs.c.name == selection.subdir)
        yield query.limit(MAX_FILES + 1)
    by_subdir: dict[str, list[str]] = {}
    for place in selection.files[: MAX_FILES + 1]:
        subdir, _, file_name = place.partition("/")
        by_subdir.setdefault(subdir, []).append(file_name)
    for subdir, names in by_subdir.items():
        for batch in in_batches(names, _ROWS_AT_ONCE):
            yield query.where(subdirs.c.name == subdir, files.c.file_name.in_(batch))


def _write(tx: Tx, rows: Sequence[AnyRow], values: Mapping[str, Any]) -> None:
    for batch in in_batches([row.id for row in rows], _ROWS_AT_ONCE):
        tx.execute(update(files).where(files.c.id.in_(batch)).values(values))


def _update_indexes(
    site: Site,
    tx: Tx,
    channel_id: int,
    rows: Sequence[AnyRow],
    changed: Sequence[tuple[AnyRow, FileState]],
    now_ms: int,
) -> dict[str, int]:
    """Update the packages and the index for changed files; return the revisions of the subdirs of all `rows`."""
    newest_file.describe(tx, {row.package_id for row, _ in changed})
    revisions = {}
    for subdir in dict.fromkeys(row.subdir for row in rows):
        of_subdir = [(row, state) for row, state in changed if row.subdir == subdir]
        revisions[subdir] = _update_index(site, tx, channel_id, subdir, of_subdir, now_ms)
    return revisions


def _update_index(
    site: Site, tx: Tx, channel_id: int, name: str, changed: Sequence[tuple[AnyRow, FileState]], now_ms: int
) -> int:
    """Update the index of a subdir for these files of it and their new states; return its revision."""
    subdir = find_subdir(tx, channel_id, name)
    assert subdir is not None  # it has files
    if not changed:
        return subdir.revision
    deleted = [row for row, state in changed if state is FileState.DELETED]
    for batch in in_batches([row.file_name for row in deleted], _ROWS_AT_ONCE):
        sidecars.forget(tx, subdir.id, batch)
    changes: dict[str, list[IndexedFile]] = {}
    for row, state in changed:
        file_record = IndexedFile(row.file_name, state, Section(row.section), row.indexed_at, row.record)
        changes.setdefault(row.package, []).append(file_record)
    grown = -sum(row.size for row in deleted)
    return update_names(tx, subdir, changes, now_ms, site.whole_document_limit, grown=grown, steps=1)


_KEEPING_THE_YANK: Mapping[str, Any] = {
    "earlier_yank_reason": files.c.yank_reason,
    "earlier_yank_id": case((files.c.earlier_yank_reason.is_(None), files.c.yank_id)),
}
_EARLIER_YANK: Mapping[str, Any] = {
    **NOT_YANKED,
    "yank_reason": files.c.earlier_yank_reason,
    "yank_id": files.c.earlier_yank_id,
}
_ROWS: Select[Any] = (
    select(
        files.c.id,
        files.c.package_id,
        files.c.file_name,
        files.c.state,
        files.c.yank_reason,
        files.c.earlier_yank_reason,
        files.c.section,
        files.c.indexed_at,
        files.c.record,
        files.c.uploaded_by,
        files.c.sha256,
        files.c.size,
        subdirs.c.name.label("subdir"),
        packages.c.name.label("package"),
        (subdirs.c.name + "/" + files.c.file_name).label("path"),
    )
    .join(subdirs, subdirs.c.id == files.c.subdir_id)
    .join(packages, packages.c.id == files.c.package_id)
    .where(files.c.state != FileState.DELETED.value)
)
