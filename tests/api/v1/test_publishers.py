"""Publishers by the API: what is given comes back, and what cannot be is refused."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from seaway.callers.caller import Mode
from tests.conftest import Site
from tests.support.requests import bearer

GIVEN = {
    "issuer": "gitlab",
    "fields": {"namespace": "acme/team", "project": "tools", "environment": "release"},
    "pinned": {"project_id": "32"},
    "conditions": {"allowed_refs": ["refs/tags/v*"], "require_protected_ref": True},
    "mode": "READ_WRITE_DELETE",
    "packages": ["tools-*"],
    "exchanges": 3,
}


@dataclass(frozen=True)
class Owned:
    """A channel's publishers, asked for with its owner's key."""

    http: httpx.Client
    path: str
    headers: dict[str, str]

    def ask(self, method: str, path: str = "", **request: object) -> httpx.Response:
        return self.http.request(method, self.path + path, headers=self.headers, **request)  # type: ignore[arg-type]


@pytest.fixture
def owned(site: Site) -> Iterator[Owned]:
    owner = site.people.user(site.new_name("owner"))
    channel = site.new_channel(owner=owner)
    with site.client() as http:
        headers = bearer(site.people.key(owner, mode=Mode.MANAGE))
        yield Owned(http, f"/api/v1/channels/{channel}/publishers", headers)


def test_what_is_given_comes_back(owned: Owned) -> None:
    """Added, listed, changed in one thing, removed."""
    made = owned.ask("POST", json=GIVEN)
    assert 201 == made.status_code, made.text
    shown = made.json()
    assert "acme/team/tools, .gitlab-ci.yml" == shown["name"]
    assert {**GIVEN["fields"], "workflow": ".gitlab-ci.yml"} == shown["fields"]  # type: ignore[dict-item]
    assert {name: GIVEN[name] for name in ("pinned", "conditions", "mode", "packages", "exchanges")} == {
        name: shown[name] for name in ("pinned", "conditions", "mode", "packages", "exchanges")
    }
    assert [shown] == owned.ask("GET").json()["items"]

    changed = owned.ask("PATCH", f"/{shown['id']}", json={"enabled": False})
    assert {**shown, "enabled": False} == changed.json()
    moved = owned.ask("PATCH", f"/{shown['id']}", json={"fields": {"project": "other"}})
    assert ({}, "other") == (moved.json()["pinned"], moved.json()["fields"]["project"])
    assert 204 == owned.ask("DELETE", f"/{shown['id']}").status_code
    assert [] == owned.ask("GET").json()["items"]
    assert 404 == owned.ask("DELETE", f"/{shown['id']}").status_code


WRONG = {
    "an issuer that nobody knows": ({"issuer": "nobody"}, 404),
    "a field too many": ({"fields": {**GIVEN["fields"], "owner": "x"}}, 400),  # type: ignore[dict-item]
    "a field too few": ({"fields": {"namespace": "acme"}}, 400),
    "a path with a line break": ({"fields": {"namespace": "acme", "project": "a\nb"}}, 400),
    "a mode that publishers cannot have": ({"mode": "MANAGE"}, 422),
    "a condition that nobody knows": ({"conditions": {"weather": True}}, 400),
    "a condition in another form": ({"conditions": {"allowed_refs": True}}, 400),
    "a ref that is none": ({"conditions": {"allowed_refs": ["main"]}}, 400),
    "an id that is none": ({"pinned": {"project_id": "x"}}, 400),
    "an id that nobody knows": ({"pinned": {"weather": "1"}}, 400),
    "too many exchanges": ({"exchanges": 11}, 400),
    "a name that packages cannot have": ({"packages": ["Tools *"]}, 400),
    "a word that nobody knows": ({"weather": "fine"}, 422),
}


@pytest.mark.parametrize(("change", "status"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_is_refused(owned: Owned, change: dict[str, object], status: int) -> None:
    """With a code and a sentence, and nothing is left behind."""
    answer = owned.ask("POST", json={**GIVEN, **change})

    assert status == answer.status_code, answer.text
    assert [] == owned.ask("GET").json()["items"]


def test_one_workflow_is_trusted_once(owned: Owned) -> None:
    """Names that differ by case are one."""
    assert 201 == owned.ask("POST", json=GIVEN).status_code
    again = {**GIVEN, "fields": {"namespace": "ACME/Team", "project": "TOOLS", "environment": "release"}}

    assert "name-taken" == owned.ask("POST", json=again).json()["code"]
