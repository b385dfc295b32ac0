"""The publishers page compares ids with the provider, and marks only renamed and recreated repositories."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from sqlalchemy import select

from seaway.callers.caller import OPERATOR
from seaway.clock import MINUTE_MS
from seaway.database.tables import audit
from seaway.server.wiring import Seaway
from seaway.trusted_publishing import issuers, publishers
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings
from tests.support import sites
from tests.support.clock import ManualClock
from tests.support.providers import Provider, ProviderResponse, running
from tests.support.sites import Factory
from tests.web.conftest import new_user
from tests.web.http_browser import SITE, HttpBrowser

PAGE = "/channels/harbour/settings/publishers"
RECREATED, RENAMED = "differ from those of this publisher", "was renamed or moved"
GITHUB = ("github", {"owner": "acme", "repository": "tools", "workflow": "release.yml"})
GITLAB = ("forge", {"namespace": "acme/team", "project": "tools"})
GITHUB_PATH, GITLAB_PATH = "/repos/acme/tools", "/api/v4/projects/acme%2Fteam%2Ftools"
SAME = {
    GITHUB_PATH: (200, {"id": 2002, "owner": {"id": 1001}}, {}),
    GITLAB_PATH: (200, {"id": 2002, "namespace": {"id": 1001}}, {}),
}


@dataclass
class Api(Provider):
    """Simulated public APIs of GitHub and GitLab."""

    responses: dict[str, ProviderResponse] = field(default_factory=lambda: dict(SAME))

    def respond(
        self, _method: str, path: str, _fields: dict[str, str], _headers: Mapping[str, str]
    ) -> ProviderResponse:
        return self.responses.get(path, (404, {"message": "Not Found"}, {}))


@dataclass(frozen=True)
class Setup:
    seaway: Seaway
    clock: ManualClock
    api: Api
    browser: HttpBrowser

    def trust(self, issuer: str, matched: Mapping[str, str], pins: Mapping[str, str]) -> Publisher:
        with self.seaway.site.database.write_site() as tx:
            notifier = self.seaway.request_parts.accounts.outbox
            settings = PublisherSettings(fields=dict(matched), pinned=dict(pins))
            return publishers.add(tx, self.clock.now_ms(), OPERATOR, notifier, "harbour", issuer, settings)

    def page(self) -> str:
        response = self.browser.get(PAGE)
        assert 200 == response.status_code
        return response.text

    def lines(self) -> list[Any]:
        with self.seaway.site.database.read() as tx:
            return list(tx.execute(select(audit.c.id)).scalars())


@pytest.fixture
def setup(tmp_path: Path, portal: BlockingPortal) -> Iterator[Setup]:
    clock = ManualClock()
    with running(Api()) as api:
        assert isinstance(api, Api)
        seaway = sites.build(tmp_path, clock, public_url=SITE, github_com_api=api.address)
        Factory(seaway).user("operator-of-it", admin=True)
        user = new_user(seaway)
        Factory(seaway).channel("harbour", owner=user)
        with seaway.site.database.write_site() as tx:
            issuers.add(tx, clock.now_ms(), OPERATOR, "forge", kind="gitlab", issuer=api.address)
        seaway.request_parts.exchanging.repository_ids.page_seconds = 60.0  # long enough for a busy machine
        browser = HttpBrowser(seaway, portal, "2001:db8:1d5::1")
        browser.sign_in(user)
        yield Setup(seaway, clock, api, browser)
        seaway.close()


KINDS = pytest.mark.parametrize(
    ("trusted", "path", "owner", "repository"),
    [(GITHUB, GITHUB_PATH, "owner_id", "repository_id"), (GITLAB, GITLAB_PATH, "namespace_id", "project_id")],
    ids=["github", "gitlab"],
)


@KINDS
@pytest.mark.parametrize("changed", ["owner", "repository"])
def test_recreated_repository_is_marked(
    setup: Setup, trusted: Any, path: str, owner: str, repository: str, changed: str
) -> None:
    """The id of the repository or of its owner differs; the page says what to do."""
    setup.trust(
        *trusted, {owner: "7" if changed == "owner" else "1001", repository: "2002" if changed == "owner" else "7"}
    )
    text = setup.page()
    assert (True, False) == (RECREATED in text, RENAMED in text)
    assert "remove the publisher and add it again" in text
    assert [f"GET {path}"] == setup.api.requests


@KINDS
def test_renamed_repository_is_marked(setup: Setup, trusted: Any, path: str, owner: str, repository: str) -> None:
    """Providers redirect from the former name to the number; the redirect is not followed."""
    setup.trust(*trusted, {owner: "1001", repository: "2002"})
    kind = "repositories" if trusted is GITHUB else "api/v4/projects"
    setup.api.responses[path] = (301, {}, {"Location": f"{setup.api.address}/{kind}/2002"})
    text = setup.page()
    assert (False, True) == (RECREATED in text, RENAMED in text)
    assert [f"GET {path}"] == setup.api.requests


@KINDS
@pytest.mark.parametrize(
    "response",
    [
        None,
        (404, {}, {}),
        (403, {}, {}),
        (500, b"\xff", {}),
        (200, b"<html>", {}),
        (200, [], {}),
        (200, {"id": "7"}, {}),
        (200, b" " * 300_000, {}),
        (302, {}, {"Location": "https://login.example.com/"}),
    ],
)
def test_unclear_response_marks_nothing(
    setup: Setup, trusted: Any, path: str, owner: str, repository: str, response: ProviderResponse | None
) -> None:
    """The same ids, a private repository, a refusal, an invalid body, a redirect to a login portal."""
    setup.trust(*trusted, {owner: "1001", repository: "2002"})
    if response is not None:
        setup.api.responses[path] = response
    text = setup.page()
    assert (False, False) == (RECREATED in text, RENAMED in text)
    assert [f"GET {path}"] == setup.api.requests


def connections_to(listener: socket.socket) -> int:
    """Return the number of connections since the last call."""
    listener.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


def test_silent_provider_does_not_block_the_page(setup: Setup) -> None:
    """The page is shown without the comparison, and the provider gets no requests in the next five minutes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with setup.seaway.site.database.write_site() as tx:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            issuers.add(tx, setup.clock.now_ms(), OPERATOR, "silent", kind="gitlab", issuer=address)
        for number in range(5):
            setup.trust("silent", GITLAB[1] | {"project": f"tools{number}"}, {"project_id": "1"})
        setup.seaway.request_parts.exchanging.repository_ids.page_seconds = 0.5
        assert "tools4" in setup.page()
        assert 0 < connections_to(silent)
        setup.page()
        assert 0 == connections_to(silent)


def test_responses_are_cached_and_requests_are_limited(setup: Setup) -> None:
    """GitHub allows 60 requests an hour without a token."""
    for number in range(25):
        setup.trust(GITHUB[0], GITHUB[1] | {"repository": f"tools{number}"}, {"repository_id": "7"})
    setup.page()
    setup.page()
    assert 20 == len(setup.api.requests)
    setup.clock.move(MINUTE_MS)
    setup.page()
    assert 25 == len(setup.api.requests)
    setup.clock.move(5 * MINUTE_MS)
    setup.page()
    assert 45 == len(setup.api.requests)


def test_ids_of_a_run_without_upload_are_ignored(setup: Setup) -> None:
    """The token could come from another repository, so its ids are neither compared nor shown."""
    publisher = setup.trust(*GITHUB, {})
    with setup.seaway.site.database.write_site() as tx:
        publishers.pin(tx, publisher, {"owner_id": "7", "repository_id": "7"})
    before = setup.lines()
    assert RECREATED not in setup.page()
    assert ([], before) == (setup.api.requests, setup.lines())


def test_kind_without_public_api_causes_no_request(setup: Setup) -> None:
    """Buildkite has no API for requests without a token."""
    with setup.seaway.site.database.write_site() as tx:
        issuers.add(tx, setup.clock.now_ms(), OPERATOR, "kite", kind="buildkite", issuer="https://agent.buildkite.com")
    setup.trust("kite", {"organization_slug": "acme", "pipeline_slug": "tools"}, {"organization_id": "7"})
    assert RECREATED not in setup.page()
    assert [] == setup.api.requests


def test_only_owners_cause_requests(setup: Setup) -> None:
    """Another user is refused before the provider gets a request."""
    setup.trust(*GITHUB, {"repository_id": "7"})
    other_user = setup.browser.another()
    other_user.sign_in(new_user(setup.seaway))
    assert 200 != other_user.get(PAGE).status_code
    assert [] == setup.api.requests
