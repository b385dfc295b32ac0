"""Adding publishers by page, API and command: one rate limit per user, one lookup of the owner at GitHub."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal

from seaway.callers import rate_limits
from seaway.callers.caller import Mode
from seaway.callers.rate_limits import Rate
from seaway.channels import channels
from seaway.server.wiring import Seaway
from seaway.trusted_publishing import publishers
from seaway.trusted_publishing.issuer_kinds import github as api_of_github
from seaway.trusted_publishing.publisher import Publisher
from seaway.users import users
from tests.support import sites, state
from tests.support.clock import ManualClock
from tests.support.providers import Provider, ProviderResponse, running
from tests.support.sites import Factory
from tests.web.conftest import new_user
from tests.web.http_browser import SITE, HttpBrowser

MATCHED = {"owner": "acme", "repository": "tools", "workflow": "release.yml"}


@dataclass
class Owners(Provider):
    """GitHub's endpoint for users; `during_request` is called before it responds."""

    ids: dict[str, int] = field(default_factory=lambda: {"acme": 1001, "other": 2002})
    during_request: Callable[[], object] = lambda: None

    def respond(
        self, _method: str, path: str, _fields: dict[str, str], _headers: Mapping[str, str]
    ) -> ProviderResponse:
        self.during_request()
        owner = path.rpartition("/")[2]
        if owner not in self.ids:
            return 500, {}, {}
        return 200, {"id": self.ids[owner], "login": owner.capitalize()}, {}


@dataclass(frozen=True)
class Setup:
    """A Seaway with a simulated GitHub, and the owner of the channel `harbour`."""

    seaway: Seaway
    folder: Path
    github: Owners
    browser: HttpBrowser
    user: str
    key: str

    def found(self) -> list[Publisher]:
        with self.seaway.site.database.read() as tx:
            return publishers.in_channel(tx, self.channel_id)

    @property
    def channel_id(self) -> int:
        with self.seaway.site.database.read() as tx:
            return channels.get(tx, "harbour").id

    def by_page(self, **matched: str) -> int:
        page = "/channels/harbour/settings/publishers"
        self.browser.get(page)
        return self.browser.send(page, issuer="github", mode="READ_WRITE", **(MATCHED | matched)).status_code

    def by_api(self, **matched: str) -> int:
        body = {"issuer": "github", "fields": MATCHED | matched}
        return (
            self.browser.another()
            .request(
                "POST",
                "/api/v1/channels/harbour/publishers",
                json=body,
                headers={"Authorization": f"Bearer {self.key}"},
            )
            .status_code
        )

    def by_command(self, **matched: str) -> int:
        options = [part for name, value in (MATCHED | matched).items() for part in (f"--{name}", value)]
        settings = {"data": str(self.folder / "data")}
        settings |= {name: str(value) for name, value in state.settings(self.folder).items()}
        variables = {f"SEAWAY_{name.upper()}": value for name, value in settings.items()}
        code = f"""
from seaway.cli.main import run
from seaway.trusted_publishing.issuer_kinds import github
github.API_URL = "{self.github.address}/api"
run()
"""
        command = [sys.executable, "-c", code, "publisher", "add", "harbour", "github", *options]
        result = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        assert "Traceback" not in result.stderr, result.stderr
        return {0: 201, 1: 422}[result.returncode]


@pytest.fixture
def setup(tmp_path: Path, portal: BlockingPortal) -> Iterator[Setup]:
    clock = ManualClock()
    with running(Owners()) as github:
        assert isinstance(github, Owners)
        seaway = sites.build(tmp_path, clock, public_url=SITE, github_com_api=f"{github.address}/api")
        Factory(seaway).user("operator-of-it", admin=True)
        user = new_user(seaway)
        Factory(seaway).channel("harbour", owner=user)
        browser = HttpBrowser(seaway, portal, "2001:db8:add::1")
        browser.sign_in(user)
        yield Setup(seaway, tmp_path, github, browser, user, Factory(seaway).key(user, mode=Mode.MANAGE))
        seaway.close()


@pytest.mark.parametrize("method", ["page", "api", "command"])
def test_owner_is_looked_up_when_a_publisher_is_added(setup: Setup, method: str) -> None:
    """Its id is pinned and its spelling corrected before the first token arrives."""
    assert getattr(setup, f"by_{method}")() in (201, 303)
    (publisher,) = setup.found()
    assert (["GET /api/users/acme"], {"owner_id": "1001"}) == (setup.github.requests, dict(publisher.criteria.pins))
    assert "Acme" == publisher.fields["owner"]


def test_enterprise_server_for_sign_in_is_not_used_for_lookups(tmp_path: Path, portal: BlockingPortal) -> None:
    """`github_url` is for sign-in: its `acme` is not the owner whose workflow tokens github.com signs."""
    with running(Owners()) as github, running(Owners()) as enterprise:
        assert isinstance(github, Owners)
        api = {"github_url": enterprise.address, "github_com_api": f"{github.address}/api"}
        seaway = sites.build(tmp_path, ManualClock(), public_url=SITE, **api)
        user = new_user(seaway)
        Factory(seaway).channel("harbour", owner=user)
        browser = HttpBrowser(seaway, portal, "2001:db8:add::2")
        browser.sign_in(user)
        setup = Setup(seaway, tmp_path, github, browser, user, "")
        assert 303 == setup.by_page()
        browser.get("/channels/harbour/settings/publishers")
        assert (["GET /api/users/acme", "GET /api/repos/Acme/tools"], []) == (github.requests, enterprise.requests)
        seaway.close()


def test_lookups_use_the_github_api_by_default() -> None:
    assert "https://api.github.com" == api_of_github.API_URL


@pytest.mark.parametrize("method", ["page", "api"])
def test_failed_lookup_leaves_the_id_to_the_first_token(setup: Setup, method: str) -> None:
    setup.github.ids.clear()
    assert getattr(setup, f"by_{method}")() in (201, 303)
    assert {} == dict(setup.found()[0].criteria.pins)


def test_no_transaction_is_open_during_the_lookup(setup: Setup) -> None:
    """A slow GitHub must not hold the lock of the channel."""
    wrote = []

    def write() -> None:
        with setup.seaway.site.database.write_site() as tx:
            wrote.append(users.get(tx, setup.user).name)

    setup.github.during_request = write
    assert 303 == setup.by_page()
    assert [setup.user] == wrote


def owner_lookups(setup: Setup) -> int:
    """Count the lookups of owners; the page also makes requests to compare the ids of its publishers."""
    return sum("/api/users/" in request for request in setup.github.requests)


def test_page_and_api_share_one_limit_per_user(setup: Setup) -> None:
    """The page and all keys of a user count together; another user has a separate limit."""
    most = Rate.PUBLISHER_ADD.limits[0].count
    with setup.seaway.site.database.read() as tx:
        user_id = users.get(tx, setup.user).id
    for _ in range(most - 2):
        rate_limits.count_attempt(
            setup.seaway.site.database, setup.seaway.site.clock.now_ms(), Rate.PUBLISHER_ADD, str(user_id)
        )
    assert (303, 201) == (setup.by_page(repository="one"), setup.by_api(repository="two"))
    lookups = owner_lookups(setup)
    assert (429, 429) == (setup.by_page(repository="three"), setup.by_api(repository="three"))
    assert lookups == owner_lookups(setup)
    assert {"one", "two"} == {publisher.fields["repository"] for publisher in setup.found()}


def test_user_without_permission_causes_no_lookup(setup: Setup) -> None:
    """A user who cannot change publishers is refused before the rate limit and the lookup."""
    other_user = new_user(setup.seaway)
    browser = setup.browser.another()
    browser.sign_in(other_user)
    browser.get("/account")
    response = browser.send("/channels/harbour/settings/publishers", issuer="github", mode="READ_WRITE", **MATCHED)
    assert (403, []) == (response.status_code, setup.github.requests)


def test_changed_owner_is_looked_up_again(setup: Setup) -> None:
    """Changing the owner of a publisher must not bypass the lookup; changing its mode needs none."""
    assert 201 == setup.by_api()
    number = setup.found()[0].id
    path = f"/api/v1/channels/harbour/publishers/{number}"
    headers = {"Authorization": f"Bearer {setup.key}"}

    def change(**body: object) -> dict[str, object]:
        response = setup.browser.another().request("PATCH", path, json=body, headers=headers)
        assert 200 == response.status_code, response.text
        return dict(json.loads(response.text))

    assert {"owner_id": "1001"} == change(mode="READ")["pinned"]
    assert {"owner_id": "1001"} == change(fields={"owner": "ACME"})["pinned"]
    assert 1 == len(setup.github.requests)
    assert {"owner_id": "2002"} == change(fields={"owner": "other"})["pinned"]
    assert ["GET /api/users/acme", "GET /api/users/other"] == setup.github.requests


@pytest.mark.parametrize("method", ["page", "api", "command"])
def test_white_space_and_git_suffix_are_removed_from_names(setup: Setup, method: str) -> None:
    """A publisher stores the names as in tokens, and its owner is looked up by them."""
    copied = {"owner": " acme\t", "repository": "tools.git\n", "workflow": " release.yml "}
    assert getattr(setup, f"by_{method}")(**copied) in (201, 303)
    (publisher,) = setup.found()
    matched = {"owner": "Acme", "repository": "tools", "workflow": "release.yml", "environment": ""}
    assert (matched, {"owner_id": "1001"}) == (publisher.fields, publisher.criteria.pins)
    assert 422 == getattr(setup, f"by_{method}")(owner="acme ", repository="TOOLS.GIT")
    assert [publisher] == setup.found()
