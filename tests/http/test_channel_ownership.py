"""Owning, transferring and deleting channels through the API, also concurrently."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from seaway.callers.caller import OPERATOR
from seaway.channels.roles import Role
from seaway.database.tables import audit
from seaway.sign_in import user_access
from seaway.users import users
from tests.conftest import Site
from tests.http.test_keys import new_file, new_key, signed_in
from tests.support.requests import bearer, upload


@pytest.fixture
def owner(site: Site) -> str:
    return site.factory.user(site.new_name("owner"))


@pytest.fixture
def channel(site: Site, owner: str) -> str:
    return site.new_channel(owner=owner)


def new_member(site: Site, channel: str) -> str:
    return site.factory.member(channel, site.factory.user(site.new_name("member")), Role.CONTRIBUTOR)


def call(site: Site, http: httpx.Client, caller: str, method: str, path: str, **json: Any) -> httpx.Response:
    """Send a request of a signed-in user."""
    options: Any = {"json": json} if json else {}
    return http.request(method, f"/api/v1/channels/{path}", headers=signed_in(site, caller), **options)


def owners(site: Site, http: httpx.Client, channel: str, caller: str) -> list[str]:
    members = call(site, http, caller, "GET", f"{channel}/members").json()["users"]
    return [member["user"] for member in members if member["role"] == "owner"]


def test_channel_has_exactly_one_owner(site: Site, http: httpx.Client, channel: str, owner: str) -> None:
    """Case 91: the owner cannot leave, be removed or demoted, and no second owner can be added."""
    member, nonmember = new_member(site, channel), site.factory.user(site.new_name("nonmember"))
    disabled_user = new_member(site, channel)
    with site.factory.seaway.site.database.write_site() as tx:
        user_access.set_disabled(tx, site.factory.seaway.site.clock.now_ms(), OPERATOR, disabled_user, disabled=True)
    refused = [
        call(site, http, owner, "POST", f"{channel}/leave"),
        call(site, http, owner, "DELETE", f"{channel}/members/{owner}"),
        call(site, http, owner, "PUT", f"{channel}/members/{owner}", role="viewer"),
        call(site, http, owner, "PUT", f"{channel}/members/{member}", role="owner"),
        call(site, http, owner, "POST", f"{channel}/transfer", to_user=nonmember),
        call(site, http, owner, "POST", f"{channel}/transfer", to_user=disabled_user),
        call(site, http, owner, "POST", f"{channel}/transfer", to_user=owner),
        call(site, http, member, "POST", f"{channel}/transfer", to_user=member),
        call(site, http, member, "POST", f"{channel}/transfer/response", response="accept"),
    ]
    assert [409, 409, 409, 422, 409, 409, 409, 403, 404] == [response.status_code for response in refused]
    assert {"conflict"} == {response.json()["code"] for response in refused if response.status_code == 409}
    assert [owner] == owners(site, http, channel, owner)


def test_only_the_recipient_can_accept_a_transfer(site: Site, http: httpx.Client, channel: str, owner: str) -> None:
    """Case 91: another member, the owner and a user without a role cannot."""
    recipient, other = new_member(site, channel), new_member(site, channel)
    assert 201 == call(site, http, owner, "POST", f"{channel}/transfer", to_user=recipient).status_code
    assert 409 == call(site, http, owner, "POST", f"{channel}/transfer", to_user=other).status_code
    nonmember = site.factory.user(site.new_name("nonmember"))
    for caller in (other, owner, nonmember):
        assert call(site, http, caller, "POST", f"{channel}/transfer/response", response="accept").status_code in (
            403,
            404,
        )
    assert [owner] == owners(site, http, channel, owner)
    assert 200 == call(site, http, recipient, "POST", f"{channel}/transfer/response", response="accept").status_code
    assert [recipient] == owners(site, http, channel, recipient)


def test_concurrent_transfers_leave_one_owner(site: Site, http: httpx.Client, channel: str, owner: str) -> None:
    """Case 91: two offers, and acceptances by both recipients, at the same time."""
    recipients = [new_member(site, channel) for _ in range(2)]
    credentials = {caller: signed_in(site, caller) for caller in (owner, *recipients)}
    path = f"/api/v1/channels/{channel}/transfer"

    def offer(recipient: str) -> int:
        return http.post(path, json={"to_user": recipient}, headers=credentials[owner]).status_code

    def accept(caller: str) -> int:
        return http.post(f"{path}/response", json={"response": "accept"}, headers=credentials[caller]).status_code

    with ThreadPoolExecutor(8) as pool:
        offered = [pool.submit(offer, recipient) for recipient in recipients]
        accepted = [pool.submit(accept, caller) for caller in recipients * 3]
        statuses = [future.result() for future in (*offered, *accepted)]
    assert max(statuses) < 500
    assert 1 == len(owners(site, http, channel, recipients[0]))


def test_deleted_channel_is_inaccessible_and_its_name_reserved(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 92: only its signed-in owner deletes it, with its name typed; only that owner can reuse the name."""
    channel = site.new_channel(owner=owner, public=False)
    key, file = new_key(site, http, owner, mode="MANAGE", channels=[channel]), new_file(site)
    assert 201 == upload(http, channel, file, key).status_code
    path, credentials = f"/api/v1/channels/{channel}", signed_in(site, owner)
    for typed in ({}, {"confirm": ""}, {"confirm": channel[:-1]}, {"confirm": f"{channel}x"}):
        response = http.delete(path, params=typed, headers=credentials)
        assert response.status_code in (400, 422)
    assert 403 == http.delete(path, params={"confirm": channel}, headers=bearer(key)).status_code
    assert file.content == http.get(f"/{channel}/noarch/{file.name}", headers=bearer(key)).content

    assert 204 == http.delete(path, params={"confirm": channel}, headers=credentials).status_code
    for url in (f"/{channel}/noarch/{file.name}", path):
        assert 404 == http.get(url, headers=bearer(key)).status_code
    assert 403 == http.get(f"/{channel}/noarch/repodata.json", headers=bearer(key)).status_code
    assert upload(http, channel, file, key).status_code == 404
    other = signed_in(site, site.factory.user(site.new_name("other")))
    assert 200 <= http.post("/api/v1/channels", json={"name": site.new_name()}, headers=other).status_code < 300
    assert http.post("/api/v1/channels", json={"name": channel}, headers=other).status_code == 422
    assert 201 == http.post("/api/v1/channels", json={"name": channel}, headers=credentials).status_code
    assert 403 == http.get(f"/{channel}/noarch/repodata.json", headers=bearer(key)).status_code


def test_deleted_file_is_in_no_index(site: Site, http: httpx.Client, channel: str, owner: str) -> None:
    """Case 93: a running download gets all its bytes; after the response, no index contains the file."""
    key, file = site.factory.key(owner), new_file(site)
    assert 201 == upload(http, channel, file, key).status_code
    path = f"/{channel}/noarch/{file.name}"
    with http.stream("GET", path) as begun:
        assert 200 == http.delete(f"/api/v1/delete{path}", headers=bearer(key)).status_code
        assert file.content == begun.read()
    assert 404 == http.get(path).status_code
    for document in ("repodata.json", "run_exports.json"):
        assert file.name not in http.get(f"/{channel}/noarch/{document}").text


def test_each_change_makes_one_audit_entry(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 98: with actor, IP address and target; refused requests make none."""
    channel, member = site.new_name(), site.factory.user(site.new_name("member"))
    credentials = signed_in(site, owner)
    key = new_key(site, http, owner, mode="MANAGE")
    file = new_file(site)
    path, noarch = f"/api/v1/channels/{channel}", f"{channel}/noarch/{file.name}"
    fields = {"owner": "acme", "repository": "tools", "workflow": "release.yml"}
    publisher = {"issuer": "github", "fields": fields, "pinned": {"owner_id": "1", "repository_id": "2"}}
    since = last_entry_id(site)
    steps: list[tuple[str, str, str, Any]] = [
        ("channel.added", "POST", "/api/v1/channels", {"name": channel}),
        ("channel.changed", "PATCH", path, {"description": "boats"}),
        ("member.added", "PUT", f"{path}/members/{member}", {"role": "viewer"}),
        ("member.changed", "PUT", f"{path}/members/{member}", {"role": "contributor"}),
        ("publisher.added", "POST", f"{path}/publishers", publisher),
        ("notice.added", "POST", f"{path}/notices", {"level": "info", "message": "hello"}),
        ("transfer.offered", "POST", f"{path}/transfer", {"to_user": member}),
        ("transfer.canceled", "DELETE", f"{path}/transfer", None),
        ("member.removed", "DELETE", f"{path}/members/{member}", None),
        ("key.added", "POST", "/api/v1/keys", {"name": "short"}),
    ]
    for event, method, url, body in steps:
        response = http.request(method, url, headers=credentials, **({} if body is None else {"json": body}))
        assert 200 <= response.status_code < 300, (event, response.text)
    by_key: list[tuple[str, int]] = [
        ("file.uploaded", upload(http, channel, file, key).status_code),
        ("file.yanked", http.post(f"/api/v1/yank/{noarch}", headers=bearer(key)).status_code),
        ("file.unyanked", http.post(f"/api/v1/unyank/{noarch}", headers=bearer(key)).status_code),
        ("file.overwritten", upload(http, channel, file, key, force=True).status_code),
        ("file.deleted", http.delete(f"/api/v1/delete/{noarch}", headers=bearer(key)).status_code),
    ]
    assert not [step for step in by_key if step[1] >= 300]
    assert 403 == http.delete(path, params={"confirm": channel}, headers=bearer(key)).status_code
    assert 204 == http.delete(path, params={"confirm": channel}, headers=credentials).status_code
    expected = [step[0] for step in (*steps, *by_key)]
    entries = entries_of(site, owner, since)
    found = [entry.action for entry in entries]
    missing = [event for event in expected if event not in found]
    assert ([], "channel.removed") == (missing, found[-1])
    assert len(expected) + 1 == len(found), found
    assert {"127.0.0.1"} == {entry.address for entry in entries}
    assert not [entry for entry in entries if not (entry.target or entry.channel)]


def last_entry_id(site: Site) -> int:
    with site.factory.seaway.site.database.read() as tx:
        return int(tx.execute(select(audit.c.id).order_by(audit.c.id.desc()).limit(1)).scalar_one())


def entries_of(site: Site, owner: str, since: int) -> list[Any]:
    with site.factory.seaway.site.database.read() as tx:
        user = users.get(tx, owner)
        found = select(audit).where(audit.c.id > since, audit.c.actor_id == user.id).order_by(audit.c.id)
        return list(tx.execute(found))


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "POST"])
def test_audit_log_cannot_be_changed(site: Site, http: httpx.Client, channel: str, method: str) -> None:
    """Case 98: no route changes or deletes entries."""
    admin = signed_in(site, site.factory.user(site.new_name("admin"), admin=True))
    for path in ("/api/v1/audit", "/api/v1/audit/1", f"/api/v1/channels/{channel}/audit"):
        assert http.request(method, path, headers=admin, json={}).status_code in (404, 405)
    assert 200 == http.get("/api/v1/audit", headers=admin).status_code
