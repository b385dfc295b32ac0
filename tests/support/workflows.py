"""A workflow that publishes with attestations, and the Sigstore instance that signs them."""

from dataclasses import dataclass
from typing import Any

from seaway.attestations import trusted_root
from seaway.callers.caller import OPERATOR, Caller, CredentialKind, Mode, PublisherGrant, Workflow
from seaway.channels import channels
from seaway.server.wiring import Seaway
from tests.support.packages import PackageFile
from tests.support.sigstore import GITHUB_CLAIMS, MiniSigstore, encode_bundle, statement

GITHUB = Workflow(
    issuer=GITHUB_CLAIMS[8],
    kind="github",
    repository="acme/demo",
    repository_id="1001",
    owner_id="2002",
    ref="refs/heads/main",
    sha=GITHUB_CLAIMS[13],
    run_id="3003",
    run_attempt="1",
    workflow_ref="acme/demo/.github/workflows/release.yml@refs/heads/main",
    job_workflow_ref="acme/demo/.github/workflows/release.yml@refs/heads/main",
    event_name="push",
)


@dataclass(frozen=True)
class Attester:
    """A Sigstore instance that Seaway trusts, and its bundles for channels."""

    seaway: Seaway
    sigstore: MiniSigstore

    @classmethod
    def trusted_by(cls, seaway: Seaway) -> "Attester":
        sigstore = MiniSigstore()
        with seaway.site.database.write_site() as tx:
            trusted_root.keep(tx, seaway.site.clock.now_ms(), OPERATOR, sigstore.trusted_root)
        return cls(seaway, sigstore)

    def bundle(self, file: PackageFile, channel: str, **changes: Any) -> bytes:
        """Return the bundle that the workflow of `caller` sends with a file."""
        return encode_bundle(
            self.sigstore.bundle(statement(file, f"{self.seaway.settings.site_url}/{channel}", **changes))
        )

    def caller(self, channel: str) -> Caller:
        """Return the workflow of a publisher of the channel."""
        return workflow_caller(self.seaway, channel)


def workflow_caller(seaway: Seaway, channel: str) -> Caller:
    """Return a workflow with the highest access mode in a channel."""
    with seaway.site.database.read() as tx:
        channel_id = channels.get(tx, channel).id
    return Caller(
        "GitHub: acme/demo",
        credential=CredentialKind.WORKFLOW,
        workflow=GITHUB,
        grants=(PublisherGrant(channel_id, 1, Mode.READ_WRITE_DELETE),),
        channel_ids=frozenset({channel_id}),
    )
