"""Query results have the types that their dataclasses declare, on real rows: a type checker cannot verify it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from sqlalchemy import insert, literal, select

from seaway.audit import log as audit_log
from seaway.callers.caller import OPERATOR, Caller
from seaway.channels import channels, groups, invitations, members, notices, quotas, transfers
from seaway.channels.channel import Attestations
from seaway.channels.notices import Level
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.database import tables
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.indexing import document_lag, documents
from seaway.indexing.file_rows import find_subdir, records_of
from seaway.jobs import queue
from seaway.keys import api_keys, channel_keys
from seaway.oauth import grants
from seaway.packages import (
    catalog,
    channel_statistics,
    damaged_blobs,
    download_history,
    downloads,
    files,
    recent_uploads,
    search,
    storage_usage,
    versions,
)
from seaway.packages.client_families import ClientFamily
from seaway.packages.downloads import DownloadKey, Split
from seaway.packages.search import PackageQuery
from seaway.server.job_handlers import Sweep
from seaway.server.wiring import Seaway
from seaway.sign_in import external_identities, passkeys, sessions
from seaway.users import emails, users
from seaway.web.channel import _holdings
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file


@dataclass(frozen=True)
class _Stored:
    tx: Tx
    now_ms: int
    ada: int  # the channel owner
    bob: int  # a member
    channel: int
    by_ada: Caller
    by_bob: Caller

    @property
    def today(self) -> int:
        return downloads.day_of(self.now_ms)


READERS: dict[str, Callable[[_Stored], Sequence[object]]] = {
    "users": lambda at: users.all_users(at.tx),
    "emails": lambda at: emails.of_user(at.tx, at.ada),
    "identities": lambda at: external_identities.of_user(at.tx, at.ada),
    "passkeys": lambda at: passkeys.of_user(at.tx, at.ada),
    "sessions": lambda at: sessions.of_user(at.tx, at.ada, at.now_ms),
    "tool logins": lambda at: grants.of_user(at.tx, at.ada, at.now_ms),
    "keys": lambda at: api_keys.all_keys(at.tx, at.ada),
    "keys of a channel": lambda at: channel_keys.of_caller(at.tx, at.now_ms, at.by_ada, "robots"),
    "channels": lambda at: channels.visible_to(at.tx, OPERATOR),
    "public channels": lambda at: channels.public(at.tx, limit=5),
    "matching channels": lambda at: channels.matching(at.tx, OPERATOR, "rob", limit=5),
    "channels of a user": lambda at: channels.with_role_of(at.tx, at.bob),
    "access": lambda at: [channels.access_of(at.tx, "robots", by) for by in (OPERATOR, at.by_bob)],
    "members": lambda at: members.all_members(at.tx, at.channel),
    "member groups": lambda at: members.all_groups(at.tx, OPERATOR, at.channel),
    "groups": lambda at: groups.all_groups(at.tx, OPERATOR),
    "groups of a user": lambda at: groups.of_user(at.tx, at.bob),
    "users of a group": lambda at: groups.get(at.tx, OPERATOR, "crew"),
    "invitations": lambda at: invitations.of_channel(at.tx, OPERATOR, "robots"),
    "transfers": lambda at: transfers.pending_for(at.tx, at.now_ms, at.bob),
    "notices": lambda at: notices.current(at.tx, at.now_ms, at.channel),
    "quotas": lambda at: [quotas.of_channel(at.tx, at.channel), quotas.room_of_channel(at.tx, at.channel, 10)],
    "audit": lambda at: audit_log.of_all(at.tx, limit=100),
    "packages": lambda at: catalog.list_packages(at.tx, at.channel),
    "lines": lambda at: search.search(at.tx, OPERATOR, PackageQuery(), limit=5).hits,
    "versions": lambda at: versions.of_package(at.tx, at.channel, "talos"),
    "files": lambda at: files.of_package(at.tx, at.channel, "talos", limit=5),
    "package": lambda at: [files.describe(at.tx, at.channel, "talos")],
    "file": lambda at: [files.get(at.tx, at.channel, "noarch", "talos-1.0-0.conda")],
    "arrivals": lambda at: recent_uploads.files_of(at.tx, at.channel, "robots", 5),
    "usage": lambda at: [
        *storage_usage.by_channel(at.tx, limit=5),
        storage_usage.of_site(at.tx, 0),
    ],
    "downloads": lambda at: [
        download_history.of_package(at.tx, at.channel, "talos", today=at.today, days=30, split=Split.VERSION),
        download_history.of_package(
            at.tx, at.channel, "talos", today=at.today, days=30, split=Split.CLIENT, version="1.0"
        ),
        *download_history.most_downloaded(at.tx, at.channel, 5),
    ],
    "statistics": lambda at: [
        channel_statistics.of_channel(
            at.tx, channels.get(at.tx, "robots"), today=at.today, days=30, split=Split.PACKAGE
        ),
        *storage_usage.samples(at.tx, at.channel, today=at.today, days=1),
    ],
    "damage": lambda at: damaged_blobs.affected_files(at.tx, 5),
    "holdings": lambda at: _holdings(at.tx, at.channel),
    "jobs": lambda at: queue.list_jobs(at.tx),
    "lag": lambda at: document_lag.lags(at.tx, 5),
    "subdir": lambda at: [find_subdir(at.tx, at.channel, "noarch")],
    "index records": lambda at: records_of(at.tx, subdir_id(at), "talos"),
    "documents": lambda at: [documents._find(at.tx, subdir_id(at), documents.REPODATA)],
}


@pytest.mark.anyio
async def test_rows_have_the_declared_types(seaway: Seaway, factory: Factory) -> None:
    await fill(seaway, factory)
    by_ada, by_bob = factory.signed_in("ada"), factory.signed_in("bob")
    with seaway.site.database.read() as tx:
        at = _Stored(
            tx, seaway.site.clock.now_ms(), users.get(tx, "ada").id, users.get(tx, "bob").id,
            channels.get(tx, "robots").id, by_ada, by_bob,
        )  # fmt: skip
        for name, read in READERS.items():
            results = read(at)
            assert results, name
            assert [] == [error for value in results for error in type_errors(value, name)]
        (channel, role), *_ = channels.with_role_of(tx, at.ada)
    assert Attestations.OPTIONAL is channel.attestations
    assert Role.OWNER is role


def test_a_row_of_the_wrong_type_is_refused(seaway: Seaway) -> None:
    """A row without a column is refused too; the order of the columns does not matter."""

    @dataclass
    class Thing:
        name: str
        role: Role

    with seaway.site.database.read() as tx:
        row = tx.execute(select(literal("owner").label("role"), literal(7).label("more"), literal("x").label("name")))
        assert Thing("x", Role.OWNER) == from_row(Thing, row.one())
        for columns in (
            [literal("x").label("name")],
            [literal("x").label("name"), literal("king").label("role")],
            [literal(7).label("name"), literal("owner").label("role")],
        ):
            with pytest.raises(msgspec.ValidationError):
                from_row(Thing, tx.execute(select(*columns)).one())


async def fill(seaway: Seaway, factory: Factory) -> None:
    """Store at least one row for every entry of `READERS`."""
    factory.channel("robots", owner="ada")
    factory.member("robots", "bob", Role.VIEWER)
    factory.key("ada")
    await publish_file(seaway, "robots", conda(index_json(name="talos", version="1.0", build="0")))
    now = seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        ada, bob = users.get(tx, "ada"), users.get(tx, "bob")
        emails.add(tx, now, ada.id, "ada@example.com", verified=True)
        emails.add(tx, now, bob.id, "bob@example.com", verified=True)
        sessions.start(tx, now, ada.id, address="192.0.2.1", agent="browser")
        grants.add(tx, now, ada.id, "rattler", "openid channel:read", address="192.0.2.1")
        groups.add(tx, now, OPERATOR, "crew", bob)
        members.put_group(tx, now, OPERATOR, "robots", "crew", Role.CONTRIBUTOR)
        invitations.invite(tx, now, OPERATOR, "robots", "eve@example.com", Role.VIEWER, outbox=None)
        notices.add(tx, now, OPERATOR, "robots", Level.WARNING, "Soon.", expires_at_ms=now + DAY_MS)
        tx.execute(insert(tables.passkeys).values(
            user_id=ada.id, credential_id=b"c", public_key=b"k", sign_count=0, transports="[]", name="k", created_at=1
        ))  # fmt: skip
        tx.execute(insert(tables.identities).values(
            user_id=ada.id, provider="p", issuer="i", subject="s", login="ada", created_at=1, used_at=1
        ))  # fmt: skip
        tx.execute(insert(tables.damaged_blobs).values(
            sha256=tx.execute(select(tables.files.c.sha256)).scalar_one(), found_at=now, problem="damaged"
        ))  # fmt: skip
        file_id = tx.execute(select(tables.files.c.id)).scalar_one()
        counts = {DownloadKey(file_id, downloads.day_of(now), ClientFamily.CONDA): 2}
        downloads.add(tx, counts, today=downloads.day_of(now))
        storage_usage.sample(tx, downloads.day_of(now))
        queue.enqueue(tx, now, Sweep())
    by = factory.signed_in("ada")
    with seaway.site.database.write_site() as tx:
        transfers.offer(tx, now, by, "robots", "bob", outbox=None)


def subdir_id(at: _Stored) -> int:
    subdir = find_subdir(at.tx, at.channel, "noarch")
    assert subdir is not None
    return subdir.id


def type_errors(value: object, path: str, declared: Any = None) -> list[str]:
    """Return the parts of a value, including nested dataclasses, that do not have the declared type."""
    if isinstance(value, tuple) and declared is None:
        return [error for item in value for error in type_errors(item, path)]
    if declared is not None and not has_type(value, declared):
        return [f"{path} is {value!r} and not {declared}"]
    if not is_dataclass(value):
        return []
    hints = get_type_hints(type(value))
    return [
        error
        for field in fields(value)
        for error in type_errors(
            getattr(value, field.name), f"{path}: {type(value).__name__}.{field.name}", hints[field.name]
        )
    ]


def has_type(value: object, declared: Any) -> bool:
    origin, args = get_origin(declared) or declared, get_args(declared)
    if origin is Any:
        return True
    if origin in (Union, UnionType):
        return any(has_type(value, arg) for arg in args)
    if origin is Literal:
        return value in args
    if origin in (tuple, frozenset, list):
        return type(value) is origin and all(has_type(item, args[0]) for item in value)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(has_type(key, args[0]) for key in value)
    if origin in (int, str, bytes, bool, NoneType) or issubclass(origin, Enum):
        return type(value) is origin  # a bool is not an int, and neither is a decimal
    return isinstance(value, origin)
