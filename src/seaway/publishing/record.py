"""
Record uploads, the last step, in one transaction: write the file rows, shards, revision, audit entries and upload log.

1. Each upload is admitted or refused by the state that the transaction reads, before anything is written for it.
2. Uploads with the same name, or with names that look alike, are decided one after the other, as if the first one was
   already recorded.
3. The number of statements depends neither on the channel nor on the number of uploads, except for new subdirs
   and names, overwritten files, and repeated uploads of attested files.
4. Repeating an upload with the same bytes by the same uploader changes nothing and returns the revision, so that a
   lost response does not cause a failure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import bindparam, insert, select, update

from seaway import audit
from seaway.attestations import sidecars
from seaway.attestations.bundles import VerifiedAttestation
from seaway.attestations.sidecars import Sidecar
from seaway.audit import Event, NewEntry
from seaway.callers.caller import Caller
from seaway.channels import channels, permissions, upload_log
from seaway.channels.permissions import Access
from seaway.channels.roles import Action
from seaway.channels.upload_log import RecordedUpload
from seaway.conda import filename
from seaway.conda.record import encode, v3_needs
from seaway.database.engine import Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import files, packages, subdirs
from seaway.errors import SeawayError
from seaway.indexing.file_rows import NOT_YANKED, FileState, IndexedFile, Subdir, find_subdir
from seaway.indexing.updates import update_names
from seaway.mail.outbox import Outbox
from seaway.packages import newest_file
from seaway.packages.files import WARNINGS
from seaway.packages.newest_file import UploadedFile
from seaway.publishing import admit
from seaway.publishing.admission_facts import ChannelState, facts_of_name, in_other_case, look_up
from seaway.publishing.admit import AdmissionFacts
from seaway.publishing.examine import Candidate
from seaway.publishing.upload_rates import UploadRate
from seaway.site import Site
from seaway.trusted_publishing import publisher_uploads


@dataclass(frozen=True, slots=True)
class Submission:
    """A candidate, and the caller who uploads it."""

    candidate: Candidate
    by: Caller
    force: bool
    attested: VerifiedAttestation | None = None
    in_pieces: int = 0  # its bytes that are already stored and counted in the quota, as pieces of a resumable upload

    @property
    def sidecar(self) -> Sidecar | None:
        """The sidecar of the file; None without an attestation."""
        if self.attested is None:
            return None
        return Sidecar(self.path[1], self.candidate.hashes.sha256, self.attested)

    @property
    def path(self) -> tuple[str, str]:
        """The subdir and the file name."""
        return self.candidate.subdir, str(self.candidate.file_name)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The result of a recorded upload, whose file readers see from the commit on."""

    revision: int
    replaced: bool
    warnings: tuple[str, ...]
    repeated: bool = False  # invariant 4


@dataclass(frozen=True, slots=True)
class RecordingParts:
    """The parts that recording works with."""

    site: Site
    rate: UploadRate
    outbox: Outbox
    user_quota: int | None  # default for users, in bytes


@dataclass(frozen=True, slots=True)
class _Admitted:
    """An admitted submission that is about to be written."""

    number: int
    submission: Submission
    facts: AdmissionFacts
    record: bytes
    warnings: tuple[str, ...]

    @property
    def replaces(self) -> bool:
        existing = self.facts.existing
        return existing is not None and existing.state is not FileState.DELETED


# Built once for all uploads: building a statement takes longer than running it in SQLite.
_ADD_PACKAGES = insert(packages)
_PACKAGES = select(packages.c.name, packages.c.id).where(
    packages.c.channel_id == bindparam("channel_id"), packages.c.name.in_(bindparam("names", expanding=True))
)
_ADD_SUBDIR = insert(subdirs)
_ADD_FILES = insert(files).returning(files.c.id, files.c.file_name)


def record_submissions(
    tx: Tx, parts: RecordingParts, channel: str, submissions: Sequence[Submission]
) -> list[Recorded | SeawayError]:
    """Record the submissions that are admitted; return the result or refusal of each, in order."""
    now_ms = parts.site.clock.now_ms()
    outcomes: dict[int, Recorded | SeawayError] = {}
    waiting = list(enumerate(submissions))
    while waiting:
        batch, waiting = _split_conflicts(waiting)
        outcomes.update(_record_batch(tx, parts, now_ms, channel, batch))
    return [outcomes[number] for number in range(len(submissions))]


def require_upload(tx: Tx, channel: str, by: Caller) -> Access:
    """Return the access of a caller who can upload to the channel, or refuse."""
    return permissions.require(by, Action.UPLOAD, channels.access_of(tx, channel, by), channel_name=channel)


_Numbered = tuple[int, Submission]


def _split_conflicts(waiting: Sequence[_Numbered]) -> tuple[list[_Numbered], list[_Numbered]]:
    """Return the submissions that can be decided together, and the others, which depend on their outcome."""
    batch: list[_Numbered] = []
    later: list[_Numbered] = []
    places: set[tuple[str, str]] = set()
    names: dict[str, str] = {}
    spellings: dict[str, str] = {}
    for number, submission in waiting:
        place, name = submission.path, submission.candidate.file_name.name
        is_conflict = (
            place in places
            or names.get(filename.normalize_name(name), name) != name
            or spellings.get(place[1].lower(), place[1]) != place[1]
        )
        if not is_conflict:
            places.add(place)
            names[filename.normalize_name(name)] = name
            spellings[place[1].lower()] = place[1]
        (later if is_conflict else batch).append((number, submission))
    return batch, later


def _record_batch(
    tx: Tx, parts: RecordingParts, now_ms: int, channel: str, submissions: Sequence[_Numbered]
) -> dict[int, Recorded | SeawayError]:
    """Record submissions without conflicting names."""
    accesses, outcomes = _accesses(tx, channel, submissions)
    allowed = [(number, submission) for number, submission in submissions if number not in outcomes]
    if not allowed:
        return outcomes
    channel_id = accesses[allowed[0][1].by].channel_id
    file_names = {submission.path[1] for _, submission in allowed}
    names = {submission.candidate.file_name.name for _, submission in allowed}
    known = look_up(tx, channel_id, file_names, names, parts.user_quota)
    repeated = _repeated(tx, channel, channel_id, known, accesses, allowed)
    outcomes.update(repeated)
    allowed = [entry for entry in allowed if entry[0] not in repeated]
    admitted, refusals = _decide(now_ms, channel, known, accesses, allowed)
    revisions = _write(tx, now_ms, channel_id, known, admitted, parts.site.whole_document_limit)
    audit.write_all(tx, [_audit_line(now_ms, channel, entry) for entry in admitted])
    upload_log.append(tx, known.chain, [_upload(now_ms, channel, entry) for entry in admitted])
    publisher_uploads.record_use(tx, now_ms, parts.outbox, channel_id, [entry.submission.by for entry in admitted])
    recorded = {entry.number: Recorded(revisions[entry.number], entry.replaces, entry.warnings) for entry in admitted}
    return {**outcomes, **refusals, **recorded}


def _repeated(
    tx: Tx,
    channel: str,
    channel_id: int,
    known: ChannelState,
    accesses: Mapping[Caller, Access],
    submissions: Sequence[_Numbered],
) -> dict[int, Recorded]:
    """Return the outcomes of repeated uploads (invariant 4)."""
    found: dict[int, Recorded] = {}
    for number, submission in submissions:
        row = known.taken.get(submission.path)
        if row is None:
            continue
        facts = _facts_of(known, channel, row, accesses[submission.by], submission)
        if not admit.is_repeated(submission.candidate.hashes.sha256, facts):
            continue
        # Not repeated if only the new upload has an attestation, which would be lost: this is a conflict.
        if submission.attested is None or sidecars.current(tx, channel_id, *submission.path) is not None:
            is_yanked = row.state == FileState.YANKED.value
            warnings = ("The file is yanked; unyank it to list it again.",) if is_yanked else ()
            found[number] = Recorded(row.revision, replaced=False, warnings=warnings, repeated=True)
    return found


def _accesses(
    tx: Tx, channel: str, submissions: Sequence[_Numbered]
) -> tuple[dict[Caller, Access], dict[int, Recorded | SeawayError]]:
    """Return the access of each caller, and the refusals; the access of a caller is queried once."""
    accesses: dict[Caller, Access] = {}
    refusals: dict[int, Recorded | SeawayError] = {}
    for number, submission in submissions:
        try:
            by, package = submission.by, submission.candidate.file_name.name
            if by not in accesses:
                accesses[by] = require_upload(tx, channel, by)
            permissions.require(by, Action.UPLOAD, accesses[by], channel_name=channel, package=package)
        except SeawayError as error:
            refusals[number] = error
    return accesses, refusals


def _decide(
    now_ms: int, channel: str, known: ChannelState, accesses: Mapping[Caller, Access], submissions: Sequence[_Numbered]
) -> tuple[list[_Admitted], dict[int, SeawayError]]:
    """Return the admitted submissions and the refusals of the others."""
    admitted: list[_Admitted] = []
    refusals: dict[int, SeawayError] = {}
    room = known.room
    for number, submission in submissions:
        candidate, row = submission.candidate, known.taken.get(submission.path)
        room = room.after(-submission.in_pieces)  # its pieces are deleted once it is recorded
        facts = _facts_of(known, channel, row, accesses[submission.by], submission)
        is_free = row is None or row.state == FileState.DELETED.value
        other_case = in_other_case(known, submission.path[1]) if is_free else None
        grows_by = candidate.hashes.size - _visible_size(row)
        needs = v3_needs(candidate.record) if candidate.section.is_v3 and not known.allows_v3 else ""
        facts = replace(facts, room=room, grows_by=grows_by, other_case=other_case, v3_needs=needs)
        try:
            admit.admit(candidate.file_name, candidate.hashes.sha256, facts)
        except SeawayError as error:
            refusals[number] = error
            room = room.after(submission.in_pieces)
        else:
            # Set by the server and never changed (CEP 47): new bytes under an old name are a new file.
            content = encode({**candidate.record, "indexed_timestamp": now_ms, **_attested(submission.sidecar)})
            admitted.append(_Admitted(number, submission, facts, content, admit.warnings(candidate, facts, now_ms)))
            room = room.after(facts.grows_by)
    return admitted, refusals


def _attested(sidecar: Sidecar | None) -> dict[str, str]:
    """Return the record field that announces the sidecar; empty if there is none (CEP 50)."""
    return {} if sidecar is None else {sidecars.FIELD: sidecars.digest(sidecar.content).hex()}


def _facts_of(
    known: ChannelState, channel: str, row: AnyRow | None, access: Access, submission: Submission
) -> AdmissionFacts:
    return facts_of_name(
        known,
        f"{channel}/{submission.candidate.subdir}",
        row,
        access,
        submission.candidate.file_name,
        submission.by,
        force=submission.force,
        is_attested=submission.attested is not None,
    )


def _visible_size(row: AnyRow | None) -> int:
    """Return the bytes that are freed in the channel when this file is replaced."""
    return 0 if row is None or row.state == FileState.DELETED.value else row.size


def _write(
    tx: Tx, now_ms: int, channel_id: int, known: ChannelState, admitted: Sequence[_Admitted], whole_document_limit: int
) -> dict[int, int]:
    """Write the rows and update the index; return the revision of each submission."""
    package_ids = _package_ids(tx, channel_id, known, {entry.submission.candidate.file_name.name for entry in admitted})
    revisions: dict[int, int] = {}
    uploads: list[UploadedFile] = []
    for name in sorted({entry.submission.candidate.subdir for entry in admitted}):
        of_subdir = [entry for entry in admitted if entry.submission.candidate.subdir == name]
        subdir = _subdir_row(tx, channel_id, name, now_ms)
        uploads += _write_files(tx, now_ms, subdir.id, package_ids, of_subdir)
        revisions.update(_write_index(tx, now_ms, subdir, of_subdir, whole_document_limit))
    newest_file.describe_uploads(tx, now_ms, uploads)
    return revisions


def _package_ids(tx: Tx, channel_id: int, known: ChannelState, names: Iterable[str]) -> dict[str, int]:
    ids = {name: package_id for alike in known.packages.values() for name, package_id in alike.items()}
    new = [name for name in names if name not in ids]
    if new:
        rows = [{"channel_id": channel_id, "name": name, "folded_name": filename.normalize_name(name)} for name in new]
        tx.execute(_ADD_PACKAGES, rows)
        ids.update((row.name, row.id) for row in tx.execute(_PACKAGES, {"channel_id": channel_id, "names": new}))
    return ids


def _subdir_row(tx: Tx, channel_id: int, name: str, now_ms: int) -> Subdir:
    subdir = find_subdir(tx, channel_id, name)
    if subdir is not None:
        return subdir
    tx.execute(
        _ADD_SUBDIR,
        {"channel_id": channel_id, "name": name, "revision": 0, "changed_at": now_ms, "record_count": 0},
    )
    created = find_subdir(tx, channel_id, name)
    assert created is not None
    return created


def _write_files(
    tx: Tx, now_ms: int, subdir_id: int, package_ids: dict[str, int], admitted: Sequence[_Admitted]
) -> list[UploadedFile]:
    """Write the rows of files of one subdir; return them."""
    new, ids, written = [], {}, {}
    for entry in admitted:
        candidate, by = entry.submission.candidate, entry.submission.by
        values: dict[str, Any] = {
            "subdir_id": subdir_id,
            "package_id": package_ids[candidate.file_name.name],
            "file_name": str(candidate.file_name),
            "state": FileState.LISTED.value,
            **NOT_YANKED,
            "section": candidate.section.value,
            "version": candidate.file_name.version,
            "size": candidate.hashes.size,
            "sha256": candidate.hashes.sha256,
            "indexed_at": now_ms,
            "uploaded_by": by.user_id,
            "uploaded_as": by.actor.name,
            "record": entry.record,
            "about": stored_about(candidate, entry.warnings),
            "correction": None,
        }
        written[str(candidate.file_name)] = values
        if entry.facts.existing is None:
            new.append(values)
        else:
            ids[str(candidate.file_name)] = entry.facts.existing.id
            tx.execute(update(files).where(files.c.id == entry.facts.existing.id).values(values))
            sidecars.supersede(tx, now_ms, subdir_id, str(candidate.file_name), entry.submission.sidecar)
    if new:
        ids.update({row.file_name: row.id for row in tx.execute(_ADD_FILES, new)})
    sidecars.add(
        tx, now_ms, subdir_id, [sidecar for entry in admitted if (sidecar := entry.submission.sidecar) is not None]
    )
    return [
        UploadedFile(row["package_id"], ids[name], row["version"], name, row["record"], row["about"])
        for name, row in written.items()
    ]


def stored_about(candidate: Candidate, warnings: Sequence[str]) -> bytes:
    """Return the `about` column of a file: data of the package, and the warnings of its upload."""
    return msgspec.json.encode({**candidate.about, **({WARNINGS: warnings} if warnings else {})})


def _write_index(
    tx: Tx, now_ms: int, subdir: Subdir, admitted: Sequence[_Admitted], whole_document_limit: int
) -> dict[int, int]:
    """Update the index, with one revision for each file, as if they were uploaded one after the other."""
    changes: dict[str, list[IndexedFile]] = {}
    for entry in admitted:
        candidate = entry.submission.candidate
        file_record = IndexedFile(str(candidate.file_name), FileState.LISTED, candidate.section, now_ms, entry.record)
        changes.setdefault(candidate.file_name.name, []).append(file_record)
    grown = sum(entry.facts.grows_by for entry in admitted)
    update_names(tx, subdir, changes, now_ms, whole_document_limit, grown=grown)
    return {entry.number: subdir.revision + offset for offset, entry in enumerate(admitted, start=1)}


def _audit_line(now_ms: int, channel: str, entry: _Admitted) -> NewEntry:
    candidate, old = entry.submission.candidate, entry.facts.existing
    return NewEntry(
        now_ms,
        entry.submission.by.actor,
        Event.FILE_UPLOADED if old is None else Event.FILE_OVERWRITTEN,
        channel,
        f"{candidate.subdir}/{candidate.file_name}",
        {
            "sha256": candidate.hashes.sha256.hex(),
            **_run_details(entry.submission.by),
            **({} if old is None else {"old_sha256": old.sha256.hex(), "old_state": old.state.value}),
            **({"correction": "dropped"} if old is not None and old.is_corrected else {}),
        },
    )


def _run_details(by: Caller) -> dict[str, str]:
    """Return the audit details of the workflow run that sent an upload; empty for other callers."""
    if by.workflow is None:
        return {}
    names = ("issuer", "repository", "repository_id", "ref", "sha", "run_id")
    return {name: value for name in names if (value := getattr(by.workflow, name))}


def _upload(now_ms: int, channel: str, entry: _Admitted) -> RecordedUpload:
    candidate, old, sidecar = entry.submission.candidate, entry.facts.existing, entry.submission.sidecar
    return RecordedUpload(
        at_ms=now_ms,
        channel=channel,
        subdir=candidate.subdir,
        file_name=str(candidate.file_name),
        size=candidate.hashes.size,
        sha256=candidate.hashes.sha256,
        replaced_sha256=None if old is None else old.sha256,
        attestations_sha256=None if sidecar is None else sidecars.digest(sidecar.content),
        by=entry.submission.by,
    )
