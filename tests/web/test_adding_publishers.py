"""Publishers by the page, the API and the command line: one limit per user, one lookup of the owner at GitHub."""

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
from seaway.trusted_publishing.publishers import Publisher
from seaway.users import users
from tests.support import house, state
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.providers import Provider, Told, running
from tests.web.conftest import new_user
from tests.web.visitor import SITE, Visitor

MATCHED = {"owner": "acme", "repository": "tools", "workflow": "release.yml"}


@dataclass
class Owners(Provider):
    """GitHub's endpoint for users; `watch` is called while a request waits for it."""

    ids: dict[str, int] = field(default_factory=lambda: {"acme": 1001, "other": 2002})
    watch: Callable[[], object] = lambda: None

    def answer(self, _method: str, path: str, _fields: dict[str, str], _headers: Mapping[str, str]) -> Told:
        self.watch()
        owner = path.rpartition("/")[2]
        if owner not in self.ids:
            return 500, {}, {}
        return 200, {"id": self.ids[owner], "login": owner.capitalize()}, {}


@dataclass(frozen=True)
class Place:
    """A house whose GitHub is ours, and a person who owns the channel `harbour`."""

    seaway: Seaway
    folder: Path
    github: Owners
    browser: Visitor
    user: str
    key: str

    def found(self) -> list[Publisher]:
        with self.seaway.database.read() as tx:
            return publishers.in_channel(tx, self.channel_id)

    @property
    def channel_id(self) -> int:
        with self.seaway.database.read() as tx:
            return channels.get(tx, "harbour").id

    def by_page(self, **matched: str) -> int:
        page = "/channels/harbour/settings/publishers"
        self.browser.get(page)
        return self.browser.send(page, issuer="github", mode="READ_WRITE", **(MATCHED | matched)).status_code

    def by_api(self, **matched: str) -> int:
        body = {"issuer": "github", "fields": MATCHED | matched}
        return (
            self.browser.another()
            .ask(
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
        ran = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return 303


@pytest.fixture
def place(tmp_path: Path, portal: BlockingPortal) -> Iterator[Place]:
    clock = TurnedClock()
    with running(Owners()) as github:
        assert isinstance(github, Owners)
        built = house.build(tmp_path, clock, public_url=SITE, github_com_api=f"{github.address}/api")
        People(built).user("operator-of-it", admin=True)
        user = new_user(built)
        People(built).channel("harbour", owner=user)
        browser = Visitor(built, portal, "2001:db8:add::1")
        browser.sign_in(user)
        yield Place(built, tmp_path, github, browser, user, People(built).key(user, mode=Mode.MANAGE))
        built.close()


@pytest.mark.parametrize("way", ["page", "api", "command"])
def test_the_owner_is_looked_up_whichever_way_a_publisher_comes(place: Place, way: str) -> None:
    """Its id is pinned and its spelling taken before the first token comes."""
    assert getattr(place, f"by_{way}")() in (201, 303)
    (made,) = place.found()
    assert (["GET /api/users/acme"], {"owner_id": "1001"}) == (place.github.asked, dict(made.criteria.pins))
    assert "Acme" == made.criteria.matched["owner"]


def test_an_enterprise_server_for_sign_in_is_not_asked_about_github_com(tmp_path: Path, portal: BlockingPortal) -> None:
    """`github_api_url` belongs to sign-in: its `acme` is not the one whose workflows github.com signs for."""
    with running(Owners()) as github, running(Owners()) as enterprise:
        assert isinstance(github, Owners)
        api = {"github_api_url": f"{enterprise.address}/api", "github_com_api": f"{github.address}/api"}
        built = house.build(tmp_path, TurnedClock(), public_url=SITE, **api)
        user = new_user(built)
        People(built).channel("harbour", owner=user)
        browser = Visitor(built, portal, "2001:db8:add::2")
        browser.sign_in(user)
        place = Place(built, tmp_path, github, browser, user, "")
        assert 303 == place.by_page()
        browser.get("/channels/harbour/settings/publishers")
        assert (["GET /api/users/acme", "GET /api/repos/Acme/tools"], []) == (github.asked, enterprise.asked)
        built.close()


def test_github_com_is_asked_at_its_own_api() -> None:
    """Without any setting."""
    assert "https://api.github.com" == api_of_github.API_URL


@pytest.mark.parametrize("way", ["page", "api"])
def test_a_lookup_that_fails_leaves_the_id_to_the_first_token(place: Place, way: str) -> None:
    place.github.ids.clear()
    assert getattr(place, f"by_{way}")() in (201, 303)
    assert {} == dict(place.found()[0].criteria.pins)


def test_no_transaction_is_open_while_github_is_asked(place: Place) -> None:
    """Others write meanwhile: a slow GitHub must not hold the channel's lock."""
    wrote = []

    def write() -> None:
        with place.seaway.database.write_site() as tx:
            wrote.append(users.get(tx, place.user).name)

    place.github.watch = write
    assert 303 == place.by_page()
    assert [place.user] == wrote


def owners_asked(place: Place) -> int:
    """The lookups of owners; the page compares the ids of its publishers besides."""
    return sum("/api/users/" in request for request in place.github.asked)


def test_one_limit_per_user_for_page_and_api(place: Place) -> None:
    """The page and keys of one user count together; another user has a limit of their own."""
    most = Rate.PUBLISHER_ADD.limits[0].count
    with place.seaway.database.read() as tx:
        user_id = users.get(tx, place.user).id
    for _ in range(most - 2):
        rate_limits.count_attempt(place.seaway.database, place.seaway.clock.now_ms(), Rate.PUBLISHER_ADD, str(user_id))
    assert (303, 201) == (place.by_page(repository="one"), place.by_api(repository="two"))
    asked = owners_asked(place)
    assert (429, 429) == (place.by_page(repository="three"), place.by_api(repository="three"))
    assert asked == owners_asked(place)
    assert {"one", "two"} == {one.criteria.matched["repository"] for one in place.found()}


def test_a_stranger_makes_the_server_ask_nobody(place: Place) -> None:
    """Who may not change publishers is refused before anything is counted or asked."""
    stranger = new_user(place.seaway)
    browser = place.browser.another()
    browser.sign_in(stranger)
    browser.get("/account")
    answer = browser.send("/channels/harbour/settings/publishers", issuer="github", mode="READ_WRITE", **MATCHED)
    assert (403, []) == (answer.status_code, place.github.asked)


def test_a_change_of_the_owner_is_looked_up_like_a_new_one(place: Place) -> None:
    """To change a publisher into another is no way round the lookup; to change its mode asks nobody."""
    assert 201 == place.by_api()
    number = place.found()[0].id
    path = f"/api/v1/channels/harbour/publishers/{number}"
    headers = {"Authorization": f"Bearer {place.key}"}

    def change(**body: object) -> dict[str, object]:
        answer = place.browser.another().ask("PATCH", path, json=body, headers=headers)
        assert 200 == answer.status_code, answer.text
        return dict(json.loads(answer.text))

    assert {"owner_id": "1001"} == change(mode="READ")["pinned"]
    assert {"owner_id": "1001"} == change(fields={"owner": "ACME"})["pinned"]
    assert 1 == len(place.github.asked)
    assert {"owner_id": "2002"} == change(fields={"owner": "other"})["pinned"]
    assert ["GET /api/users/acme", "GET /api/users/other"] == place.github.asked


@pytest.mark.parametrize("way", ["page", "api", "command"])
def test_what_was_copied_with_white_space_or_git_is_the_name(place: Place, way: str) -> None:
    """A publisher has the names that tokens have, whichever way it comes, and its owner is looked up by them."""
    copied = {"owner": " acme\t", "repository": "tools.git\n", "workflow": " release.yml "}
    assert getattr(place, f"by_{way}")(**copied) in (201, 303)
    (made,) = place.found()
    matched = {"owner": "Acme", "repository": "tools", "workflow": "release.yml", "environment": ""}
    assert (matched, {"owner_id": "1001"}) == (made.criteria.matched, made.criteria.pins)
    assert getattr(place, f"by_{way}")(owner="acme ", repository="TOOLS.GIT") >= 400 if way != "command" else True
