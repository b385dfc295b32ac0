"""Yank, unyank, delete and overwrite: what they leave in the records, the documents and the audit log."""

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
from tests.support.clock import TurnedClock
from tests.support.house import People, publish_file
from tests.support.packages import PackageFile, conda, index_json

pytestmark = pytest.mark.anyio

FILE = conda()
OTHER = conda(index_json("other"))


async def repodata(http: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await http.get("/chan/noarch/repodata.json")).json()
    return document


async def record(http: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await repodata(http))["packages.conda"][FILE.name]
    return found


def lines(seaway: Seaway) -> list[dict[str, Any]]:
    """The audit lines about files, oldest first."""
    with seaway.database.read() as tx:
        rows = tx.execute(select(audit).where(audit.c.action.like("file.%")).order_by(audit.c.id)).mappings().all()
    return [{**row, "detail": json.loads(row["detail"])} for row in rows]


def carrier(seaway: Seaway, secret: str) -> Caller:
    with seaway.database.read() as tx:
        principal = api_keys.caller_of(tx, secret, seaway.clock.now_ms())
    assert principal is not None
    return principal.with_address("192.0.2.7")


def changed(text: str) -> PackageFile:
    return conda(files={"share/demo.txt": text.encode()})


@pytest.fixture
def channel(people: People) -> str:
    return people.channel("chan")


async def test_a_yanked_file_keeps_the_time_of_its_first_indexing(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, clock: TurnedClock
) -> None:
    """When a file was indexed is set once: yanked and listed again later, its record is the same (CEP 47)."""
    await publish_file(seaway, channel, FILE)
    before = await record(http)
    for act in (removal.yank, removal.unyank):
        clock.move(DAY_MS)
        act(seaway.request_parts.removing, OPERATOR, channel, "noarch", FILE.name)
    assert before == await record(http)


async def test_the_reason_of_a_yank_is_kept_shown_and_audited(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, people: People
) -> None:
    """Given in a JSON body, a form or the query; another yank may change it, and unyanking ends it but in the log."""
    await publish_file(seaway, channel, FILE)
    headers = {"Authorization": f"Bearer {people.key('owner')}"}
    shown, url = f"/api/v1/channels/{channel}/files/noarch/{FILE.name}", f"{channel}/noarch/{FILE.name}"

    async def reason_after(act: str, **request: Any) -> str | None:
        answer = await http.post(f"/api/v1/{act}/{url}", headers=headers, **request)
        assert answer.status_code == 200, answer.text
        return (await http.get(shown)).json()["yank_reason"]

    assert "wrong license" == await reason_after("yank", json={"reason": " wrong \n license "})
    assert "wrong license" == await reason_after("yank")
    assert "it crashes" == await reason_after("yank", data={"reason": "it crashes"})
    assert "a leak" == await reason_after("yank", params={"reason": "a leak"})
    assert "a leak" == await reason_after("yank", json={"reason": None})
    assert await reason_after("unyank") is None
    assert await reason_after("yank") is None
    with seaway.database.read() as tx:
        details = tx.execute(
            select(audit.c.detail).where(audit.c.action == "file.yanked").order_by(audit.c.id)
        ).scalars()
        reasons = [json.loads(detail).get("reason") for detail in details]
    assert ["wrong license", "it crashes", "a leak", None] == reasons
    assert [] == list(check(seaway))


@pytest.mark.parametrize(
    "body", [b'{"reason": 1}', b"why not", b'{"reason": "a\\u0000b"}', b'{"reason": "%s"}' % (b"x" * 501)]
)
async def test_a_reason_that_cannot_be_kept_yanks_nothing(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, people: People, body: bytes
) -> None:
    await publish_file(seaway, channel, FILE)
    headers = {"Authorization": f"Bearer {people.key('owner')}"}
    answer = await http.post(f"/api/v1/yank/{channel}/noarch/{FILE.name}", headers=headers, content=body)
    assert 400 == answer.status_code
    assert [] == (await repodata(http))["removed"]


async def test_new_bytes_under_an_old_name_are_a_new_file(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, clock: TurnedClock
) -> None:
    """An overwritten file and one that was deleted and uploaded again have a time of indexing of their own."""
    await publish_file(seaway, channel, FILE)
    first = (await record(http))["indexed_timestamp"]
    clock.move(DAY_MS)
    await publish_file(seaway, channel, changed("overwritten"), force=True)
    second = (await record(http))["indexed_timestamp"]
    clock.move(DAY_MS)
    removal.delete(seaway.request_parts.removing, OPERATOR, channel, "noarch", FILE.name)
    await publish_file(seaway, channel, changed("again"))
    assert [DAY_MS, DAY_MS] == [second - first, (await record(http))["indexed_timestamp"] - second]


async def test_a_deleted_file_leaves_no_trace(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """Nothing that documents are made of holds a deleted file, and the other names are untouched."""
    await publish_file(seaway, channel, FILE)
    await publish_file(seaway, channel, OTHER)
    removal.delete(seaway.request_parts.removing, OPERATOR, channel, "noarch", FILE.name)
    with seaway.database.read() as tx:
        names = set(tx.execute(select(fragments.c.name)).scalars())
        listed = set(tx.execute(select(shards.c.name).where(shards.c.sha256.is_not(None))).scalars())
    assert ({"other"}, {"other"}) == (names, listed)
    assert [OTHER.name] == list((await repodata(http))["packages.conda"])
    assert [] == (await repodata(http))["removed"]


async def test_a_yanked_file_can_be_deleted(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """After a yank and a delete the name is not in `removed` either."""
    await publish_file(seaway, channel, FILE)
    for act in (removal.yank, removal.delete):
        act(seaway.request_parts.removing, OPERATOR, channel, "noarch", FILE.name)
    assert ({}, []) == ((await repodata(http))["packages.conda"], (await repodata(http))["removed"])


@pytest.mark.parametrize("act", [removal.yank, removal.unyank, removal.delete], ids=lambda act: act.__name__)
async def test_a_deleted_file_is_not_found(seaway: Seaway, channel: str, act: Any) -> None:
    """What was deleted cannot be changed any more."""
    await publish_file(seaway, channel, FILE)
    removal.delete(seaway.request_parts.removing, OPERATOR, channel, "noarch", FILE.name)
    with pytest.raises(NotFound, match="no such file"):
        act(seaway.request_parts.removing, OPERATOR, channel, "noarch", FILE.name)


async def test_a_yanked_file_is_not_replaced_without_force(
    seaway: Seaway, http: httpx.AsyncClient, channel: str
) -> None:
    """A yank does not free the name; an overwrite lists the new file."""
    await publish_file(seaway, channel, FILE)
    removal.yank(seaway.request_parts.removing, OPERATOR, channel, "noarch", FILE.name)
    with pytest.raises(FileExists):
        await publish_file(seaway, channel, changed("new"))
    await publish_file(seaway, channel, changed("new"), force=True)
    assert ([FILE.name], []) == (list((await repodata(http))["packages.conda"]), (await repodata(http))["removed"])


async def test_every_change_leaves_a_line(seaway: Seaway, channel: str, people: People) -> None:
    """Who did what to which file, from where, with which bytes, is in the audit log; what changed nothing is not."""
    by = carrier(seaway, people.key("owner"))
    new = changed("new")
    await publish_file(seaway, channel, FILE, by=by)
    await publish_file(seaway, channel, new, by=by, force=True)
    for act in (removal.yank, removal.yank, removal.unyank, removal.delete):
        act(seaway.request_parts.removing, by, channel, "noarch", FILE.name)
    told = lines(seaway)
    assert [
        "uploaded",
        "overwritten",
        "yanked",
        "unyanked",
        "deleted",
    ] == [line["action"].removeprefix("file.") for line in told]
    assert {("owner (key key 0)", "192.0.2.7", channel, f"noarch/{FILE.name}")} == {
        (line["actor"], line["address"], line["channel"], line["target"]) for line in told
    }
    assert [FILE.sha256, new.sha256, new.sha256, new.sha256, new.sha256] == [line["detail"]["sha256"] for line in told]
    assert FILE.sha256 == told[1]["detail"]["old_sha256"]


async def test_what_is_refused_leaves_no_line_and_no_revision(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, people: People
) -> None:
    """A refused change is as if it had never been asked for."""
    await publish_file(seaway, channel, FILE)
    viewer = carrier(seaway, people.key(people.member(channel, "viewer", Role.VIEWER)))
    before = lines(seaway)
    for act in (removal.yank, removal.delete):
        with pytest.raises(NotAllowed):
            act(seaway.request_parts.removing, viewer, channel, "noarch", FILE.name)
    with pytest.raises(NotAllowed):
        await publish_file(seaway, channel, OTHER, by=viewer)
    with seaway.database.read() as tx:
        assert 1 == tx.execute(select(func.count()).select_from(files)).scalar_one()
    assert before == lines(seaway)
    assert FILE.sha256 == (await record(http))["sha256"]


async def test_a_file_of_someone_who_left_is_nobodys_own(seaway: Seaway, channel: str, people: People) -> None:
    """A contributor who was made a viewer may not take back what they uploaded."""
    friend = people.member(channel, "friend", Role.CONTRIBUTOR)
    by = carrier(seaway, people.key(friend))
    await publish_file(seaway, channel, FILE, by=by)
    people.member(channel, friend, Role.VIEWER)
    with pytest.raises(NotAllowed):
        removal.delete(seaway.request_parts.removing, by, channel, "noarch", FILE.name)


async def test_an_admin_deletes_and_neither_uploads_nor_yanks(seaway: Seaway, channel: str, people: People) -> None:
    """Moderation takes files away, in the admin's own name; it does not publish."""
    await publish_file(seaway, channel, FILE)
    admin = carrier(seaway, people.key(people.user("moderator", admin=True)))
    with pytest.raises(NotAllowed):
        await publish_file(seaway, channel, OTHER, by=admin)
    with pytest.raises(NotAllowed):
        removal.yank(seaway.request_parts.removing, admin, channel, "noarch", FILE.name)
    removal.delete(seaway.request_parts.removing, admin, channel, "noarch", FILE.name)
    assert ("file.deleted", "moderator (key key 0)") == (lines(seaway)[-1]["action"], lines(seaway)[-1]["actor"])


async def test_every_promise_holds_after_all_of_it(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """After uploads, yanks, deletions and overwrites in any order the store proves consistent."""
    for number in range(4):
        await publish_file(seaway, channel, conda(index_json("many", version=f"{number}.0")))
    removal.yank(seaway.request_parts.removing, OPERATOR, channel, "noarch", "many-0.0-h1_0.conda")
    removal.delete(seaway.request_parts.removing, OPERATOR, channel, "noarch", "many-1.0-h1_0.conda")
    await repodata(http)
    await publish_file(seaway, channel, FILE)
    await publish_file(seaway, channel, changed("new"), force=True)
    removal.delete(seaway.request_parts.removing, OPERATOR, channel, "noarch", FILE.name)
    assert [] == list(check(seaway))


def test_a_reason_has_a_limit() -> None:
    """Counted as it is kept, in one line."""
    most = "x" * removal.MAX_REASON
    assert most == removal.checked_reason(f" {most}\n")
    with pytest.raises(Malformed):
        removal.checked_reason(f"{most}x")
