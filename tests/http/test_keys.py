"""Permissions of API keys over HTTP: limits by mode, channels and packages."""

import base64
from typing import Any

import httpx
import pytest

from seaway.channels.roles import Role
from seaway.sign_in import sessions
from seaway.users import users
from tests.conftest import Site
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import bearer, error_message, raw_headers, upload


def signed_in(site: Site, user: str) -> dict[str, str]:
    """Return the headers of a user who just signed in, as a page of this site sends them."""
    seaway = site.factory.seaway
    with seaway.site.database.write_site() as tx:
        secret = sessions.start(tx, seaway.site.clock.now_ms(), users.get(tx, user).id, address="", agent="")
    return {
        "Cookie": f"seaway_session={secret}",
        "X-CSRF-Token": sessions.csrf_token(secret),
        "Sec-Fetch-Site": "same-origin",
    }


def new_key(site: Site, http: httpx.Client, user: str, **given: Any) -> str:
    """Create a key through the API; return its secret."""
    response = http.post("/api/v1/keys", json={"name": site.new_name("key"), **given}, headers=signed_in(site, user))
    assert 201 == response.status_code, response.text
    return str(response.json()["key"])


def new_file(site: Site, prefix: str = "pkg") -> PackageFile:
    return conda(index_json(site.new_name(prefix)))


@pytest.fixture
def owner(site: Site) -> str:
    return site.factory.user(site.new_name("owner"))


def test_read_key_can_only_read(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 37: a READ key changes nothing, although its user owns the channel."""
    channel = site.new_channel(owner=owner, public=False)
    key, wider = (new_key(site, http, owner, mode=mode) for mode in ("READ", "READ_WRITE"))
    file = new_file(site)
    refused = upload(http, channel, file, key)
    assert (403, True) == (refused.status_code, "READ_WRITE" in refused.text)
    assert 201 == upload(http, channel, file, wider).status_code
    path = f"{channel}/noarch/{file.name}"
    changes = [
        http.post(f"/api/v1/yank/{path}", headers=bearer(key)),
        http.delete(f"/api/v1/delete/{path}", headers=bearer(key)),
        http.delete(f"/api/v1/delete/{path}", headers=bearer(wider)),
        upload(http, channel, file, key, force=True),
    ]
    assert [403] * 4 == [response.status_code for response in changes]
    assert file.content == http.get(f"/{path}", headers=bearer(key)).content


@pytest.mark.parametrize(("public", "status"), [(True, 403), (False, 404)])
def test_key_limited_to_channel_is_refused_in_other_channel(
    site: Site, http: httpx.Client, owner: str, public: bool, status: int
) -> None:
    """Case 38: in another channel of its user it has the access of a caller without a role."""
    channel, other_channel = site.new_channel(owner=owner), site.new_channel(owner=owner, public=public)
    key = new_key(site, http, owner, mode="READ_WRITE", channels=[channel])
    file = new_file(site)
    assert [201, status] == [upload(http, name, file, key).status_code for name in (channel, other_channel)]


def test_key_limited_to_packages_cannot_change_others(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 39: upload, overwrite, yank, unyank and delete; also for names that share a prefix."""
    channel = site.new_channel(owner=owner)
    wide = new_key(site, http, owner, mode="READ_WRITE_DELETE")
    narrow = new_key(site, http, owner, mode="READ_WRITE_DELETE", packages=["boat-*", "sail"])
    statuses = {}
    for name in ("boat-deck", "boat", "boats", "sail", "sailor", "anchor"):
        first, second = (conda(index_json(name, version=version)) for version in ("1", "2"))
        assert 201 == upload(http, channel, first, wide).status_code
        path = f"{channel}/noarch/{first.name}"
        statuses[name] = [
            upload(http, channel, second, narrow).status_code,
            upload(http, channel, first, narrow, force=True).status_code,
            http.post(f"/api/v1/yank/{path}", headers=bearer(narrow)).status_code,
            http.post(f"/api/v1/unyank/{path}", headers=bearer(narrow)).status_code,
            http.delete(f"/api/v1/delete/{path}", headers=bearer(narrow)).status_code,
        ]
    denied = {name for name, each in statuses.items() if each == [403] * 5}
    allowed = {name for name, each in statuses.items() if all(200 <= status < 300 for status in each)}
    assert ({"boat-deck", "sail"}, {"boat", "boats", "sailor", "anchor"}) == (allowed, denied)


def test_revoked_or_deleted_key_is_refused_on_next_request(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 40: also for a document that the key has just read."""
    channel, headers = site.new_channel(owner=owner, public=False), signed_in(site, owner)
    for end in ("POST", "/revoke"), ("DELETE", ""):
        made = http.post("/api/v1/keys", json={"name": "ends"}, headers=headers).json()
        repodata = f"/{channel}/noarch/repodata.json"
        assert 200 == http.get(repodata, headers=bearer(made["key"])).status_code
        http.request(end[0], f"/api/v1/keys/{made['id']}{end[1]}", headers=headers).raise_for_status()
        assert 401 == http.get(repodata, headers=bearer(made["key"])).status_code
        assert 401 == upload(http, channel, new_file(site), made["key"]).status_code
        http.delete(f"/api/v1/keys/{made['id']}", headers=headers)


def test_expired_key_cannot_upload(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 40: it gets 401 like an unknown key."""
    channel = site.new_channel(owner=owner)
    assert 401 == upload(http, channel, new_file(site), site.factory.key(owner, days=-1)).status_code


def test_key_is_limited_by_current_role_of_its_user(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 41: after a demotion to Viewer through the API, the key of the member can only read."""
    channel, member = site.new_channel(owner=owner, public=False), site.factory.user(site.new_name("member"))
    site.factory.member(channel, member, Role.CONTRIBUTOR)
    key = new_key(site, http, member, mode="MANAGE")
    assert 201 == upload(http, channel, new_file(site), key).status_code
    response = http.put(
        f"/api/v1/channels/{channel}/members/{member}", json={"role": "viewer"}, headers=signed_in(site, owner)
    )
    assert 200 == response.status_code, response.text
    refused = upload(http, channel, new_file(site), key)
    assert (403, True) == (refused.status_code, "Contributor" in error_message(refused))


def test_keys_cannot_change_the_account(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 42: a MANAGE key cannot manage keys and sessions, transfer or delete a channel, or read the audit log."""
    channel, key = site.new_channel(owner=owner), new_key(site, http, owner, mode="MANAGE")
    other = site.factory.member(channel, site.factory.user(site.new_name("member")), Role.CONTRIBUTOR)
    responses = [
        http.post("/api/v1/keys", json={"name": "more"}, headers=bearer(key)),
        http.post("/api/v1/keys/1/revoke", headers=bearer(key)),
        http.delete("/api/v1/me/sessions/1", headers=bearer(key)),
        http.delete("/api/v1/me/tools/1", headers=bearer(key)),
        http.post(f"/api/v1/channels/{channel}/transfer", json={"to_user": other}, headers=bearer(key)),
        http.delete(f"/api/v1/channels/{channel}", params={"confirm": channel}, headers=bearer(key)),
        http.get("/api/v1/audit", headers=bearer(key)),
    ]
    assert [403] * len(responses) == [response.status_code for response in responses], [
        response.text for response in responses
    ]


@pytest.mark.parametrize("mode", ["READ", "READ_WRITE", "READ_WRITE_DELETE"])
def test_members_and_publishers_need_mode_manage(site: Site, http: httpx.Client, owner: str, mode: str) -> None:
    """Case 42: keys with other modes cannot add members or publishers."""
    channel, key = site.new_channel(owner=owner), new_key(site, http, owner, mode=mode)
    member = site.factory.user(site.new_name("member"))
    fields = {"owner": "acme", "repository": "tools", "workflow": "release.yml"}
    publisher = {"issuer": "github", "fields": fields, "pinned": {"owner_id": "1", "repository_id": "2"}}
    path = f"/api/v1/channels/{channel}"
    responses = [
        http.put(f"{path}/members/{member}", json={"role": "viewer"}, headers=bearer(key)),
        http.post(f"{path}/publishers", json=publisher, headers=bearer(key)),
        http.patch(path, json={"description": "mine"}, headers=bearer(key)),
    ]
    assert [403] * 3 == [response.status_code for response in responses]
    assert [] == http.get(f"{path}/publishers", headers=signed_in(site, owner)).json()["items"]


@pytest.mark.parametrize("name", ["token", "key", "access_token", "api_key"])
def test_key_in_query_of_upload_is_ignored(site: Site, http: httpx.Client, owner: str, name: str) -> None:
    """Case 43: proxies and servers log queries."""
    channel, key = site.new_channel(owner=owner), new_key(site, http, owner)
    file = new_file(site)
    response = http.post(
        f"/api/v1/upload/{channel}", params={name: key}, content=file.content, headers=raw_headers(file)
    )
    assert 401 == response.status_code


def test_key_in_path_can_only_read(site: Site, http: httpx.Client, owner: str) -> None:
    """Cases 44 and 45: conda sends its token in the path; Basic authentication reads too."""
    channel, key = site.new_channel(owner=owner, public=False), new_key(site, http, owner, mode="MANAGE")
    file = new_file(site)
    assert 201 == upload(http, channel, file, key).status_code
    path = f"{channel}/noarch/{file.name}"
    refused = [
        http.post(f"/t/{key}/api/v1/upload/{channel}", content=file.content, headers={"X-File-Name": file.name}),
        http.post(f"/t/{key}/api/v1/yank/{path}"),
        http.delete(f"/t/{key}/api/v1/delete/{path}"),
        http.delete(f"/t/{key}/{path}"),
    ]
    assert not [response for response in refused if response.status_code not in (401, 404, 405)]
    assert file.content == http.get(f"/t/{key}/{path}").content == http.get(f"/{path}", auth=("any", key)).content


def test_key_without_expiry_is_refused(site: Site, http: httpx.Client, owner: str) -> None:
    """`days: null` creates no key unless the site allows it."""
    headers = signed_in(site, owner)
    response = http.post("/api/v1/keys", json={"name": "robot", "days": None}, headers=headers)
    assert (400, []) == (response.status_code, http.get("/api/v1/keys", headers=headers).json()["items"])


def test_resumable_upload_checks_the_same_limits_of_a_key(site: Site, http: httpx.Client, owner: str) -> None:
    """Mode, channels, packages and expiry."""
    channel, elsewhere = site.new_channel(owner=owner), site.new_channel(owner=owner)
    boat = conda(index_json(site.new_name("boat")))

    def begin_upload(key: str) -> int:
        name = base64.b64encode(boat.name.encode()).decode()
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": f"filename {name}"}
        return http.post(f"/api/v1/uploads/{channel}", headers={**headers, **bearer(key)}).status_code

    denied = [
        new_key(site, http, owner, mode="READ"),
        new_key(site, http, owner, channels=[elsewhere]),
        new_key(site, http, owner, packages=["sail-*"]),
    ]
    assert [403] * 3 == [begin_upload(key) for key in denied]
    assert 401 == begin_upload(site.factory.key(owner, days=-1))
    assert 201 == begin_upload(new_key(site, http, owner, channels=[channel], packages=["boat-*"]))
