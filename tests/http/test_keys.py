"""What a key is good for, over HTTP: made by a person, narrowed in its mode, its channels and its packages."""

import base64
from typing import Any

import httpx
import pytest

from seaway.channels.roles import Role
from seaway.sign_in import sessions
from seaway.users import users
from tests.conftest import Site
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import bearer, raw_headers, sentence, upload


def signed_in(site: Site, user: str) -> dict[str, str]:
    """The headers of somebody who signed in just now, on a page of this site."""
    seaway = site.people.seaway
    with seaway.database.write_site() as tx:
        secret = sessions.start(tx, seaway.clock.now_ms(), users.get(tx, user).id, address="", agent="")
    return {
        "Cookie": f"seaway_session={secret}",
        "X-CSRF-Token": sessions.csrf_token(secret),
        "Sec-Fetch-Site": "same-origin",
    }


def new_key(site: Site, http: httpx.Client, user: str, **given: Any) -> str:
    """A key that its user made through the API."""
    answer = http.post("/api/v1/keys", json={"name": site.new_name("key"), **given}, headers=signed_in(site, user))
    assert 201 == answer.status_code, answer.text
    return str(answer.json()["key"])


def new_file(site: Site, prefix: str = "pkg") -> PackageFile:
    return conda(index_json(site.new_name(prefix)))


@pytest.fixture
def owner(site: Site) -> str:
    return site.people.user(site.new_name("owner"))


def test_a_key_for_reading_reads(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 37: its owner may do everything, the key that was made for reading may not."""
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
    assert [403] * 4 == [answer.status_code for answer in changes]
    assert file.content == http.get(f"/{path}", headers=bearer(key)).content


@pytest.mark.parametrize(("public", "status"), [(True, 403), (False, 404)])
def test_a_key_for_one_channel_stays_there(
    site: Site, http: httpx.Client, owner: str, public: bool, status: int
) -> None:
    """Case 38: in another channel of the same owner it is a stranger's."""
    here, there = site.new_channel(owner=owner), site.new_channel(owner=owner, public=public)
    key = new_key(site, http, owner, mode="READ_WRITE", channels=[here])
    file = new_file(site)
    assert [201, status] == [upload(http, name, file, key).status_code for name in (here, there)]


def test_a_key_for_some_packages_changes_no_others(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 39: on upload, replacing, yank, unyank and delete; also where a name only begins alike."""
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
    may_not = {name for name, each in statuses.items() if each == [403] * 5}
    may = {name for name, each in statuses.items() if all(200 <= status < 300 for status in each)}
    assert ({"boat-deck", "sail"}, {"boat", "boats", "sailor", "anchor"}) == (may, may_not)


def test_a_key_that_ended_is_dead_on_the_next_request(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 40: revoked by its owner, or removed from the list; reading what it read a moment ago too."""
    channel, person = site.new_channel(owner=owner, public=False), signed_in(site, owner)
    for end in ("POST", "/revoke"), ("DELETE", ""):
        made = http.post("/api/v1/keys", json={"name": "ends"}, headers=person).json()
        repodata = f"/{channel}/noarch/repodata.json"
        assert 200 == http.get(repodata, headers=bearer(made["key"])).status_code
        http.request(end[0], f"/api/v1/keys/{made['id']}{end[1]}", headers=person).raise_for_status()
        assert 401 == http.get(repodata, headers=bearer(made["key"])).status_code
        assert 401 == upload(http, channel, new_file(site), made["key"]).status_code
        http.delete(f"/api/v1/keys/{made['id']}", headers=person)


def test_an_expired_key_uploads_nothing(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 40: what expired is refused as what was never made."""
    channel = site.new_channel(owner=owner)
    assert 401 == upload(http, channel, new_file(site), site.people.key(owner, days=-1)).status_code


def test_a_key_does_what_its_user_may_now(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 41: after a demotion through the API the key of the member is one for reading."""
    channel, member = site.new_channel(owner=owner, public=False), site.people.user(site.new_name("member"))
    site.people.member(channel, member, Role.CONTRIBUTOR)
    key = new_key(site, http, member, mode="MANAGE")
    assert 201 == upload(http, channel, new_file(site), key).status_code
    answer = http.put(
        f"/api/v1/channels/{channel}/members/{member}", json={"role": "viewer"}, headers=signed_in(site, owner)
    )
    assert 200 == answer.status_code, answer.text
    refused = upload(http, channel, new_file(site), key)
    assert (403, True) == (refused.status_code, "Contributor" in sentence(refused))


def test_no_key_reaches_the_account(site: Site, http: httpx.Client, owner: str) -> None:
    """Case 42: the widest key makes no key, ends none, sees no session and gives no channel away."""
    channel, key = site.new_channel(owner=owner), new_key(site, http, owner, mode="MANAGE")
    other = site.people.member(channel, site.people.user(site.new_name("member")), Role.CONTRIBUTOR)
    asked = [
        http.post("/api/v1/keys", json={"name": "more"}, headers=bearer(key)),
        http.post("/api/v1/keys/1/revoke", headers=bearer(key)),
        http.delete("/api/v1/me/sessions/1", headers=bearer(key)),
        http.delete("/api/v1/me/tools/1", headers=bearer(key)),
        http.post(f"/api/v1/channels/{channel}/transfer", json={"to_user": other}, headers=bearer(key)),
        http.delete(f"/api/v1/channels/{channel}", params={"confirm": channel}, headers=bearer(key)),
        http.get("/api/v1/audit", headers=bearer(key)),
    ]
    assert [403] * len(asked) == [answer.status_code for answer in asked], [answer.text for answer in asked]


@pytest.mark.parametrize("mode", ["READ", "READ_WRITE", "READ_WRITE_DELETE"])
def test_people_and_publishers_need_the_widest_mode(site: Site, http: httpx.Client, owner: str, mode: str) -> None:
    """Case 42: a key for packages takes nobody in, and trusts no workflow."""
    channel, key = site.new_channel(owner=owner), new_key(site, http, owner, mode=mode)
    member = site.people.user(site.new_name("member"))
    fields = {"owner": "acme", "repository": "tools", "workflow": "release.yml"}
    publisher = {"issuer": "github", "fields": fields, "pinned": {"owner_id": "1", "repository_id": "2"}}
    path = f"/api/v1/channels/{channel}"
    asked = [
        http.put(f"{path}/members/{member}", json={"role": "viewer"}, headers=bearer(key)),
        http.post(f"{path}/publishers", json=publisher, headers=bearer(key)),
        http.patch(path, json={"description": "mine"}, headers=bearer(key)),
    ]
    assert [403] * 3 == [answer.status_code for answer in asked]
    assert [] == http.get(f"{path}/publishers", headers=signed_in(site, owner)).json()["items"]


@pytest.mark.parametrize("name", ["token", "key", "access_token", "api_key"])
def test_a_key_in_the_query_of_an_upload_is_ignored(site: Site, http: httpx.Client, owner: str, name: str) -> None:
    """Case 43: queries are in the logs of everything on the way."""
    channel, key = site.new_channel(owner=owner), new_key(site, http, owner)
    file = new_file(site)
    answer = http.post(f"/api/v1/upload/{channel}", params={name: key}, content=file.content, headers=raw_headers(file))
    assert 401 == answer.status_code


def test_a_key_in_the_path_is_for_reading(site: Site, http: httpx.Client, owner: str) -> None:
    """Cases 44 and 45: what conda does with its token, and no more; Basic reads too."""
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
    assert not [answer for answer in refused if answer.status_code not in (401, 404, 405)]
    assert file.content == http.get(f"/t/{key}/{path}").content == http.get(f"/{path}", auth=("any", key)).content


def test_a_key_ends_unless_the_site_says_otherwise(site: Site, http: httpx.Client, owner: str) -> None:
    """`days: null` is refused here, and leaves no key."""
    person = signed_in(site, owner)
    answer = http.post("/api/v1/keys", json={"name": "robot", "days": None}, headers=person)
    assert (400, []) == (answer.status_code, http.get("/api/v1/keys", headers=person).json()["items"])


def test_the_way_in_pieces_asks_the_same_of_a_key(site: Site, http: httpx.Client, owner: str) -> None:
    """Its mode, its channels, its packages, its end."""
    channel, elsewhere = site.new_channel(owner=owner), site.new_channel(owner=owner)
    boat = conda(index_json(site.new_name("boat")))

    def begun(key: str) -> int:
        name = base64.b64encode(boat.name.encode()).decode()
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": f"filename {name}"}
        return http.post(f"/api/v1/uploads/{channel}", headers={**headers, **bearer(key)}).status_code

    may_not = [
        new_key(site, http, owner, mode="READ"),
        new_key(site, http, owner, channels=[elsewhere]),
        new_key(site, http, owner, packages=["sail-*"]),
    ]
    assert [403] * 3 == [begun(key) for key in may_not]
    assert 401 == begun(site.people.key(owner, days=-1))
    assert 201 == begun(new_key(site, http, owner, channels=[channel], packages=["boat-*"]))
