"""The list of channels for site admins (channels/channel_list.py), and the public channels by last change."""

import pytest
from sqlalchemy import insert, text

from seaway.callers.caller import OPERATOR
from seaway.channels import channel_list, channels, quotas
from seaway.channels.channel_list import ChannelFilter, ChannelOrder
from seaway.channels.channels import ChangeCursor
from seaway.channels.roles import Role
from seaway.database.tables import shards, subdirs
from seaway.server.wiring import Seaway
from seaway.users import users
from tests.support.sites import Factory


@pytest.fixture
def seaway_with_channels(seaway: Seaway, factory: Factory) -> Seaway:
    """Four channels: by size, by packages and by change each in another order; one of them empty, one over quota."""
    for name, owner, public, size, names, changed in (
        ("arms", "ada", True, 10, "a b c", 50),
        ("boats", "bob", False, 30, "a", 70),
        ("cranes", "ada", True, 20, "a b", 90),
        ("docks", "ada", False, 0, "", 0),
    ):
        factory.channel(name, owner=owner, public=public)
        for subdir in ("noarch", "linux-64") if names else ():
            with seaway.site.database.write_site() as tx:
                subdir_id = tx.execute(
                    insert(subdirs)
                    .values(
                        channel_id=channels.get(tx, name).id, name=subdir, revision=1, changed_at=changed,
                        record_count=1, size=size,
                    )
                    .returning(subdirs.c.id)
                ).scalar_one()  # fmt: skip
                row = {"revision": 1, "record_count": 1, "v3_count": 0, "v3_newest": 0, "v3_oldest": 0}
                for package in names.split():
                    tx.execute(insert(shards).values(subdir_id=subdir_id, name=package, sha256=b"x" * 32, **row))
                tx.execute(insert(shards).values(subdir_id=subdir_id, name="deleted", sha256=None, **row))
    with seaway.site.database.write_site() as tx:
        quotas.set_of_channel(tx, 1, OPERATOR, "boats", 59)
        quotas.set_of_channel(tx, 1, OPERATOR, "cranes", 40)
    return seaway


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (ChannelOrder.NAME, "arms boats cranes docks"),
        (ChannelOrder.SIZE, "boats cranes arms docks"),
        (ChannelOrder.PACKAGES, "arms cranes boats docks"),
        (ChannelOrder.CHANGED, "cranes boats arms docks"),
    ],
)
def test_channels_are_sorted_in_pages(seaway_with_channels: Seaway, order: ChannelOrder, names: str) -> None:
    """Packages in several subdirs count once, deleted ones do not; empty channels are last."""
    with seaway_with_channels.site.database.read() as tx:
        found = [
            one for skip in (0, 2) for one in channel_list.find(tx, ChannelFilter(), order, skip=skip, limit=2)
        ]  # fmt: skip
    assert names.split() == [one.channel.name for one in found]
    shown = {one.channel.name: (one.storage.used, one.channel.package_count, one.changed_at_ms) for one in found}
    assert ((20, 3, 50), (0, 0, None)) == (shown["arms"], shown["docks"])


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (ChannelFilter("S Ar"), "arms"),
        (ChannelFilter(owner="ada"), "arms cranes docks"),
        (ChannelFilter(owner="nobody"), ""),
        (ChannelFilter(owner="ada", is_public=False), "docks"),
        (ChannelFilter(is_public=True), "arms cranes"),
        (ChannelFilter(over_quota=True), "boats"),
    ],
)
def test_channels_are_filtered(seaway_with_channels: Seaway, chosen: ChannelFilter, names: str) -> None:
    """A channel that uses exactly its quota is not over it."""
    with seaway_with_channels.site.database.read() as tx:
        found = channel_list.find(tx, chosen, ChannelOrder.NAME, skip=0, limit=9)
        assert (names.split(), len(found)) == ([one.channel.name for one in found], channel_list.count(tx, chosen))


@pytest.mark.on_disk
def test_filters_read_an_index(seaway: Seaway) -> None:
    """Otherwise each page would read a hundred thousand channels."""
    for chosen, index in (
        (ChannelFilter(), "sqlite_autoindex_channels_1"),
        (ChannelFilter(over_quota=True), "ix_channels_quota"),
        (ChannelFilter(owner="ada"), "ix_members_user_id"),
    ):
        query = channel_list.ids_query(chosen, ChannelOrder.NAME, skip=0, limit=50)
        with seaway.site.database.read() as tx:
            statement = query.compile(dialect=tx.dialect, compile_kwargs={"literal_binds": True})
            plan = "\n".join(row.detail for row in tx.execute(text(f"EXPLAIN QUERY PLAN {statement}")))
        assert index in plan
        assert chosen.owner or "TEMP B-TREE" not in plan


def test_public_channels_are_sorted_by_change_in_pages(seaway_with_channels: Seaway, factory: Factory) -> None:
    """Channels without packages are last, by name; a channel with several subdirs is listed once."""
    for name in ("empty-1", "empty-2", "quiet"):
        factory.channel(name)
    names: list[str] = []
    after: ChangeCursor | None = None
    with seaway_with_channels.site.database.read() as tx:
        while page := channels.public_by_change(tx, after=after, limit=2):
            names += [channel.name for channel, _ in page]
            after = page[-1][1]
        found = channels.public_by_change(tx, "empty", limit=9)
    assert ["cranes", "arms", "empty-1", "empty-2", "quiet"] == names
    assert ["empty-1", "empty-2"] == [channel.name for channel, _ in found]


def test_public_channels_of_others_leave_out_those_of_a_user(seaway_with_channels: Seaway, factory: Factory) -> None:
    """Also those in which the user is a viewer."""
    factory.channel("ferries", owner="bob")
    factory.channel("quays", owner="eve")
    factory.member("quays", "ada", Role.VIEWER)
    with seaway_with_channels.site.database.read() as tx:
        ada = users.get(tx, "ada").id
        assert ["ferries"] == [channel.name for channel in channels.public(tx, not_of=ada, limit=9)]
        assert ["ferries"] == [channel.name for channel, _ in channels.public_by_change(tx, not_of=ada, limit=9)]


@pytest.mark.on_disk
def test_public_channels_by_change_read_an_index(seaway: Seaway) -> None:
    """The search for a page starts at its cursor, and nothing is sorted."""
    for after in (None, ChangeCursor(50, 1)):
        query = channels.changed_query("", 1, after, 25)
        with seaway.site.database.read() as tx:
            statement = query.compile(dialect=tx.dialect, compile_kwargs={"literal_binds": True})
            plan = "\n".join(row.detail for row in tx.execute(text(f"EXPLAIN QUERY PLAN {statement}")))
        assert "subdirs USING COVERING INDEX ix_subdirs_changed_at" in plan or (
            "subdirs USING INDEX ix_subdirs_changed_at" in plan
        )
        assert after is None or "SEARCH subdirs USING INDEX ix_subdirs_changed_at" in plan
        assert "FOR ORDER BY" not in plan.partition("CORRELATED")[0]
