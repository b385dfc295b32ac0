"""The caller's API keys with access to a channel."""

import pytest

from seaway.callers.caller import OPERATOR, Caller
from seaway.channels import groups, members
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.errors import NotFound
from seaway.keys import api_keys, channel_keys
from seaway.server.wiring import Seaway
from seaway.users import users
from tests.support.clock import ManualClock
from tests.support.sites import Factory


def own_keys(seaway: Seaway, by: Caller, channel: str) -> list[str]:
    with seaway.site.database.read() as tx:
        return [key.name for key in channel_keys.of_caller(tx, seaway.site.clock.now_ms(), by, channel)]


def test_admin_sees_own_keys_with_access(seaway: Seaway, factory: Factory) -> None:
    """A key of a site admin has access to every channel, also without membership."""
    factory.channel("robots", owner="ada", public=False)
    factory.user("iris", admin=True)
    factory.key("iris")
    factory.key("iris", only=["robots"])
    assert ["key 0", "key 1"] == own_keys(seaway, factory.signed_in("iris"), "robots")


def test_only_valid_keys_for_the_channel_are_listed(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """Keys for other channels, expired keys and revoked keys are omitted; membership through a group is enough."""
    factory.channel("robots", owner="ada", public=False)
    factory.channel("others", owner="ada")
    factory.user("mia")
    with seaway.site.database.write_site() as tx:
        groups.add(tx, 1, OPERATOR, "crew", users.get(tx, "mia"))
        members.put_group(tx, 1, OPERATOR, "robots", "crew", Role.VIEWER)
        members.put_group(tx, 1, OPERATOR, "others", "crew", Role.VIEWER)
    factory.key("mia")
    factory.key("mia", only=["others"])
    factory.key("mia", only=["robots"])
    factory.key("mia", days=1)
    factory.key("mia")
    with seaway.site.database.write_site() as tx:
        api_keys.revoke(tx, 1, OPERATOR, users.get(tx, "mia"), "key 4")
    clock.move(2 * DAY_MS)
    assert ["key 0", "key 2"] == own_keys(seaway, factory.signed_in("mia"), "robots")


@pytest.mark.parametrize("role", list(Role))
def test_keys_of_other_members_are_hidden(seaway: Seaway, factory: Factory, role: Role) -> None:
    """Neither the owner nor a site admin sees keys of another user, restricted to the channel or not."""
    factory.channel("robots", owner="ada" if role is not Role.OWNER else "victim", public=False)
    if role is not Role.OWNER:
        factory.member("robots", "victim", role)
    factory.key("victim")
    factory.key("victim", only=["robots"])
    factory.user("moderator", admin=True)
    assert 2 == len(own_keys(seaway, factory.signed_in("victim"), "robots"))
    assert [] == own_keys(seaway, factory.signed_in("moderator"), "robots")
    if role is not Role.OWNER:
        assert [] == own_keys(seaway, factory.signed_in("ada"), "robots")
    with pytest.raises(NotFound):
        own_keys(seaway, factory.signed_in("nonmember"), "robots")
