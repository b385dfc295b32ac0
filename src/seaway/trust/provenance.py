"""
What is known of where the versions of a package come from, and what to warn of. Values only, no I/O.

1. It is told from certificates of verified attestations alone: neither metadata of the package nor a publisher's
   settings count.
2. That a file has none is no fault; that it has none while an earlier version had one is worth a warning, and so is
   another repository than before: that is what a package looks like that somebody else took over. The warning does
   not go away with a second version like that.
3. No state says that a package is good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from seaway.trust.sidecars import Claims


class State(Enum):
    """How much is known of one version; the value is the code of the API."""

    NONE = "none"  # no file of it is attested
    FULL = "full"  # every file, all by one workflow of one repository
    PARTIAL = "partial"  # some files
    INCONSISTENT = "inconsistent"  # by more than one repository or workflow
    LOST = "lost"  # none, and an earlier version had some
    CHANGED = "changed"  # by another repository than the last attested version before


@dataclass(frozen=True, slots=True)
class Origin:
    """A workflow, whatever the ref and the run; ids, so that a renamed repository is the same and a namesake is not."""

    issuer: str
    repository_id: str
    owner_id: str
    workflow: str

    @property
    def source(self) -> tuple[str, str, str]:
        """The repository alone."""
        return self.issuer, self.repository_id, self.owner_id


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a package: for each of its files the claims of its attestation, or None."""

    version: str
    files: Sequence[Claims | None]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of one version, with what a reader should be warned of."""

    version: str
    state: State
    repositories: tuple[str, ...]
    warnings: tuple[str, ...]


def provenance(versions: Sequence[Version]) -> list[Provenance]:
    """The provenance of each version, in the order given: that in which they were uploaded, oldest first."""
    told = []
    before: Version | None = None  # the last one of which anything is known
    for version in versions:
        told.append(_of(version, before))
        if any(version.files):
            before = version
    return told


def _of(version: Version, before: Version | None) -> Provenance:
    known = [claims for claims in version.files if claims is not None]
    former = [] if before is None else [claims for claims in before.files if claims is not None]
    state = _state(version, known, former)
    repositories = tuple(sorted({claims.repository for claims in known}))
    return Provenance(version.version, state, repositories, tuple(_warnings(state, version, known, before, former)))


def _state(version: Version, known: Sequence[Claims], former: Sequence[Claims]) -> State:
    if not known:
        return State.LOST if former else State.NONE
    origins = {origin(claims) for claims in known}
    if len(origins) > 1:
        return State.INCONSISTENT
    if former and not {one.source for one in origins} & {origin(claims).source for claims in former}:
        return State.CHANGED
    return State.FULL if len(known) == len(version.files) else State.PARTIAL


def _warnings(
    state: State, version: Version, known: Sequence[Claims], before: Version | None, former: Sequence[Claims]
) -> list[str]:
    was = _listed(former)
    warnings = []
    if state is State.LOST and before is not None:
        warnings.append(f"No file of {version.version} is attested, and {before.version} was published by {was}.")
    if state is State.CHANGED and before is not None:
        warnings.append(
            f"{version.version} was published by {_listed(known)}, and {before.version} by {was}: "
            "make sure that the package moved there."
        )
    if state is State.INCONSISTENT:
        warnings.append(f"The files of {version.version} come from different workflows: {_listed(known)}.")
    if known and len(known) < len(version.files):
        warnings.append(f"{len(version.files) - len(known)} of {len(version.files)} files are not attested.")
    return warnings


def origin(claims: Claims) -> Origin:
    """Whose work a file is, by its certificate."""
    workflow, _, _ = claims.workflow.rpartition("@")
    # A renamed repository has another address in the same place: what counts of the workflow is its file.
    return Origin(claims.issuer, claims.repository_id, claims.owner_id, workflow.removeprefix(claims.repository))


def _listed(claims: Sequence[Claims]) -> str:
    return ", ".join(sorted({one.repository for one in claims}))
