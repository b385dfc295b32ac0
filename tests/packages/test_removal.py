"""Yank, unyank, delete and overwrite: their effects on records, documents and the audit log."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from seaway.callers.caller import OPERATOR, Caller
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.database.tables import audit, files, fragments, shards
from seaway.errors import FileExists, Malformed, NotAllowed, NotFound
from seaway.keys import api_keys
from seaway.maintenance.check import check
from seaway.packages import removal
from seaway.server.wiring import Seaway
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, conda, index_json
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio

FILE = conda()
OTHER = conda(index_json("other"))


async def repodata(http: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await http.get("/chan/noarch/repodata.json")).json()
    return document


async def record(http: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await repodata(http))["packages.conda"][FILE.name]
    return found


def audit_entries(seaway: Seaway) -> list[dict[str, Any]]:
    """Return the audit entries about files, oldest first."""
    with seaway.site.database.read() as tx:
        rows = tx.execute(select(audit).where(audit.c.action.like("file.%")).order_by(audit.c.id)).mappings().all()
    return [{**row, "detail": json.loads(row["detail"])} for row in rows]


def caller_with_key(seaway: Seaway, secret: str) -> Caller:
    with seaway.site.database.read() as tx:
        caller = api_keys.caller_of(tx, secret, seaway.site.clock.now_ms())
    assert caller is not None
    return caller.with_address("192.0.2.7")


def changed(text: str) -> PackageFile:
    return conda(files={"share/demo.txt": text.encode()})


@pytest.fixture
def channel(factory: Factory) -> str:
    return factory.channel("chan")


async def test_yanked_and_unyanked_file_keeps_its_indexed_timestamp(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, clock: ManualClock
) -> None:
    """The timestamp is set once, so the record is unchanged after yank and unyank (CEP 47)."""
    await publish_file(seaway, channel, FILE)
    before = await record(http)
    for act in (removal.yank, removal.unyank):
        clock.move(DAY_MS)
        act(seaway.site, OPERATOR, channel, "noarch", FILE.name)
    assert before == await record(http)


async def test_yank_reason_is_stored_shown_and_audited(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, factory: Factory
) -> None:
    """It comes in a JSON body, a form or the query; a later yank can change it, and unyank clears it."""
    await publish_file(seaway, channel, FILE)
    headers = {"Authorization": f"Bearer {factory.key('owner')}"}
    shown, url = f"/api/v1/channels/{channel}/files/noarch/{FILE.name}", f"{channel}/noarch/{FILE.name}"

    async def reason_after(act: str, **request: Any) -> str | None:
        response = await http.post(f"/api/v1/{act}/{url}", headers=headers, **request)
        assert response.status_code == 200, response.text
        return (await http.get(shown)).json()["yank_reason"]

    assert "wrong license" == await reason_after("yank", json={"reason": " wrong \n license "})
    assert "wrong license" == await reason_after("yank")
    assert "it crashes" == await reason_after("yank", data={"reason": "it crashes"})
    assert "a leak" == await reason_after("yank", params={"reason": "a leak"})
    assert "a leak" == await reason_after("yank", json={"reason": None})
    assert await reason_after("unyank") is None
    assert await reason_after("yank") is None
    with seaway.site.database.read() as tx:
        details = tx.execute(
            select(audit.c.detail).where(audit.c.action == "file.yanked").order_by(audit.c.id)
        ).scalars()
        reasons = [json.loads(detail).get("reason") for detail in details]
    assert ["wrong license", "it crashes", "a leak", None] == reasons
    assert [] == list(check(seaway))


@pytest.mark.parametrize(
    "body", [b'{"reason": 1}', b"why not", b'{"reason": "a\\u0000b"}', b'{"reason": "%s"}' % (b"x" * 501)]
)
async def test_invalid_yank_reason_is_refused(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, factory: Factory, body: bytes
) -> None:
    await publish_file(seaway, channel, FILE)
    headers = {"Authorization": f"Bearer {factory.key('owner')}"}
    response = await http.post(f"/api/v1/yank/{channel}/noarch/{FILE.name}", headers=headers, content=body)
    assert 400 == response.status_code
    assert [] == (await repodata(http))["removed"]


async def test_new_bytes_get_a_new_indexed_timestamp(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, clock: ManualClock
) -> None:
    """Both after an overwrite and after a delete followed by another upload."""
    await publish_file(seaway, channel, FILE)
    first = (await record(http))["indexed_timestamp"]
    clock.move(DAY_MS)
    await publish_file(seaway, channel, changed("overwritten"), force=True)
    second = (await record(http))["indexed_timestamp"]
    clock.move(DAY_MS)
    removal.delete(seaway.site, OPERATOR, channel, "noarch", FILE.name)
    await publish_file(seaway, channel, changed("again"))
    assert [DAY_MS, DAY_MS] == [second - first, (await record(http))["indexed_timestamp"] - second]


async def test_deleted_file_leaves_no_trace(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """Fragments, shards and documents do not contain it, and other names are unchanged."""
    await publish_file(seaway, channel, FILE)
    await publish_file(seaway, channel, OTHER)
    removal.delete(seaway.site, OPERATOR, channel, "noarch", FILE.name)
    with seaway.site.database.read() as tx:
        names = set(tx.execute(select(fragments.c.name)).scalars())
        listed = set(tx.execute(select(shards.c.name).where(shards.c.sha256.is_not(None))).scalars())
    assert ({"other"}, {"other"}) == (names, listed)
    assert [OTHER.name] == list((await repodata(http))["packages.conda"])
    assert [] == (await repodata(http))["removed"]


async def test_yanked_file_can_be_deleted(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """The name is then not in `removed` either."""
    await publish_file(seaway, channel, FILE)
    for act in (removal.yank, removal.delete):
        act(seaway.site, OPERATOR, channel, "noarch", FILE.name)
    assert ({}, []) == ((await repodata(http))["packages.conda"], (await repodata(http))["removed"])


@pytest.mark.parametrize("act", [removal.yank, removal.unyank, removal.delete], ids=lambda act: act.__name__)
async def test_deleted_file_is_not_found(seaway: Seaway, channel: str, act: Any) -> None:
    await publish_file(seaway, channel, FILE)
    removal.delete(seaway.site, OPERATOR, channel, "noarch", FILE.name)
    with pytest.raises(NotFound, match="no such file"):
        act(seaway.site, OPERATOR, channel, "noarch", FILE.name)


async def test_yanked_file_is_not_replaced_without_force(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """A yank does not free the name; an overwrite lists the new file."""
    await publish_file(seaway, channel, FILE)
    removal.yank(seaway.site, OPERATOR, channel, "noarch", FILE.name)
    with pytest.raises(FileExists):
        await publish_file(seaway, channel, changed("new"))
    await publish_file(seaway, channel, changed("new"), force=True)
    assert ([FILE.name], []) == (list((await repodata(http))["packages.conda"]), (await repodata(http))["removed"])


async def test_each_change_has_an_audit_entry(seaway: Seaway, channel: str, factory: Factory) -> None:
    """The entry has the actor, IP address, file and sha256; an action without effect has no entry."""
    by = caller_with_key(seaway, factory.key("owner"))
    new = changed("new")
    await publish_file(seaway, channel, FILE, by=by)
    await publish_file(seaway, channel, new, by=by, force=True)
    for act in (removal.yank, removal.yank, removal.unyank, removal.delete):
        act(seaway.site, by, channel, "noarch", FILE.name)
    entries = audit_entries(seaway)
    assert [
        "uploaded",
        "overwritten",
        "yanked",
        "unyanked",
        "deleted",
    ] == [line["action"].removeprefix("file.") for line in entries]
    assert {("owner (key key 0)", "192.0.2.7", channel, f"noarch/{FILE.name}")} == {
        (line["actor"], line["address"], line["channel"], line["target"]) for line in entries
    }
    assert [FILE.sha256, new.sha256, new.sha256, new.sha256, new.sha256] == [
        line["detail"]["sha256"] for line in entries
    ]
    assert FILE.sha256 == entries[1]["detail"]["old_sha256"]


async def test_refused_changes_leave_no_audit_entry_and_no_revision(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, factory: Factory
) -> None:
    await publish_file(seaway, channel, FILE)
    viewer = caller_with_key(seaway, factory.key(factory.member(channel, "viewer", Role.VIEWER)))
    before = audit_entries(seaway)
    for act in (removal.yank, removal.delete):
        with pytest.raises(NotAllowed):
            act(seaway.site, viewer, channel, "noarch", FILE.name)
    with pytest.raises(NotAllowed):
        await publish_file(seaway, channel, OTHER, by=viewer)
    with seaway.site.database.read() as tx:
        assert 1 == tx.execute(select(func.count()).select_from(files)).scalar_one()
    assert before == audit_entries(seaway)
    assert FILE.sha256 == (await record(http))["sha256"]


async def test_demoted_contributor_cannot_delete_their_own_uploads(
    seaway: Seaway, channel: str, factory: Factory
) -> None:
    friend = factory.member(channel, "friend", Role.CONTRIBUTOR)
    by = caller_with_key(seaway, factory.key(friend))
    await publish_file(seaway, channel, FILE, by=by)
    factory.member(channel, friend, Role.VIEWER)
    with pytest.raises(NotAllowed):
        removal.delete(seaway.site, by, channel, "noarch", FILE.name)


async def test_site_admin_can_delete_but_not_upload_or_yank(seaway: Seaway, channel: str, factory: Factory) -> None:
    """Moderation removes files under the admin's own name; it does not publish."""
    await publish_file(seaway, channel, FILE)
    admin = caller_with_key(seaway, factory.key(factory.user("moderator", admin=True)))
    with pytest.raises(NotAllowed):
        await publish_file(seaway, channel, OTHER, by=admin)
    with pytest.raises(NotAllowed):
        removal.yank(seaway.site, admin, channel, "noarch", FILE.name)
    removal.delete(seaway.site, admin, channel, "noarch", FILE.name)
    assert ("file.deleted", "moderator (key key 0)") == (
        audit_entries(seaway)[-1]["action"],
        audit_entries(seaway)[-1]["actor"],
    )


async def test_store_is_consistent_after_mixed_changes(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """After uploads, yanks, deletions and overwrites `check` reports nothing."""
    for number in range(4):
        await publish_file(seaway, channel, conda(index_json("many", version=f"{number}.0")))
    removal.yank(seaway.site, OPERATOR, channel, "noarch", "many-0.0-h1_0.conda")
    removal.delete(seaway.site, OPERATOR, channel, "noarch", "many-1.0-h1_0.conda")
    await repodata(http)
    await publish_file(seaway, channel, FILE)
    await publish_file(seaway, channel, changed("new"), force=True)
    removal.delete(seaway.site, OPERATOR, channel, "noarch", FILE.name)
    assert [] == list(check(seaway))


def test_yank_reason_has_a_length_limit() -> None:
    """Counted after whitespace is normalized to one line."""
    longest = "x" * removal.MAX_REASON
    assert longest == removal.checked_reason(f" {longest}\n")
    with pytest.raises(Malformed):
        removal.checked_reason(f"{longest}x")
