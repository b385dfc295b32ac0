"""Groups: management, members and the roles they grant in channels."""

from itertools import product

import pytest
from sqlalchemy import select

from seaway.callers.caller import ANONYMOUS, OPERATOR, Caller, Mode
from seaway.channels import channels, groups, members
from seaway.channels.roles import Role, strongest
from seaway.database.tables import audit
from seaway.errors import BadCredential, ConfirmationRequired, Conflict, Malformed, NameTaken, NotAllowed, NotFound
from seaway.server.wiring import Seaway
from seaway.users import users
from tests.support.sites import Factory


def add(seaway: Seaway, by: Caller, name: str = "crew", *, manager: str | None = None) -> groups.Group:
    with seaway.site.database.write_site() as tx:
        return groups.add(tx, seaway.site.clock.now_ms(), by, name, users.get(tx, manager or by.name))


def put(seaway: Seaway, by: Caller, user: str, *, is_manager: bool = False, name: str = "crew") -> None:
    with seaway.site.database.write_site() as tx:
        groups.put_member(tx, seaway.site.clock.now_ms(), by, name, user, is_manager=is_manager, outbox=None)


def remove(seaway: Seaway, by: Caller, user: str) -> None:
    with seaway.site.database.write_site() as tx:
        groups.remove_member(tx, seaway.site.clock.now_ms(), by, "crew", user)


def members_of_group(seaway: Seaway, by: Caller, name: str = "crew") -> dict[str, bool]:
    with seaway.site.database.read() as tx:
        return {member.user: member.is_manager for member in groups.get(tx, by, name)[1]}


def role(seaway: Seaway, channel: str, caller: Caller) -> Role | None:
    with seaway.site.database.read() as tx:
        access = channels.access_of(tx, channel, caller)
    assert access is not None
    return access.role


def test_creator_of_a_group_is_its_manager(seaway: Seaway, factory: Factory) -> None:
    """Managers can add other users."""
    ada = factory.signed_in("ada")
    factory.user("bob")
    add(seaway, ada)
    put(seaway, ada, "bob")
    assert {"ada": True, "bob": False} == members_of_group(seaway, ada)


def test_group_role_applies_while_user_is_in_the_group(on_both: str, seaway: Seaway, factory: Factory) -> None:
    """The role applies from the next request, until the user leaves the group or the group is deleted."""
    ada, bob = factory.signed_in("ada"), factory.signed_in("bob")
    factory.channel("boats", owner="owner", public=False)
    owner = factory.signed_in("owner")
    add(seaway, ada)
    roles_of_bob = [role(seaway, "boats", bob)]
    with seaway.site.database.write_site() as tx:
        members.put_group(tx, seaway.site.clock.now_ms(), OPERATOR, "boats", "crew", Role.CONTRIBUTOR)
    roles_of_bob.append(role(seaway, "boats", bob))
    put(seaway, ada, "bob")
    roles_of_bob.append(role(seaway, "boats", bob))
    with seaway.site.database.write_site() as tx:
        members.put_group(tx, seaway.site.clock.now_ms(), owner, "boats", "crew", Role.VIEWER)
    roles_of_bob.append(role(seaway, "boats", bob))
    remove(seaway, ada, "bob")
    roles_of_bob.append(role(seaway, "boats", bob))
    assert [None, None, Role.CONTRIBUTOR, Role.VIEWER, None] == roles_of_bob
    assert Role.VIEWER is role(seaway, "boats", ada)
    with seaway.site.database.write_site() as tx:
        groups.remove(tx, seaway.site.clock.now_ms(), ada, "crew")
    assert role(seaway, "boats", ada) is None


@pytest.mark.parametrize(
    ("direct", "first", "second"),
    list(product((None, Role.VIEWER, Role.CONTRIBUTOR), repeat=3)),
    ids=lambda role: "none" if role is None else role.value,
)
def test_strongest_role_applies(
    seaway: Seaway, factory: Factory, direct: Role | None, first: Role | None, second: Role | None
) -> None:
    """Of the user's own role and the roles of their groups."""
    factory.channel("boats", public=False)
    bob = factory.signed_in("bob")
    with seaway.site.database.write_site() as tx:
        for name, group_role in (("one", first), ("two", second)):
            groups.add(tx, 0, OPERATOR, name, users.get(tx, "bob"))
            if group_role is not None:
                members.put_group(tx, 0, OPERATOR, "boats", name, group_role)
        if direct is not None:
            members.put(tx, 0, OPERATOR, "boats", "bob", direct, outbox=None)
    expected = strongest(*(role.value for role in (direct, first, second) if role is not None))
    assert expected is role(seaway, "boats", bob)
    with seaway.site.database.read() as tx:
        assert ([] if expected is None else ["boats"]) == [channel.name for channel in channels.visible_to(tx, bob)]
        assert ([] if expected is None else [expected]) == [
            role for _, role in channels.with_role_of(tx, bob.user_id or 0)
        ]


def test_owner_in_a_group_stays_owner(seaway: Seaway, factory: Factory) -> None:
    """A group never reduces a role."""
    factory.channel("boats", owner="ada")
    with seaway.site.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "ada"))
        members.put_group(tx, 0, OPERATOR, "boats", "crew", Role.VIEWER)
    assert Role.OWNER is role(seaway, "boats", factory.signed_in("ada"))


def test_group_cannot_own_a_channel(seaway: Seaway, factory: Factory) -> None:
    """A channel has exactly one owner, who is a user."""
    factory.channel("boats", owner="ada")
    add(seaway, factory.signed_in("ada"))
    with pytest.raises(Malformed, match="cannot own"), seaway.site.database.write_site() as tx:
        members.put_group(tx, 0, OPERATOR, "boats", "crew", Role.OWNER)


def test_only_managers_and_admins_change_a_group(seaway: Seaway, factory: Factory) -> None:
    """Members can view it; other users cannot."""
    ada, bob, eve, _ = (factory.signed_in(name) for name in ("ada", "bob", "eve", "root-2"))
    with seaway.site.database.write_site() as tx:
        users.set_admin(tx, 0, OPERATOR, "root-2", is_admin=True)
    admin = factory.signed_in("root-2")
    add(seaway, ada)
    put(seaway, ada, "bob")
    assert {"ada": True, "bob": False} == members_of_group(seaway, bob) == members_of_group(seaway, admin)
    for caller in (bob, eve):
        with pytest.raises(NotAllowed):
            put(seaway, caller, "eve")
    with pytest.raises(NotAllowed):
        members_of_group(seaway, eve)
    for name in ("crew", "nothing"):
        with pytest.raises(BadCredential):
            members_of_group(seaway, ANONYMOUS, name)
    put(seaway, admin, "eve")
    assert ["ada", "bob", "eve"] == sorted(members_of_group(seaway, eve))


def test_only_manager_cannot_leave_or_step_down(seaway: Seaway, factory: Factory) -> None:
    ada = factory.signed_in("ada")
    factory.user("bob")
    add(seaway, ada)
    put(seaway, ada, "bob")
    with pytest.raises(Conflict, match="only manager"):
        put(seaway, ada, "ada", is_manager=False)
    with pytest.raises(Conflict, match="only manager"), seaway.site.database.write_site() as tx:
        groups.leave(tx, 0, ada, "crew")
    put(seaway, ada, "bob", is_manager=True)
    with seaway.site.database.write_site() as tx:
        groups.leave(tx, 0, ada, "crew")
    assert {"bob": True} == members_of_group(seaway, factory.signed_in("bob"))


def test_creating_a_group_needs_verified_user_and_manage_key(seaway: Seaway, factory: Factory) -> None:
    """Also refused: a session that was not confirmed recently."""
    for by in (
        factory.signed_in("ada", verified=False),
        factory.caller_of_key(factory.key("ada", mode=Mode.READ_WRITE_DELETE)),
        factory.caller_of_key(factory.key("ada", mode=Mode.MANAGE, only=[])),
    ):
        with pytest.raises(NotAllowed):
            add(seaway, by)
    with pytest.raises(ConfirmationRequired):
        add(seaway, factory.signed_in("ada", confirmed=False))
    add(seaway, factory.caller_of_key(factory.key("ada", mode=Mode.MANAGE)))
    factory.user("bob")
    with pytest.raises(NotAllowed):
        add(seaway, factory.signed_in("ada"), "others", manager="bob")


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a_b", "x" * 40, "admin", "a/b", "noarch"])
def test_group_names_follow_the_rules_for_user_names(seaway: Seaway, factory: Factory, name: str) -> None:
    with pytest.raises(NameTaken):
        add(seaway, factory.signed_in("ada"), name)
    add(seaway, factory.signed_in("ada"))
    with pytest.raises(NameTaken, match="already exists"):
        add(seaway, factory.signed_in("bob"))


def test_removing_user_outside_the_group_raises_not_found(seaway: Seaway, factory: Factory) -> None:
    ada = factory.signed_in("ada")
    factory.user("bob")
    add(seaway, ada)
    with pytest.raises(NotFound, match="bob is not in the group crew"):
        remove(seaway, ada, "bob")
    with pytest.raises(NotFound, match="no group named"):
        put(seaway, ada, "bob", name="nothing")


def test_every_group_change_is_logged(seaway: Seaway, factory: Factory) -> None:
    """The audit log contains the changes in order."""
    ada = factory.signed_in("ada")
    factory.user("bob")
    add(seaway, ada)
    put(seaway, ada, "bob")
    put(seaway, ada, "bob", is_manager=True)
    remove(seaway, ada, "bob")
    with seaway.site.database.write_site() as tx:
        groups.describe(tx, 0, ada, "crew", "Who sails")
        groups.remove(tx, 0, ada, "crew")
    with seaway.site.database.read() as tx:
        actions = tx.execute(select(audit.c.action).where(audit.c.action.startswith("group.")).order_by(audit.c.id))
        assert [
            "group.added", "group.member-added", "group.member-changed", "group.member-removed",
            "group.changed", "group.removed",
        ] == actions.scalars().all()  # fmt: skip


def test_channels_of_a_group_are_those_that_the_caller_can_read(seaway: Seaway, factory: Factory) -> None:
    """A key for some channels does not learn the names of private others from a group."""
    for name in ("boats", "secret"):
        factory.channel(name, public=False)
    group = add(seaway, factory.signed_in("ada"))
    with seaway.site.database.write_site() as tx:
        for name in ("boats", "secret"):
            members.put_group(tx, 0, OPERATOR, name, "crew", Role.VIEWER)
    narrow = factory.caller_of_key(factory.key("ada", mode=Mode.READ, only=["boats"]))
    with seaway.site.database.read() as tx:
        assert [("boats", Role.VIEWER)] == channels.roles_of_group(tx, narrow, group.id)
        both = [("boats", Role.VIEWER), ("secret", Role.VIEWER)]
        assert both == channels.roles_of_group(tx, factory.signed_in("ada"), group.id)
