"""Members of a channel: adding, changing, removing, leaving and groups."""

import pytest
from sqlalchemy import select

from seaway.audit import log
from seaway.callers.caller import ANONYMOUS, OPERATOR, Caller, Mode
from seaway.channels import channels, groups, members
from seaway.channels.channel import ChannelSettings
from seaway.channels.roles import Role
from seaway.database.tables import audit
from seaway.errors import BadCredential, ConfirmationRequired, Conflict, NotAllowed, NotFound, SeawayError
from seaway.server.wiring import Seaway
from seaway.users import users
from tests.support.sites import Factory


@pytest.fixture
def boats(seaway: Seaway, factory: Factory) -> str:
    """A private channel with an owner, a contributor and a viewer."""
    factory.channel("boats", owner="owner", public=False)
    factory.member("boats", "helper", Role.CONTRIBUTOR)
    factory.member("boats", "guest", Role.VIEWER)
    factory.user("newcomer")
    return "boats"


def put(seaway: Seaway, by: Caller, user: str = "newcomer", role: Role = Role.VIEWER) -> None:
    with seaway.site.database.write_channel("boats") as tx:
        members.put(tx, seaway.site.clock.now_ms(), by, "boats", user, role, outbox=None)


def leave(seaway: Seaway, by: Caller) -> None:
    with seaway.site.database.write_channel("boats") as tx:
        members.leave(tx, seaway.site.clock.now_ms(), by, "boats")


def roles(seaway: Seaway) -> dict[str, str]:
    with seaway.site.database.read() as tx:
        return {member.user: member.role.value for member in members.list_all(tx, OPERATOR, "boats")[0]}


def test_owner_adds_changes_and_removes_members(on_both: str, seaway: Seaway, factory: Factory, boats: str) -> None:
    owner = factory.signed_in("owner")
    put(seaway, owner)
    put(seaway, owner, role=Role.CONTRIBUTOR)
    with seaway.site.database.write_channel(boats) as tx:
        members.remove(tx, 0, owner, boats, "guest")
    assert {"owner": "owner", "helper": "contributor", "newcomer": "contributor"} == roles(seaway)


@pytest.mark.parametrize(
    ("name", "error"),
    [("helper", NotAllowed), ("guest", NotAllowed), ("newcomer", NotFound), (None, BadCredential)],
    ids=["contributor", "viewer", "no member", "anonymous"],
)
def test_only_owner_changes_members(
    seaway: Seaway, factory: Factory, boats: str, name: str | None, error: type[SeawayError]
) -> None:
    """Members are refused; for users without access the channel does not exist."""
    by = ANONYMOUS if name is None else factory.signed_in(name)
    roles_before = roles(seaway)
    with pytest.raises(error):
        put(seaway, by)
    with pytest.raises(error), seaway.site.database.write_site() as tx:
        members.remove(tx, 0, by, boats, "guest")
    with pytest.raises(error), seaway.site.database.write_site() as tx:
        members.put_group(tx, 0, by, boats, "nothing", Role.VIEWER)
    with pytest.raises(error), seaway.site.database.write_site() as tx:
        members.remove_group(tx, 0, by, boats, "nothing")
    assert roles_before == roles(seaway)


def test_changing_members_needs_recent_sign_in_or_manage_key(seaway: Seaway, factory: Factory, boats: str) -> None:
    """A cookie may have been stolen; a key with MANAGE needs no confirmation."""
    with pytest.raises(ConfirmationRequired):
        put(seaway, factory.signed_in("owner", confirmed=False))
    with pytest.raises(NotAllowed):
        put(seaway, factory.caller_of_key(factory.key("owner", mode=Mode.READ_WRITE_DELETE)))
    put(seaway, factory.caller_of_key(factory.key("owner", mode=Mode.MANAGE)))
    assert "viewer" == roles(seaway)["newcomer"]


def test_member_list_is_visible_to_members_only(seaway: Seaway, factory: Factory, boats: str) -> None:
    """The list of a public channel is hidden from other users too."""
    with seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, boats, ChannelSettings(public=True))
    with seaway.site.database.read() as tx:
        for name in ("owner", "helper", "guest"):
            assert 3 == len(members.list_all(tx, factory.signed_in(name), boats)[0])
        with pytest.raises(NotAllowed):
            members.list_all(tx, factory.signed_in("newcomer"), boats)
        with pytest.raises(BadCredential):
            members.list_all(tx, ANONYMOUS, boats)


def test_members_can_leave(seaway: Seaway, factory: Factory, boats: str) -> None:
    """The owner must transfer the channel first."""
    leave(seaway, factory.signed_in("guest"))
    leave(seaway, factory.caller_of_key(factory.key("helper", mode=Mode.MANAGE)))
    with pytest.raises(Conflict, match="owner owns boats"):
        leave(seaway, factory.signed_in("owner"))
    with pytest.raises(NotFound):
        leave(seaway, factory.signed_in("newcomer"))
    put(seaway, OPERATOR, "helper")
    with pytest.raises(NotAllowed):
        leave(seaway, factory.caller_of_key(factory.key("helper", mode=Mode.READ_WRITE_DELETE)))
    assert {"owner": "owner", "helper": "viewer"} == roles(seaway)


def test_member_through_a_group_cannot_leave_the_channel(seaway: Seaway, factory: Factory, boats: str) -> None:
    """There is no membership of their own to end; the error names the group."""
    with seaway.site.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "newcomer"))
        members.put_group(tx, 0, OPERATOR, boats, "crew", Role.VIEWER)
    with pytest.raises(NotFound, match="newcomer is not a member of boats"):
        leave(seaway, factory.signed_in("newcomer"))


def test_groups_are_listed_with_their_size(seaway: Seaway, factory: Factory, boats: str) -> None:
    """A removed group is no longer listed."""
    with seaway.site.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "newcomer"))
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
    with seaway.site.database.write_channel("boats") as tx:
        return members.put_group(tx, seaway.site.clock.now_ms(), by, "boats", "crew", Role.VIEWER)


def sizes(seaway: Seaway, by: Caller) -> list[int | None]:
    with seaway.site.database.read() as tx:
        return [entry.user_count for entry in members.list_all(tx, by, "boats")[1]]


def test_only_group_members_and_admins_add_a_group(on_both: str, seaway: Seaway, factory: Factory, boats: str) -> None:
    """An owner who is not in the group cannot add it, but can change its role once it is there."""
    factory.user("moderator", admin=True)
    owner = factory.signed_in("owner")
    with seaway.site.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "newcomer"))
    with pytest.raises(NotAllowed, match="owner is not in the group 'crew'"):
        put_group(seaway, owner)
    assert 1 == put_group(seaway, factory.signed_in("moderator")).user_count
    assert put_group(seaway, owner).user_count is None
    with seaway.site.database.write_site() as tx:
        members.remove_group(tx, seaway.site.clock.now_ms(), owner, boats, "crew")
        groups.put_member(tx, 0, OPERATOR, "crew", "owner", outbox=None)
    assert 2 == put_group(seaway, owner).user_count


def test_group_size_is_visible_to_its_members_and_admins(
    on_both: str, seaway: Seaway, factory: Factory, boats: str
) -> None:
    """Not to the owner or other members of a channel that the group is in."""
    factory.user("moderator", admin=True)
    with seaway.site.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "newcomer"))
        members.put_group(tx, 0, OPERATOR, boats, "crew", Role.VIEWER)
    assert [None] == sizes(seaway, factory.signed_in("owner")) == sizes(seaway, factory.signed_in("guest"))
    assert [1] == sizes(seaway, factory.signed_in("newcomer")) == sizes(seaway, factory.signed_in("moderator"))


def test_channel_log_does_not_reveal_group_members(seaway: Seaway, factory: Factory, boats: str) -> None:
    """Changes within a group are in the log of the site only."""
    with seaway.site.database.write_site() as tx:
        groups.add(tx, 1, OPERATOR, "crew", users.get(tx, "newcomer"))
        members.put_group(tx, 1, OPERATOR, boats, "crew", Role.VIEWER)
        groups.put_member(tx, 1, OPERATOR, "crew", "helper", outbox=None)
        groups.remove_member(tx, 1, OPERATOR, "crew", "helper")
        groups.remove(tx, 1, OPERATOR, "crew")
    with seaway.site.database.read() as tx:
        text = str(log.of_channel(tx, boats, limit=100))
    assert "newcomer" not in text
    assert "group.member" not in text


def test_leaving_does_not_reveal_the_ip_address_to_the_owner(seaway: Seaway, factory: Factory, boats: str) -> None:
    """Users can be added without their consent, so only site admins see the IP address of a user who leaves."""
    leave(seaway, factory.signed_in("guest").with_address("203.0.113.9"))
    leave(seaway, factory.caller_of_key(factory.key("helper", mode=Mode.MANAGE)).with_address("203.0.113.9"))
    put(seaway, factory.signed_in("owner").with_address("198.51.100.1"))
    with seaway.site.database.read() as tx:
        owner_log = {entry.target: entry.address for entry in log.of_channel(tx, boats, limit=3)}
        site_log = {entry.target: entry.address for entry in reversed(log.of_all(tx, limit=9))}
    assert {"guest": "", "helper": "", "newcomer": "198.51.100.1"} == owner_log
    assert {"guest": "203.0.113.9", "helper": "203.0.113.9", "newcomer": "198.51.100.1"}.items() <= site_log.items()


def test_every_member_change_is_logged(seaway: Seaway, factory: Factory, boats: str) -> None:
    owner = factory.signed_in("owner")
    put(seaway, owner)
    leave(seaway, factory.signed_in("guest"))
    with seaway.site.database.read() as tx:
        entries = tx.execute(
            select(audit.c.actor, audit.c.action, audit.c.target)
            .where(audit.c.channel == boats, audit.c.actor != "operator")
            .order_by(audit.c.id)
        ).all()
    assert [("owner", "member.added", "newcomer"), ("guest", "member.removed", "guest")] == [
        tuple(row) for row in entries
    ]
