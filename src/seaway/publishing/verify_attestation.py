"""
Verify the attestation of an upload.

This runs in a thread of the server and not in the processes that open packages: an attacker who took over one of those
with an archive could report another user's attestation as valid.
"""

from dataclasses import dataclass

from seaway.attestations import bundles
from seaway.attestations.bundles import VerifiedAttestation
from seaway.attestations.trusted_root import TrustedRoots
from seaway.callers.caller import Caller
from seaway.conda.refusals import RefusalReason, Refused
from seaway.publishing.examine import Candidate


@dataclass(frozen=True, slots=True)
class AttestationParts:
    """The parts that verifying attestations works with."""

    roots: TrustedRoots
    site_urls: tuple[str, ...]  # URLs of this site that clients may use


def require_workflow(attestation: bytes | None, by: Caller) -> None:
    """Refuse an attestation that does not come from a workflow: there is no run to compare it with."""
    if attestation is not None and by.workflow is None:
        # CEP 27: a server verifies an attestation against the publisher that sent the file before it serves it.
        raise Refused(
            RefusalReason.UNWANTED_ATTESTATION,
            "Attestations are accepted only from trusted publishers, and this one was sent by a user.",
            "Upload without --attestation.",
        )


def verify(
    parts: AttestationParts, channel: str, candidate: Candidate, attestation: bytes | None, by: Caller
) -> VerifiedAttestation | None:
    """Return the verified attestation of this file in this channel; None without one."""
    if attestation is None or by.workflow is None:
        return None
    return bundles.verify(
        attestation,
        file_name=str(candidate.file_name),
        sha256=candidate.hashes.sha256,
        target_channels=[f"{address}/{channel}" for address in parts.site_urls],
        run=bundles.run_of(by.workflow),
        verifier=parts.roots.verifier(),
    )
