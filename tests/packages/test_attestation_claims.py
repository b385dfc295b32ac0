"""Provenance on pages: from the upload log and from the claims of the attestation certificates."""

import msgspec
import pytest
from sqlalchemy import insert, select, update

from seaway.attestations.bundles import AttestedClaims
from seaway.attestations.provenance import ProvenanceState
from seaway.channels import channels
from seaway.database.tables import attestations, subdirs, uploads
from seaway.packages import attestation_claims, uploaders, versions
from seaway.server.wiring import Seaway
from tests.support.packages import PackageFile, conda, index_json
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio

CLAIMS = AttestedClaims(
    issuer="https://token.actions.githubusercontent.com", repository="https://github.com/acme/lib", repository_id="1",
    owner_id="2", workflow="https://github.com/acme/lib/.github/workflows/build.yml@refs/heads/main", commit="c" * 40,
    ref="refs/heads/main", run="https://github.com/acme/lib/actions/runs/3/attempts/1", issued_at_ms=1,
)  # fmt: skip


def attest(seaway: Seaway, file: PackageFile, *, superseded: bool = False) -> None:
    with seaway.database.write_site() as tx:
        tx.execute(
            insert(attestations).values(
                subdir_id=tx.execute(select(subdirs.c.id)).scalar_one(),
                file_name=file.name,
                sha256=bytes([superseded]) * 32,
                content=b"{}",
                file_sha256=bytes.fromhex(file.sha256),
                claims=msgspec.json.encode(CLAIMS).decode(),
                accepted_at=1,
                superseded_at=2 if superseded else None,
            )
        )


async def test_version_without_attestation_after_an_attested_one_gets_a_warning(
    seaway: Seaway, factory: Factory, on_both: str
) -> None:
    """Only current attestations count, and the upload order decides which version came before."""
    factory.channel("chan")
    first, second = conda(index_json("lib", "1.0")), conda(index_json("lib", "0.9"))
    for file in (first, second):
        await publish_file(seaway, "chan", file)
    attest(seaway, first)
    attest(seaway, second, superseded=True)
    with seaway.database.read() as tx:
        channel_id = channels.get(tx, "chan").id
        claims = attestation_claims.claims_of(tx, channel_id, "lib")
        provenance = attestation_claims.provenance_of(versions.of_package(tx, channel_id, "lib"), claims)
    assert list(claims.values()) == [CLAIMS]
    assert provenance["1.0"].state is ProvenanceState.FULL
    assert provenance["0.9"].state is ProvenanceState.LOST
    assert provenance["0.9"].warnings


async def test_upload_record_names_key_or_workflow(seaway: Seaway, factory: Factory) -> None:
    """A key is shown as "an API key" without its name; a workflow has links if its site is known."""
    factory.channel("chan", owner="ada")
    file = conda(index_json())
    await publish_file(seaway, "chan", file, by=factory.caller_of_key(factory.key("ada")))
    sha256 = bytes.fromhex(file.sha256)
    with seaway.database.read() as tx:
        channel_id = channels.get(tx, "chan").id
        by_key = uploaders.of_file(tx, channel_id, "noarch", file.name, sha256)
        assert uploaders.of_file(tx, channel_id, "noarch", file.name, bytes(32)) is None
    assert by_key is not None
    assert ("with an API key", False) == (by_key.upload_method, by_key.by_workflow)
    workflow = {"issuer": CLAIMS.issuer, "repository": "acme/lib", "commit": "c" * 40, "run": "3/2"}
    with seaway.database.write_site() as tx:
        tx.execute(update(uploads).values(key_id=None, user_id=None, **workflow))
        by_workflow = uploaders.of_file(tx, channel_id, "noarch", file.name, sha256)
        tx.execute(update(uploads).values(issuer="https://elsewhere.example"))
        unknown_issuer = uploaders.of_file(tx, channel_id, "noarch", file.name, sha256)
    assert by_workflow is not None
    assert by_workflow.repository_url == "https://github.com/acme/lib"
    assert by_workflow.run_url == "https://github.com/acme/lib/actions/runs/3/attempts/2"
    assert unknown_issuer is not None
    assert ("acme/lib", "", "") == (unknown_issuer.repository, unknown_issuer.repository_url, unknown_issuer.run_url)
