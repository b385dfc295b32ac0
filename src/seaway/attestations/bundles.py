"""
Verify the attestation bundle of an uploaded file (CEP 27); return its claims or the reason for the refusal. No I/O.

1. The signature must come from a certificate that chains to the trusted root, made while the certificate was valid, and
   be in a transparency log of that root.
2. The statement is about this file only: one subject, with its name, its sha256 and no other digest.
3. If the statement names a channel, it is this one: an attestation cannot be reused in another channel.
4. The certificate belongs to the run that uploads: issuer, repository and owner with their ids, workflow, commit, ref,
   event and run (GitHub: run and attempt, GitLab: job) equal the claims stored with the publish token. A certificate or
   token that lacks one of them is refused, as are events that users without access can trigger (`pull_request_target`).
5. The bundle is stored byte for byte as received, so later verifiers check the same bytes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

import msgspec

from seaway import strict_json
from seaway.callers.caller import Workflow
from seaway.conda.refusals import RefusalReason, Refused
from seaway.trusted_publishing.issuer_kinds.github import DENIED_EVENTS

MAX_BUNDLE_BYTES = 256 * 1024
PREDICATE_TYPE = "https://schemas.conda.org/attestations-publish-1.schema.json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

# Fulcio's certificate extensions: the last number of the OID 1.3.6.1.4.1.57264.1.x.
ISSUER = 8
SIGNER = 9  # the workflow whose job signs: the calling workflow or a reusable one
REPOSITORY = 12
COMMIT = 13
REF = 14
REPOSITORY_ID = 15
OWNER_ID = 17
WORKFLOW = 18  # the calling workflow
EVENT = 20
RUN = 21


GITHUB = "github"
GITLAB = "gitlab"
_KINDS = (GITHUB, GITLAB)
_MERGE_REQUEST = "refs/merge-requests/"  # GitLab: Fulcio replaces such a ref with refs/heads/BRANCH
# Repository hosts of issuers whose URL has another host.
_sites = {"https://token.actions.githubusercontent.com": "https://github.com"}


class NotVerified(Exception):
    """Verification of the bundle failed; the text is the library's reason."""


class NotABundle(NotVerified):
    """The content cannot be parsed as a bundle."""


class UnknownParty(NotVerified):
    """The bundle uses a log or certificate authority that is not in the trusted root; the text names it."""


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """The signed payload, and the claims about the signer in the certificate: Fulcio's extensions by number."""

    payload_type: str
    payload: bytes
    claims: dict[int, str]
    issued_at_ms: int


class BundleVerifier(Protocol):
    """Interface for verifying bundles, implemented by `attestations.sigstore_verifier`."""

    def verify(self, bundle: bytes) -> VerifiedBundle:
        """Return the verified content of the bundle; `NotVerified` if verification fails."""
        ...


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """The workflow run that uploads the file: claims from its token that the certificate must match."""

    issuer: str
    repository: str  # URL
    repository_id: str
    owner_id: str
    workflows: frozenset[str]  # URLs of the calling workflow, by ref and by commit
    signers: frozenset[str]  # `workflows`, or the URL of the reusable workflow that the publisher allows
    commit: str
    ref: str | None  # None: Fulcio's ref differs from the token's, so only the ref in the workflow URL is compared
    event: str
    invocation: str  # URL of the attempt (GitHub) or of the job (GitLab)


class AttestedClaims(msgspec.Struct, frozen=True):
    """The build identity of a file, from the certificate of a verified attestation."""

    issuer: str
    repository: str
    repository_id: str
    owner_id: str
    workflow: str
    commit: str
    ref: str
    run: str
    issued_at_ms: int


@dataclass(frozen=True, slots=True)
class VerifiedAttestation:
    """The content of a verified attestation."""

    bundle: bytes
    claims: AttestedClaims

    @property
    def sidecar(self) -> bytes:
        """Return the sidecar of the package (CEP 50): a JSON array of the unchanged bundles."""
        return b"[%b]" % self.bundle


def run_of(workflow: Workflow) -> WorkflowRun:
    """Return the values that Fulcio writes into this run's certificates; `Refused` for kinds of issuers without any."""
    if workflow.kind not in _KINDS:
        raise Refused(
            RefusalReason.OTHER_IDENTITY,
            f"Attestations of workflows of {workflow.issuer} are not supported.",
            "Upload without --attestation and --generate-attestation.",
        )
    site = _sites.get(workflow.issuer) or f"https://{urlsplit(workflow.issuer).netloc}"
    # GitLab's reference begins with the host, GitHub's with the owner.
    called = f"https://{workflow.workflow_ref}" if workflow.kind == GITLAB else f"{site}/{workflow.workflow_ref}"
    workflows = _workflow_urls(called, workflow)
    job = f"{site}/{workflow.job_workflow_ref}" if workflow.job_workflow_ref else called
    return WorkflowRun(
        issuer=workflow.issuer,
        repository=f"{site}/{workflow.repository}",
        repository_id=workflow.repository_id,
        owner_id=workflow.owner_id,
        workflows=workflows,
        signers=workflows if job in workflows else frozenset({job}),
        commit=workflow.sha,
        ref=None if workflow.ref.startswith(_MERGE_REQUEST) else workflow.ref,
        event=workflow.event_name,
        invocation=_invocation(f"{site}/{workflow.repository}", workflow),
    )


def _invocation(repository: str, workflow: Workflow) -> str:
    """Build the run invocation URI as Fulcio's `config/identity/config.yaml` does; empty if the token lacks a part."""
    if not (workflow.run_id and workflow.run_attempt):
        return ""
    if workflow.kind == GITLAB:
        return f"{repository}/-/jobs/{workflow.run_attempt}"
    return f"{repository}/actions/runs/{workflow.run_id}/attempts/{workflow.run_attempt}"


def _workflow_urls(reference: str, workflow: Workflow) -> frozenset[str]:
    """Return the URLs of a workflow at the ref and at the commit of its run."""
    path, _, version = reference.rpartition("@")
    return frozenset(f"{path}@{ref}" for ref in (version, workflow.ref, workflow.sha) if ref)


def verify(
    bundle: bytes,
    *,
    file_name: str,
    sha256: bytes,
    target_channels: Collection[str],
    run: WorkflowRun,
    verifier: BundleVerifier,
) -> VerifiedAttestation:
    """Verify the bundle of a file that `run` uploads, or raise `Refused`; `target_channels` are the channel's URLs."""
    if len(bundle) > MAX_BUNDLE_BYTES:
        _refuse(RefusalReason.BAD_BUNDLE, f"it has more than {MAX_BUNDLE_BYTES:,} bytes")
    _require_object(bundle, RefusalReason.BAD_BUNDLE)
    signed = _signed(bundle, verifier)
    _check_statement(signed, file_name, sha256, target_channels)
    check_identity(signed.claims, run)
    claims = AttestedClaims(
        issuer=run.issuer,
        repository=run.repository,
        repository_id=run.repository_id,
        owner_id=run.owner_id,
        workflow=signed.claims[WORKFLOW],
        commit=run.commit,
        ref=signed.claims[REF],
        run=run.invocation,
        issued_at_ms=signed.issued_at_ms,
    )
    return VerifiedAttestation(bundle, claims)


def _signed(bundle: bytes, verifier: BundleVerifier) -> VerifiedBundle:
    try:
        return verifier.verify(bundle)
    except NotABundle as error:
        _refuse(RefusalReason.BAD_BUNDLE, f"it cannot be read: {error}")
    except UnknownParty as error:
        raise Refused(
            RefusalReason.UNKNOWN_SIGSTORE,
            f"The server's trusted root does not include {error}: "
            "it is outdated, or the bundle is from another Sigstore.",
            "Ask the operator of the server to update it (seaway sigstore update).",
        ) from None
    except NotVerified as error:
        _refuse(RefusalReason.UNVERIFIED_BUNDLE, f"verification failed: {error}")


def _check_statement(signed: VerifiedBundle, file_name: str, sha256: bytes, target_channels: Collection[str]) -> None:
    if signed.payload_type != _PAYLOAD_TYPE:
        _refuse(RefusalReason.BAD_STATEMENT, f"its payload is {signed.payload_type!a}, not {_PAYLOAD_TYPE}")
    statement = _require_object(signed.payload, RefusalReason.BAD_STATEMENT)
    if statement.get("_type") != _STATEMENT_TYPE or statement.get("predicateType") != PREDICATE_TYPE:
        _refuse(RefusalReason.BAD_STATEMENT, f"it is not a statement of type {PREDICATE_TYPE}")
    _check_subject(statement.get("subject"), file_name, sha256)
    _check_predicate(statement.get("predicate"), target_channels)


def _check_subject(subjects: object, file_name: str, sha256: bytes) -> None:
    if not isinstance(subjects, list) or len(subjects) != 1 or not isinstance(subjects[0], dict):
        _refuse(RefusalReason.BAD_STATEMENT, "it must have exactly one subject")
    name, digest = subjects[0].get("name"), subjects[0].get("digest")
    if not isinstance(digest, dict) or set(digest) != {"sha256"}:
        _refuse(RefusalReason.BAD_STATEMENT, "its subject must have a sha256 digest and no other")
    if name != file_name:
        _refuse(RefusalReason.OTHER_SUBJECT, f"it is about {str(name)[:211]!a}, not {file_name}")
    if digest["sha256"] != sha256.hex():
        _refuse(RefusalReason.OTHER_SUBJECT, f"it is about a file with the sha256 {str(digest['sha256'])[:64]!a}")


def _check_predicate(predicate: object, target_channels: Collection[str]) -> None:
    if predicate is None:
        return
    target = predicate.get("targetChannel") if isinstance(predicate, dict) else None
    if not isinstance(target, str):
        _refuse(RefusalReason.BAD_STATEMENT, "its predicate does not name a targetChannel")
    if target not in target_channels:
        _refuse(
            RefusalReason.OTHER_CHANNEL,
            f"it is for {target[:200]!a}, and the channel is {' or '.join(sorted(target_channels))}",
        )


def check_identity(claims: Mapping[int, str], run: WorkflowRun) -> None:
    """Raise `Refused`, naming the first claim that differs, unless the certificate belongs to this run."""
    expected = (
        (ISSUER, "issuer", {run.issuer}),
        (REPOSITORY, "repository", {run.repository}),
        (REPOSITORY_ID, "id of the repository", {run.repository_id}),
        (OWNER_ID, "id of the repository's owner", {run.owner_id}),
        (WORKFLOW, "workflow", run.workflows),
        (SIGNER, "signing workflow", run.signers),
        (COMMIT, "commit", {run.commit}),
        (REF, "ref", {claims.get(REF, "") if run.ref is None else run.ref}),
        (EVENT, "event", {run.event}),
        (RUN, "run", {run.invocation}),
    )
    for number, what, allowed in expected:
        if (stated := claims.get(number, "")) not in allowed or not stated:
            _refuse(
                RefusalReason.OTHER_IDENTITY,
                f"its {what} is {stated[:200]!a}, and the upload comes from {' or '.join(sorted(allowed))}",
            )
    if run.event.lower() in DENIED_EVENTS:
        _refuse(RefusalReason.OTHER_IDENTITY, f"its run was started by {run.event}, which anyone can trigger")


def _require_object(content: bytes, reason: RefusalReason) -> dict[str, Any]:
    try:
        value = strict_json.decode(content)
    except strict_json.NotStrict as error:
        _refuse(reason, f"it is not strict JSON: {error}")
    if not isinstance(value, dict):
        _refuse(reason, "it is not a JSON object")
    return value


def _refuse(reason: RefusalReason, why: str) -> NoReturn:
    # Clients show 512 characters, and quoted values from a bundle can be long.
    raise Refused(reason, f"The attestation is refused: {why[:380]}.", "Sign the file in the workflow that uploads it.")
