"""Provenance states of the versions of a package."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaway.attestations.bundles import AttestedClaims
from seaway.attestations.provenance import ProvenanceState, VersionClaims, provenance

DEMO = AttestedClaims(
    issuer="https://token.actions.githubusercontent.com",
    repository="https://github.com/acme/demo",
    repository_id="1001",
    owner_id="2002",
    workflow="https://github.com/acme/demo/.github/workflows/release.yml@refs/tags/v1",
    commit="c0ffee",
    ref="refs/tags/v1",
    run="https://github.com/acme/demo/actions/runs/1/attempts/1",
    issued_at_ms=1,
)
RENAMED = msgspec.structs.replace(
    DEMO,
    repository="https://github.com/acme/new-name",
    workflow="https://github.com/acme/new-name/.github/workflows/release.yml@refs/tags/v2",
)
NAMESAKE = msgspec.structs.replace(DEMO, owner_id="9009")
FORK = msgspec.structs.replace(
    DEMO,
    repository="https://github.com/mallory/demo",
    repository_id="6666",
    owner_id="7777",
    workflow="https://github.com/mallory/demo/.github/workflows/release.yml@refs/heads/main",
)
LATER = msgspec.structs.replace(DEMO, workflow=DEMO.workflow.replace("v1", "v2"), ref="refs/tags/v2", commit="decaf")
OTHER_WORKFLOW = msgspec.structs.replace(DEMO, workflow=DEMO.workflow.replace("release", "nightly"))

CASES: dict[str, tuple[list[list[AttestedClaims | None]], list[ProvenanceState], int]] = {
    "never attested": ([[None], [None, None]], [ProvenanceState.NONE, ProvenanceState.NONE], 0),
    "all by one workflow": ([[DEMO, DEMO], [LATER]], [ProvenanceState.FULL, ProvenanceState.FULL], 0),
    "some files": ([[DEMO, None]], [ProvenanceState.PARTIAL], 1),
    "lost": ([[DEMO], [None]], [ProvenanceState.FULL, ProvenanceState.LOST], 1),
    "lost for longer": (
        [[DEMO], [None], [None]],
        [ProvenanceState.FULL, ProvenanceState.LOST, ProvenanceState.LOST],
        1,
    ),
    "lost, then changed": (
        [[DEMO], [None], [FORK]],
        [ProvenanceState.FULL, ProvenanceState.LOST, ProvenanceState.CHANGED],
        1,
    ),
    "first attested": ([[None], [DEMO]], [ProvenanceState.NONE, ProvenanceState.FULL], 0),
    "changed": ([[DEMO], [FORK]], [ProvenanceState.FULL, ProvenanceState.CHANGED], 1),
    "changed and partial": ([[DEMO], [FORK, None]], [ProvenanceState.FULL, ProvenanceState.CHANGED], 2),
    "renamed": ([[DEMO], [RENAMED]], [ProvenanceState.FULL, ProvenanceState.FULL], 0),
    "a namesake of another owner": ([[DEMO], [NAMESAKE]], [ProvenanceState.FULL, ProvenanceState.CHANGED], 1),
    "two repositories": ([[DEMO, FORK]], [ProvenanceState.INCONSISTENT], 1),
    "two workflows of one repository": ([[DEMO, OTHER_WORKFLOW]], [ProvenanceState.INCONSISTENT], 1),
    "another workflow of the same repository": (
        [[DEMO], [OTHER_WORKFLOW]],
        [ProvenanceState.FULL, ProvenanceState.FULL],
        0,
    ),
    "a version without files is passed over": (
        [[DEMO], [], [None]],
        [ProvenanceState.FULL, ProvenanceState.LOST, ProvenanceState.LOST],
        1,
    ),
}


@pytest.mark.parametrize(("files", "states", "warnings"), CASES.values(), ids=CASES)
def test_provenance_states_and_warnings(
    files: list[list[AttestedClaims | None]], states: list[ProvenanceState], warnings: int
) -> None:
    """A version is compared with the last attested version before it; the warnings are those of the last version."""
    found = provenance([VersionClaims(f"{number}.0", contents) for number, contents in enumerate(files, start=1)])

    assert states == [version.state for version in found]
    assert warnings == len(found[-1].warnings)


def test_warning_names_both_repositories() -> None:
    (_, found) = provenance([VersionClaims("1.0", [DEMO]), VersionClaims("2.0", [FORK])])

    assert DEMO.repository in found.warnings[0]
    assert FORK.repository in found.warnings[0]
    assert (FORK.repository,) == found.repositories


@given(st.lists(st.lists(st.sampled_from([None, DEMO, LATER, FORK, NAMESAKE]), max_size=3), max_size=5))
def test_provenance_contains_only_attested_claims(files: list[list[AttestedClaims | None]]) -> None:
    """Invariants 1 and 2: repositories come from claims; only versions with attestations are full, partial or changed."""
    versions = [VersionClaims(str(number), contents) for number, contents in enumerate(files)]
    for version, found in zip(versions, provenance(versions), strict=True):
        known = {claims.repository for claims in version.files if claims is not None}
        assert set(found.repositories) == known
        assert bool(known) == (found.state not in (ProvenanceState.NONE, ProvenanceState.LOST))
        assert found.state is not ProvenanceState.FULL or None not in version.files
        assert found.state in (ProvenanceState.FULL, ProvenanceState.NONE) or found.warnings
