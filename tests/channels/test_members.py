"""Who belongs to a channel, who may change that, and how it ends."""

import pytest
from sqlalchemy import select

from seaway.audit import log
from seaway.callers.caller import ANONYMOUS, OPERATOR, Caller, Mode
from seaway.channels import channels, groups, members
from seaway.channels.roles import Role
from seaway.database.tables import audit
from seaway.errors import BadCredential, ConfirmationRequired, Conflict, NotAllowed, NotFound, SeawayError
from seaway.server.wiring import Seaway
from seaway.users import users
from tests.support.house import People


@pytest.fixture
def boats(seaway: Seaway, people: People) -> str:
    """A private channel with an owner, a contributor and a viewer."""
    people.channel("boats", owner="owner", public=False)
    people.member("boats", "helper", Role.CONTRIBUTOR)
    people.member("boats", "guest", Role.VIEWER)
    people.user("stranger")
    return "boats"


def put(seaway: Seaway, by: Caller, user: str = "stranger", role: Role = Role.VIEWER) -> None:
    with seaway.database.write_channel("boats") as tx:
        members.put(tx, seaway.clock.now_ms(), by, "boats", user, role)


def leave(seaway: Seaway, by: Caller) -> None:
    with seaway.database.write_channel("boats") as tx:
        members.leave(tx, seaway.clock.now_ms(), by, "boats")


def roles(seaway: Seaway) -> dict[str, str]:
    with seaway.database.read() as tx:
        return {member.user: member.role.value for member in members.list_all(tx, OPERATOR, "boats")[0]}


def test_the_owner_takes_users_in_and_out(on_both: str, seaway: Seaway, people: People, boats: str) -> None:
    """A user by name is a member at once; the role changes in place; a removed one is out."""
    owner = people.person("owner")
    put(seaway, owner)
    put(seaway, owner, role=Role.CONTRIBUTOR)
    with seaway.database.write_channel(boats) as tx:
        members.remove(tx, 0, owner, boats, "guest")
    assert {"owner": "owner", "helper": "contributor", "stranger": "contributor"} == roles(seaway)


@pytest.mark.parametrize(
    ("who", "error"),
    [("helper", NotAllowed), ("guest", NotAllowed), ("stranger", NotFound), (None, BadCredential)],
    ids=["contributor", "viewer", "stranger", "nobody"],
)
def test_others_change_nothing(
    seaway: Seaway, people: People, boats: str, who: str | None, error: type[SeawayError]
) -> None:
    """Members hear that it is not for them, strangers that there is nothing, and nothing changes."""
    by = ANONYMOUS if who is None else people.person(who)
    before = roles(seaway)
    with pytest.raises(error):
        put(seaway, by)
    with pytest.raises(error), seaway.database.write_site() as tx:
        members.remove(tx, 0, by, boats, "guest")
    with pytest.raises(error), seaway.database.write_site() as tx:
        members.put_group(tx, 0, by, boats, "nothing", Role.VIEWER)
    with pytest.raises(error), seaway.database.write_site() as tx:
        members.remove_group(tx, 0, by, boats, "nothing")
    assert before == roles(seaway)


def test_a_browser_left_open_changes_no_member(seaway: Seaway, people: People, boats: str) -> None:
    """A cookie alone may have been stolen: the owner proves to be there; a key of the right mode stands for itself."""
    with pytest.raises(ConfirmationRequired):
        put(seaway, people.person("owner", confirmed=False))
    with pytest.raises(NotAllowed):
        put(seaway, people.by_key(people.key("owner", mode=Mode.READ_WRITE_DELETE)))
    put(seaway, people.by_key(people.key("owner", mode=Mode.MANAGE)))
    assert "viewer" == roles(seaway)["stranger"]


def test_the_members_are_seen_by_members(seaway: Seaway, people: People, boats: str) -> None:
    """Who belongs to a channel is nobody else's business, also where everybody may read it."""
    with seaway.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, boats, is_public=True)
    with seaway.database.read() as tx:
        for name in ("owner", "helper", "guest"):
            assert 3 == len(members.list_all(tx, people.person(name), boats)[0])
        with pytest.raises(NotAllowed):
            members.list_all(tx, people.person("stranger"), boats)
        with pytest.raises(BadCredential):
            members.list_all(tx, ANONYMOUS, boats)


def test_members_leave_by_themselves(seaway: Seaway, people: People, boats: str) -> None:
    """Whoever is a member may end that; the owner first gives the channel away."""
    leave(seaway, people.person("guest"))
    leave(seaway, people.by_key(people.key("helper", mode=Mode.MANAGE)))
    with pytest.raises(Conflict, match="owner owns boats"):
        leave(seaway, people.person("owner"))
    with pytest.raises(NotFound):
        leave(seaway, people.person("stranger"))
    put(seaway, OPERATOR, "helper")
    with pytest.raises(NotAllowed):
        leave(seaway, people.by_key(people.key("helper", mode=Mode.READ_WRITE_DELETE)))
    assert {"owner": "owner", "helper": "viewer"} == roles(seaway)


def test_who_is_there_through_a_group_leaves_the_group(seaway: Seaway, people: People, boats: str) -> None:
    """There is no membership of their own to end, and the answer says where to look."""
    with seaway.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "stranger"))
        members.put_group(tx, 0, OPERATOR, boats, "crew", Role.VIEWER)
    with pytest.raises(NotFound, match="stranger is not a member of boats"):
        leave(seaway, people.person("stranger"))


def test_groups_are_listed_beside_users(seaway: Seaway, people: People, boats: str) -> None:
    """The list of members names the groups, with how many are in each; a group that is taken out is gone from it."""
    with seaway.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "stranger"))
        members.put_group(tx, 0, OPERATOR, boats, "crew", Role.VIEWER)
        listed = members.list_all(tx, OPERATOR, boats)[1]
        members.remove_group(tx, 0, OPERATOR, boats, "crew")
        with pytest.raises(NotFound, match="crew is not a member"):
            members.remove_group(tx, 0, OPERATOR, boats, "crew")
        assert [] == members.list_all(tx, OPERATOR, boats)[1]
        with pytest.raises(NotFound, match="no group named"):
            members.put_group(tx, 0, OPERATOR, boats, "nothing", Role.VIEWER)
    assert [("crew", Role.VIEWER, 1)] == [(entry.group, entry.role, entry.user_count) for entry in listed]


def put_group(seaway: Seaway, by: Caller) -> members.MemberGroup:
    with seaway.database.write_channel("boats") as tx:
        return members.put_group(tx, seaway.clock.now_ms(), by, "boats", "crew", Role.VIEWER)


def sizes(seaway: Seaway, by: Caller) -> list[int | None]:
    with seaway.database.read() as tx:
        return [entry.user_count for entry in members.list_all(tx, by, "boats")[1]]


def test_only_people_in_a_group_add_it(on_both: str, seaway: Seaway, people: People, boats: str) -> None:
    """An owner who is not in the group cannot bring it in, but can change the role of one that is there; admins can."""
    people.user("moderator", admin=True)
    owner = people.person("owner")
    with seaway.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "stranger"))
    with pytest.raises(NotAllowed, match="owner is not in the group 'crew'"):
        put_group(seaway, owner)
    assert 1 == put_group(seaway, people.person("moderator")).user_count
    assert put_group(seaway, owner).user_count is None
    with seaway.database.write_site() as tx:
        members.remove_group(tx, seaway.clock.now_ms(), owner, boats, "crew")
        groups.put_member(tx, 0, OPERATOR, "crew", "owner")
    assert 2 == put_group(seaway, owner).user_count


def test_the_size_of_a_group_is_shown_to_its_members(on_both: str, seaway: Seaway, people: People, boats: str) -> None:
    """Not to the owner of a channel that it is in, nor to other members of the channel."""
    people.user("moderator", admin=True)
    with seaway.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "stranger"))
        members.put_group(tx, 0, OPERATOR, boats, "crew", Role.VIEWER)
    assert [None] == sizes(seaway, people.person("owner")) == sizes(seaway, people.person("guest"))
    assert [1] == sizes(seaway, people.person("stranger")) == sizes(seaway, people.person("moderator"))


def test_the_log_of_a_channel_says_nothing_of_people_in_groups(seaway: Seaway, people: People, boats: str) -> None:
    """What happens inside a group is in the log of the site only."""
    with seaway.database.write_site() as tx:
        groups.add(tx, 1, OPERATOR, "crew", users.get(tx, "stranger"))
        members.put_group(tx, 1, OPERATOR, boats, "crew", Role.VIEWER)
        groups.put_member(tx, 1, OPERATOR, "crew", "helper")
        groups.remove_member(tx, 1, OPERATOR, "crew", "helper")
        groups.remove(tx, 1, OPERATOR, "crew")
    with seaway.database.read() as tx:
        text = str(log.of_channel(tx, boats, limit=100))
    assert "stranger" not in text
    assert "group.member" not in text


def test_leaving_does_not_tell_the_owner_from_where(seaway: Seaway, people: People, boats: str) -> None:
    """Anyone can be added without being asked: who gets out shows their network address to site admins only."""
    leave(seaway, people.person("guest").with_address("203.0.113.9"))
    leave(seaway, people.by_key(people.key("helper", mode=Mode.MANAGE)).with_address("203.0.113.9"))
    put(seaway, people.person("owner").with_address("198.51.100.1"))
    with seaway.database.read() as tx:
        seen = {entry.target: entry.address for entry in log.of_channel(tx, boats, limit=3)}
        kept = {entry.target: entry.address for entry in reversed(log.of_all(tx, limit=9))}
    assert {"guest": "", "helper": "", "stranger": "198.51.100.1"} == seen
    assert {"guest": "203.0.113.9", "helper": "203.0.113.9", "stranger": "198.51.100.1"}.items() <= kept.items()


def test_every_change_of_a_member_leaves_a_line(seaway: Seaway, people: People, boats: str) -> None:
    """The log of the channel says who made whom what."""
    owner = people.person("owner")
    put(seaway, owner)
    leave(seaway, people.person("guest"))
    with seaway.database.read() as tx:
        lines = tx.execute(
            select(audit.c.actor, audit.c.action, audit.c.target)
            .where(audit.c.channel == boats, audit.c.actor != "operator")
            .order_by(audit.c.id)
        ).all()
    assert [("owner", "member.added", "stranger"), ("guest", "member.removed", "guest")] == [
        tuple(row) for row in lines
    ]
