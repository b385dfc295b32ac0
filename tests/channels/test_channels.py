"""The names of channels, their one owner, and what stays of a channel that is gone."""

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from seaway.callers.caller import ANONYMOUS, OPERATOR
from seaway.channels import channels, members, transfers
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.conda.subdir import KNOWN_SUBDIRS
from seaway.database.tables import audit
from seaway.database.tables import members as member_rows
from seaway.errors import Conflict, Malformed, NameTaken, NotAllowed, NotFound
from seaway.keys import api_keys
from seaway.server.app import ROUTES
from seaway.server.wiring import Seaway
from seaway.users.reserved_names import is_reserved
from tests.support.clock import TurnedClock
from tests.support.house import People


def owners(seaway: Seaway, name: str) -> list[str]:
    with seaway.database.read() as tx:
        all_members = members.all_members(tx, channels.get(tx, name).id)
    return [member.user for member in all_members if member.role is Role.OWNER]


def roles(seaway: Seaway, name: str) -> dict[str, Role]:
    with seaway.database.read() as tx:
        return {member.user: member.role for member in members.all_members(tx, channels.get(tx, name).id)}


def transfer(seaway: Seaway, name: str, user: str) -> None:
    with seaway.database.write_site() as tx:
        transfers.transfer_now(tx, seaway.clock.now_ms(), OPERATOR, name, user)


def remove(seaway: Seaway, name: str) -> None:
    with seaway.database.write_site() as tx:
        channels.remove(tx, seaway.clock.now_ms(), OPERATOR, name)


GOOD_NAMES = [
    "a",
    "conda-forge",
    "my.channel",
    "under_score",
    "_private",
    "7zip",
    "a--b",
    "x" * 128,
    "noarch2",
    "linux",
]
BAD_NAMES = [
    "", "A", "Conda-Forge", "-a", "a-", ".a", "a.", "a..b", "a b", "a/b", "a\\b", "a%2fb", "ä", "a\n", "a\0", "x" * 129,
    "a:b", "a@b", "a+b", "a!b", "~a", "*", "..", ".",
]  # fmt: skip
RESERVED = ["api", "t", "static", "channels", "admin", "login", "well-known", "seaway", "shards", *KNOWN_SUBDIRS]


@pytest.mark.parametrize("name", GOOD_NAMES, ids=lambda name: name[:20])
def test_a_name_that_clients_can_ask_for_is_possible(name: str) -> None:
    """Lower case letters, digits and - _ . between them make a channel's name (CEP 26)."""
    assert channels.is_possible_name(name)


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_any_other_name_is_not_possible(name: str) -> None:
    """What is no plain path segment, or looks like another, is no name."""
    assert not channels.is_possible_name(name)


def test_a_channel_without_a_possible_name_is_not_made(people: People) -> None:
    """A name that is not possible is refused in words."""
    for name in (*BAD_NAMES, *RESERVED):
        with pytest.raises(NameTaken, match="is not a valid channel name"):
            people.channel(name)


@pytest.mark.parametrize("name", RESERVED)
def test_words_of_the_site_and_platforms_are_reserved(name: str) -> None:
    """A channel never stands in the way of a page, a protocol, or a subdir."""
    assert is_reserved(name)
    assert not channels.is_possible_name(name)


def test_every_first_segment_of_a_route_is_reserved() -> None:
    """Whatever the application answers at its root, no channel can have that name."""
    first = {route.path.split("/")[1] for route in ROUTES}
    assert [] == [word for word in first if word and not word.startswith("{") and not is_reserved(word)]


def test_a_name_is_given_once(people: People) -> None:
    """Names of channels are unique over the whole site, whoever owns them."""
    people.channel("taken", owner="one")
    with pytest.raises(NameTaken, match="already exists"):
        people.channel("taken", owner="two")


def test_a_channel_is_private_unless_said_otherwise(seaway: Seaway, people: People) -> None:
    """Nobody but its members sees a private channel in a list."""
    people.channel("hidden", public=False)
    people.channel("open", public=True)
    with seaway.database.read() as tx:
        assert ["open"] == [channel.name for channel in channels.visible_to(tx, ANONYMOUS)]
        assert ["hidden", "open"] == [channel.name for channel in channels.visible_to(tx, OPERATOR)]


def test_a_released_name_is_free_for_its_owner_at_once(seaway: Seaway, people: People) -> None:
    """Who deleted a channel may make it again."""
    people.channel("mine", owner="owner")
    remove(seaway, "mine")
    people.channel("mine", owner="owner")
    assert ["owner"] == owners(seaway, "mine")


def test_the_name_of_a_channel_that_never_overwrote_is_held_for_its_owner_too(
    seaway: Seaway, people: People, clock: TurnedClock
) -> None:
    """Caches were told that its files never change, and may keep them for a year."""
    people.channel("fixed", owner="owner")
    with seaway.database.write_site() as tx:
        channels.change(tx, clock.now_ms(), OPERATOR, "fixed", allows_overwrite=False)
        with pytest.raises(NotAllowed, match="cannot be undone"):
            channels.change(tx, clock.now_ms(), OPERATOR, "fixed", allows_overwrite=True)
    remove(seaway, "fixed")
    with pytest.raises(NameTaken, match="less than a year ago"):
        people.channel("fixed", owner="owner")
    with seaway.database.read() as tx:
        assert not channels.is_free(tx, clock.now_ms(), people.person("owner"), "fixed")
    clock.move(365 * DAY_MS)
    people.channel("fixed", owner="owner")


@pytest.mark.parametrize(("days", "free"), [(0, False), (364, False), (365, True), (1_000, True)], ids=str)
def test_a_released_name_is_held_for_a_year(
    seaway: Seaway, people: People, clock: TurnedClock, days: int, free: bool
) -> None:
    """Configurations still name a deleted channel: for a year nobody else can take its place."""
    people.channel("gone", owner="owner")
    remove(seaway, "gone")
    clock.move(days * DAY_MS)
    if free:
        people.channel("gone", owner="other")
        assert ["other"] == owners(seaway, "gone")
    else:
        with pytest.raises(NameTaken, match="less than a year ago"):
            people.channel("gone", owner="other")


def test_a_released_name_belongs_to_the_last_owner(seaway: Seaway, people: People) -> None:
    """After a transfer it is the new owner for whom the name is held."""
    people.channel("gone", owner="old")
    people.user("newcomer")
    transfer(seaway, "gone", "newcomer")
    remove(seaway, "gone")
    with pytest.raises(NameTaken):
        people.channel("gone", owner="old")
    people.channel("gone", owner="newcomer")


def test_a_name_that_was_taken_again_is_held_anew(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """Each deletion begins a year of its own."""
    for _ in range(2):
        people.channel("gone", owner="owner")
        remove(seaway, "gone")
        clock.move(300 * DAY_MS)
    with pytest.raises(NameTaken):
        people.channel("gone", owner="other")


# One owner


def test_a_channel_begins_with_its_owner(seaway: Seaway, people: People) -> None:
    """A new channel has one member, who owns it."""
    people.channel("newcomer", owner="owner")
    assert {"owner": Role.OWNER} == roles(seaway, "newcomer")


@pytest.mark.parametrize("before", [None, Role.VIEWER, Role.CONTRIBUTOR], ids=["stranger", "viewer", "contributor"])
def test_a_transfer_makes_the_old_owner_a_contributor(seaway: Seaway, people: People, before: Role | None) -> None:
    """Whoever gets a channel, member or not, is its one owner, and the giver stays as contributor."""
    people.channel("given", owner="old")
    people.user("newcomer")
    if before is not None:
        people.member("given", "newcomer", before)
    transfer(seaway, "given", "newcomer")
    assert {"old": Role.CONTRIBUTOR, "newcomer": Role.OWNER} == roles(seaway, "given")


def test_a_transfer_to_the_owner_changes_nothing(seaway: Seaway, people: People) -> None:
    """Giving a channel to its own owner leaves it with one."""
    people.channel("given", owner="owner")
    transfer(seaway, "given", "owner")
    assert {"owner": Role.OWNER} == roles(seaway, "given")


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_the_owner_is_not_made_anything_else(seaway: Seaway, people: People, role: Role) -> None:
    """Ownership is moved by transfer only."""
    people.channel("kept", owner="owner")
    with pytest.raises(Conflict, match="exactly one owner"):
        people.member("kept", "owner", role)
    assert ["owner"] == owners(seaway, "kept")


def test_nobody_becomes_a_second_owner(seaway: Seaway, people: People) -> None:
    """A member cannot be made owner beside the one there is."""
    people.channel("kept", owner="owner")
    with pytest.raises(Conflict, match="exactly one owner"):
        people.member("kept", "other", Role.OWNER)
    assert ["owner"] == owners(seaway, "kept")


def test_the_owner_does_not_leave(seaway: Seaway, people: People) -> None:
    """A channel always has an owner."""
    people.channel("kept", owner="owner")
    with seaway.database.write_site() as tx, pytest.raises(Conflict, match="Transfer it to another member first"):
        members.remove(tx, 0, OPERATOR, "kept", "owner")
    assert ["owner"] == owners(seaway, "kept")


def test_a_second_owner_is_refused_by_the_database_too(seaway: Seaway, people: People) -> None:
    """Whatever code forgets, two owners of one channel cannot be stored."""
    people.channel("kept", owner="owner")
    people.member("kept", "other", Role.VIEWER)
    with pytest.raises(IntegrityError), seaway.database.write_site() as tx:
        tx.execute(update(member_rows).values(role=Role.OWNER.value))
    assert ["owner"] == owners(seaway, "kept")


# Members


def test_a_member_is_added_and_changed_in_one_way(seaway: Seaway, people: People) -> None:
    """Adding a member again changes the role."""
    people.channel("crew", owner="owner")
    people.member("crew", "friend", Role.VIEWER)
    people.member("crew", "friend", Role.CONTRIBUTOR)
    assert {"owner": Role.OWNER, "friend": Role.CONTRIBUTOR} == roles(seaway, "crew")


def test_a_member_that_is_none_cannot_be_removed(seaway: Seaway, people: People) -> None:
    """Removing someone who is no member says so."""
    people.channel("crew", owner="owner")
    people.user("friend")
    with seaway.database.write_site() as tx, pytest.raises(NotFound, match="is not a member of crew"):
        members.remove(tx, 0, OPERATOR, "crew", "friend")


# Settings


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"description": "d" * 4_001}, id="long description"),
        pytest.param({"description": "a\0b"}, id="NUL in the description"),
        pytest.param({"description": "a\u202eb"}, id="bidi in the description"),
        pytest.param({"description": "a\x1b[31mb"}, id="escape in the description"),
    ],
)
def test_texts_that_could_harm_a_page_are_refused(seaway: Seaway, people: People, change: dict[str, str]) -> None:
    """A description is a printable text of bounded length."""
    people.channel("plain")
    with pytest.raises(Malformed), seaway.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, "plain", **change)
    with seaway.database.read() as tx:
        assert "" == channels.get(tx, "plain").description


def test_what_is_not_given_stays(seaway: Seaway, people: People) -> None:
    """A change touches what it names and nothing else."""
    people.channel("plain", public=False)
    with seaway.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, "plain", description="Tools\nof ours")
        changed = channels.change(tx, 0, OPERATOR, "plain", is_public=True)
    assert ("Tools\nof ours", True, False) == (changed.description, changed.is_public, changed.refuses_lookalikes)


def test_an_unknown_channel_is_not_found(seaway: Seaway) -> None:
    """Whoever may see all channels is told that there is none of that name."""
    with seaway.database.read() as tx, pytest.raises(NotFound, match="no channel named 'nothing'"):
        channels.get(tx, "nothing")


def test_a_removed_channel_takes_its_memberships_and_scopes_along(seaway: Seaway, people: People) -> None:
    """Nothing of a deleted channel is left for the next one of the name; a key of its own opens nothing any more."""
    people.channel("gone", owner="owner")
    people.member("gone", "friend", Role.CONTRIBUTOR)
    secret = people.key("owner", only=["gone"])
    remove(seaway, "gone")
    people.channel("gone", owner="owner")
    with seaway.database.read() as tx:
        principal = api_keys.caller_of(tx, secret, seaway.clock.now_ms())
    assert {"owner": Role.OWNER} == roles(seaway, "gone")
    assert principal is not None
    assert frozenset() == principal.channel_ids


def test_every_change_of_a_channel_leaves_a_line(seaway: Seaway, people: People) -> None:
    """Making, changing, giving and deleting a channel, and changes of its members, are in the audit log in order."""
    people.channel("told", owner="owner")
    people.member("told", "friend", Role.VIEWER)
    people.member("told", "friend", Role.CONTRIBUTOR)
    transfer(seaway, "told", "friend")
    with seaway.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, "told", description="x")
        members.remove(tx, 0, OPERATOR, "told", "owner")
    remove(seaway, "told")
    with seaway.database.read() as tx:
        lines = tx.execute(select(audit.c.action).where(audit.c.channel == "told").order_by(audit.c.id)).scalars().all()
    assert [
        "channel.added", "member.added", "member.changed", "channel.transferred",
        "channel.changed", "member.removed", "channel.removed",
    ] == lines  # fmt: skip
