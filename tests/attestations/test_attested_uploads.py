"""Attested files end to end: token exchange, upload as clients send it, and the sidecar that readers get."""

import hashlib
from typing import Any

import httpx
import pytest

from seaway.attestations import trusted_root
from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.channels.channel import Attestations, ChannelSettings
from tests.support import issuer
from tests.support.packages import PackageFile, conda
from tests.support.publishing_app import PublishingApp
from tests.support.requests import attestation_part, bearer, error_message, file_part, multipart, multipart_type
from tests.support.sigstore import MiniSigstore, encode_bundle, statement

FILE = conda()
CHANNEL_URL = f"https://{issuer.AUDIENCE}/harbour"
SIGSTORE = MiniSigstore()


def certificate_claims(claims: dict[str, Any]) -> dict[int, str]:
    """Return the extensions that Fulcio writes for a GitHub or GitLab run with these token claims."""
    if "repository" in claims:
        host, repository, ids = "https://github.com", claims["repository"], ("repository_id", "repository_owner_id")
        workflow = f"{host}/{claims['workflow_ref']}"
        ref, event = claims["ref"], claims["event_name"]
        run = f"actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}"
    else:
        host, repository, ids = "https://gitlab.com", claims["project_path"], ("project_id", "namespace_id")
        workflow = f"https://{claims['ci_config_ref_uri']}"
        ref, event = claims["ref_path"], claims["pipeline_source"]
        run = f"-/jobs/{claims['job_id']}"
    return {
        8: claims["iss"],
        9: workflow,
        12: f"{host}/{repository}",
        13: claims["sha"],
        14: ref,
        15: claims[ids[0]],
        17: claims[ids[1]],
        18: workflow,
        20: event,
        21: f"{host}/{repository}/{run}",
    }


@pytest.fixture(autouse=True)
def sigstore_root(app: PublishingApp) -> None:
    with app.seaway.site.database.write_site() as tx:
        trusted_root.keep(tx, app.clock.now_ms(), OPERATOR, SIGSTORE.trusted_root)


def upload(app: PublishingApp, secret: str, attestation: bytes | None, file: PackageFile = FILE) -> httpx.Response:
    parts = [file_part(file), *([] if attestation is None else [attestation_part(attestation)])]
    return app.request(
        "POST",
        "/api/v1/upload/harbour",
        content=multipart(*parts),
        headers={**multipart_type(), **bearer(secret)},
    )


@pytest.mark.parametrize("claims_for", [issuer.github, issuer.gitlab], ids=["github", "gitlab"])
def test_attestation_is_served_as_sidecar(app: PublishingApp, claims_for: Any) -> None:
    """The claims of the exchanged token and the certificate agree, as with `--generate-attestation`."""
    claims = claims_for(app.now_s)
    secret = app.workflow_token(issuer.token(claims))
    bundle = encode_bundle(SIGSTORE.bundle(statement(FILE, CHANNEL_URL), certificate_claims(claims)))
    response = upload(app, secret, bundle)
    assert 201 == response.status_code, response.text
    found = app.request("GET", f"/harbour/noarch/{FILE.name}.sigs", headers=bearer(secret))
    record = app.request("GET", "/harbour/noarch/repodata.json", headers=bearer(secret)).json()["packages.conda"][
        FILE.name
    ]

    assert (200, b"[" + bundle + b"]") == (found.status_code, found.content)
    assert hashlib.sha256(found.content).hexdigest() == record["attestations_sha256"]
    assert 401 == app.request("GET", f"/harbour/noarch/{FILE.name}.sigs").status_code


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
def test_attestation_of_another_run_is_refused(app: PublishingApp, changes: dict[str, str]) -> None:
    """The signature is valid and covers this file, but another run signed it."""
    claims = issuer.github(app.now_s)
    secret = app.workflow_token(issuer.token(claims))
    bundle = encode_bundle(SIGSTORE.bundle(statement(FILE, CHANNEL_URL), certificate_claims({**claims, **changes})))
    response = upload(app, secret, bundle)

    assert 422 == response.status_code
    assert "The attestation is refused" in error_message(response)
    assert 404 == app.request("GET", f"/harbour/noarch/{FILE.name}", headers=bearer(secret)).status_code


def test_unknown_transparency_log_has_its_own_refusal(app: PublishingApp) -> None:
    """The message says that the operator can update the trusted root."""
    claims = issuer.github(app.now_s)
    bundle = encode_bundle(MiniSigstore().bundle(statement(FILE, CHANNEL_URL), certificate_claims(claims)))
    response = upload(app, app.workflow_token(issuer.token(claims)), bundle)

    assert 422 == response.status_code
    assert "it is outdated, or the bundle is from another Sigstore" in error_message(response)
    assert "sigstore update" in response.text


def test_upload_without_required_attestation_is_refused(app: PublishingApp) -> None:
    """This applies to API keys and to workflows."""
    with app.seaway.site.database.write_site() as tx:
        channels.change(
            tx, app.clock.now_ms(), OPERATOR, "harbour", ChannelSettings(attestations=Attestations.REQUIRED)
        )
    for secret in (app.workflow_token(issuer.token(issuer.github(app.now_s))), app.factory.key("owner")):
        response = upload(app, secret, None)
        assert 422 == response.status_code
        assert "accepts only files with an attestation" in error_message(response)


def test_attestation_with_an_api_key_is_refused(app: PublishingApp) -> None:
    """Refused even if the attestation is valid and from a workflow that the channel trusts."""
    bundle = encode_bundle(SIGSTORE.bundle(statement(FILE, CHANNEL_URL), certificate_claims(issuer.github(app.now_s))))
    response = upload(app, app.factory.key("owner"), bundle)

    assert 422 == response.status_code
    assert "accepted only from trusted publishers" in error_message(response)
