"""
Correct the published metadata of a file, and restore the original.

1. The bytes of the file, its hashes, its size, its attestations and `indexed_timestamp` stay; its record changes in the
   same transaction as the index, with a new revision, and every change writes an audit entry.
2. The original values stay with the row until the correction is removed. A correction changes the fields that it
   names; other corrected fields stay unchanged, and a field that is set to its original value is no longer corrected.
3. An upload that replaces the file drops the correction (`publishing.record`), which was made for other metadata.
4. Permission is checked before waiting for the channel lock, and again while holding it.
5. The audit entry contains the new and the previous values of the changed fields, in full.
6. run_exports documents are not corrected: they state what the package states.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Select, bindparam, select, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.channels import channels, permissions
from seaway.channels.roles import Action
from seaway.conda import corrections, portable_specs
from seaway.conda.corrections import FIELDS, Correction
from seaway.conda.record import Section, encode, unportable_specs
from seaway.database.engine import Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import files, packages
from seaway.errors import Conflict, Malformed, NotFound
from seaway.indexing.file_rows import FileState, IndexedFile, Subdir, find_subdir
from seaway.indexing.updates import update_names
from seaway.packages import newest_file
from seaway.packages.files import stored_correction, stored_record
from seaway.packages.removal import checked_reason
from seaway.site import Site


@dataclass(frozen=True, slots=True)
class CorrectionResult:
    """Result of a correction: the revision that shows it, and warnings for its author."""

    revision: int
    warnings: tuple[str, ...]


def correct(
    site: Site, by: Caller, channel: str, subdir: str, file_name: str, changes: Mapping[str, Any], reason: str
) -> CorrectionResult:
    """Change these fields of a record; an empty value removes a field, except `depends`."""
    reason = checked_reason(reason)
    if not reason:
        raise Malformed("A metadata correction needs a reason.", "Give a reason; it is shown on the page of the file.")
    if not changes or not set(changes) <= set(FIELDS):
        raise Malformed(
            "A metadata correction must change at least one field.",
            f"Fields that can be corrected: {', '.join(FIELDS)}.",
        )
    _require(site, by, channel, subdir, file_name)
    return site.reserve.retry_with_reserve(partial(_correct, site, by, channel, subdir, file_name, changes, reason))


def restore(site: Site, by: Caller, channel: str, subdir: str, file_name: str) -> int:
    """Restore the original record; return the revision that shows it."""
    _require(site, by, channel, subdir, file_name)
    return site.reserve.retry_with_reserve(partial(_restore, site, by, channel, subdir, file_name))


def warnings_of(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the warnings about corrected fields."""
    return portable_specs.warnings(unportable_specs({"depends": [], **fields}, {}))


def _correct(
    site: Site,
    by: Caller,
    channel: str,
    subdir: str,
    file_name: str,
    changes: Mapping[str, Any],
    reason: str,
) -> CorrectionResult:
    with site.database.write_channel(channel) as tx:
        subdir_row, row = _find(tx, by, channel, subdir, file_name)
        now_ms = site.clock.now_ms()
        values = corrections.validate(changes, Section(row.section))
        record, existing = stored_record(file_name, row.record), stored_correction(file_name, row.correction)
        original = corrections.revert(record, existing)
        wanted = {name: value for name, value in {**record, **values}.items() if value or name not in _LEFT_OUT_EMPTY}
        fields, originals = corrections.differing_fields(original, wanted)
        correction = Correction(fields, originals, reason, by.name, now_ms) if fields or originals else None
        corrected = corrections.apply(original, correction)
        if corrected == record:
            raise Conflict("The metadata of the file already has these values.", "Change at least one value.")
        corrections.check_corrected_record(corrected)
        revision = _write(site, tx, subdir_row, row, file_name, corrected, correction, now_ms)
        detail, target = _detail(record, corrected), f"{subdir}/{file_name}"
        audit.write(tx, now_ms, by.actor, Event.FILE_CORRECTED, channel=channel, target=target, reason=reason, **detail)
        return CorrectionResult(revision, warnings_of(fields))


# Fields that a record omits instead of having an empty value.
_LEFT_OUT_EMPTY = frozenset(FIELDS) - {"depends"}


def _restore(site: Site, by: Caller, channel: str, subdir: str, file_name: str) -> int:
    with site.database.write_channel(channel) as tx:
        subdir_row, row = _find(tx, by, channel, subdir, file_name)
        now_ms, correction = site.clock.now_ms(), stored_correction(file_name, row.correction)
        if correction is None:
            raise Conflict("The metadata of the file is not corrected.", "There is nothing to restore.")
        record = stored_record(file_name, row.record)
        original = corrections.revert(record, correction)
        revision = _write(site, tx, subdir_row, row, file_name, original, None, now_ms)
        detail, target = _detail(record, original), f"{subdir}/{file_name}"
        audit.write(tx, now_ms, by.actor, Event.FILE_CORRECTION_REMOVED, channel=channel, target=target, **detail)
        return revision


def _require(site: Site, by: Caller, channel: str, subdir: str, file_name: str) -> None:
    """Raise if the caller lacks permission or the file does not exist, without waiting for a writer."""
    with site.database.read() as tx:
        _find(tx, by, channel, subdir, file_name)


def _find(tx: Tx, by: Caller, channel: str, subdir: str, file_name: str) -> tuple[Subdir, AnyRow]:
    access = permissions.require(by, Action.READ, channels.access_of(tx, channel, by), channel_name=channel)
    subdir_row = find_subdir(tx, access.channel_id, subdir)
    which = {"of_subdir": subdir_row.id if subdir_row else None, "of_file": file_name}
    row = tx.execute(_ROW, which).one_or_none()
    package = None if row is None else row.package
    permissions.require(by, Action.CORRECT, access, channel_name=channel, package=package)
    if subdir_row is None or row is None:
        raise NotFound("There is no such file in the channel.", "Check its subdir and its name.")
    return subdir_row, row


def _write(
    site: Site,
    tx: Tx,
    subdir_row: Subdir,
    row: AnyRow,
    file_name: str,
    record: dict[str, Any],
    correction: Correction | None,
    now_ms: int,
) -> int:
    content = encode(record)
    stored = None if correction is None else corrections.encode_correction(correction)
    tx.execute(update(files).where(files.c.id == row.id).values(record=content, correction=stored))
    newest_file.describe(tx, [row.package_id])
    changed = IndexedFile(file_name, FileState(row.state), Section(row.section), row.indexed_at, content)
    return update_names(tx, subdir_row, {row.package: [changed]}, now_ms, site.whole_document_limit)


def _detail(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Return the new values of the changed fields, and in `was` their previous values as JSON."""
    names = [name for name in FIELDS if before.get(name) != after.get(name)]
    was = msgspec.json.encode({name: before[name] for name in names if name in before})
    return {name: _text(after.get(name, "")) for name in names} | {"was": was.decode()}


def _text(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


_ROW: Select[Any] = (
    select(
        files.c.id,
        files.c.package_id,
        packages.c.name.label("package"),
        files.c.state,
        files.c.section,
        files.c.indexed_at,
        files.c.record,
        files.c.correction,
    )
    .join(packages, packages.c.id == files.c.package_id)
    .where(
        files.c.subdir_id == bindparam("of_subdir"),
        files.c.file_name == bindparam("of_file"),
        files.c.state != FileState.DELETED.value,
    )
)
