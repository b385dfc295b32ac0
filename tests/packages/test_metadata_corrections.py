"""Published metadata can be corrected, and the original restored."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from seaway.audit import Actor
from seaway.callers.caller import OPERATOR, Mode
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.conda.refusals import Refused
from seaway.database.tables import audit, files, subdirs
from seaway.errors import Conflict, Malformed, NotAllowed, NotFound
from seaway.indexing import rebuild
from seaway.indexing.file_rows import get_subdir
from seaway.maintenance.check import check
from seaway.packages import metadata_corrections, removal
from seaway.publishing import reexamine
from seaway.server.wiring import Seaway
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.requests import bearer
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio

FILE = conda(index_json("demo", depends=["numpy", "python >=3.9"], license="MIT"))
MODERN = conda(index_json("modern", depends=["numpy[when='__unix']"]))


@pytest.fixture
async def channel(seaway: Seaway, factory: Factory) -> str:
    name = factory.channel("chan")
    await publish_file(seaway, name, FILE)
    return name


def correct(
    seaway: Seaway, *, file: str = FILE.name, by: Any = OPERATOR, **changes: Any
) -> metadata_corrections.CorrectionResult:
    reason = changes.pop("reason", "wrong pin")
    return metadata_corrections.correct(seaway.site, by, "chan", "noarch", file, changes, reason)


def restore(seaway: Seaway) -> int:
    return metadata_corrections.restore(seaway.site, OPERATOR, "chan", "noarch", FILE.name)


async def record(http: httpx.AsyncClient, document: str = "repodata.json") -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/chan/noarch/{document}")).json()["packages.conda"][FILE.name]
    return found


async def file_details(http: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/api/v1/channels/chan/files/noarch/{FILE.name}")).json()
    return found


def audit_entries(seaway: Seaway) -> list[tuple[str, dict[str, Any]]]:
    with seaway.site.database.read() as tx:
        rows = tx.execute(
            select(audit.c.action, audit.c.detail).where(audit.c.action.like("file.%")).order_by(audit.c.id)
        )
        return [(action, json.loads(detail)) for action, detail in rows]


async def test_correction_is_served_at_once_and_can_be_undone(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, clock: ManualClock
) -> None:
    """Only the corrected fields of the record change; the file details show the original, reason, user and time."""
    before = await record(http)
    exports = await record(http, "run_exports.json")
    clock.move(DAY_MS)
    now_ms = seaway.site.clock.now_ms()
    result = correct(seaway, depends=["numpy <2", "python >=3.9"], license="MIT OR Apache-2.0")
    fields = {"depends": ["numpy <2", "python >=3.9"], "license": "MIT OR Apache-2.0"}
    assert {**before, **fields} == await record(http)
    assert exports == await record(http, "run_exports.json")
    assert (2, ()) == (result.revision, result.warnings)
    original = {"depends": ["numpy", "python >=3.9"], "license": "MIT"}
    correction = (await file_details(http))["correction"]
    assert (fields, original, "wrong pin") == (correction["fields"], correction["original"], correction["reason"])
    assert [] == list(check(seaway))
    correct(seaway, license="MIT", reason="it was right")  # and depends stays corrected
    assert {**before, "depends": fields["depends"]} == await record(http)
    assert ["depends"] == list((await file_details(http))["correction"]["fields"])
    assert 4 == restore(seaway)
    assert before == await record(http)
    assert (await file_details(http))["correction"] is None
    assert now_ms != before["indexed_timestamp"]
    assert [
        (
            "file.corrected",
            {
                "depends": "numpy <2, python >=3.9", "license": "MIT OR Apache-2.0", "reason": "wrong pin",
                "was": '{"depends":["numpy","python >=3.9"],"license":"MIT"}',
            },
        ),
        ("file.corrected", {"license": "MIT", "reason": "it was right", "was": '{"license":"MIT OR Apache-2.0"}'}),
        (
            "file.correction-removed",
            {"depends": "numpy, python >=3.9", "was": '{"depends":["numpy <2","python >=3.9"]}'},
        ),
    ] == audit_entries(seaway)[1:]  # fmt: skip
    assert [] == list(check(seaway))


async def test_audit_log_has_long_values_in_full(seaway: Seaway, channel: str) -> None:
    specs = [f"package-{number} >=1.0,<2.0a0" for number in range(1000)]
    correct(seaway, depends=specs)
    correct(seaway, depends=["numpy"], license="")
    (_, first), (_, second) = audit_entries(seaway)[1:]
    assert ", ".join(specs) == first["depends"]
    assert ({"depends": specs, "license": "MIT"}, "") == (json.loads(second["was"]), second["license"])


async def test_correction_adds_and_removes_fields(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """An empty value removes a field, except depends, which every record has."""
    before = await record(http)
    correct(seaway, constrains=["pip >=20"], track_features=["old", "slow"], license="", depends=[])
    found = await record(http)
    assert (["pip >=20"], "old slow", [], False) == (
        found["constrains"], found["track_features"], found["depends"], "license" in found,
    )  # fmt: skip
    assert [] == list(check(seaway))
    restore(seaway)
    assert before == await record(http)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"depends": ["numpy >=>"]}, Refused, "match spec"),
        ({"constrains": ["https://example.com/a-1-0.conda"]}, Refused, "names a URL"),
        ({"depends": ["numpy[when='__unix']"]}, Refused, "needs repodata v3"),
        ({"license": "a\nb"}, Refused, "without control characters"),
        ({"license": 1}, Refused, "not a string"),
        ({"depends": ["a"] * 2001}, Refused, "at most 2,000"),
        (
            {"depends": [f"a{number} {'|'.join(['>=1.0'] * 160)}" for number in range(300)]},
            Refused,
            "larger than 256 KiB",
        ),
        ({"sha256": "0" * 64}, Malformed, "at least one field"),
        ({}, Malformed, "at least one field"),
        ({"license": "BSD", "reason": " "}, Malformed, "needs a reason"),
        ({"license": "MIT"}, Conflict, "already has these values"),
        ({"license": "BSD", "file": "gone-1-0.conda"}, NotFound, "no such file"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_correction_with_values_that_an_upload_cannot_have_is_refused(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = await record(http)
    with pytest.raises(error, match=message):
        correct(seaway, **changes)
    assert before == await record(http)
    with pytest.raises(Conflict, match="not corrected"):
        restore(seaway)


async def test_corrected_v3_record_has_v3_specs(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """It stays in the v3 section even if old clients could read its new specs."""
    await publish_file(seaway, channel, MODERN)
    correct(seaway, file=MODERN.name, depends=["numpy >=1.2", "scipy"])
    document = (await http.get("/chan/noarch/repodata.json")).json()
    (found,) = document["v3"]["conda"].values()
    assert ['numpy[version=">=1.2"]', "scipy"] == found["depends"]
    assert [] == list(check(seaway))


async def test_specs_that_not_all_clients_can_read_give_a_warning(seaway: Seaway, channel: str) -> None:
    (warning,) = correct(seaway, depends=["numpy (>=1.4,<1.5)|>=2.2"]).warnings
    assert "conda or mamba cannot read" in warning


async def test_only_owner_and_site_admin_with_a_manage_key_can_correct(
    seaway: Seaway, channel: str, factory: Factory
) -> None:
    contributor = factory.member(channel, "friend", Role.CONTRIBUTOR)
    moderator = factory.user("moderator", admin=True)
    for user, mode in (("owner", Mode.READ_WRITE_DELETE), (contributor, Mode.MANAGE)):
        with pytest.raises(NotAllowed, match="is not allowed to correct the metadata"):
            correct(seaway, by=factory.caller_of_key(factory.key(user, mode=mode)), license="BSD")
    for user, text in (("owner", "BSD"), (moderator, "ISC")):
        correct(seaway, by=factory.caller_of_key(factory.key(user, mode=Mode.MANAGE)), license=text)


async def test_refusal_does_not_wait_for_the_channel_lock(seaway: Seaway, channel: str, factory: Factory) -> None:
    """Permission and file are checked before the channel lock, which another transaction holds here."""
    nonmember = factory.caller_of_key(factory.key(factory.user("nonmember"), mode=Mode.MANAGE))
    with seaway.site.database.write_channel(channel):
        with pytest.raises(NotAllowed):
            correct(seaway, by=nonmember, license="BSD")
        with pytest.raises(NotAllowed):
            metadata_corrections.restore(seaway.site, nonmember, channel, "noarch", FILE.name)
        with pytest.raises(NotFound):
            correct(seaway, file="gone-1-0.conda", license="BSD")


@pytest.mark.parametrize(
    ("column", "value", "repair_command"),
    [
        ("correction", b"\xff{not json", "seaway restore"),
        ("correction", b'{"fields":{"depends":5},"original":{},"reason":"r","by":"b","at_ms":1}', "seaway restore"),
        ("record", b"[]", "seaway reindex --from-blobs"),
        ("about", b"{", "seaway reindex --from-blobs"),
    ],
)
async def test_damaged_row_returns_503_with_the_repair_command(
    seaway: Seaway,
    http: httpx.AsyncClient,
    channel: str,
    factory: Factory,
    column: str,
    value: bytes,
    repair_command: str,
) -> None:
    """The response names the file."""
    correct(seaway, license="BSD")
    with seaway.site.database.write_site() as tx:
        tx.execute(update(files).values({column: value}))
    url, headers = f"/api/v1/channels/chan/files/noarch/{FILE.name}", bearer(factory.key("owner", mode=Mode.MANAGE))
    responses = [await http.get(url)]
    if column != "about":  # a correction does not read this column
        responses.append(
            await http.patch(f"{url}/correction", json={"license": "ISC", "reason": "wrong"}, headers=headers)
        )
        responses.append(await http.delete(f"{url}/correction", headers=headers))
    assert {(503, "record-damaged")} == {(response.status_code, response.json()["code"]) for response in responses}
    assert all(f"{FILE.name} is damaged" in response.json()["message"] for response in responses)
    assert all(repair_command in response.json()["hint"] for response in responses)


async def test_overwrite_drops_the_correction(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    """The new file has its own metadata; the audit entry says that a correction was dropped."""
    correct(seaway, license="BSD")
    new = conda(index_json("demo", license="ISC"), files={"share/new": b"new"})
    await publish_file(seaway, channel, new, force=True)
    assert ("ISC", None) == ((await record(http))["license"], (await file_details(http))["correction"])
    action, detail = audit_entries(seaway)[-1]
    assert ("file.overwritten", "dropped") == (action, detail["correction"])
    assert [] == list(check(seaway))


async def test_corrected_file_stays_yanked(seaway: Seaway, http: httpx.AsyncClient, channel: str) -> None:
    removal.yank(seaway.site, OPERATOR, channel, "noarch", FILE.name)
    correct(seaway, license="BSD")
    assert [FILE.name] == (await http.get("/chan/noarch/repodata.json")).json()["removed"]
    removal.unyank(seaway.site, OPERATOR, channel, "noarch", FILE.name)
    assert "BSD" == (await record(http))["license"]


async def test_rebuilt_row_and_rebuilt_index_keep_the_correction(
    seaway: Seaway, http: httpx.AsyncClient, channel: str
) -> None:
    """`reindex --from-blobs` builds the record from package and correction, and `reindex` the index from records."""
    correct(seaway, depends=["numpy <2"])
    expected = await record(http)
    with seaway.site.database.write_site() as tx:
        subdir_id = tx.execute(select(subdirs.c.id)).scalar_one()
        tx.execute(update(files).values(record=b"{}"))
    assert "record" in " ".join(broken.what for broken in check(seaway))
    assert [("record",)] == [
        outcome.changed for outcome in reexamine.rebuild(seaway.site, subdir_id, Actor("operator"))
    ]
    with seaway.site.database.write_site() as tx:
        subdir = get_subdir(tx, subdir_id)
        assert subdir is not None
        rebuild.rebuild(tx, subdir, seaway.site.clock.now_ms(), seaway.settings.whole_document_limit)
    assert expected == await record(http)
    assert [] == list(check(seaway))


async def test_api_corrects_and_restores(
    seaway: Seaway, http: httpx.AsyncClient, channel: str, factory: Factory
) -> None:
    url, headers = (
        f"/api/v1/channels/chan/files/noarch/{FILE.name}/correction",
        bearer(factory.key("owner", mode=Mode.MANAGE)),
    )
    body = {"depends": ["numpy (>=1.4,<1.5)|>=2.2"], "reason": "numpy 2 breaks it"}
    response = await http.patch(url, json=body, headers=headers)
    result = response.json()
    assert (200, 2, 1) == (response.status_code, result["revision"], len(result["warnings"]))
    assert ("numpy 2 breaks it", "owner") == (result["correction"]["reason"], result["correction"]["by"])
    for bad, status in (({"reason": "x"}, 400), ({"license": "BSD"}, 422), ({"size": 1, "reason": "x"}, 422)):
        assert status == (await http.patch(url, json=bad, headers=headers)).status_code
    assert 422 == (await http.patch(url, json={**body, "depends": ["a >=>"]}, headers=headers)).status_code
    for features in ("old slow", ["older", "slow"]):  # as text, as in responses, or as a list
        response = await http.patch(url, json={"track_features": features, "reason": "slow"}, headers=headers)
        corrected = response.json()["correction"]["fields"]["track_features"]
        assert corrected == (features if isinstance(features, str) else " ".join(features))
    assert 200 == (await http.patch(url, json={"license": " ", "reason": "none"}, headers=headers)).status_code
    assert "license" not in await record(http)
    assert 204 == (await http.delete(url, headers=headers)).status_code
    assert 409 == (await http.delete(url, headers=headers)).status_code
    assert (await file_details(http))["correction"] is None
