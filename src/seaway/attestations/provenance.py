"""
Provenance of the versions of a package, with warnings. No I/O.

1. Provenance comes only from the certificates of verified attestations: neither package metadata nor publisher
   settings count.
2. A file without an attestation is normal. A missing attestation after an attested version gives a warning, and so does
   a change of repository: both are signs of a package takeover. A second version of that kind still gives the warning.
3. No state means that a package is safe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from seaway.attestations.bundles import AttestedClaims


class ProvenanceState(Enum):
    """Provenance state of one version; the value is the code in the API."""

    NONE = "none"  # no file is attested
    FULL = "full"  # every file is attested, all by one workflow of one repository
    PARTIAL = "partial"  # some files are attested
    INCONSISTENT = "inconsistent"  # attested by more than one repository or workflow
    LOST = "lost"  # no file is attested, but an earlier version had attestations
    CHANGED = "changed"  # attested by another repository than the last attested version


@dataclass(frozen=True, slots=True)
class WorkflowIdentity:
    """A workflow without ref and run; ids identify the repository across renames and tell apart reused names."""

    issuer: str
    repository_id: str
    owner_id: str
    workflow: str

    @property
    def source(self) -> tuple[str, str, str]:
        """Return the identity of the repository, without the workflow."""
        return self.issuer, self.repository_id, self.owner_id


@dataclass(frozen=True, slots=True)
class VersionClaims:
    """One version of a package, with the claims of each file's attestation, or None."""

    version: str
    files: Sequence[AttestedClaims | None]


@dataclass(frozen=True, slots=True)
class Provenance:
    """The provenance of one version, with warnings for users."""

    version: str
    state: ProvenanceState
    repositories: tuple[str, ...]
    warnings: tuple[str, ...]


def provenance(versions: Sequence[VersionClaims]) -> list[Provenance]:
    """Return the provenance of each version; `versions` is in upload order, oldest first."""
    result = []
    before: VersionClaims | None = None  # the last version with an attestation
    for version in versions:
        result.append(_provenance_of(version, before))
        if any(version.files):
            before = version
    return result


def _provenance_of(version: VersionClaims, before: VersionClaims | None) -> Provenance:
    known = [claims for claims in version.files if claims is not None]
    former = [] if before is None else [claims for claims in before.files if claims is not None]
    state = _state(version, known, former)
    repositories = tuple(sorted({claims.repository for claims in known}))
    return Provenance(version.version, state, repositories, tuple(_warnings(state, version, known, before, former)))


def _state(
    version: VersionClaims, known: Sequence[AttestedClaims], former: Sequence[AttestedClaims]
) -> ProvenanceState:
    if not known:
        return ProvenanceState.LOST if former else ProvenanceState.NONE
    origins = {origin(claims) for claims in known}
    if len(origins) > 1:
        return ProvenanceState.INCONSISTENT
    if former and not {one.source for one in origins} & {origin(claims).source for claims in former}:
        return ProvenanceState.CHANGED
    return ProvenanceState.FULL if len(known) == len(version.files) else ProvenanceState.PARTIAL


def _warnings(
    state: ProvenanceState,
    version: VersionClaims,
    known: Sequence[AttestedClaims],
    before: VersionClaims | None,
    former: Sequence[AttestedClaims],
) -> list[str]:
    earlier = _listed(former)
    warnings = []
    if state is ProvenanceState.LOST and before is not None:
        warnings.append(f"No file of {version.version} is attested, but {before.version} was published by {earlier}.")
    if state is ProvenanceState.CHANGED and before is not None:
        warnings.append(
            f"{version.version} was published by {_listed(known)}, but {before.version} by {earlier}: "
            "make sure that the package has moved there."
        )
    if state is ProvenanceState.INCONSISTENT:
        warnings.append(f"The files of {version.version} come from different workflows: {_listed(known)}.")
    if known and len(known) < len(version.files):
        warnings.append(f"{len(version.files) - len(known)} of {len(version.files)} files are not attested.")
    return warnings


def origin(claims: AttestedClaims) -> WorkflowIdentity:
    """Return the workflow that built a file, from the claims of its certificate."""
    workflow, _, _ = claims.workflow.rpartition("@")
    # The URL of a renamed repository changes, so only the path of the workflow file is compared.
    return WorkflowIdentity(
        claims.issuer, claims.repository_id, claims.owner_id, workflow.removeprefix(claims.repository)
    )


def _listed(claims: Sequence[AttestedClaims]) -> str:
    return ", ".join(sorted({claim.repository for claim in claims}))
