"""What site admins do with the site by the API: issuers, jobs, storage, users."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal
from joserfc.jwk import RSAKey
from sqlalchemy import delete, insert

from seaway.audit import log
from seaway.clock import HOUR_MS
from seaway.database.tables import jobs
from seaway.server.wiring import Seaway
from tests.api.v1.conftest import Person, settle
from tests.support import house, state
from tests.support.clock import TurnedClock
from tests.web.visitor import SITE


@pytest.fixture
def admin(new_person: Callable[..., Person]) -> Person:
    return new_person(admin=True)


def test_an_issuer_from_its_registration_to_its_end(admin: Person) -> None:
    """Shown with the state of its keys; what it was given is used instead of fetching."""
    name = f"forge-of-{admin.name}"
    given = {"name": name, "issuer": f"https://{name}.example.com", "kind": "gitlab"}
    made = admin.api("POST", "issuers", json=given)
    assert (201, True, [], 0) == (made.status_code, *(made.json()[key] for key in ("enabled", "keys", "publishers")))
    assert "name-taken" == admin.api("POST", "issuers", json=given).json()["code"]
    key = RSAKey.generate_key(2048, {"kid": "harbour"}, private=False).as_dict(private=False) | {"kid": "harbour"}
    shown = admin.api("PUT", f"issuers/{name}/keys", json={"keys": [key]}).json()
    assert (True, ["harbour"]) == (shown["static_keys"], shown["keys"])
    assert 400 == admin.api("PUT", f"issuers/{name}/keys", json={"keys": []}).status_code
    assert not admin.api("PATCH", f"issuers/{name}", json={"enabled": False}).json()["enabled"]
    listed = admin.api("GET", "issuers").json()["items"]
    assert (["github", "gitlab", "google"], name) == ([one["name"] for one in listed[:3]], listed[-1]["name"])
    assert 400 == admin.api("DELETE", "issuers/github").status_code
    assert 204 == admin.api("DELETE", f"issuers/{name}").status_code
    assert 404 == admin.api("GET", f"issuers/{name}").status_code


def test_a_generic_issuer_needs_rules(admin: Person) -> None:
    """As an object; another kind has none."""
    name = f"other-of-{admin.name}"
    rules = {"label": "Other", "match": ["repository"], "stored": {"repository": "repository"}}
    given = {"name": name, "issuer": f"https://{name}.example.com", "kind": "generic"}
    assert 400 == admin.api("POST", "issuers", json=given).status_code
    assert 400 == admin.api("POST", "issuers", json=given | {"kind": "gitlab", "rules": rules}).status_code
    assert 201 == admin.api("POST", "issuers", json=given | {"rules": rules}).status_code


def test_dead_jobs_are_found_and_retried(inside: Seaway, admin: Person) -> None:
    """Page by page, one or all; what a job was given is not shown, since letters are in it. Each retry leaves a line."""
    failed = {
        "kind": "send-email",
        "state": "failed",
        "attempt": 10,
        "run_at": 1,
        "created_at": 1,
        "error": "no server",
    }
    with inside.database.write_site() as tx:
        tx.execute(delete(jobs))
        tx.execute(insert(jobs), [{**failed, "args": json.dumps({"sealed": "secret"})}] * 3)
    first = admin.api("GET", "jobs", params={"state": "failed", "limit": 2})
    second = admin.api("GET", "jobs", params={"state": "failed", "limit": 2, "after": first.json()["next"]}).json()
    numbers = [job["id"] for page in (first.json(), second) for job in page["items"]]
    assert (3, None, "no server") == (len(numbers), second["next"], second["items"][0]["error"])
    assert "secret" not in first.text
    assert {"retried": 1} == admin.api("POST", f"jobs/{numbers[0]}/retry").json()
    assert 404 == admin.api("POST", f"jobs/{numbers[0]}/retry").status_code
    assert {"retried": 2} == admin.api("POST", "jobs/retry").json()
    assert [] == admin.api("GET", "jobs", params={"state": "failed"}).json()["items"]
    assert 422 == admin.api("GET", "jobs", params={"state": "lost"}).status_code
    with inside.database.write_site() as tx:
        lines = [line for line in log.of_all(tx, limit=5) if line.action == "jobs.retried"]
        assert [(2, ""), (1, str(numbers[0]))] == [(line.detail["jobs"], line.target) for line in lines]
        tx.execute(delete(jobs))


@pytest.mark.slow
def test_jobs_are_retried_beside_other_writes(tmp_path: Path, portal: BlockingPortal) -> None:
    """On PostgreSQL neither the API nor the page waits for whoever writes a channel."""
    with (
        state.choose(state.POSTGRES_S3),
        closing(house.build(tmp_path, TurnedClock(), public_url=SITE)) as seaway,
    ):
        admin = settle(seaway, portal, admin=True)
        admin.get("/admin/jobs")
        with seaway.database.write_channel("boats"):
            assert 0 == admin.api("POST", "jobs/retry").json()["retried"]
            assert 404 == admin.api("POST", "jobs/1/retry").status_code
            assert "/admin/jobs" == admin.send("/admin/jobs/retry").headers["location"]


def test_storage_adds_up(admin: Person) -> None:
    """The figures of the site, and its channels page by page."""
    for number in range(2):
        admin.api("POST", "channels", json={"name": f"held-{number}-{admin.name}"})
    shown = admin.api("GET", "storage").json()
    assert shown["saved_bytes"] == shown["named_bytes"] - shown["packages"]["bytes"]
    first = admin.api("GET", "storage/channels", params={"limit": 1}).json()
    second = admin.api("GET", "storage/channels", params={"limit": 1, "after": first["next"]}).json()
    assert first["items"][0]["channel"] != second["items"][0]["channel"]


def test_users_are_found_by_words(admin: Person, person: Person) -> None:
    """By a part of a name and of the address; nobody shuts themselves."""
    found = admin.api("GET", "users", params={"q": f"{person.name} EXAMPLE.com"}).json()["items"]
    assert person.name in [one["name"] for one in found]
    assert [] == admin.api("GET", "users", params={"q": "100%"}).json()["items"]
    assert 400 == admin.api("PATCH", f"users/{admin.name}", json={"disabled": True}).status_code
    assert 200 == admin.api("GET", "me").status_code


def test_a_change_needs_a_proof(inside: Seaway, admin: Person) -> None:
    """Half an hour after the last one nothing of the site is changed."""
    inside.clock.move(HOUR_MS)  # type: ignore[attr-defined]
    given = {"name": "x", "issuer": "https://x.example.com", "kind": "gitlab"}
    asked = [
        admin.api("POST", "issuers", json=given),
        admin.api("PATCH", "issuers/github", json={"enabled": False}),
        admin.api("DELETE", "issuers/github"),
        admin.api("PUT", "issuers/github/keys", json={"keys": []}),
        admin.api("POST", "issuers/github/keys/fetch"),
        admin.api("POST", "jobs/retry"),
        admin.api("POST", "jobs/1/retry"),
    ]
    assert [(403, "not-confirmed")] * len(asked) == [(one.status_code, one.json()["code"]) for one in asked]
