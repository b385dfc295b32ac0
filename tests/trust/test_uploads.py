"""The record of uploads: what stands in it, and that nobody changes it unseen."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from seaway.callers.caller import OPERATOR, Caller, CredentialKind, Mode, PublisherGrant, Workflow
from seaway.channels import channels
from seaway.channels import upload_log as record
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.database.tables import upload_chains, uploads, users
from seaway.server.wiring import Seaway
from seaway.serving.caller_identification import Accepted, Secrets, identify
from tests.support.house import People, publish_file
from tests.support.packages import PackageFile, conda, index_json, tar_bz2

pytestmark = pytest.mark.anyio


def rows(seaway: Seaway, channel: str) -> list[dict[str, Any]]:
    with seaway.database.read() as tx:
        return list(record.rows(tx, channel))


def broken(seaway: Seaway) -> list[str]:
    with seaway.database.read() as tx:
        return [where for where, _ in record.broken(tx)]


def principal(seaway: Seaway, key: str) -> Caller:
    with seaway.database.read() as tx:
        return identify(tx, seaway.request_parts.reading.identifying, Secrets((key,)), Accepted.ANY).with_address(
            "192.0.2.7"
        )


async def test_every_file_that_came_in_has_its_row(seaway: Seaway, people: People) -> None:
    """Who sent what from where, by which key; an overwrite is a row of its own that says what it replaced."""
    people.channel("robots")
    people.member("robots", "ann", Role.CONTRIBUTOR)
    by = principal(seaway, people.key("ann"))
    first, second = conda(), conda(files={"a": b"other"})
    await publish_file(seaway, "robots", first, by=by)
    await publish_file(seaway, "robots", second, by=by, force=True)
    one, two = rows(seaway, "robots")

    assert ("ann (key key 0)", by.user_id, by.key_id) == (one["principal"], one["user_id"], one["key_id"])
    assert ("192.0.2.7", seaway.clock.now_ms()) == (one["address"], one["at"])
    assert (None, first.sha256) == (one["replaced_sha256"], one["sha256"])
    assert (first.sha256, second.sha256) == (two["replaced_sha256"], two["sha256"])
    assert ("noarch", first.name, len(first.content)) == (one["subdir"], one["file_name"], one["size"])
    assert [1, 2] == [one["number"], two["number"]]


async def test_a_workflow_is_recorded_with_its_run(seaway: Seaway, people: People) -> None:
    """Repository, workflow, commit and run are those that the issuer vouched for; the publisher is that of the channel."""
    people.channel("robots")
    with seaway.database.read() as tx:
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


async def test_a_refused_file_has_no_row(seaway: Seaway, people: People) -> None:
    """The record is of what came in."""
    people.channel("robots")
    await publish_file(seaway, "robots", conda())
    with pytest.raises(Exception, match="was uploaded on"):
        await publish_file(seaway, "robots", conda())

    assert 1 == len(rows(seaway, "robots"))


async def test_the_record_outlives_channel_and_user(seaway: Seaway, people: People) -> None:
    """Invariants 1 and 3: a channel of the same name begins a new chain, and the old one is still there and whole."""
    people.channel("robots")
    people.member("robots", "ann", Role.CONTRIBUTOR)
    await publish_file(seaway, "robots", conda(), by=principal(seaway, people.key("ann")))
    with seaway.database.write_site() as tx:
        channels.remove(tx, seaway.clock.now_ms(), OPERATOR, "robots")
        tx.execute(delete(users).where(users.c.name == "ann"))
    people.channel("robots")
    await publish_file(seaway, "robots", conda())
    old, new = rows(seaway, "robots")

    assert ["ann (key key 0)", "operator"] == [old["principal"], new["principal"]]
    assert [1, 1] == [old["number"], new["number"]]
    assert broken(seaway) == []


async def test_an_export_can_be_checked_by_anybody(seaway: Seaway, people: People) -> None:
    """With nothing but a JSON reader and sha256, as the manual tells."""
    people.channel("robots")
    for number in range(3):
        await publish_file(seaway, "robots", conda(index_json(f"package-é{number}"[:7] + str(number))))
    previous = "0" * 64
    for row in rows(seaway, "robots"):
        line = json.loads(record.as_json(row))
        stated = line.pop("hash")
        text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert previous == line["previous"]
        assert hashlib.sha256(text.encode()).hexdigest() == stated
        previous = stated


SECOND = (uploads.c.channel == "robots") & (uploads.c.number == 2)


def insert_between(tx: Tx) -> None:
    row = dict(tx.execute(select(uploads).where(SECOND)).mappings().one())
    tx.execute(update(uploads).where(uploads.c.channel == "robots", uploads.c.number == 3).values(number=4))
    tx.execute(insert(uploads).values(row | {"number": 3, "principal": "nobody"}))


def swap(tx: Tx) -> None:
    for old, new in ((2, 9), (3, 2), (9, 3)):
        tx.execute(update(uploads).where(uploads.c.channel == "robots", uploads.c.number == old).values(number=new))


FORGERIES: dict[str, Callable[[Tx], object]] = {
    "another principal": lambda tx: tx.execute(update(uploads).where(SECOND).values(principal="somebody else")),
    "another hash of the file": lambda tx: tx.execute(update(uploads).where(SECOND).values(sha256=bytes(32))),
    "another time": lambda tx: tx.execute(update(uploads).where(SECOND).values(at=uploads.c.at + 1)),
    "another address": lambda tx: tx.execute(update(uploads).where(SECOND).values(address="192.0.2.1")),
    "a value instead of none": lambda tx: tx.execute(update(uploads).where(SECOND).values(key_id=0)),
    "a row less": lambda tx: tx.execute(delete(uploads).where(SECOND)),
    "the first row less": lambda tx: tx.execute(delete(uploads).where(uploads.c.number == 1)),
    "the last row less": lambda tx: tx.execute(delete(uploads).where(uploads.c.number == 3)),
    "all rows less": lambda tx: tx.execute(delete(uploads)),
    "a row more": insert_between,
    "two rows exchanged": swap,
    "the end moved": lambda tx: tx.execute(update(upload_chains).values(count=2)),
    "the end forgotten": lambda tx: tx.execute(delete(upload_chains)),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_a_record_that_was_tampered_with_is_found(
    seaway: Seaway, people: People, forge: Callable[[Tx], object]
) -> None:
    """Invariant 2, one forgery at a time."""
    people.channel("robots")
    for name in ("a", "b", "c"):
        await publish_file(seaway, "robots", conda(index_json(name)))
    assert broken(seaway) == []
    with seaway.database.write_site() as tx:
        forge(tx)

    assert broken(seaway) != []


async def test_uploads_that_come_together_make_one_chain(seaway: Seaway, people: People) -> None:
    """A batch, and one whose files want each other's name, go on where the chain ended."""
    people.channel("robots")
    files: list[PackageFile] = [conda(), tar_bz2(), conda(index_json("other"))]
    for file in files:
        await publish_file(seaway, "robots", file)
    for file in files:
        await publish_file(seaway, "robots", file, force=True)

    assert list(range(1, 7)) == [row["number"] for row in rows(seaway, "robots")]
    assert broken(seaway) == []
