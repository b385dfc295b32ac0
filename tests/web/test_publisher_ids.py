"""The publishers page compares ids with the provider: renamed and recreated repositories are marked, nothing else is."""

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
from seaway.trusted_publishing.publishers import Draft
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.providers import Provider, Told, running
from tests.web.conftest import new_user
from tests.web.visitor import SITE, Visitor

PAGE = "/channels/harbour/settings/publishers"
OTHER, RENAMED = "differ from those of this publisher", "was renamed or moved"
GITHUB = ("github", {"owner": "acme", "repository": "tools", "workflow": "release.yml"})
GITLAB = ("forge", {"namespace": "acme/team", "project": "tools"})
GITHUB_PATH, GITLAB_PATH = "/repos/acme/tools", "/api/v4/projects/acme%2Fteam%2Ftools"
SAME = {
    GITHUB_PATH: (200, {"id": 2002, "owner": {"id": 1001}}, {}),
    GITLAB_PATH: (200, {"id": 2002, "namespace": {"id": 1001}}, {}),
}


@dataclass
class Api(Provider):
    """The public APIs of GitHub and GitLab on one address."""

    told: dict[str, Told] = field(default_factory=lambda: dict(SAME))

    def answer(self, _method: str, path: str, _fields: dict[str, str], _headers: Mapping[str, str]) -> Told:
        return self.told.get(path, (404, {"message": "Not Found"}, {}))


@dataclass(frozen=True)
class Place:
    seaway: Seaway
    clock: TurnedClock
    api: Api
    browser: Visitor

    def trust(self, issuer: str, matched: Mapping[str, str], pins: Mapping[str, str]) -> publishers.Publisher:
        with self.seaway.database.write_site() as tx:
            notifier = self.seaway.request_parts.exchanging.notifier
            draft = Draft(matched=matched, pins=pins)
            return publishers.add(tx, self.clock.now_ms(), OPERATOR, notifier, "harbour", issuer, draft)

    def page(self) -> str:
        answer = self.browser.get(PAGE)
        assert 200 == answer.status_code
        return answer.text

    def lines(self) -> list[Any]:
        with self.seaway.database.read() as tx:
            return list(tx.execute(select(audit.c.id)).scalars())


@pytest.fixture
def place(tmp_path: Path, portal: BlockingPortal) -> Iterator[Place]:
    clock = TurnedClock()
    with running(Api()) as api:
        assert isinstance(api, Api)
        built = house.build(tmp_path, clock, public_url=SITE, github_com_api=api.address)
        People(built).user("operator-of-it", admin=True)
        user = new_user(built)
        People(built).channel("harbour", owner=user)
        with built.database.write_site() as tx:
            issuers.add(tx, clock.now_ms(), OPERATOR, "forge", kind="gitlab", issuer=api.address)
        built.request_parts.exchanging.repository_ids.page_seconds = 60.0  # a busy machine may take its time
        browser = Visitor(built, portal, "2001:db8:1d5::1")
        browser.sign_in(user)
        yield Place(built, clock, api, browser)
        built.close()


KINDS = pytest.mark.parametrize(
    ("trusted", "path", "owner", "repository"),
    [(GITHUB, GITHUB_PATH, "owner_id", "repository_id"), (GITLAB, GITLAB_PATH, "namespace_id", "project_id")],
    ids=["github", "gitlab"],
)


@KINDS
@pytest.mark.parametrize("changed", ["owner", "repository"])
def test_a_recreated_repository_is_marked(
    place: Place, trusted: Any, path: str, owner: str, repository: str, changed: str
) -> None:
    """Another id than the publisher has, of the repository or of its owner; the page says what to do."""
    place.trust(
        *trusted, {owner: "7" if changed == "owner" else "1001", repository: "2002" if changed == "owner" else "7"}
    )
    text = place.page()
    assert (True, False) == (OTHER in text, RENAMED in text)
    assert "remove the publisher and add it again" in text
    assert [f"GET {path}"] == place.api.asked


@KINDS
def test_a_renamed_repository_is_marked(place: Place, trusted: Any, path: str, owner: str, repository: str) -> None:
    """Providers lead from the former name to the number; that is not followed."""
    place.trust(*trusted, {owner: "1001", repository: "2002"})
    kind = "repositories" if trusted is GITHUB else "api/v4/projects"
    place.api.told[path] = (301, {}, {"Location": f"{place.api.address}/{kind}/2002"})
    text = place.page()
    assert (False, True) == (OTHER in text, RENAMED in text)
    assert [f"GET {path}"] == place.api.asked


@KINDS
@pytest.mark.parametrize(
    "told",
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
def test_nothing_is_said_without_a_clear_answer(
    place: Place, trusted: Any, path: str, owner: str, repository: str, told: Told | None
) -> None:
    """The same ids, a private repository, a refusal, nonsense, a portal for signing in."""
    place.trust(*trusted, {owner: "1001", repository: "2002"})
    if told is not None:
        place.api.told[path] = told
    text = place.page()
    assert (False, False) == (OTHER in text, RENAMED in text)
    assert [f"GET {path}"] == place.api.asked


def connections_to(listener: socket.socket) -> int:
    """The connections that were made since the last count."""
    listener.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


def test_a_silent_provider_does_not_hold_the_page(place: Place) -> None:
    """It comes without the answers, and the provider is not asked again in the next five minutes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with place.seaway.database.write_site() as tx:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            issuers.add(tx, place.clock.now_ms(), OPERATOR, "silent", kind="gitlab", issuer=address)
        for number in range(5):
            place.trust("silent", GITLAB[1] | {"project": f"tools{number}"}, {"project_id": "1"})
        place.seaway.request_parts.exchanging.repository_ids.page_seconds = 0.5
        assert "tools4" in place.page()
        assert 0 < connections_to(silent)
        place.page()
        assert 0 == connections_to(silent)


def test_answers_are_kept_for_five_minutes_and_requests_are_bounded(place: Place) -> None:
    """GitHub answers 60 requests an hour to those without a token."""
    for number in range(25):
        place.trust(GITHUB[0], GITHUB[1] | {"repository": f"tools{number}"}, {"repository_id": "7"})
    place.page()
    place.page()
    assert 20 == len(place.api.asked)
    place.clock.move(MINUTE_MS)
    place.page()
    assert 25 == len(place.api.asked)
    place.clock.move(5 * MINUTE_MS)
    place.page()
    assert 45 == len(place.api.asked)


def test_a_run_that_did_not_upload_changes_nothing_on_the_page(place: Place) -> None:
    """Ids of a token that was exchanged, and is of a stranger perhaps, are neither compared nor shown."""
    made = place.trust(*GITHUB, {})
    with place.seaway.database.write_site() as tx:
        publishers.pin(tx, made, {"owner_id": "7", "repository_id": "7"})
    before = place.lines()
    assert OTHER not in place.page()
    assert ([], before) == (place.api.asked, place.lines())


def test_kinds_without_a_public_api_are_not_looked_up(place: Place) -> None:
    """Buildkite answers nobody without a token."""
    with place.seaway.database.write_site() as tx:
        issuers.add(tx, place.clock.now_ms(), OPERATOR, "kite", kind="buildkite", issuer="https://agent.buildkite.com")
    place.trust("kite", {"organization_slug": "acme", "pipeline_slug": "tools"}, {"organization_id": "7"})
    assert OTHER not in place.page()
    assert [] == place.api.asked


def test_only_owners_cause_requests(place: Place) -> None:
    """A stranger is refused before anything is requested."""
    place.trust(*GITHUB, {"repository_id": "7"})
    stranger = place.browser.another()
    stranger.sign_in(new_user(place.seaway))
    assert 200 != stranger.get(PAGE).status_code
    assert [] == place.api.asked
