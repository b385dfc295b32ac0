"""Groups of users: who makes them, who is in them, and what they give in channels."""

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
from tests.support.house import People


def add(seaway: Seaway, by: Caller, name: str = "crew", *, manager: str | None = None) -> groups.Group:
    with seaway.database.write_site() as tx:
        return groups.add(tx, seaway.clock.now_ms(), by, name, users.get(tx, manager or by.name))


def put(seaway: Seaway, by: Caller, user: str, *, is_manager: bool = False, name: str = "crew") -> None:
    with seaway.database.write_site() as tx:
        groups.put_member(tx, seaway.clock.now_ms(), by, name, user, is_manager=is_manager)


def take_out(seaway: Seaway, by: Caller, user: str) -> None:
    with seaway.database.write_site() as tx:
        groups.remove_member(tx, seaway.clock.now_ms(), by, "crew", user)


def inside(seaway: Seaway, by: Caller, name: str = "crew") -> dict[str, bool]:
    with seaway.database.read() as tx:
        return {member.user: member.is_manager for member in groups.get(tx, by, name)[1]}


def role(seaway: Seaway, channel: str, who: Caller) -> Role | None:
    with seaway.database.read() as tx:
        access = channels.access_of(tx, channel, who)
    assert access is not None
    return access.role


def test_who_makes_a_group_manages_it(seaway: Seaway, people: People) -> None:
    """The first one in a group is who made it, as its manager, and may take others in."""
    ada = people.person("ada")
    people.user("bob")
    add(seaway, ada)
    put(seaway, ada, "bob")
    assert {"ada": True, "bob": False} == inside(seaway, ada)


def test_the_role_of_a_group_counts_until_it_ends(on_both: str, seaway: Seaway, people: People) -> None:
    """Everybody in a group has its role in a channel: from the next request, and until they or the group are out."""
    ada, bob = people.person("ada"), people.person("bob")
    people.channel("boats", owner="owner", public=False)
    owner = people.person("owner")
    add(seaway, ada)
    seen = [role(seaway, "boats", bob)]
    with seaway.database.write_site() as tx:
        members.put_group(tx, seaway.clock.now_ms(), OPERATOR, "boats", "crew", Role.CONTRIBUTOR)
    seen.append(role(seaway, "boats", bob))
    put(seaway, ada, "bob")
    seen.append(role(seaway, "boats", bob))
    with seaway.database.write_site() as tx:
        members.put_group(tx, seaway.clock.now_ms(), owner, "boats", "crew", Role.VIEWER)
    seen.append(role(seaway, "boats", bob))
    take_out(seaway, ada, "bob")
    seen.append(role(seaway, "boats", bob))
    assert [None, None, Role.CONTRIBUTOR, Role.VIEWER, None] == seen
    assert Role.VIEWER is role(seaway, "boats", ada)
    with seaway.database.write_site() as tx:
        groups.remove(tx, seaway.clock.now_ms(), ada, "crew")
    assert role(seaway, "boats", ada) is None


@pytest.mark.parametrize(
    ("direct", "one", "two"),
    list(product((None, Role.VIEWER, Role.CONTRIBUTOR), repeat=3)),
    ids=lambda role: "none" if role is None else role.value,
)
def test_the_strongest_role_counts(
    seaway: Seaway, people: People, direct: Role | None, one: Role | None, two: Role | None
) -> None:
    """Of what somebody is by themselves and through each group, the strongest is what they may do."""
    people.channel("boats", public=False)
    bob = people.person("bob")
    with seaway.database.write_site() as tx:
        for name, of_group in (("one", one), ("two", two)):
            groups.add(tx, 0, OPERATOR, name, users.get(tx, "bob"))
            if of_group is not None:
                members.put_group(tx, 0, OPERATOR, "boats", name, of_group)
        if direct is not None:
            members.put(tx, 0, OPERATOR, "boats", "bob", direct)
    expected = strongest(*(given.value for given in (direct, one, two) if given is not None))
    assert expected is role(seaway, "boats", bob)
    with seaway.database.read() as tx:
        assert ([] if expected is None else ["boats"]) == [channel.name for channel in channels.visible_to(tx, bob)]
        assert ([] if expected is None else [expected]) == [
            role for _, role in channels.with_role_of(tx, bob.user_id or 0)
        ]


def test_an_owner_in_a_group_stays_owner(seaway: Seaway, people: People) -> None:
    """A group never takes anything away."""
    people.channel("boats", owner="ada")
    with seaway.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "ada"))
        members.put_group(tx, 0, OPERATOR, "boats", "crew", Role.VIEWER)
    assert Role.OWNER is role(seaway, "boats", people.person("ada"))


def test_a_group_owns_nothing(seaway: Seaway, people: People) -> None:
    """A channel has exactly one owner, who is a user."""
    people.channel("boats", owner="ada")
    add(seaway, people.person("ada"))
    with pytest.raises(Malformed, match="cannot own"), seaway.database.write_site() as tx:
        members.put_group(tx, 0, OPERATOR, "boats", "crew", Role.OWNER)


def test_only_managers_change_a_group(seaway: Seaway, people: People) -> None:
    """Who is in a group may look; who is not may not even look; site admins may change it."""
    ada, bob, eve, _ = (people.person(name) for name in ("ada", "bob", "eve", "root-2"))
    with seaway.database.write_site() as tx:
        users.set_admin(tx, 0, OPERATOR, "root-2", is_admin=True)
    admin = people.person("root-2")
    add(seaway, ada)
    put(seaway, ada, "bob")
    assert {"ada": True, "bob": False} == inside(seaway, bob) == inside(seaway, admin)
    for who in (bob, eve):
        with pytest.raises(NotAllowed):
            put(seaway, who, "eve")
    with pytest.raises(NotAllowed):
        inside(seaway, eve)
    for name in ("crew", "nothing"):
        with pytest.raises(BadCredential):
            inside(seaway, ANONYMOUS, name)
    put(seaway, admin, "eve")
    assert ["ada", "bob", "eve"] == sorted(inside(seaway, eve))


def test_a_group_keeps_a_manager(seaway: Seaway, people: People) -> None:
    """The last manager neither leaves nor steps down; when there is another, they may."""
    ada = people.person("ada")
    people.user("bob")
    add(seaway, ada)
    put(seaway, ada, "bob")
    with pytest.raises(Conflict, match="only manager"):
        put(seaway, ada, "ada", is_manager=False)
    with pytest.raises(Conflict, match="only manager"), seaway.database.write_site() as tx:
        groups.leave(tx, 0, ada, "crew")
    put(seaway, ada, "bob", is_manager=True)
    with seaway.database.write_site() as tx:
        groups.leave(tx, 0, ada, "crew")
    assert {"bob": True} == inside(seaway, people.person("bob"))


def test_a_group_is_made_with_a_good_account_and_a_wide_key(seaway: Seaway, people: People) -> None:
    """An unverified account makes none, nor does a key that is meant for less, nor a browser left open."""
    for narrow in (
        people.person("ada", verified=False),
        people.by_key(people.key("ada", mode=Mode.READ_WRITE_DELETE)),
        people.by_key(people.key("ada", mode=Mode.MANAGE, only=[])),
    ):
        with pytest.raises(NotAllowed):
            add(seaway, narrow)
    with pytest.raises(ConfirmationRequired):
        add(seaway, people.person("ada", confirmed=False))
    add(seaway, people.by_key(people.key("ada", mode=Mode.MANAGE)))
    people.user("bob")
    with pytest.raises(NotAllowed):
        add(seaway, people.person("ada"), "others", manager="bob")


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a_b", "x" * 40, "admin", "a/b", "noarch"])
def test_the_names_of_groups_are_those_of_users(seaway: Seaway, people: People, name: str) -> None:
    """The name of a group could be that of a user, and is given once."""
    with pytest.raises(NameTaken):
        add(seaway, people.person("ada"), name)
    add(seaway, people.person("ada"))
    with pytest.raises(NameTaken, match="already exists"):
        add(seaway, people.person("bob"))


def test_who_is_in_no_group_cannot_be_taken_out(seaway: Seaway, people: People) -> None:
    """What is not there is told, without a line in the log."""
    ada = people.person("ada")
    people.user("bob")
    add(seaway, ada)
    with pytest.raises(NotFound, match="bob is not in the group crew"):
        take_out(seaway, ada, "bob")
    with pytest.raises(NotFound, match="no group named"):
        put(seaway, ada, "bob", name="nothing")


def test_every_change_of_a_group_leaves_a_line(seaway: Seaway, people: People) -> None:
    """Making, describing, filling, emptying and deleting a group are in the audit log, in order."""
    ada = people.person("ada")
    people.user("bob")
    add(seaway, ada)
    put(seaway, ada, "bob")
    put(seaway, ada, "bob", is_manager=True)
    take_out(seaway, ada, "bob")
    with seaway.database.write_site() as tx:
        groups.describe(tx, 0, ada, "crew", "Who sails")
        groups.remove(tx, 0, ada, "crew")
    with seaway.database.read() as tx:
        lines = tx.execute(select(audit.c.action).where(audit.c.action.startswith("group.")).order_by(audit.c.id))
        assert [
            "group.added", "group.member-added", "group.member-changed", "group.member-removed",
            "group.changed", "group.removed",
        ] == lines.scalars().all()  # fmt: skip
