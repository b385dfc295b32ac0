"""The whole way of an attested file: a token exchanged, the upload as clients send it, and what readers find."""

import hashlib
from typing import Any

import httpx
import pytest

from seaway.attestations import trusted_root
from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.channels.channels import Attestations
from tests.support import issuer
from tests.support.packages import PackageFile, conda
from tests.support.requests import attestation_part, bearer, file_part, multipart, multipart_type, sentence
from tests.support.sigstore import MiniSigstore, statement, written
from tests.trust.conftest import Trusting

FILE = conda()
ADDRESS = f"https://{issuer.AUDIENCE}/harbour"
SIGSTORE = MiniSigstore()


def certificate(claims: dict[str, Any]) -> dict[int, str]:
    """What Fulcio writes down of a run of GitHub or GitLab, by the token that it would get."""
    if "repository" in claims:
        site, repository, ids = "https://github.com", claims["repository"], ("repository_id", "repository_owner_id")
        workflow = f"{site}/{claims['workflow_ref']}"
        ref, event = claims["ref"], claims["event_name"]
        run = f"actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}"
    else:
        site, repository, ids = "https://gitlab.com", claims["project_path"], ("project_id", "namespace_id")
        workflow = f"https://{claims['ci_config_ref_uri']}"
        ref, event = claims["ref_path"], claims["pipeline_source"]
        run = f"-/jobs/{claims['job_id']}"
    return {
        8: claims["iss"],
        9: workflow,
        12: f"{site}/{repository}",
        13: claims["sha"],
        14: ref,
        15: claims[ids[0]],
        17: claims[ids[1]],
        18: workflow,
        20: event,
        21: f"{site}/{repository}/{run}",
    }


@pytest.fixture(autouse=True)
def trusted(here: Trusting) -> None:
    with here.seaway.database.write_site() as tx:
        trusted_root.keep(tx, here.clock.now_ms(), OPERATOR, SIGSTORE.trusted_root)


def upload(here: Trusting, secret: str, attestation: bytes | None, file: PackageFile = FILE) -> httpx.Response:
    parts = [file_part(file), *([] if attestation is None else [attestation_part(attestation)])]
    return here.ask(
        "POST",
        "/api/v1/upload/harbour",
        content=multipart(*parts),
        headers={**multipart_type(), **bearer(secret)},
    )


@pytest.mark.parametrize("of", [issuer.github, issuer.gitlab], ids=["github", "gitlab"])
def test_what_the_workflow_signed_is_served_beside_its_file(here: Trusting, of: Any) -> None:
    """Exchange, upload with `--generate-attestation`, sidecar: the token's claims and the certificate's agree."""
    claims = of(here.now_s)
    secret = here.minted(issuer.token(claims))
    bundle = written(SIGSTORE.bundle(statement(FILE, ADDRESS), certificate(claims)))
    answer = upload(here, secret, bundle)
    assert 201 == answer.status_code, answer.text
    found = here.ask("GET", f"/harbour/noarch/{FILE.name}.sigs", headers=bearer(secret))
    record = here.ask("GET", "/harbour/noarch/repodata.json", headers=bearer(secret)).json()["packages.conda"][
        FILE.name
    ]

    assert (200, b"[" + bundle + b"]") == (found.status_code, found.content)
    assert hashlib.sha256(found.content).hexdigest() == record["attestations_sha256"]
    assert 401 == here.ask("GET", f"/harbour/noarch/{FILE.name}.sigs").status_code


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"sha": "00" * 20}, id="another commit"),
        pytest.param({"repository": "acme/fork"}, id="another repository"),
        pytest.param({"repository_owner_id": "6"}, id="another owner"),
        pytest.param({"workflow_ref": "acme/tools/.github/workflows/test.yml@refs/heads/main"}, id="another workflow"),
        pytest.param({"iss": "https://gitlab.com"}, id="another issuer"),
        pytest.param({"run_id": "78"}, id="another run"),
        pytest.param({"run_attempt": "2"}, id="another attempt"),
        pytest.param({"event_name": "pull_request"}, id="another event"),
        pytest.param({"ref": "refs/heads/other"}, id="another ref"),
    ],
)
def test_what_another_run_signed_is_refused(here: Trusting, changes: dict[str, str]) -> None:
    """A good signature of somebody else over this very file."""
    claims = issuer.github(here.now_s)
    secret = here.minted(issuer.token(claims))
    bundle = written(SIGSTORE.bundle(statement(FILE, ADDRESS), certificate({**claims, **changes})))
    answer = upload(here, secret, bundle)

    assert 422 == answer.status_code
    assert "The attestation is refused" in sentence(answer)
    assert 404 == here.ask("GET", f"/harbour/noarch/{FILE.name}", headers=bearer(secret)).status_code


def test_a_newer_log_is_told_apart(here: Trusting) -> None:
    """Whoever reads the refusal learns that the server's operator can help."""
    claims = issuer.github(here.now_s)
    bundle = written(MiniSigstore().bundle(statement(FILE, ADDRESS), certificate(claims)))
    answer = upload(here, here.minted(issuer.token(claims)), bundle)

    assert 422 == answer.status_code
    assert "it is outdated, or the bundle is from another Sigstore" in sentence(answer)
    assert "sigstore update" in answer.text


def test_a_channel_that_requires_attestations_takes_no_key(here: Trusting) -> None:
    """A workflow without one is refused as well, and both are told why."""
    with here.seaway.database.write_site() as tx:
        channels.change(tx, here.clock.now_ms(), OPERATOR, "harbour", attestations=Attestations.REQUIRED)
    for secret in (here.minted(issuer.token(issuer.github(here.now_s))), here.people.key("owner")):
        answer = upload(here, secret, None)
        assert 422 == answer.status_code
        assert "accepts only files with an attestation" in sentence(answer)


def test_a_key_brings_no_attestation(here: Trusting) -> None:
    """Though it be a good one of a workflow that the channel trusts."""
    bundle = written(SIGSTORE.bundle(statement(FILE, ADDRESS), certificate(issuer.github(here.now_s))))
    answer = upload(here, here.people.key("owner"), bundle)

    assert 422 == answer.status_code
    assert "accepted only from trusted publishers" in sentence(answer)
