"""What people do with the API, from one request to the next."""

import httpx
import pytest

from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import channels
from seaway.sign_in import sessions
from seaway.users import emails, users
from tests.conftest import Site
from tests.support.packages import conda, index_json
from tests.support.requests import bearer, upload


def signed_in(site: Site, user: str) -> dict[str, str]:
    people = site.people
    with people.seaway.database.write_site() as tx:
        now_ms = people.seaway.clock.now_ms()
        secret = sessions.start(tx, now_ms, users.get(tx, user).id, address="", agent="")
    return {
        "Cookie": f"seaway_session={secret}",
        "X-CSRF-Token": sessions.csrf_token(secret),
        "Sec-Fetch-Site": "same-origin",
    }


def test_a_package_from_its_list_to_its_record(site: Site, http: httpx.Client) -> None:
    """Every list leads to the next address, page by page, and the record is what repodata has."""
    owner = site.people.user(site.new_name("owner"))
    channel, key = site.new_channel(owner=owner), site.people.key(owner)
    with site.client(key) as client:
        for version in ("1.0", "1.10", "1.9"):
            assert 201 == upload(client, channel, conda(index_json("demo", version=version))).status_code
        assert 201 == upload(client, channel, conda(index_json("zeta", depends=["demo >=1.9"]))).status_code
        repodata = client.get(f"/{channel}/noarch/repodata.json").json()
    first = http.get(f"channels/{channel}/packages?limit=1").json()
    second = http.get(f"channels/{channel}/packages", params={"limit": 1, "after": first["next"]}).json()
    assert (["demo"], ["zeta"], None) == (
        [package["name"] for package in first["items"]],
        [package["name"] for package in second["items"]],
        second["next"],
    )
    found = http.get(f"channels/{channel}/packages/demo").json()
    assert ("1.10", 3, owner) == (found["latest"]["version"], found["files"], found["latest"]["uploaded_by"])
    files = http.get(f"channels/{channel}/packages/demo/files").json()["items"]
    assert ["1.9", "1.10", "1.0"] == [file["version"] for file in files]
    shown = http.get(f"channels/{channel}/files/noarch/{files[0]['file']}").json()
    assert repodata["packages.conda"][files[0]["file"]] == shown["record"]
    needing = [http.get(f"channels/{channel}/packages/{name}/dependents").json()["names"] for name in ("demo", "zeta")]
    assert [["zeta"], []] == needing


def test_a_key_is_shown_once_and_ends_when_it_is_revoked(site: Site, http: httpx.Client) -> None:
    """The list never has the secret; the next request after the end is refused (P5, P6)."""
    person = signed_in(site, site.people.user(site.new_name("person")))
    made = http.post("keys", json={"name": "ci", "mode": "READ"}, headers=person).json()
    assert 200 == http.get("me", headers=bearer(made["key"])).status_code
    assert made["key"] not in http.get("keys", headers=person).text
    assert 200 == http.post(f"keys/{made['id']}/revoke", headers=person).status_code
    assert 401 == http.get("me", headers=bearer(made["key"])).status_code


@pytest.mark.parametrize(
    "change",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "x" * 43},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_does_nothing_with_a_cookie(site: Site, http: httpx.Client, change: dict[str, str]) -> None:
    """A session alone changes nothing: the request must come from a page of ours and hold its token."""
    person = signed_in(site, site.people.user(site.new_name("person"))) | change
    answer = http.post("keys", json={"name": "ci"}, headers=person)
    assert answer.status_code in (400, 403)
    assert {"code", "message", "hint"} == set(answer.json())
    assert [] == http.get("keys", headers=person).json()["items"]


def test_the_log_of_an_older_channel_of_the_name_is_not_told(site: Site, http: httpx.Client) -> None:
    """Lines name channels, and a name may be used again: its new owner reads only of the new one."""
    people, channel = site.people, site.new_name()
    owner = people.user(site.new_name("owner"))
    people.channel(channel, owner=owner)
    with people.seaway.database.write_site() as tx:
        now_ms = people.seaway.clock.now_ms()
        channels.change(tx, now_ms, OPERATOR, channel, description="a secret of the first")
        channels.remove(tx, now_ms, OPERATOR, channel)
    people.channel(channel, owner=owner)
    answer = http.get(f"channels/{channel}/audit", headers=bearer(people.key(owner, mode=Mode.MANAGE)))
    assert ["channel.added"] == [line["action"] for line in answer.json()["items"]]


def test_who_is_found_becomes_a_member(site: Site, http: httpx.Client) -> None:
    """From the beginning of a name to a role, and to another one."""
    people, channel = site.people, site.new_name()
    owner, mate = people.user(site.new_name("owner")), people.user(site.new_name("mate"))
    people.channel(channel, owner=owner)
    person = signed_in(site, owner)
    assert {"name": mate} in http.get("user-names", params={"name": mate}, headers=person).json()["items"]
    for role in ("viewer", "contributor"):
        put = http.put(f"channels/{channel}/members/{mate}", json={"role": role}, headers=person)
        assert (200, role) == (put.status_code, put.json()["role"])


def test_an_address_counts_when_its_letter_was_answered(site: Site, http: httpx.Client) -> None:
    """It is a claim before, which cannot be the primary one; taken out, it is gone."""
    user = site.people.user(site.new_name("person"))
    person = signed_in(site, user)
    with site.people.seaway.database.write_site() as tx:
        emails.add(tx, site.people.seaway.clock.now_ms(), users.get(tx, user).id, f"{user}@example.com", verified=True)
    made = http.post("me/addresses", json={"address": f"{user}@example.org"}, headers=person).json()
    assert (False, None) == (made["primary"], made["verified_at"])
    assert 403 == http.post(f"me/addresses/{made['id']}/primary", headers=person).status_code
    assert 204 == http.post(f"me/addresses/{made['id']}/verification", headers=person).status_code
    assert 204 == http.delete(f"me/addresses/{made['id']}", headers=person).status_code
    assert [f"{user}@example.com"] == [
        one["address"] for one in http.get("me/addresses", headers=person).json()["items"]
    ]


def test_an_account_ends_when_its_name_was_said(site: Site, http: httpx.Client) -> None:
    """Not by another name; then its session is good for nothing, and its name is free for nobody."""
    user = site.people.user(site.new_name("person"))
    person = signed_in(site, user)
    assert 400 == http.delete("me", params={"confirm": "somebody"}, headers=person).status_code
    assert 204 == http.delete("me", params={"confirm": user}, headers=person).status_code
    assert 401 == http.get("me", headers=person).status_code


def test_members_see_the_room_that_an_admin_gives(site: Site, http: httpx.Client) -> None:
    """A quota shows at once, to members and to nobody else."""
    owner, channel = site.people.user(site.new_name("owner")), site.new_name()
    site.people.channel(channel, owner=owner, public=True)
    admin = signed_in(site, site.people.user(site.new_name("admin"), admin=True))
    given = http.patch(f"channels/{channel}/quota", json={"quota": 1000}, headers=admin)
    assert {"quota": 1000, "used": 0} == given.json()
    assert given.json() == http.get(f"channels/{channel}", headers=signed_in(site, owner)).json()["storage"]
    assert http.get(f"channels/{channel}").json()["storage"] is None
