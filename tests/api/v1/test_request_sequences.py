"""Sequences of API requests as users make them."""

import httpx
import pytest

from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import channels
from seaway.channels.channel import ChannelSettings
from seaway.channels.roles import Role
from seaway.sign_in import sessions
from seaway.users import emails, users
from tests.conftest import Site
from tests.support.packages import conda, index_json
from tests.support.requests import bearer, upload


def session_headers(site: Site, user: str) -> dict[str, str]:
    factory = site.factory
    with factory.seaway.site.database.write_site() as tx:
        now_ms = factory.seaway.site.clock.now_ms()
        secret = sessions.start(tx, now_ms, users.get(tx, user).id, address="", agent="")
    return {
        "Cookie": f"seaway_session={secret}",
        "X-CSRF-Token": sessions.csrf_token(secret),
        "Sec-Fetch-Site": "same-origin",
    }


def test_lists_lead_from_channel_to_package_to_record(site: Site, http: httpx.Client) -> None:
    """Lists are paginated, and the record equals the one in repodata."""
    owner = site.factory.user(site.new_name("owner"))
    channel, key = site.new_channel(owner=owner), site.factory.key(owner)
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
    dependents = [
        http.get(f"channels/{channel}/packages/{name}/dependents").json()["names"] for name in ("demo", "zeta")
    ]
    assert [["zeta"], []] == dependents


def test_key_is_shown_once_and_refused_after_revocation(site: Site, http: httpx.Client) -> None:
    """The list never contains the secret; the next request after revocation is refused (P5, P6)."""
    headers = session_headers(site, site.factory.user(site.new_name("person")))
    created = http.post("keys", json={"name": "ci", "mode": "READ"}, headers=headers).json()
    assert 200 == http.get("me", headers=bearer(created["key"])).status_code
    assert created["key"] not in http.get("keys", headers=headers).text
    assert 200 == http.post(f"keys/{created['id']}/revoke", headers=headers).status_code
    assert 401 == http.get("me", headers=bearer(created["key"])).status_code


@pytest.mark.parametrize(
    "change",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "x" * 43},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_session_cookie_alone_changes_nothing(site: Site, http: httpx.Client, change: dict[str, str]) -> None:
    """A request must come from a Seaway page and contain its CSRF token."""
    headers = session_headers(site, site.factory.user(site.new_name("person"))) | change
    response = http.post("keys", json={"name": "ci"}, headers=headers)
    assert response.status_code in (400, 403)
    assert {"code", "message", "hint"} == set(response.json())
    assert [] == http.get("keys", headers=headers).json()["items"]


def test_audit_log_excludes_an_older_channel_of_the_same_name(site: Site, http: httpx.Client) -> None:
    """Audit entries name channels, and names can be reused: the new owner sees only entries of the new channel."""
    factory, channel = site.factory, site.new_name()
    owner = factory.user(site.new_name("owner"))
    factory.channel(channel, owner=owner)
    with factory.seaway.site.database.write_site() as tx:
        now_ms = factory.seaway.site.clock.now_ms()
        channels.change(tx, now_ms, OPERATOR, channel, ChannelSettings(description="a secret of the first"))
        channels.remove(tx, now_ms, OPERATOR, channel)
    factory.channel(channel, owner=owner)
    response = http.get(f"channels/{channel}/audit", headers=bearer(factory.key(owner, mode=Mode.MANAGE)))
    assert ["channel.added"] == [line["action"] for line in response.json()["items"]]


def test_audit_log_is_filtered(site: Site, http: httpx.Client) -> None:
    """By person and action, of a channel and of the site; other filters match nothing."""
    factory, channel = site.factory, site.new_name()
    owner, member = factory.user(site.new_name("owner")), site.new_name("mate")
    factory.channel(channel, owner=owner)
    factory.member(channel, member, Role.VIEWER)
    manager = bearer(factory.key(owner, mode=Mode.MANAGE))
    admin = session_headers(site, factory.user(site.new_name("admin"), admin=True))

    def actions(path: str, headers: dict[str, str], **filters: str) -> list[str]:
        return [entry["action"] for entry in http.get(path, params=filters, headers=headers).json()["items"]]

    everything = actions(f"channels/{channel}/audit", manager)
    assert {"channel.added", "member.added"} <= set(everything)
    assert ["member.added"] == actions(f"channels/{channel}/audit", manager, action="member.added")
    assert ["member.added"] == actions("audit", admin, action="member.added", channel=channel)
    for filters in ({"person": "someone-else"}, {"file": "demo-1.0-0.conda"}, {"action": "member.eaten"}):
        assert [] == actions(f"channels/{channel}/audit", manager, **filters)
        assert [] == actions("audit", admin, channel=channel, **filters)


def test_user_search_leads_to_a_member(site: Site, http: httpx.Client) -> None:
    """Search by name, then assign one role and another."""
    factory, channel = site.factory, site.new_name()
    owner, member = factory.user(site.new_name("owner")), factory.user(site.new_name("mate"))
    factory.channel(channel, owner=owner)
    headers = session_headers(site, owner)
    assert {"name": member} in http.get("user-names", params={"name": member}, headers=headers).json()["items"]
    for role in ("viewer", "contributor"):
        put = http.put(f"channels/{channel}/members/{member}", json={"role": role}, headers=headers)
        assert (200, role) == (put.status_code, put.json()["role"])


def test_unverified_address_cannot_be_primary(site: Site, http: httpx.Client) -> None:
    """It can get a verification email, and can be removed."""
    user = site.factory.user(site.new_name("person"))
    headers = session_headers(site, user)
    with site.factory.seaway.site.database.write_site() as tx:
        emails.add(
            tx, site.factory.seaway.site.clock.now_ms(), users.get(tx, user).id, f"{user}@example.com", verified=True
        )
    created = http.post("me/addresses", json={"address": f"{user}@example.org"}, headers=headers).json()
    assert (False, None) == (created["primary"], created["verified_at"])
    assert 403 == http.post(f"me/addresses/{created['id']}/primary", headers=headers).status_code
    assert 204 == http.post(f"me/addresses/{created['id']}/verification", headers=headers).status_code
    assert 204 == http.delete(f"me/addresses/{created['id']}", headers=headers).status_code
    assert [f"{user}@example.com"] == [
        item["address"] for item in http.get("me/addresses", headers=headers).json()["items"]
    ]


def test_account_deletion_needs_its_name(site: Site, http: httpx.Client) -> None:
    """Another name is refused; after the deletion the session is invalid."""
    user = site.factory.user(site.new_name("person"))
    headers = session_headers(site, user)
    assert 400 == http.delete("me", params={"confirm": "other"}, headers=headers).status_code
    assert 204 == http.delete("me", params={"confirm": user}, headers=headers).status_code
    assert 401 == http.get("me", headers=headers).status_code


def test_quota_is_visible_to_members_only(site: Site, http: httpx.Client) -> None:
    """A quota set by an admin is visible at once."""
    owner, channel = site.factory.user(site.new_name("owner")), site.new_name()
    site.factory.channel(channel, owner=owner, public=True)
    admin = session_headers(site, site.factory.user(site.new_name("admin"), admin=True))
    response = http.patch(f"channels/{channel}/quota", json={"quota": 1000}, headers=admin)
    assert {"quota": 1000, "used": 0} == response.json()
    assert response.json() == http.get(f"channels/{channel}", headers=session_headers(site, owner)).json()["storage"]
    assert http.get(f"channels/{channel}").json()["storage"] is None
