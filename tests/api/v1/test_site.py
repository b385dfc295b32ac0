"""Site administration in the API: issuers, jobs, storage, users."""

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
from tests.api.v1.conftest import SignedInUser, create_signed_in_user
from tests.support import sites, state
from tests.support.clock import ManualClock
from tests.web.http_browser import SITE


@pytest.fixture
def admin(new_user: Callable[..., SignedInUser]) -> SignedInUser:
    return new_user(admin=True)


def test_issuer_is_registered_changed_and_deleted(admin: SignedInUser) -> None:
    """The response shows the state of its keys; static keys replace fetching."""
    name = f"forge-of-{admin.name}"
    body = {"name": name, "issuer": f"https://{name}.example.com", "kind": "gitlab"}
    made = admin.api("POST", "issuers", json=body)
    assert (201, True, [], 0) == (made.status_code, *(made.json()[key] for key in ("enabled", "keys", "publishers")))
    assert "name-taken" == admin.api("POST", "issuers", json=body).json()["code"]
    key = RSAKey.generate_key(2048, {"kid": "harbour"}, private=False).as_dict(private=False) | {"kid": "harbour"}
    shown = admin.api("PUT", f"issuers/{name}/keys", json={"keys": [key]}).json()
    assert (True, ["harbour"]) == (shown["static_keys"], shown["keys"])
    assert 400 == admin.api("PUT", f"issuers/{name}/keys", json={"keys": []}).status_code
    assert not admin.api("PATCH", f"issuers/{name}", json={"enabled": False}).json()["enabled"]
    listed = admin.api("GET", "issuers").json()["items"]
    assert (["github", "gitlab", "google"], name) == ([item["name"] for item in listed[:3]], listed[-1]["name"])
    assert 400 == admin.api("DELETE", "issuers/github").status_code
    assert 204 == admin.api("DELETE", f"issuers/{name}").status_code
    assert 404 == admin.api("GET", f"issuers/{name}").status_code


def test_generic_issuer_needs_rules(admin: SignedInUser) -> None:
    """Rules are an object, and other kinds must not have any."""
    name = f"other-of-{admin.name}"
    rules = {"label": "Other", "match": ["repository"], "stored": {"repository": "repository"}}
    body = {"name": name, "issuer": f"https://{name}.example.com", "kind": "generic"}
    assert 400 == admin.api("POST", "issuers", json=body).status_code
    assert 400 == admin.api("POST", "issuers", json=body | {"kind": "gitlab", "rules": rules}).status_code
    assert 201 == admin.api("POST", "issuers", json=body | {"rules": rules}).status_code


def test_failed_jobs_are_listed_and_retried(local_seaway: Seaway, admin: SignedInUser) -> None:
    """Arguments of jobs are not shown because they contain emails. Each retry is audited."""
    failed = {
        "kind": "send-email",
        "state": "failed",
        "attempt": 10,
        "run_at": 1,
        "created_at": 1,
        "error": "no server",
    }
    with local_seaway.site.database.write_site() as tx:
        tx.execute(delete(jobs))
        tx.execute(insert(jobs), [{**failed, "args": json.dumps({"sealed": "secret"})}] * 3)
    first = admin.api("GET", "jobs", params={"state": "failed", "limit": 2})
    second = admin.api("GET", "jobs", params={"state": "failed", "limit": 2, "after": first.json()["next"]}).json()
    numbers = [job["id"] for page in (first.json(), second) for job in page["items"]]
    assert (3, None, "no server") == (len(numbers), second["next"], second["items"][0]["error"])
    assert "secret" not in first.text
    assert {"retried": 1} == admin.api("POST", f"jobs/{numbers[0]}/retry").json()
    assert 404 == admin.api("POST", f"jobs/{numbers[0]}/retry").status_code
    assert {"retried": 0} == admin.api("POST", "jobs/retry", params={"kind": "sweep"}).json()
    assert {"retried": 2} == admin.api("POST", "jobs/retry", params={"kind": "send-email"}).json()
    assert [] == admin.api("GET", "jobs", params={"state": "failed"}).json()["items"]
    assert 422 == admin.api("GET", "jobs", params={"state": "lost"}).status_code
    with local_seaway.site.database.write_site() as tx:
        lines = [line for line in log.of_all(tx, limit=5) if line.action == "jobs.retried"]
        assert [(2, "send-email"), (1, str(numbers[0]))] == [(line.detail["jobs"], line.target) for line in lines]
        tx.execute(delete(jobs))


@pytest.mark.slow
def test_job_retry_does_not_wait_for_channel_writes(tmp_path: Path, portal: BlockingPortal) -> None:
    """On PostgreSQL neither the API nor the page waits for the lock of a channel."""
    with (
        state.choose(state.POSTGRES_S3),
        closing(sites.build(tmp_path, ManualClock(), public_url=SITE)) as seaway,
    ):
        admin = create_signed_in_user(seaway, portal, admin=True)
        admin.get("/admin/jobs")
        with seaway.site.database.write_channel("boats"):
            assert 0 == admin.api("POST", "jobs/retry").json()["retried"]
            assert 404 == admin.api("POST", "jobs/1/retry").status_code
            assert "/admin/jobs" == admin.send("/admin/jobs/retry").headers["location"]


def test_storage_figures_are_consistent(admin: SignedInUser) -> None:
    """The figures of the site add up, and its channels are listed page by page."""
    for number in range(2):
        admin.api("POST", "channels", json={"name": f"held-{number}-{admin.name}"})
    shown = admin.api("GET", "storage").json()
    assert shown["saved_bytes"] == shown["named_bytes"] - shown["packages"]["bytes"]
    first = admin.api("GET", "storage/channels", params={"limit": 1}).json()
    second = admin.api("GET", "storage/channels", params={"limit": 1, "after": first["next"]}).json()
    assert first["items"][0]["channel"] != second["items"][0]["channel"]


def test_users_are_searched_by_several_terms(admin: SignedInUser, user: SignedInUser) -> None:
    """Terms match parts of the name and the email address. Admins cannot disable themselves."""
    found = admin.api("GET", "users", params={"q": f"{user.name} EXAMPLE.com"}).json()["items"]
    assert user.name in [item["name"] for item in found]
    assert [] == admin.api("GET", "users", params={"q": "100%"}).json()["items"]
    assert 400 == admin.api("PATCH", f"users/{admin.name}", json={"disabled": True}).status_code
    assert 200 == admin.api("GET", "me").status_code


def test_site_changes_need_a_fresh_sign_in(local_seaway: Seaway, admin: SignedInUser) -> None:
    """More than half an hour after the last confirmation every change is refused."""
    local_seaway.site.clock.move(HOUR_MS)  # type: ignore[attr-defined]
    body = {"name": "x", "issuer": "https://x.example.com", "kind": "gitlab"}
    responses = [
        admin.api("POST", "issuers", json=body),
        admin.api("PATCH", "issuers/github", json={"enabled": False}),
        admin.api("DELETE", "issuers/github"),
        admin.api("PUT", "issuers/github/keys", json={"keys": []}),
        admin.api("POST", "issuers/github/keys/fetch"),
        admin.api("POST", "jobs/retry"),
        admin.api("POST", "jobs/1/retry"),
    ]
    assert [(403, "not-confirmed")] * len(responses) == [
        (response.status_code, response.json()["code"]) for response in responses
    ]
