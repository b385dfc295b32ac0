"""
The attestation that came with an upload -> what it proves, or the reason for the no.

It is verified in a thread of the server and in none of the processes that open packages: whoever took one of those
over with an archive could answer that somebody else's attestation is good.
"""

from dataclasses import dataclass

from seaway.accounts.principal import Principal
from seaway.conda.refusals import Reason, Refused
from seaway.publishing.examine import Candidate
from seaway.trust import attestations
from seaway.trust.attestations import Verified
from seaway.trust.trusted_root import TrustedRoots


@dataclass(frozen=True, slots=True)
class Attesting:
    """The parts that attestations are verified with."""

    roots: TrustedRoots
    addresses: tuple[str, ...]  # of this site, as clients may know it


def require_workflow(attestation: bytes | None, by: Principal) -> None:
    """Return if there is none, or if somebody vouched for the run that sends it; else nothing could be compared."""
    if attestation is not None and by.workflow is None:
        # CEP 27: whoever serves an attestation has verified it against the publisher that sent the file.
        raise Refused(
            Reason.UNWANTED_ATTESTATION,
            "An attestation is verified only for uploads by a trusted publisher, and a user sent this one.",
            "Upload without --attestation.",
        )


def verified(
    house: Attesting, channel: str, candidate: Candidate, attestation: bytes | None, by: Principal
) -> Verified | None:
    """What the attestation proves of this file in this channel; None if none came."""
    if attestation is None or by.workflow is None:
        return None
    return attestations.verify(
        attestation,
        file_name=str(candidate.file_name),
        sha256=candidate.hashes.sha256,
        target_channels=[f"{address}/{channel}" for address in house.addresses],
        run=attestations.run_of(by.workflow),
        verifier=house.roots.verifier(),
    )
