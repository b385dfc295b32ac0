"""What the policy of a site makes of people (accounts/standing.py), and what they may do then."""

from pathlib import Path

import pytest

from seaway.accounts import totp
from seaway.accounts.principal import Principal
from seaway.accounts.standing import judged
from seaway.channels import channels, permissions
from seaway.channels.roles import Action, SiteAction
from seaway.errors import NotAllowed
from tests.accounts.conftest import Folk
from tests.accounts.test_second_factors import Phone
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.house import People

pytestmark = pytest.mark.anyio


def standing(folk: Folk, by: Principal) -> Principal:
    with folk.seaway.database.read() as tx:
        return judged(tx, folk.house.policy, by)


def require(folk: Folk, by: Principal, action: Action) -> None:
    with folk.seaway.database.read() as tx:
        permissions.require(by, action, channels.access_of(tx, "tools", by), channel_name="tools")


@pytest.mark.parametrize("who", ["owners", "everybody"])
async def test_a_second_factor_is_asked_for(tmp_path: Path, clock: TurnedClock, who: str) -> None:
    """Who must have one and has none reads, sets one up, and changes nothing else."""
    seaway = house.build(tmp_path, clock, require_second_factor=who)
    people, folk = People(seaway), Folk(seaway)
    people.user("founder")
    folk.add("ada")
    folk.add("bob")
    people.channel("tools", owner="ada", public=False)
    ada, bob = [standing(folk, (await folk.session(name))[0]) for name in ("ada", "bob")]
    assert (True, who == "everybody") == (ada.lacks_second_factor, bob.lacks_second_factor)

    require(folk, ada, Action.READ)
    permissions.require_site(ada, SiteAction.CHANGE_ACCOUNT)
    for action in (Action.UPLOAD, Action.MANAGE, Action.TRANSFER, Action.REMOVE):
        with pytest.raises(NotAllowed, match="asks for a second factor"):
            require(folk, ada, action)
    with pytest.raises(NotAllowed, match="asks for a second factor"):
        permissions.require_site(ada, SiteAction.ADD_CHANNEL)

    phone = Phone(folk, totp.begin(folk.house, ada).seed)
    await totp.confirm(folk.house, ada, phone.code())
    ada = standing(folk, ada)
    require(folk, ada, Action.MANAGE)
    permissions.require_site(ada, SiteAction.ADD_CHANNEL)
    seaway.close()


@pytest.mark.parametrize("required", [True, False])
async def test_verification_can_be_left_out(tmp_path: Path, clock: TurnedClock, required: bool) -> None:
    """Where the operator trusts whoever can reach the site."""
    seaway = house.build(tmp_path, clock, require_verification=required)
    folk = Folk(seaway)
    People(seaway).user("founder")
    folk.add("ada", verified=False)
    by = standing(folk, (await folk.session("ada"))[0])
    assert by.is_verified is not required
    seaway.close()
