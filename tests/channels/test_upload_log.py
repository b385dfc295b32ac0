"""The upload log: its contents, and detection of tampering."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from seaway.callers.caller import OPERATOR, Caller, CredentialKind, Mode, PublisherGrant, Workflow
from seaway.channels import channels, upload_log
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.database.tables import upload_chains, uploads, users
from seaway.server.wiring import Seaway
from seaway.serving.caller_identification import Accepted, Secrets, identify
from tests.support.packages import PackageFile, conda, index_json, tar_bz2
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio


def rows(seaway: Seaway, channel: str) -> list[dict[str, Any]]:
    with seaway.site.database.read() as tx:
        return list(upload_log.rows(tx, channel))


def broken_rows(seaway: Seaway) -> list[str]:
    with seaway.site.database.read() as tx:
        return [location for location, _ in upload_log.broken(tx)]


def caller_with_key(seaway: Seaway, key: str) -> Caller:
    with seaway.site.database.read() as tx:
        now_ms, policy = seaway.site.clock.now_ms(), seaway.request_parts.reading.policy
        return identify(tx, now_ms, policy, Secrets((key,)), Accepted.ANY).with_address("192.0.2.7")


async def test_each_upload_has_a_row(seaway: Seaway, factory: Factory) -> None:
    """User, key, IP address and file; an overwrite has a separate row with the replaced hash."""
    factory.channel("robots")
    factory.member("robots", "ann", Role.CONTRIBUTOR)
    by = caller_with_key(seaway, factory.key("ann"))
    first, second = conda(), conda(files={"a": b"other"})
    await publish_file(seaway, "robots", first, by=by)
    await publish_file(seaway, "robots", second, by=by, force=True)
    upload_row, overwrite_row = rows(seaway, "robots")

    assert ("ann (key key 0)", by.user_id, by.key_id) == (
        upload_row["principal"],
        upload_row["user_id"],
        upload_row["key_id"],
    )
    assert ("192.0.2.7", seaway.site.clock.now_ms()) == (upload_row["address"], upload_row["at"])
    assert (None, first.sha256) == (upload_row["replaced_sha256"], upload_row["sha256"])
    assert (first.sha256, second.sha256) == (overwrite_row["replaced_sha256"], overwrite_row["sha256"])
    assert ("noarch", first.name, len(first.content)) == (
        upload_row["subdir"],
        upload_row["file_name"],
        upload_row["size"],
    )
    assert [1, 2] == [upload_row["number"], overwrite_row["number"]]


async def test_workflow_upload_records_its_run(seaway: Seaway, factory: Factory) -> None:
    """Repository, workflow, commit and run come from the issuer's token; the publisher is the one of this channel."""
    factory.channel("robots")
    with seaway.site.database.read() as tx:
        channel_id = channels.get(tx, "robots").id
    workflow = Workflow(
        issuer="https://token.actions.githubusercontent.com",
        kind="github",
        repository="acme/demo",
        sha="c0ffee",
        run_id="3003",
        run_attempt="2",
        workflow_ref="acme/demo/.github/workflows/release.yml@refs/heads/main",
    )
    grants = (PublisherGrant(channel_id + 1, 8, Mode.READ), PublisherGrant(channel_id, 9, Mode.READ_WRITE))
    by = Caller(
        "GitHub: acme/demo",
        credential=CredentialKind.WORKFLOW,
        workflow=workflow,
        grants=grants,
        channel_ids=frozenset({channel_id}),
    )
    await publish_file(seaway, "robots", conda(), by=by)
    (row,) = rows(seaway, "robots")

    assert ("acme/demo", "c0ffee", "3003/2", 9) == (row["repository"], row["commit"], row["run"], row["publisher_id"])
    assert workflow.workflow_ref == row["workflow"]
    assert (None, None) == (row["user_id"], row["key_id"])


async def test_refused_upload_has_no_row(seaway: Seaway, factory: Factory) -> None:
    factory.channel("robots")
    await publish_file(seaway, "robots", conda())
    with pytest.raises(Exception, match="was uploaded on"):
        await publish_file(seaway, "robots", conda())

    assert 1 == len(rows(seaway, "robots"))


async def test_upload_log_outlives_channel_and_user(seaway: Seaway, factory: Factory) -> None:
    """Invariants 1 and 3: a new channel of the same name begins a new chain; the old chain remains valid."""
    factory.channel("robots")
    factory.member("robots", "ann", Role.CONTRIBUTOR)
    await publish_file(seaway, "robots", conda(), by=caller_with_key(seaway, factory.key("ann")))
    with seaway.site.database.write_site() as tx:
        channels.remove(tx, seaway.site.clock.now_ms(), OPERATOR, "robots")
        tx.execute(delete(users).where(users.c.name == "ann"))
    factory.channel("robots")
    await publish_file(seaway, "robots", conda())
    old, new = rows(seaway, "robots")

    assert ["ann (key key 0)", "operator"] == [old["principal"], new["principal"]]
    assert [1, 1] == [old["number"], new["number"]]
    assert broken_rows(seaway) == []


async def test_export_can_be_verified_with_json_and_sha256(seaway: Seaway, factory: Factory) -> None:
    """As described in the manual."""
    factory.channel("robots")
    for number in range(3):
        await publish_file(seaway, "robots", conda(index_json(f"package-é{number}"[:7] + str(number))))
    previous = "0" * 64
    for row in rows(seaway, "robots"):
        line = json.loads(upload_log.as_json(row))
        stated = line.pop("hash")
        text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert previous == line["previous"]
        assert hashlib.sha256(text.encode()).hexdigest() == stated
        previous = stated


SECOND_ROW = (uploads.c.channel == "robots") & (uploads.c.number == 2)


def insert_between(tx: Tx) -> None:
    row = dict(tx.execute(select(uploads).where(SECOND_ROW)).mappings().one())
    tx.execute(update(uploads).where(uploads.c.channel == "robots", uploads.c.number == 3).values(number=4))
    tx.execute(insert(uploads).values(row | {"number": 3, "principal": "other"}))


def swap_rows(tx: Tx) -> None:
    for old, new in ((2, 9), (3, 2), (9, 3)):
        tx.execute(update(uploads).where(uploads.c.channel == "robots", uploads.c.number == old).values(number=new))


FORGERIES: dict[str, Callable[[Tx], object]] = {
    "another caller": lambda tx: tx.execute(update(uploads).where(SECOND_ROW).values(principal="another user")),
    "another hash of the file": lambda tx: tx.execute(update(uploads).where(SECOND_ROW).values(sha256=bytes(32))),
    "another time": lambda tx: tx.execute(update(uploads).where(SECOND_ROW).values(at=uploads.c.at + 1)),
    "another address": lambda tx: tx.execute(update(uploads).where(SECOND_ROW).values(address="192.0.2.1")),
    "a value instead of none": lambda tx: tx.execute(update(uploads).where(SECOND_ROW).values(key_id=0)),
    "a row removed": lambda tx: tx.execute(delete(uploads).where(SECOND_ROW)),
    "the first row removed": lambda tx: tx.execute(delete(uploads).where(uploads.c.number == 1)),
    "the last row removed": lambda tx: tx.execute(delete(uploads).where(uploads.c.number == 3)),
    "all rows removed": lambda tx: tx.execute(delete(uploads)),
    "a row inserted": insert_between,
    "two rows swapped": swap_rows,
    "the end moved": lambda tx: tx.execute(update(upload_chains).values(count=2)),
    "the end removed": lambda tx: tx.execute(delete(upload_chains)),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_tampering_is_detected(seaway: Seaway, factory: Factory, forge: Callable[[Tx], object]) -> None:
    """Invariant 2."""
    factory.channel("robots")
    for name in ("a", "b", "c"):
        await publish_file(seaway, "robots", conda(index_json(name)))
    assert broken_rows(seaway) == []
    with seaway.site.database.write_site() as tx:
        forge(tx)

    assert broken_rows(seaway) != []


async def test_uploads_and_overwrites_make_one_chain(seaway: Seaway, factory: Factory) -> None:
    factory.channel("robots")
    files: list[PackageFile] = [conda(), tar_bz2(), conda(index_json("other"))]
    for file in files:
        await publish_file(seaway, "robots", file)
    for file in files:
        await publish_file(seaway, "robots", file, force=True)

    assert list(range(1, 7)) == [row["number"] for row in rows(seaway, "robots")]
    assert broken_rows(seaway) == []
