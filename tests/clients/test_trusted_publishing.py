"""rattler-build publishes from workflows without a key: it exchanges the platform's token and uploads (case 54)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seaway.callers.caller import OPERATOR
from seaway.trusted_publishing import issuers, workflow_snippets
from tests.conftest import Site
from tests.support import rattler
from tests.support.issuer import LocalIssuer, github, gitlab, json_response, local_issuer, now_s, token
from tests.support.packages import PackageFile, conda, index_json
from tests.support.publishing_app import GITHUB, GITLAB, Trust

AUDIENCE = "127.0.0.1"
REQUEST = "/token?api-version=2.0"


@pytest.fixture(scope="module")
def platform(site: Site) -> Iterator[LocalIssuer]:
    """An issuer on loopback, registered as a GitLab; tokens of GitHub are signed with a static key."""
    with local_issuer() as issuer_server:
        trust = Trust(site.factory.seaway)
        with trust.seaway.site.database.write_site() as tx:
            issuers.add(tx, 1, OPERATOR, site.new_name("forge"), kind="gitlab", issuer=issuer_server.address)
        trust.keys("github", "key-1")
        yield issuer_server


@dataclass(frozen=True)
class Workflow:
    """A job with the variables of its platform and without stored credentials."""

    site: Site
    folder: Path

    def upload(self, channel: str, *files: PackageFile, **variables: str) -> str:
        """Upload the files; return the error output, empty on success."""
        paths = [file.write_to(self.folder) for file in files]
        return rattler.publish(self.folder, self.site.server.address, channel, *paths, **variables)

    def served(self, channel: str) -> list[str]:
        with self.site.client() as http:
            return sorted(http.get(f"/{channel}/noarch/repodata.json").json()["packages.conda"])


@pytest.fixture
def workflow(site: Site, tmp_path: Path) -> Workflow:
    return Workflow(site, tmp_path)


def in_gitlab(text: str) -> dict[str, str]:
    return {"GITLAB_CI": "true", workflow_snippets.token_variable(AUDIENCE): text}


def test_gitlab_job_publishes(workflow: Workflow, site: Site, platform: LocalIssuer) -> None:
    """One command uploads several files with one token; a second command is refused, because the token is used."""
    channel = site.new_channel()
    with site.factory.seaway.site.database.read() as tx:
        forge = issuers.find(tx, platform.address)
    assert forge is not None
    Trust(site.factory.seaway).trust(channel, forge.name, GITLAB)
    files = [conda(index_json(site.new_name("pkg"))) for _ in range(2)]
    variables = in_gitlab(token(gitlab(now_s(), issuer=platform.address, aud=AUDIENCE)))

    assert "" == workflow.upload(channel, *files, **variables)
    assert sorted(file.name for file in files) == workflow.served(channel)
    errors = workflow.upload(channel, conda(index_json(site.new_name("pkg"))), **variables)
    assert "no prefix.dev API key" in errors


def test_github_workflow_publishes(workflow: Workflow, site: Site, platform: LocalIssuer) -> None:
    """The client requests a token from the platform whose audience is the host without the port."""
    channel = site.new_channel()
    Trust(site.factory.seaway).trust(channel, "github", GITHUB)
    token_path = f"{REQUEST}&audience={AUDIENCE}"
    platform.responses[token_path] = lambda: json_response({"value": token(github(now_s(), aud=AUDIENCE))})
    file = conda(index_json(site.new_name("pkg")))
    variables = {
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": platform.address + REQUEST,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-this-job",
    }

    assert "" == workflow.upload(channel, file, **variables)
    assert [file.name] == workflow.served(channel)
    assert token_path in platform.requests


def test_untrusted_workflow_uploads_nothing(workflow: Workflow, site: Site, platform: LocalIssuer) -> None:
    """The channel has no publisher that matches the workflow."""
    channel = site.new_channel()
    variables = in_gitlab(token(gitlab(now_s(), issuer=platform.address, aud=AUDIENCE)))

    assert workflow.upload(channel, conda(index_json(site.new_name("pkg"))), **variables)
    assert [] == workflow.served(channel)
