"""Who owns a channel, and how it ends: by the API, as its people do it, also two at once."""

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
    return site.people.user(site.new_name("owner"))


@pytest.fixture
def channel(site: Site, owner: str) -> str:
    return site.new_channel(owner=owner)


def new_member(site: Site, channel: str) -> str:
    return site.people.member(channel, site.people.user(site.new_name("member")), Role.CONTRIBUTOR)


def call(site: Site, http: httpx.Client, who: str, method: str, path: str, **json: Any) -> httpx.Response:
    """A request of somebody who is signed in."""
    options: Any = {"json": json} if json else {}
    return http.request(method, f"/api/v1/channels/{path}", headers=signed_in(site, who), **options)


def owners(site: Site, http: httpx.Client, channel: str, who: str) -> list[str]:
    members = call(site, http, who, "GET", f"{channel}/members").json()["users"]
    return [member["user"] for member in members if member["role"] == "owner"]


def test_a_channel_has_one_owner(site: Site, http: httpx.Client, channel: str, owner: str) -> None:
    """Case 91: who owns it does not go, is not made less, and gets no second one beside."""
    member, stranger = new_member(site, channel), site.people.user(site.new_name("stranger"))
    gone = new_member(site, channel)
    with site.people.seaway.database.write_site() as tx:
        user_access.set_disabled(tx, site.people.seaway.clock.now_ms(), OPERATOR, gone, disabled=True)
    refused = [
        call(site, http, owner, "POST", f"{channel}/leave"),
        call(site, http, owner, "DELETE", f"{channel}/members/{owner}"),
        call(site, http, owner, "PUT", f"{channel}/members/{owner}", role="viewer"),
        call(site, http, owner, "PUT", f"{channel}/members/{member}", role="owner"),
        call(site, http, owner, "POST", f"{channel}/transfer", to_user=stranger),
        call(site, http, owner, "POST", f"{channel}/transfer", to_user=gone),
        call(site, http, owner, "POST", f"{channel}/transfer", to_user=owner),
        call(site, http, member, "POST", f"{channel}/transfer", to_user=member),
        call(site, http, member, "POST", f"{channel}/transfer/response", response="accept"),
    ]
    assert [409, 409, 409, 422, 409, 409, 409, 403, 404] == [answer.status_code for answer in refused]
    assert {"conflict"} == {answer.json()["code"] for answer in refused if answer.status_code == 409}
    assert [owner] == owners(site, http, channel, owner)


def test_only_who_was_meant_accepts(site: Site, http: httpx.Client, channel: str, owner: str) -> None:
    """Case 91: another member, the owner, a stranger and nobody do not."""
    to, other = new_member(site, channel), new_member(site, channel)
    assert 201 == call(site, http, owner, "POST", f"{channel}/transfer", to_user=to).status_code
    assert 409 == call(site, http, owner, "POST", f"{channel}/transfer", to_user=other).status_code
    stranger = site.people.user(site.new_name("stranger"))
    for who in (other, owner, stranger):
        assert call(site, http, who, "POST", f"{channel}/transfer/response", response="accept").status_code in (
            403,
            404,
        )
    assert [owner] == owners(site, http, channel, owner)
    assert 200 == call(site, http, to, "POST", f"{channel}/transfer/response", response="accept").status_code
    assert [to] == owners(site, http, channel, to)


def test_offers_at_once_leave_one_owner(site: Site, http: httpx.Client, channel: str, owner: str) -> None:
    """Case 91: offers to two, and acceptances by both, all at one moment."""
    two = [new_member(site, channel) for _ in range(2)]
    people = {who: signed_in(site, who) for who in (owner, *two)}
    address = f"/api/v1/channels/{channel}/transfer"

    def offer(to: str) -> int:
        return http.post(address, json={"to_user": to}, headers=people[owner]).status_code

    def accept(who: str) -> int:
        return http.post(f"{address}/response", json={"response": "accept"}, headers=people[who]).status_code

    with ThreadPoolExecutor(8) as pool:
        offered = [pool.submit(offer, to) for to in two]
        accepted = [pool.submit(accept, who) for who in two * 3]
        statuses = [each.result() for each in (*offered, *accepted)]
    assert max(statuses) < 500
    assert 1 == len(owners(site, http, channel, two[0]))


def test_a_channel_ends_with_all_that_opened_it(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 92: by its name typed, by a person; then keys for it open nothing, and its name is held for its owner."""
    channel = site.new_channel(owner=owner, public=False)
    key, file = new_key(site, http, owner, mode="MANAGE", channels=[channel]), new_file(site)
    assert 201 == upload(http, channel, file, key).status_code
    path, person = f"/api/v1/channels/{channel}", signed_in(site, owner)
    for typed in ({}, {"confirm": ""}, {"confirm": channel[:-1]}, {"confirm": f"{channel}x"}):
        answer = http.delete(path, params=typed, headers=person)
        assert answer.status_code in (400, 422)
    assert 403 == http.delete(path, params={"confirm": channel}, headers=bearer(key)).status_code
    assert file.content == http.get(f"/{channel}/noarch/{file.name}", headers=bearer(key)).content

    assert 204 == http.delete(path, params={"confirm": channel}, headers=person).status_code
    for address in (f"/{channel}/noarch/{file.name}", path):
        assert 404 == http.get(address, headers=bearer(key)).status_code
    assert 403 == http.get(f"/{channel}/noarch/repodata.json", headers=bearer(key)).status_code
    assert upload(http, channel, file, key).status_code == 404
    other = signed_in(site, site.people.user(site.new_name("other")))
    assert 200 <= http.post("/api/v1/channels", json={"name": site.new_name()}, headers=other).status_code < 300
    assert http.post("/api/v1/channels", json={"name": channel}, headers=other).status_code == 422
    assert 201 == http.post("/api/v1/channels", json={"name": channel}, headers=person).status_code
    assert 403 == http.get(f"/{channel}/noarch/repodata.json", headers=bearer(key)).status_code


def test_a_deleted_file_is_named_no_more(site: Site, http: httpx.Client, channel: str, owner: str) -> None:
    """Case 93: a download that has begun ends with all its bytes, and no index names the file after the answer."""
    key, file = site.people.key(owner), new_file(site)
    assert 201 == upload(http, channel, file, key).status_code
    path = f"/{channel}/noarch/{file.name}"
    with http.stream("GET", path) as begun:
        assert 200 == http.delete(f"/api/v1/delete{path}", headers=bearer(key)).status_code
        assert file.content == begun.read()
    assert 404 == http.get(path).status_code
    for document in ("repodata.json", "run_exports.json"):
        assert file.name not in http.get(f"/{channel}/noarch/{document}").text


def test_each_change_leaves_one_line(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 98: who did it, from where, to what; once each, and nothing for what was refused."""
    channel, member = site.new_name(), site.people.user(site.new_name("member"))
    person = signed_in(site, owner)
    key = new_key(site, http, owner, mode="MANAGE")
    file = new_file(site)
    path, noarch = f"/api/v1/channels/{channel}", f"{channel}/noarch/{file.name}"
    fields = {"owner": "acme", "repository": "tools", "workflow": "release.yml"}
    publisher = {"issuer": "github", "fields": fields, "pinned": {"owner_id": "1", "repository_id": "2"}}
    since = last_line(site)
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
    for event, method, address, body in steps:
        answer = http.request(method, address, headers=person, **({} if body is None else {"json": body}))
        assert 200 <= answer.status_code < 300, (event, answer.text)
    by_key: list[tuple[str, int]] = [
        ("file.uploaded", upload(http, channel, file, key).status_code),
        ("file.yanked", http.post(f"/api/v1/yank/{noarch}", headers=bearer(key)).status_code),
        ("file.unyanked", http.post(f"/api/v1/unyank/{noarch}", headers=bearer(key)).status_code),
        ("file.overwritten", upload(http, channel, file, key, force=True).status_code),
        ("file.deleted", http.delete(f"/api/v1/delete/{noarch}", headers=bearer(key)).status_code),
    ]
    assert not [step for step in by_key if step[1] >= 300]
    assert 403 == http.delete(path, params={"confirm": channel}, headers=bearer(key)).status_code
    assert 204 == http.delete(path, params={"confirm": channel}, headers=person).status_code
    expected = [step[0] for step in (*steps, *by_key)]
    lines = lines_of(site, owner, since)
    found = [line.action for line in lines]
    missing = [event for event in expected if event not in found]
    assert ([], "channel.removed") == (missing, found[-1])
    assert len(expected) + 1 == len(found), found
    assert {"127.0.0.1"} == {line.address for line in lines}
    assert not [line for line in lines if not (line.target or line.channel)]


def last_line(site: Site) -> int:
    with site.people.seaway.database.read() as tx:
        return int(tx.execute(select(audit.c.id).order_by(audit.c.id.desc()).limit(1)).scalar_one())


def lines_of(site: Site, owner: str, since: int) -> list[Any]:
    with site.people.seaway.database.read() as tx:
        user = users.get(tx, owner)
        found = select(audit).where(audit.c.id > since, audit.c.actor_id == user.id).order_by(audit.c.id)
        return list(tx.execute(found))


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "POST"])
def test_no_request_changes_the_log(site: Site, http: httpx.Client, channel: str, method: str) -> None:
    """Case 98: lines are read, and by admins only where they are of the whole site; nothing takes one away."""
    admin = signed_in(site, site.people.user(site.new_name("admin"), admin=True))
    for path in ("/api/v1/audit", "/api/v1/audit/1", f"/api/v1/channels/{channel}/audit"):
        assert http.request(method, path, headers=admin, json={}).status_code in (404, 405)
    assert 200 == http.get("/api/v1/audit", headers=admin).status_code
