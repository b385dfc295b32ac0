"""Valid and invalid attestations from a test Sigstore, and real certificates, verified without network access."""

import copy
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from seaway.attestations import bundles
from seaway.attestations.bundles import VerifiedAttestation
from seaway.attestations.sigstore_verifier import SigstoreVerifier, claims_of
from seaway.callers.caller import Workflow
from seaway.conda.refusals import RefusalReason, Refused
from tests.support.packages import conda, index_json
from tests.support.sigstore import GITHUB_CLAIMS, GITLAB_CLAIMS, MiniSigstore, encode_bundle, statement

FILE = conda()
OTHER = conda(index_json("other"))
CHANNEL = "https://conda.example.com/robots"
SIGSTORE = MiniSigstore()
VERIFIER = SigstoreVerifier(SIGSTORE.trusted_root)
GITHUB = Workflow(
    issuer=GITHUB_CLAIMS[8],
    kind="github",
    repository="acme/demo",
    repository_id="1001",
    owner_id="2002",
    ref="refs/heads/main",
    sha=GITHUB_CLAIMS[13],
    workflow_ref="acme/demo/.github/workflows/release.yml@refs/heads/main",
    job_workflow_ref="acme/demo/.github/workflows/release.yml@refs/heads/main",
    run_id="3003",
    run_attempt="1",
    event_name="push",
)
GITLAB = Workflow(
    issuer="https://gitlab.com",
    kind="gitlab",
    repository="acme/tools/demo",
    repository_id="4004",
    owner_id="5005",
    ref="refs/heads/main",
    sha=GITLAB_CLAIMS[13],
    workflow_ref="gitlab.com/acme/tools/demo//.gitlab-ci.yml@refs/heads/main",
    run_id="6000",
    run_attempt="6006",
    event_name="push",
)


def verify(bundle: bytes, workflow: Workflow = GITHUB) -> VerifiedAttestation:
    return bundles.verify(
        bundle,
        file_name=FILE.name,
        sha256=bytes.fromhex(FILE.sha256),
        target_channels=[CHANNEL],
        run=bundles.run_of(workflow),
        verifier=VERIFIER,
    )


def reason(bundle: bytes, workflow: Workflow = GITHUB) -> RefusalReason:
    with pytest.raises(Refused) as refused:
        verify(bundle, workflow)
    assert len(refused.value.full_message) <= 512
    return refused.value.reason


# Accepted


def test_github_attestation_is_verified() -> None:
    """The provenance comes from the certificate, and the sidecar contains the bundle byte for byte."""
    bundle = b" " + encode_bundle(SIGSTORE.bundle(statement(FILE))) + b"\n"
    verified = verify(bundle)

    assert ("https://github.com/acme/demo", GITHUB_CLAIMS[18]) == (verified.claims.repository, verified.claims.workflow)
    assert (GITHUB_CLAIMS[13], GITHUB_CLAIMS[14], GITHUB_CLAIMS[21]) == (
        verified.claims.commit,
        verified.claims.ref,
        verified.claims.run,
    )
    assert b"[" + bundle + b"]" == verified.sidecar
    assert [json.loads(bundle)] == json.loads(verified.sidecar)


def test_gitlab_attestation_is_verified() -> None:
    """References of gitlab.com begin with the host."""
    verified = verify(encode_bundle(SIGSTORE.bundle(statement(FILE), GITLAB_CLAIMS)), GITLAB)

    assert ("https://gitlab.com/acme/tools/demo", GITLAB_CLAIMS[18]) == (
        verified.claims.repository,
        verified.claims.workflow,
    )


def test_statement_without_channel_is_accepted() -> None:
    """CEP 27 makes the predicate optional."""
    assert verify(encode_bundle(SIGSTORE.bundle(statement(FILE, channel=None)))).claims.commit == GITHUB_CLAIMS[13]


def test_workflow_identity_can_use_the_commit() -> None:
    """A certificate that names the workflow at the commit of the run identifies the same run."""
    at_commit = GITHUB_CLAIMS[18].replace("refs/heads/main", GITHUB_CLAIMS[13])
    claims = {**GITHUB_CLAIMS, 18: at_commit, 9: at_commit}

    assert at_commit == verify(encode_bundle(SIGSTORE.bundle(statement(FILE), claims))).claims.workflow


def test_reusable_workflow_is_compared_with_the_job() -> None:
    """The signer must be the `job_workflow_ref` of the token that was exchanged."""
    job = "acme/build/.github/workflows/conda.yml@refs/tags/v1"
    claims = {**GITHUB_CLAIMS, 9: f"https://github.com/{job}"}
    bundle = encode_bundle(SIGSTORE.bundle(statement(FILE), claims))
    reusing = Workflow(**{name: getattr(GITHUB, name) for name in GITHUB.__slots__} | {"job_workflow_ref": job})

    assert GITHUB_CLAIMS[18] == verify(bundle, reusing).claims.workflow
    assert RefusalReason.OTHER_IDENTITY is reason(bundle)


# Refused: the statement

SHA = {"sha256": FILE.sha256}
STATEMENTS = {
    "wrong hash": ({"subject": [{"name": FILE.name, "digest": {"sha256": OTHER.sha256}}]}, RefusalReason.OTHER_SUBJECT),
    "hash in upper case": (
        {"subject": [{"name": FILE.name, "digest": {"sha256": FILE.sha256.upper()}}]},
        RefusalReason.OTHER_SUBJECT,
    ),
    "another digest beside it": (
        {"subject": [{"name": FILE.name, "digest": SHA | {"md5": "0" * 32}}]},
        RefusalReason.BAD_STATEMENT,
    ),
    "no digest": ({"subject": [{"name": FILE.name}]}, RefusalReason.BAD_STATEMENT),
    "wrong name": ({"subject": [{"name": OTHER.name, "digest": SHA}]}, RefusalReason.OTHER_SUBJECT),
    "a path as name": ({"subject": [{"name": f"noarch/{FILE.name}", "digest": SHA}]}, RefusalReason.OTHER_SUBJECT),
    "no subject": ({"subject": []}, RefusalReason.BAD_STATEMENT),
    "two subjects": ({"subject": [{"name": FILE.name, "digest": SHA}] * 2}, RefusalReason.BAD_STATEMENT),
    "another predicate": ({"predicateType": "https://slsa.dev/provenance/v1"}, RefusalReason.BAD_STATEMENT),
    "another statement": ({"_type": "https://in-toto.io/Statement/v0.1"}, RefusalReason.BAD_STATEMENT),
    "another channel": (
        {"predicate": {"targetChannel": "https://conda.example.com/other"}},
        RefusalReason.OTHER_CHANNEL,
    ),
    "another host": ({"predicate": {"targetChannel": "https://prefix.dev/robots"}}, RefusalReason.OTHER_CHANNEL),
    "a slash at the end": ({"predicate": {"targetChannel": CHANNEL + "/"}}, RefusalReason.OTHER_CHANNEL),
    "a predicate that is no object": ({"predicate": [CHANNEL]}, RefusalReason.BAD_STATEMENT),
    "a channel that is no text": ({"predicate": {"targetChannel": None}}, RefusalReason.BAD_STATEMENT),
}


@pytest.mark.parametrize(("changes", "expected"), STATEMENTS.values(), ids=STATEMENTS)
def test_statement_about_another_subject_is_refused(changes: dict[str, Any], expected: RefusalReason) -> None:
    """Invariants 2 and 3, for statements with a valid signature of the right workflow."""
    assert expected is reason(encode_bundle(SIGSTORE.bundle(statement(FILE, **changes))))


def test_other_payload_types_and_ambiguous_json_are_refused() -> None:
    """Parsers disagree on JSON with a repeated member."""
    typed = SIGSTORE.bundle(statement(FILE), payload_type="application/json")
    twice = json.dumps(statement(FILE)).replace('"_type"', '"subject": [], "_type"').encode()

    assert RefusalReason.BAD_STATEMENT is reason(encode_bundle(typed))
    assert RefusalReason.BAD_STATEMENT is reason(encode_bundle(SIGSTORE.bundle(twice)))


# Refused: the identity


@pytest.mark.parametrize(
    ("number", "value"),
    [
        pytest.param(12, "https://github.com/acme/fork", id="another repository"),
        pytest.param(15, "1002", id="another id of the repository"),
        pytest.param(17, "2003", id="another id of the owner"),
        pytest.param(18, GITHUB_CLAIMS[18].replace("release", "test"), id="another workflow"),
        pytest.param(18, GITHUB_CLAIMS[18].replace("heads/main", "heads/evil"), id="another ref"),
        pytest.param(9, "https://github.com/evil/x/.github/workflows/a.yml@refs/heads/main", id="another signer"),
        pytest.param(8, "https://gitlab.com", id="another issuer"),
        pytest.param(13, "0" * 40, id="another commit"),
        pytest.param(14, "refs/tags/main", id="another git ref"),
        pytest.param(20, "pull_request", id="another event"),
        pytest.param(21, GITHUB_CLAIMS[21].replace("3003", "3004"), id="another run"),
        pytest.param(21, GITHUB_CLAIMS[21][:-1] + "2", id="another attempt"),
        pytest.param(21, GITHUB_CLAIMS[21] + "/", id="a slash behind the run"),
        pytest.param(13, "", id="no commit"),
    ],
)
def test_certificate_of_another_run_is_refused(number: int, value: str) -> None:
    """Invariant 4: a single difference from the exchanged token is enough."""
    bundle = SIGSTORE.bundle(statement(FILE), {**GITHUB_CLAIMS, number: value})

    assert RefusalReason.OTHER_IDENTITY is reason(encode_bundle(bundle))


@pytest.mark.parametrize("number", [8, 9, 12, 13, 14, 15, 17, 20, 21])
def test_certificate_without_a_compared_extension_is_refused(number: int) -> None:
    """Fulcio has written all of them since 2023; missing extensions are not assumed to match."""
    claims = {extension: value for extension, value in GITHUB_CLAIMS.items() if extension != number}

    assert RefusalReason.OTHER_IDENTITY is reason(encode_bundle(SIGSTORE.bundle(statement(FILE), claims)))


@pytest.mark.parametrize("changes", [{20: "schedule"}, {21: GITLAB_CLAIMS[21] + "7"}, {14: "refs/tags/main"}])
def test_certificate_of_another_gitlab_job_is_refused(changes: dict[int, str]) -> None:
    """Invariant 4: on GitLab a job is the run."""
    assert RefusalReason.OTHER_IDENTITY is reason(
        encode_bundle(SIGSTORE.bundle(statement(FILE), GITLAB_CLAIMS | changes)), GITLAB
    )


def test_gitlab_merge_request_is_compared_by_workflow() -> None:
    """Fulcio writes refs/heads/BRANCH as the ref, whereas the token's ref names the merge request."""
    path = "refs/merge-requests/7/head"
    workflow = GITLAB_CLAIMS[18].replace("refs/heads/main", path)
    claims = {**GITLAB_CLAIMS, 9: workflow, 14: "refs/heads/fix", 18: workflow, 20: "merge_request_event"}
    run = replace(GITLAB, ref=path, workflow_ref=workflow.removeprefix("https://"), event_name="merge_request_event")

    assert "refs/heads/fix" == verify(encode_bundle(SIGSTORE.bundle(statement(FILE), claims)), run).claims.ref
    assert RefusalReason.OTHER_IDENTITY is reason(encode_bundle(SIGSTORE.bundle(statement(FILE), claims)), GITLAB)


@pytest.mark.parametrize("event", ["pull_request_target", "workflow_run", "Workflow_Run"])
def test_run_that_anyone_can_trigger_is_refused(event: str) -> None:
    """Refused even if token and certificate agree on the event."""
    bundle = encode_bundle(SIGSTORE.bundle(statement(FILE), {**GITHUB_CLAIMS, 20: event}))

    with pytest.raises(Refused, match="which anyone can trigger") as refused:
        verify(bundle, replace(GITHUB, event_name=event))
    assert RefusalReason.OTHER_IDENTITY is refused.value.reason


@pytest.mark.parametrize("missing", ["run_id", "run_attempt", "event_name", "ref"])
def test_attestation_is_refused_if_the_token_lacks_run_claims(missing: str) -> None:
    """These claims are optional in an exchange but required for an attestation."""
    assert RefusalReason.OTHER_IDENTITY is reason(
        encode_bundle(SIGSTORE.bundle(statement(FILE))), replace(GITHUB, **{missing: ""})
    )


REAL = Path(__file__).parents[1] / "data" / "attestations"


def certificate_claims(name: str) -> dict[int, str]:
    """Return the extensions of a real bundle's certificate, for either version of the bundle format."""
    material = json.loads((REAL / name).read_bytes())["verificationMaterial"]
    certificate = material.get("certificate") or material["x509CertificateChain"]["certificates"][0]
    return dict(claims_of(x509.load_der_x509_certificate(b64decode(certificate["rawBytes"]))))


@pytest.mark.parametrize(
    ("bundle", "run_id"),
    [("bundle_v3_github.whl.sigstore", "8351058501"), ("a.dsse.staging-rekor-v2.txt.sigstore.json", "25821282059")],
)
def test_real_certificates_contain_all_compared_extensions(bundle: str, run_id: str) -> None:
    """Fulcio certificates from 2024 and 2026, compared with the tokens that their runs would have had."""
    stated = certificate_claims(bundle)
    workflow = stated[18].removeprefix("https://github.com/")
    run = bundles.run_of(
        Workflow(
            issuer=GITHUB.issuer,
            kind="github",
            repository=stated[12].removeprefix("https://github.com/"),
            repository_id=stated[15],
            owner_id=stated[17],
            ref=stated[14],
            sha=stated[13],
            run_id=run_id,
            run_attempt="1",
            workflow_ref=workflow,
            job_workflow_ref=workflow,
            event_name=stated[20],
        )
    )
    assert set(range(8, 23)) == set(stated)
    bundles.check_identity(stated, run)
    with pytest.raises(Refused, match="its run is"):
        bundles.check_identity(stated, replace(run, invocation=run.invocation[:-1] + "2"))


def test_attestation_is_refused_if_the_token_lacks_ids() -> None:
    """A claim missing on both sides is not a match."""
    bare = Workflow(issuer=GITHUB.issuer, kind="github", repository=GITHUB.repository, workflow_ref=GITHUB.workflow_ref)
    claims = {**GITHUB_CLAIMS, 13: "", 15: "", 17: ""}

    assert RefusalReason.OTHER_IDENTITY is reason(encode_bundle(SIGSTORE.bundle(statement(FILE), claims)), bare)


def test_issuer_without_certificates_is_refused() -> None:
    """Google workload identities have no repository that a certificate could name."""
    with pytest.raises(Refused, match="are not supported") as refused:
        bundles.run_of(Workflow(issuer="https://accounts.google.com", kind="google", account="a@b.c"))
    assert RefusalReason.OTHER_IDENTITY is refused.value.reason


# Refused: the bundle


def broken(change: Callable[[dict[str, Any]], None]) -> bytes:
    bundle = copy.deepcopy(GOOD)
    change(bundle)
    return encode_bundle(bundle)


GOOD = SIGSTORE.bundle(statement(FILE))
OTHER_SIGSTORE = MiniSigstore()


def entry(bundle: dict[str, Any]) -> dict[str, Any]:
    return bundle["verificationMaterial"]["tlogEntries"][0]


def swap_payload(bundle: dict[str, Any]) -> None:
    bundle["dsseEnvelope"]["payload"] = b64encode(json.dumps(statement(FILE, predicate=None)).encode()).decode()


def alter_checkpoint(bundle: dict[str, Any]) -> None:
    checkpoint = entry(bundle)["inclusionProof"]["checkpoint"]
    checkpoint["envelope"] = checkpoint["envelope"].replace("\n2\n", "\n3\n")


def alter_integrated_time(bundle: dict[str, Any]) -> None:
    entry(bundle)["integratedTime"] = str(int(entry(bundle)["integratedTime"]) + 1)


def replace_log_entry(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"] = [entry(SIGSTORE.bundle(statement(OTHER)))]


def replace_certificate(bundle: dict[str, Any]) -> None:
    """Replace only the certificate; the log entry remains from the trusted instance."""
    other_bundle = OTHER_SIGSTORE.bundle(statement(FILE))
    bundle["verificationMaterial"]["certificate"] = other_bundle["verificationMaterial"]["certificate"]


def replace_envelope_with_message_signature(bundle: dict[str, Any]) -> None:
    signature = bundle.pop("dsseEnvelope")["signatures"][0]["sig"]
    bundle["messageSignature"] = {
        "messageDigest": {"algorithm": "SHA2_256", "digest": b64encode(bytes.fromhex(FILE.sha256)).decode()},
        "signature": signature,
    }


BUNDLES: dict[str, tuple[bytes, set[RefusalReason]]] = {
    "swapped payload": (broken(swap_payload), {RefusalReason.UNVERIFIED_BUNDLE}),
    "no log entry": (broken(lambda b: b["verificationMaterial"].update(tlogEntries=[])), {RefusalReason.BAD_BUNDLE}),
    "two log entries": (
        broken(lambda b: b["verificationMaterial"].update(tlogEntries=[entry(b)] * 2)),
        {RefusalReason.BAD_BUNDLE},
    ),
    "another file's log entry": (broken(replace_log_entry), {RefusalReason.UNVERIFIED_BUNDLE}),
    "no signature": (
        broken(lambda b: b["dsseEnvelope"].update(signatures=[])),
        {RefusalReason.BAD_BUNDLE, RefusalReason.UNVERIFIED_BUNDLE},
    ),
    "two signatures": (
        broken(lambda b: b["dsseEnvelope"].update(signatures=b["dsseEnvelope"]["signatures"] * 2)),
        {RefusalReason.BAD_BUNDLE, RefusalReason.UNVERIFIED_BUNDLE},
    ),
    "no inclusion promise": (broken(lambda b: entry(b).pop("inclusionPromise")), {RefusalReason.BAD_BUNDLE}),
    "no inclusion proof": (broken(lambda b: entry(b).pop("inclusionProof")), {RefusalReason.BAD_BUNDLE}),
    "altered checkpoint": (broken(alter_checkpoint), {RefusalReason.UNVERIFIED_BUNDLE}),
    "altered time": (broken(alter_integrated_time), {RefusalReason.UNVERIFIED_BUNDLE}),
    "no certificate": (broken(lambda b: b["verificationMaterial"].pop("certificate")), {RefusalReason.BAD_BUNDLE}),
    "signed after expiry": (
        encode_bundle(SIGSTORE.bundle(statement(FILE), minutes_later=30)),
        {RefusalReason.UNVERIFIED_BUNDLE},
    ),
    "foreign authority": (broken(replace_certificate), {RefusalReason.UNKNOWN_SIGSTORE}),
    "foreign log": (
        broken(lambda b: entry(b).update(logId=entry(OTHER_SIGSTORE.bundle(statement(FILE)))["logId"])),
        {RefusalReason.UNKNOWN_SIGSTORE},
    ),
    "another instance": (encode_bundle(OTHER_SIGSTORE.bundle(statement(FILE))), {RefusalReason.UNKNOWN_SIGSTORE}),
    "unknown version": (broken(lambda b: b.update(mediaType="application/vnd.x")), {RefusalReason.BAD_BUNDLE}),
    "message signature": (broken(replace_envelope_with_message_signature), {RefusalReason.UNVERIFIED_BUNDLE}),
    "not JSON": (b"-----BEGIN", {RefusalReason.BAD_BUNDLE}),
    "empty": (b"", {RefusalReason.BAD_BUNDLE}),
    "an array of bundles": (b"[" + encode_bundle(GOOD) + b"]", {RefusalReason.BAD_BUNDLE}),
    "two bundles": (encode_bundle(GOOD) * 2, {RefusalReason.BAD_BUNDLE}),
    "a key twice": (encode_bundle(GOOD)[:-1] + b', "mediaType": "x"}', {RefusalReason.BAD_BUNDLE}),
    "not UTF-8": (encode_bundle(GOOD).decode().encode("utf-16"), {RefusalReason.BAD_BUNDLE}),
    "deep": (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, {RefusalReason.BAD_BUNDLE}),
    "300 kB": (encode_bundle(GOOD | {"padding": "x" * 300_000}), {RefusalReason.BAD_BUNDLE}),
    "no bundle": (b"{}", {RefusalReason.BAD_BUNDLE}),
    "wrong types": (
        encode_bundle({"mediaType": 1, "verificationMaterial": [], "dsseEnvelope": 0}),
        {RefusalReason.BAD_BUNDLE},
    ),
}


@pytest.mark.parametrize(("bundle", "expected"), BUNDLES.values(), ids=BUNDLES)
def test_invalid_bundle_is_refused(bundle: bytes, expected: set[RefusalReason]) -> None:
    """Invariant 1, one defect at a time."""
    assert reason(bundle) in expected


def test_forged_authority_and_log_ids_are_refused() -> None:
    """A foreign certificate that carries the key id of the trusted authority fails signature verification."""
    bundle = OTHER_SIGSTORE.bundle(statement(FILE))
    entry(bundle)["logId"] = entry(GOOD)["logId"]
    der = b64decode(bundle["verificationMaterial"]["certificate"]["rawBytes"])
    for ours, theirs in zip(VERIFIER.parties, SigstoreVerifier(OTHER_SIGSTORE.trusted_root).parties, strict=True):
        der = der.replace(next(iter(theirs)), next(iter(ours)))
    bundle["verificationMaterial"]["certificate"]["rawBytes"] = b64encode(der).decode()

    assert RefusalReason.UNVERIFIED_BUNDLE is reason(encode_bundle(bundle))
