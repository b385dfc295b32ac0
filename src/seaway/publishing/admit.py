"""
Decide whether a file is accepted into a channel: return, or raise the refusal. Works on values only, without I/O.

It is called twice: before the bytes are read, with only the file name, and in the transaction that records the file,
where its decision is final.
"""

from dataclasses import dataclass

from seaway.channels.channel import Attestations
from seaway.channels.quotas import StorageRoom
from seaway.conda.filename import FileName
from seaway.conda.record import timestamp_ms
from seaway.conda.refusals import RefusalReason, Refused
from seaway.errors import FileExists, NotAllowed
from seaway.indexing.file_rows import FileState
from seaway.publishing.examine import Candidate

_CLOCK_SKEW_MS = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class ExistingFile:
    """The current or deleted file with this name in this channel and subdir."""

    id: int
    state: FileState
    sha256: bytes
    uploaded_on: str
    can_overwrite: bool
    hint: str  # what the caller must do to be allowed to overwrite it; empty if allowed
    is_own: bool  # the same user or workflow uploaded it
    is_corrected: bool = False


@dataclass(frozen=True, slots=True)
class AdmissionFacts:
    """The facts for the decision besides the package itself."""

    where: str
    existing: ExistingFile | None
    lookalikes: tuple[str, ...]
    refuses_lookalikes: bool
    force: bool
    attestations: Attestations
    by_workflow: bool
    is_attested: bool | None  # None if not known yet
    room: StorageRoom
    allows_overwrite: bool
    allows_v3: bool
    grows_by: int = 0  # bytes that the upload adds to the channel
    other_case: str | None = None  # a file of the channel whose name differs only in case, perhaps deleted
    v3_needs: str = ""  # the features of the package that need repodata v3; empty if not known yet


def is_repeated(sha256: bytes | None, facts: AdmissionFacts) -> bool:
    """Return whether the same uploader sends the same file again: the first response may have been lost."""
    existing = facts.existing
    return (
        existing is not None
        and existing.is_own
        and existing.state is not FileState.DELETED
        and existing.sha256 == sha256
        and not (facts.force and facts.allows_overwrite and existing.can_overwrite)
    )


def admit(file_name: FileName, sha256: bytes | None, facts: AdmissionFacts) -> None:
    """Return if the file is accepted, or raise the refusal; `sha256` is None if it is not known yet."""
    if facts.existing is not None:
        _admit_again(file_name, sha256, facts.existing, facts)
    if facts.other_case is not None:
        raise Refused(
            RefusalReason.CASE_COLLISION,
            f"{file_name} differs only in case from {facts.where.partition('/')[0]}/{facts.other_case}; "
            "package caches on Windows and macOS cannot hold both.",
            "Raise the build number or change the version, then build the package again.",
        )
    if facts.v3_needs and not facts.allows_v3:
        raise Refused(
            RefusalReason.V3_RECORD,
            f"{file_name} needs repodata v3 for {facts.v3_needs}, which the channel does not allow: "
            "older clients would not see the package.",
            "Remove it from the recipe and build again, or ask the channel owner to allow repodata v3 packages.",
        )
    if facts.lookalikes and facts.refuses_lookalikes:
        raise Refused(
            RefusalReason.LOOKALIKE_NAME,
            f"{file_name.name} looks like {facts.lookalikes[0]}, and the channel refuses names that look alike.",
            "Choose a name that differs in more than - _ . and case, or ask the channel owner to allow it.",
        )
    _admit_attested(file_name, facts)
    if facts.grows_by > 0:
        facts.room.require(facts.grows_by, facts.where.partition("/")[0])


def warnings(candidate: Candidate, facts: AdmissionFacts, now_ms: int) -> tuple[str, ...]:
    """Return the warnings about the package, its look-alike names in the channel, and its timestamp."""
    name = candidate.file_name.name
    lookalike_warning = (
        f"{name} looks like {', '.join(facts.lookalikes[:3])}, also in the channel." if facts.lookalikes else ""
    )
    found = (*candidate.warnings, lookalike_warning, _time_warning(candidate.record.get("timestamp", 0), now_ms))
    return tuple(filter(None, found))


def _time_warning(timestamp: int, now_ms: int) -> str:
    """Warn about a `timestamp` in the future, as CEP 47 requires: it would win over every honest build."""
    if timestamp_ms(timestamp) <= now_ms + _CLOCK_SKEW_MS:
        return ""
    return "The timestamp of the package is in the future: check the clock of the build machine."


def _admit_attested(file_name: FileName, facts: AdmissionFacts) -> None:
    """Apply the channel's attestation setting; uploads with an API key have none, known before the bytes arrive."""
    if facts.attestations is Attestations.OFF and facts.is_attested:
        raise Refused(
            RefusalReason.UNWANTED_ATTESTATION,
            f"{file_name} was sent with an attestation, and the channel does not accept attestations.",
            "Upload without --attestation and --generate-attestation, or ask the channel owner to allow attestations.",
        )
    if facts.attestations is Attestations.REQUIRED and (facts.is_attested is False or not facts.by_workflow):
        raise Refused(
            RefusalReason.MISSING_ATTESTATION,
            f"The channel accepts only files with an attestation, and {file_name} was sent without one.",
            "Upload it with --generate-attestation from a workflow that is a trusted publisher.",
        )


def _admit_again(file_name: FileName, sha256: bytes | None, existing: ExistingFile, facts: AdmissionFacts) -> None:
    """Decide about a name that is taken: published files do not change, except by a permitted overwrite."""
    if existing.state is FileState.DELETED:
        if not facts.allows_overwrite and sha256 not in (None, existing.sha256):
            raise NotAllowed(
                f"{facts.where}/{file_name} was deleted, and the channel never reuses a file name for other contents.",
                "Raise the build number.",
            )
        if not existing.can_overwrite:
            raise NotAllowed(
                f"{facts.where}/{file_name} was deleted, and lock files may still refer to it.",
                "Raise the build number, or ask a member who can overwrite files of the channel.",
            )
        return
    if not facts.force:
        differs, is_same = "", sha256 == existing.sha256
        if sha256 is not None:
            differs = (
                " with the same contents" if is_same else f" with other contents (sha256 {existing.sha256.hex()[:12]})"
            )
        can_replace = facts.allows_overwrite and existing.can_overwrite
        raise FileExists(
            f"{facts.where}/{file_name} was uploaded on {existing.uploaded_on}{differs}.",
            "Raise the build number and upload again, or replace the file."
            if can_replace
            else "Published files do not change: raise the build number and upload again.",
            path=f"{facts.where}/{file_name}",
            is_same=is_same,
            can_replace=can_replace,
        )
    if not facts.allows_overwrite:
        raise NotAllowed(
            f"{facts.where}/{file_name} exists, and the channel does not allow files to be overwritten.",
            "Raise the build number.",
        )
    if not existing.can_overwrite:
        raise NotAllowed(
            f"{facts.where}/{file_name} exists, and this credential cannot overwrite it.",
            existing.hint,
        )
