"""Which keys open a channel, and who sees them."""

import pytest

from seaway.accounts import keys, users
from seaway.accounts.principal import OPERATOR, Mode, Principal
from seaway.channels import groups, members, reaching_keys
from seaway.channels.reaching_keys import ReachingKey
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.errors import NotAllowed, NotFound
from seaway.server.wiring import Seaway
from tests.support.clock import TurnedClock
from tests.support.house import People


def of_all(seaway: Seaway, by: Principal, channel: str) -> list[ReachingKey]:
    with seaway.database.read() as tx:
        return reaching_keys.of_all(tx, seaway.clock.now_ms(), by, channel)


def of_oneself(seaway: Seaway, by: Principal, channel: str) -> list[tuple[str, str]]:
    with seaway.database.read() as tx:
        return [(key.user, key.name) for key in reaching_keys.of_oneself(tx, seaway.clock.now_ms(), by, channel)]


def test_an_admin_sees_their_own_that_open_it(seaway: Seaway, people: People) -> None:
    """A key of a site admin opens every channel, also one whose member its user is not."""
    people.channel("robots", owner="ada", public=False)
    people.user("iris", admin=True)
    people.key("iris")
    people.key("iris", only=["robots"])
    assert [("iris", "key 0"), ("iris", "key 1")] == of_oneself(seaway, people.person("iris"), "robots")


def test_the_keys_of_members_that_are_good_here(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """By themselves or through a group; not those for other channels, ended, revoked, of who was shut out or is none."""
    people.channel("robots", owner="ada", public=False)
    people.channel("others", owner="ada")
    people.member("robots", "carl", Role.CONTRIBUTOR)
    people.member("robots", "shut", Role.VIEWER)
    people.user("mia")
    with seaway.database.write() as tx:
        groups.add(tx, 1, OPERATOR, "crew", users.get(tx, "mia"))
        members.put_group(tx, 1, OPERATOR, "robots", "crew", Role.VIEWER)
    people.key("ada")
    people.key("ada", only=["others"])
    people.key("carl", only=["robots"], mode=Mode.READ_WRITE)
    people.key("carl", days=1)
    people.key("mia", days=None)
    for user in ("shut", "stranger"):
        people.key(user)
    with seaway.database.write() as tx:
        users.set_disabled(tx, 1, OPERATOR, "shut", disabled=True)
        keys.add(tx, 1, OPERATOR, users.get(tx, "carl"), "leaked", mode=Mode.READ, channel_ids=None, expires_at_ms=None)
        keys.revoke(tx, 1, OPERATOR, users.get(tx, "carl"), "leaked")
    clock.move(2 * DAY_MS)

    found = of_all(seaway, people.person("ada"), "robots")
    assert [
        ("ada", Role.OWNER, Mode.READ_WRITE_DELETE, True),
        ("carl", Role.CONTRIBUTOR, Mode.READ_WRITE, False),
        ("mia", Role.VIEWER, Mode.READ_WRITE_DELETE, True),
    ] == [(key.user, key.role, key.mode, key.for_all_channels) for key in found]
    assert found[2].expires_at_ms is None
    with seaway.database.write() as tx:
        members.remove(tx, 1, OPERATOR, "robots", "carl")
        members.remove_group(tx, 1, OPERATOR, "robots", "crew")
    assert ["ada"] == [key.user for key in of_all(seaway, people.person("ada"), "robots")]


def test_who_sees_which(seaway: Seaway, people: People) -> None:
    """Everybody their own, who manages the channel all, others nothing: not even whether there is such a channel."""
    people.channel("robots", owner="ada", public=False)
    for user, role in (("carl", Role.CONTRIBUTOR), ("vera", Role.VIEWER)):
        people.member("robots", user, role)
        people.key(user)
        assert [(user, "key 0")] == of_oneself(seaway, people.person(user), "robots")
        with pytest.raises(NotAllowed):
            of_all(seaway, people.person(user), "robots")
    assert [] == of_oneself(seaway, people.person("ada"), "robots")
    assert ["carl", "vera"] == [key.user for key in of_all(seaway, people.person("ada"), "robots")]
    people.user("moderator", admin=True)
    assert 2 == len(of_all(seaway, people.person("moderator"), "robots"))
    with pytest.raises(NotFound):
        of_oneself(seaway, people.person("stranger"), "robots")


def test_nothing_more_is_told(seaway: Seaway, people: People) -> None:
    """Not from where a key was used, nor for which other channels it is; of no key its secret or its hash."""
    people.channel("robots", owner="ada")
    people.member("robots", "carl", Role.VIEWER)
    people.key("carl")
    told = {
        "name",
        "user",
        "role",
        "mode",
        "for_all_channels",
        "patterns",
        "created_at_ms",
        "expires_at_ms",
        "used_at_ms",
    }
    (key,) = of_all(seaway, people.person("ada"), "robots")
    assert told == set(ReachingKey.__slots__)
    assert key.user == "carl"
