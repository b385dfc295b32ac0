"""Publishers in the API."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from seaway.callers.caller import Mode
from tests.conftest import Site
from tests.support.requests import bearer

PUBLISHER = {
    "issuer": "gitlab",
    "fields": {"namespace": "acme/team", "project": "tools", "environment": "release"},
    "pinned": {"project_id": "32"},
    "conditions": {"allowed_refs": ["refs/tags/v*"], "require_protected_ref": True},
    "mode": "READ_WRITE_DELETE",
    "packages": ["tools-*"],
    "exchanges": 3,
}


@dataclass(frozen=True)
class OwnedPublishers:
    """The publishers route of a channel, with the owner's key."""

    http: httpx.Client
    path: str
    headers: dict[str, str]

    def request(self, method: str, path: str = "", **options: object) -> httpx.Response:
        return self.http.request(method, self.path + path, headers=self.headers, **options)  # type: ignore[arg-type]


@pytest.fixture
def publishers(site: Site) -> Iterator[OwnedPublishers]:
    owner = site.factory.user(site.new_name("owner"))
    channel = site.new_channel(owner=owner)
    with site.client() as http:
        headers = bearer(site.factory.key(owner, mode=Mode.MANAGE))
        yield OwnedPublishers(http, f"/api/v1/channels/{channel}/publishers", headers)


def test_publisher_is_added_changed_and_removed(publishers: OwnedPublishers) -> None:
    """Responses repeat every field that was sent. Conditions change by name. A new project clears the pinned ids."""
    created = publishers.request("POST", json=PUBLISHER)
    assert 201 == created.status_code, created.text
    publisher = created.json()
    assert "acme/team/tools, .gitlab-ci.yml" == publisher["name"]
    assert {**PUBLISHER["fields"], "workflow": ".gitlab-ci.yml"} == publisher["fields"]  # type: ignore[dict-item]
    assert {name: PUBLISHER[name] for name in ("pinned", "conditions", "mode", "packages", "exchanges")} == {
        name: publisher[name] for name in ("pinned", "conditions", "mode", "packages", "exchanges")
    }
    assert [publisher] == publishers.request("GET").json()["items"]

    changed = publishers.request("PATCH", f"/{publisher['id']}", json={"enabled": False})
    assert {**publisher, "enabled": False} == changed.json()
    conditions = {"require_protected_ref": False}
    loosened = publishers.request("PATCH", f"/{publisher['id']}", json={"conditions": conditions}).json()
    assert {"allowed_refs": ["refs/tags/v*"]} == loosened["conditions"]
    moved = publishers.request("PATCH", f"/{publisher['id']}", json={"fields": {"project": "other"}})
    assert ({}, "other") == (moved.json()["pinned"], moved.json()["fields"]["project"])
    assert 204 == publishers.request("DELETE", f"/{publisher['id']}").status_code
    assert [] == publishers.request("GET").json()["items"]
    assert 404 == publishers.request("DELETE", f"/{publisher['id']}").status_code


def test_token_is_tested(publishers: OwnedPublishers) -> None:
    """The checks are those of the page; a token that is too long is refused."""
    report = publishers.request("POST", "/test", json={"token": "not a token"}).json()
    assert (None, []) == (report["accepted"], report["publishers"])
    assert ("Format", False) == (report["checks"][0]["name"], report["checks"][0]["is_passed"])
    assert 413 == publishers.request("POST", "/test", json={"token": "x" * 70_000}).status_code


INVALID_CHANGES = {
    "an unknown issuer": ({"issuer": "unknown"}, 404),
    "an extra field": ({"fields": {**PUBLISHER["fields"], "owner": "x"}}, 400),  # type: ignore[dict-item]
    "a missing field": ({"fields": {"namespace": "acme"}}, 400),
    "a path with a line break": ({"fields": {"namespace": "acme", "project": "a\nb"}}, 400),
    "a mode that is not allowed for publishers": ({"mode": "MANAGE"}, 422),
    "an unknown condition": ({"conditions": {"weather": True}}, 400),
    "a condition of another type": ({"conditions": {"allowed_refs": True}}, 400),
    "an invalid ref": ({"conditions": {"allowed_refs": ["main"]}}, 400),
    "an invalid id": ({"pinned": {"project_id": "x"}}, 400),
    "an unknown id": ({"pinned": {"weather": "1"}}, 400),
    "too many exchanges": ({"exchanges": 11}, 400),
    "an invalid package pattern": ({"packages": ["Tools *"]}, 400),
    "an unknown member": ({"weather": "fine"}, 422),
}


@pytest.mark.parametrize(("change", "status"), INVALID_CHANGES.values(), ids=INVALID_CHANGES.keys())
def test_invalid_publisher_is_refused(publishers: OwnedPublishers, change: dict[str, object], status: int) -> None:
    """No publisher is added."""
    response = publishers.request("POST", json={**PUBLISHER, **change})

    assert status == response.status_code, response.text
    assert [] == publishers.request("GET").json()["items"]


def test_duplicate_publisher_is_refused(publishers: OwnedPublishers) -> None:
    """Names are compared without regard to case."""
    assert 201 == publishers.request("POST", json=PUBLISHER).status_code
    other_case = {**PUBLISHER, "fields": {"namespace": "ACME/Team", "project": "TOOLS", "environment": "release"}}

    assert "name-taken" == publishers.request("POST", json=other_case).json()["code"]
