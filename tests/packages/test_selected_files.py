"""Selected files, a version or a package are yanked, unyanked or deleted atomically."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import func, insert, select

from seaway.callers.caller import ANONYMOUS, OPERATOR, Caller, Mode
from seaway.channels import channels
from seaway.channels.roles import Role
from seaway.database.tables import audit, files, subdirs
from seaway.errors import BadCredential, Conflict, Malformed, NotAllowed, NotFound, SeawayError
from seaway.maintenance.check import check
from seaway.packages import removal
from seaway.packages.removal import FileAction, Selection, UndoneYank, select_files
from seaway.server.wiring import Seaway
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import bearer
from tests.support.sites import Factory, publish_file
from tests.support.statements import record_statements

pytestmark = pytest.mark.anyio

NOARCH, LINUX = "noarch", "linux-64"


def build(number: int, version: str = "1.0", name: str = "demo") -> PackageFile:
    return conda(index_json(name, version, f"h1_{number}", build_number=number))


def for_linux(version: str = "1.0") -> PackageFile:
    return conda(index_json("demo", version, subdir=LINUX, noarch=...))


OLD, NEW, OTHER = [build(0), build(1)], build(0, "2.0"), build(0, name="other")
LINUX_FILE = for_linux()


@pytest.fixture
async def channel(seaway: Seaway, factory: Factory) -> str:
    """Two builds of 1.0 and one of 2.0 for noarch, one of 1.0 for linux-64, and another package."""
    name = factory.channel("chan")
    for file in (*OLD, NEW, OTHER, LINUX_FILE):
        await publish_file(seaway, name, file)
    return name


def audit_entries(seaway: Seaway) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the audit entries about files since the uploads."""
    matches = audit.c.action.like("file.%") & (audit.c.action != "file.uploaded")
    with seaway.site.database.read() as tx:
        rows = tx.execute(select(audit.c.action, audit.c.target, audit.c.detail).where(matches).order_by(audit.c.id))
        return [(action, target, json.loads(detail)) for action, target, detail in rows]


def state(seaway: Seaway) -> dict[str, tuple[str, str]]:
    """Return the state and the yank reason of each file."""
    with seaway.site.database.read() as tx:
        rows = tx.execute(
            select(subdirs.c.name, files.c.file_name, files.c.state, files.c.yank_reason).join(
                subdirs, subdirs.c.id == files.c.subdir_id
            )
        )
        return {f"{subdir}/{name}": (state, reason) for subdir, name, state, reason in rows}


def revisions(seaway: Seaway) -> dict[str, int]:
    with seaway.site.database.read() as tx:
        return {row.name: row.revision for row in tx.execute(select(subdirs.c.name, subdirs.c.revision))}


async def documents(http: httpx.AsyncClient, subdir: str = NOARCH) -> tuple[set[str], list[str]]:
    """Return the files that repodata lists, and those in `removed`."""
    found = (await http.get(f"/chan/{subdir}/repodata.json")).json()
    return set(found["packages.conda"]), found["removed"]


async def test_version_is_yanked_in_one_step(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """One revision in each affected subdir, one audit entry with every sha256, and the reason stored for each file."""
    before = revisions(seaway)
    result = removal.change(
        seaway.site,
        OPERATOR,
        channel,
        FileAction.YANK,
        Selection(package="demo", version="1.0"),
        reason="it crashes",
    )
    files_changed = [f"{LINUX}/{LINUX_FILE.name}", *(f"{NOARCH}/{file.name}" for file in OLD)]
    assert {subdir: revision + 1 for subdir, revision in before.items()} == revisions(seaway) == result.revisions
    assert (tuple(files_changed), 0) == (result.files, result.unchanged)
    assert dict.fromkeys(files_changed, ("yanked", "it crashes")).items() <= state(seaway).items()
    assert ({NEW.name, OTHER.name}, [file.name for file in OLD]) == await documents(http)
    assert (set(), [LINUX_FILE.name]) == await documents(http, LINUX)
    hashes = {file_path: file.sha256 for file_path, file in zip(files_changed, (LINUX_FILE, *OLD), strict=True)}
    detail = {"files": 3, "sha256": hashes, "reason": "it crashes"}
    assert [("file.yanked", "demo 1.0", detail)] == audit_entries(seaway)
    assert [] == list(check(seaway))


async def test_unchanged_files_are_counted(seaway: Seaway, channel: str) -> None:
    """A second yank keeps a file's reason unless it gives another one."""
    selection = Selection(package="demo", subdir=NOARCH)
    change = partial(removal.change, seaway.site, OPERATOR, channel, selection=selection)
    removal.yank(seaway.site, OPERATOR, channel, NOARCH, NEW.name, reason="a leak")
    first = change(FileAction.YANK)
    assert (2, 1) == (len(first.files), first.unchanged)
    assert "a leak" == state(seaway)[f"{NOARCH}/{NEW.name}"][1]
    again = change(FileAction.YANK)
    assert ((), 3, first.revisions) == (again.files, again.unchanged, again.revisions)
    assert 3 == len(change(FileAction.YANK, reason="old").files)
    assert {"old"} == {state(seaway)[f"{NOARCH}/{file.name}"][1] for file in (*OLD, NEW)}
    assert 3 == len(change(FileAction.UNYANK).files)
    assert ["file.yanked", "file.yanked", "file.yanked", "file.unyanked"] == [
        entry[0] for entry in audit_entries(seaway)
    ]
    assert [] == list(check(seaway))


async def test_package_is_deleted(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """No document contains it, and its bytes no longer count in the channel's size."""
    removal.change(seaway.site, OPERATOR, channel, FileAction.DELETE, Selection(package="demo"))
    assert ({OTHER.name}, []) == await documents(http)
    assert (set(), []) == await documents(http, LINUX)
    assert 404 == (await http.get(f"/chan/{LINUX}/{LINUX_FILE.name}")).status_code
    with seaway.site.database.read() as tx:
        access = channels.access_of(tx, channel, OPERATOR)
        assert access is not None
        size = tx.execute(select(func.sum(subdirs.c.size)).where(subdirs.c.channel_id == access.channel_id)).scalar()
    assert len(OTHER.content) == size
    assert [] == list(check(seaway))


async def test_contributor_deletes_only_their_own_files(seaway: Seaway, channel: str, factory: Factory) -> None:
    """One file of another uploader refuses the whole action, which names it; a contributor can yank any file."""
    key = factory.key(factory.member(channel, "friend", Role.CONTRIBUTOR))
    friend = factory.caller_of_key(key)
    own = [build(number, "3.0") for number in range(2)]
    for file in own:
        await publish_file(seaway, channel, file, by=friend)
    before = state(seaway)
    files_changed = tuple(f"{NOARCH}/{file.name}" for file in (own[0], OLD[0], OTHER, own[1]))
    with pytest.raises(NotAllowed) as refusal:
        removal.change(seaway.site, friend, channel, FileAction.DELETE, Selection(files_changed))
    assert f"Affected files: {NOARCH}/{OLD[0].name}, {NOARCH}/{OTHER.name}." in refusal.value.message
    assert (before, []) == (state(seaway), audit_entries(seaway))
    result = removal.change(seaway.site, friend, channel, FileAction.DELETE, Selection(package="demo", version="3.0"))
    assert 2 == len(result.files)
    assert 4 == len(removal.change(seaway.site, friend, channel, FileAction.YANK, Selection(package="demo")).files)


def by_key(factory: Factory, **limits: Any) -> Caller:
    return factory.caller_of_key(factory.key("owner", **limits))


@pytest.mark.parametrize(
    ("caller", "action", "message"),
    [
        (lambda factory: by_key(factory, mode=Mode.READ), FileAction.YANK, "is not allowed to yank"),
        (lambda factory: by_key(factory, mode=Mode.READ_WRITE), FileAction.DELETE, "is not allowed to delete"),
        (lambda factory: replace(by_key(factory), patterns=("other",)), FileAction.YANK, f"Affected files: {NOARCH}/{OLD[0].name}."),
        (lambda factory: factory.caller_of_key(factory.key(factory.user("moderator", admin=True))), FileAction.YANK, "is not allowed to yank"),
        (lambda factory: factory.caller_of_key(factory.key(factory.member("chan", "v", Role.VIEWER))), FileAction.YANK, "is not allowed to yank"),
    ],
    ids=["READ", "READ_WRITE", "other package", "admin", "viewer"],
)  # fmt: skip
async def test_limits_of_a_caller_refuse_the_whole_action(
    seaway: Seaway,
    channel: str,
    factory: Factory,
    caller: Callable[[Factory], Caller],
    action: FileAction,
    message: str,
) -> None:
    before = state(seaway)
    selection = Selection((f"{NOARCH}/{OTHER.name}", f"{NOARCH}/{OLD[0].name}"))
    with pytest.raises(NotAllowed) as refusal:
        removal.change(seaway.site, caller(factory), channel, action, selection)
    assert message in refusal.value.message
    assert before == state(seaway)


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        (Selection((f"{NOARCH}/{OTHER.name}", f"{NOARCH}/gone-1-0.conda")), Conflict, f"{NOARCH}/gone-1-0.conda"),
        (Selection((f"{NOARCH}/{OTHER.name}", f"{LINUX}/{OTHER.name}")), Conflict, f"{LINUX}/{OTHER.name}"),
        (Selection(package="demo", version="9"), NotFound, "no file of this package"),
        (Selection(package="nothing"), NotFound, "no file of this package"),
        (Selection(package="demo", subdir="win-64"), NotFound, "no file of this package"),
        (Selection((f"{NOARCH}/{OTHER.name}",), "demo"), NotFound, f"package demo has no file {NOARCH}/{OTHER.name}"),
        (
            Selection((f"{NOARCH}/{OTHER.name}", f"{NOARCH}/{NEW.name}"), "demo"),
            NotFound,
            f"package demo has no file {NOARCH}/{OTHER.name}",
        ),
    ],
    ids=str,
)
async def test_selection_of_missing_files_changes_nothing(
    seaway: Seaway, channel: str, selection: Selection, error: type[SeawayError], message: str
) -> None:
    before = state(seaway)
    with pytest.raises(error, match=message):
        removal.change(seaway.site, OPERATOR, channel, FileAction.DELETE, selection)
    assert (before, []) == (state(seaway), audit_entries(seaway))


@pytest.mark.parametrize(
    "selection",
    [
        {}, {"files": ["noarch/a"], "package": "demo"}, {"files": ["noarch/a"], "version": "1.0"}, {"version": "1.0"},
        {"files": ["a"]}, {"files": ["noarch/a/b"]}, {"package": "demo", "version": ""},
        {"package": "demo", "subdir": ""}, {"files": ["noarch/a"], "package": ""},
    ],
    ids=str,
)  # fmt: skip
def test_selection_is_either_files_or_a_package(selection: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        select_files(**selection)


@pytest.mark.parametrize("action", FileAction)
@pytest.mark.parametrize("public", [True, False])
async def test_caller_without_permission_is_refused_without_lock_and_file_reads(
    seaway: Seaway, factory: Factory, action: FileAction, public: bool
) -> None:
    """The refusal does not wait for the channel lock; neither action nor preview reads a file row (6)."""
    channel = factory.channel("chan", public=public)
    await publish_file(seaway, channel, NEW)
    viewer = factory.caller_of_key(factory.key(factory.member(channel, "viewer", Role.VIEWER)))
    selection = Selection(package="demo")
    callers: list[tuple[Caller, type[SeawayError]]] = [
        (ANONYMOUS, BadCredential),
        (factory.caller_of_key(factory.key(factory.user("nonmember"))), NotAllowed if public else NotFound),
        (viewer, NotAllowed),
    ]
    with seaway.site.database.write_channel(channel), record_statements(seaway.site.database) as statements:
        for caller, refusal in callers:
            with pytest.raises(refusal):
                removal.change(seaway.site, caller, channel, action, selection)
            with pytest.raises(refusal), seaway.site.database.read() as tx:
                removal.preview(tx, caller, channel, action, selection)
    assert [] == [statement for statement in statements if "FROM files" in statement]


async def test_only_confirmed_files_are_changed(seaway: Seaway, channel: str) -> None:
    """A file that joined the selection after the confirmation refuses the action (7)."""
    selection = Selection(package="demo", version="2.0")
    delete = partial(removal.change, seaway.site, OPERATOR, channel, FileAction.DELETE, selection)
    confirmed = removal.digest([f"{NOARCH}/{NEW.name}"])
    await publish_file(seaway, channel, for_linux("2.0"))
    before = state(seaway)
    with pytest.raises(Conflict, match="The selected files have changed"):
        delete(expected=confirmed)
    assert (before, []) == (state(seaway), audit_entries(seaway))
    assert 2 == len(delete(expected=removal.digest([f"{NOARCH}/{NEW.name}", f"{LINUX}/{for_linux('2.0').name}"])).files)


async def test_audit_log_has_every_file_of_a_large_action(
    seaway: Seaway, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its sha256, in several entries for the same target."""
    monkeypatch.setattr(removal, "_FILES_IN_AN_ENTRY", 3)
    removal.change(seaway.site, OPERATOR, channel, FileAction.YANK, Selection(package="demo"), reason="old")
    hashes = {f"{NOARCH}/{file.name}": file.sha256 for file in (*OLD, NEW)} | {
        f"{LINUX}/{LINUX_FILE.name}": LINUX_FILE.sha256
    }
    found = audit_entries(seaway)
    assert [("file.yanked", "demo", 4, "old")] * 2 == [
        (event, target, detail["files"], detail["reason"]) for event, target, detail in found
    ]
    assert ["1 of 2", "2 of 2"] == [detail["part"] for _, _, detail in found]
    assert [3, 1] == [len(detail["sha256"]) for _, _, detail in found]
    assert hashes == found[0][2]["sha256"] | found[1][2]["sha256"]


async def test_statements_do_not_grow_with_the_files(seaway: Seaway, factory: Factory) -> None:
    """Twelve files of a version take as many as two."""
    channel, counts = factory.channel("chan"), []
    for number in range(12):
        await publish_file(seaway, channel, build(number, "2.0" if number > 1 else "1.0"))
    for action in (FileAction.YANK, FileAction.UNYANK, FileAction.DELETE):
        for version in ("1.0", "2.0"):
            with record_statements(seaway.site.database) as statements:
                result = removal.change(
                    seaway.site, OPERATOR, channel, action, Selection(package="demo", version=version)
                )
            counts.append((len(result.files), len(statements)))
    assert [2, 10] * 3 == [count for count, _ in counts]
    assert {0} == {abs(counts[index][1] - counts[index + 1][1]) for index in (0, 2)}
    assert counts[5][1] <= counts[4][1] + 1  # no file of the name is left


async def test_too_many_files_are_refused(seaway: Seaway, channel: str) -> None:
    """The refusal says how to select fewer."""
    add_rows(seaway, channel, removal.MAX_FILES)
    with pytest.raises(Conflict, match=r"More than 10,000 files .* Choose one version or one platform"):
        removal.change(seaway.site, OPERATOR, channel, FileAction.DELETE, Selection(package="demo"))


async def test_api_changes_many_files(seaway: Seaway, http: httpx.AsyncClient, channel: str, factory: Factory) -> None:
    """Invalid selections are refused with the reason; the response lists the changed files and the new revisions."""
    headers = bearer(factory.key("owner"))

    async def send(action: str, **body: Any) -> httpx.Response:
        return await http.post(f"/api/v1/channels/{channel}/files/{action}", json=body, headers=headers)

    response = await send("yank", package="demo", version="1.0", subdir=NOARCH, reason="old")
    expected = {"files": [f"{NOARCH}/{file.name}" for file in OLD], "unchanged": 0, "revisions": {NOARCH: 5}}
    assert (200, expected) == (response.status_code, response.json())
    assert 200 == (await send("unyank", files=[f"{NOARCH}/{OLD[0].name}"])).status_code
    assert 200 == (await send("delete", package="demo")).status_code
    for body, status in (
        ({"package": "demo"}, 404),
        ({}, 400),
        ({"files": ["x"]}, 400),
        ({"package": "other", "version": ""}, 422),
        ({"package": "other", "subdir": ""}, 422),
        ({"files": ["noarch/a"] * (removal.MAX_NAMED + 1)}, 422),
        ({"files": [f"noarch/{number:0243}" for number in range(removal.MAX_NAMED)]}, 404),  # the longest names
        ({"package": "other", "reason": "a"}, 422),  # a deletion takes no reason
        ({"files": [f"{NOARCH}/{OTHER.name}", "noarch/gone-1-0.conda"]}, 409),
    ):
        refused = await send("delete", **body)
        assert status == refused.status_code, refused.text
    assert "noarch/gone-1-0.conda" in refused.json()["message"]
    assert ({OTHER.name}, []) == await documents(http)


async def test_undone_yank_restores_the_state_before_it(seaway: Seaway, channel: str) -> None:
    """Listed files are listed; files with an earlier reason have it again, and their earlier yank can be undone (7)."""
    paths = [f"{LINUX}/{LINUX_FILE.name}", *(f"{NOARCH}/{file.name}" for file in OLD)]
    before = state(seaway)
    first = yank_of(seaway, channel, paths[1], reason="a leak")
    second = yank_of(seaway, channel, package="demo", version="1.0", reason="broken")
    logged = len(audit_entries(seaway))
    undone = removal.undo_yank(seaway.site, OPERATOR, channel, second)
    assert UndoneYank((paths[0], paths[2]), (paths[1],)) == undone
    assert {**before, paths[1]: ("yanked", "a leak")} == state(seaway)
    hashes = dict(zip(paths, (file.sha256 for file in (LINUX_FILE, *OLD)), strict=True))
    yanked = {paths[1]: hashes.pop(paths[1])}
    assert [
        ("file.unyanked", "3 files", {"files": 3, "sha256": hashes}),
        ("file.yanked", "3 files", {"files": 3, "sha256": yanked, "reason": "a leak", "already_yanked": True}),
    ] == audit_entries(seaway)[logged:]
    assert UndoneYank((paths[1],), ()) == removal.undo_yank(seaway.site, OPERATOR, channel, first)
    assert before == state(seaway)
    assert [] == list(check(seaway))


async def test_new_reason_is_undone(seaway: Seaway, channel: str) -> None:
    """One earlier yank is kept: after two new reasons, the undo of the last restores the one before it, no more (7)."""
    path = f"{NOARCH}/{NEW.name}"
    yanks = [yank_of(seaway, channel, path, reason=reason) for reason in ("a", "b", "c")]
    assert UndoneYank((), (path,)) == removal.undo_yank(seaway.site, OPERATOR, channel, yanks[2])
    assert ("yanked", "b") == state(seaway)[path]
    for yank in yanks:
        with pytest.raises(Conflict, match="can no longer be undone"):
            removal.undo_yank(seaway.site, OPERATOR, channel, yank)
    assert ("yanked", "b") == state(seaway)[path]


async def unyank_it(seaway: Seaway, channel: str) -> None:
    removal.unyank(seaway.site, OPERATOR, channel, NOARCH, NEW.name)


async def delete_and_publish_it(seaway: Seaway, channel: str) -> None:
    removal.delete(seaway.site, OPERATOR, channel, NOARCH, NEW.name)
    await publish_file(seaway, channel, NEW, force=True)


async def replace_it(seaway: Seaway, channel: str) -> None:
    other_bytes = conda(index_json("demo", "2.0", "h1_0"), files={"other": b"content"})
    assert other_bytes.name == NEW.name
    await publish_file(seaway, channel, other_bytes, force=True)


@pytest.mark.parametrize("reset", [unyank_it, delete_and_publish_it, replace_it])
@pytest.mark.parametrize("reason", ["", "a leak"])
async def test_undo_does_not_undo_a_later_yank(
    seaway: Seaway, channel: str, reset: Callable[[Seaway, str], Awaitable[None]], reason: str
) -> None:
    """Not even one with the same reason, in the same millisecond (7)."""
    path = f"{NOARCH}/{NEW.name}"
    yank = yank_of(seaway, channel, path, reason=reason)
    await reset(seaway, channel)
    with pytest.raises(Conflict, match="can no longer be undone"):
        removal.undo_yank(seaway.site, OPERATOR, channel, yank)
    later = yank_of(seaway, channel, path, reason=reason)
    with pytest.raises(Conflict, match="can no longer be undone"):
        removal.undo_yank(seaway.site, OPERATOR, channel, yank)
    assert ("yanked", reason) == state(seaway)[path]
    removal.undo_yank(seaway.site, OPERATOR, channel, later)
    assert ("listed", "") == state(seaway)[path]


async def test_yanks_in_one_millisecond_are_undone_separately(seaway: Seaway, channel: str) -> None:
    """The same number of files by the same user is not the same change (7)."""
    paths = [f"{NOARCH}/{file.name}" for file in (*OLD, NEW, OTHER)]
    before = state(seaway)
    yanks = [yank_of(seaway, channel, *chosen) for chosen in (paths[:2], paths[2:])]
    assert set(paths[2:]) == set(removal.undo_yank(seaway.site, OPERATOR, channel, yanks[1]).files)
    assert {**before, **dict.fromkeys(paths[:2], ("yanked", ""))} == state(seaway)


async def test_undone_yank_of_many_files(seaway: Seaway, channel: str) -> None:
    """The names of the files are in several entries of the audit log."""
    add_rows(seaway, channel, 450)
    before = state(seaway)
    yank = removal.change(seaway.site, OPERATOR, channel, FileAction.YANK, select_files(package="demo")).yank
    assert yank is not None
    assert 454 == len(removal.undo_yank(seaway.site, OPERATOR, channel, yank).files)
    assert before == state(seaway)


async def test_undo_needs_a_yank_of_the_channel(seaway: Seaway, channel: str, factory: Factory) -> None:
    """The id of another entry, or of a yank in another channel, undoes nothing."""
    yank = yank_of(seaway, channel, f"{NOARCH}/{NEW.name}")
    before = state(seaway)
    for place, number in ((factory.channel("elsewhere"), yank), (channel, yank - 1), (channel, yank + 1)):
        with pytest.raises(Conflict, match="can no longer be undone"):
            removal.undo_yank(seaway.site, OPERATOR, place, number)
    assert before == state(seaway)


async def test_undo_needs_the_permission_for_each_file(seaway: Seaway, channel: str, factory: Factory) -> None:
    """A key for some packages undoes no yank of other packages, and a viewer none (4)."""
    yank = yank_of(seaway, channel, f"{NOARCH}/{NEW.name}", f"{NOARCH}/{OTHER.name}")
    before = state(seaway)
    viewer = factory.caller_of_key(factory.key(factory.member(channel, "viewer", Role.VIEWER)))
    for caller in (replace(by_key(factory), patterns=("other",)), viewer):
        with pytest.raises(NotAllowed):
            removal.undo_yank(seaway.site, caller, channel, yank)
    assert before == state(seaway)


def yank_of(seaway: Seaway, channel: str, *paths: str, reason: str = "", **selection: Any) -> int:
    """Yank files; return the id with which that is undone."""
    chosen = select_files(files=paths, **selection)
    yank = removal.change(seaway.site, OPERATOR, channel, FileAction.YANK, chosen, reason=reason).yank
    assert yank is not None
    return yank


def add_rows(seaway: Seaway, channel: str, count: int) -> None:
    """Add files to version 2.0."""
    with seaway.site.database.write_channel(channel) as tx:
        row = dict(tx.execute(select(files).where(files.c.file_name == NEW.name)).mappings().one())
        del row["id"]
        names = [f"demo-2.0-many_{number}.conda" for number in range(count)]
        tx.execute(insert(files), [{**row, "file_name": name} for name in names])
