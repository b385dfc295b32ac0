"""Account policy: required second factors and verification (sign_in/account_policy.py)."""

from contextlib import closing
from pathlib import Path

import httpx
import pytest

from seaway.callers.caller import Caller, Mode
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import channels, permissions, transfers
from seaway.channels.roles import Action, Role
from seaway.errors import NotAllowed
from seaway.oauth import grants
from seaway.server.app import create_app
from seaway.sign_in import totp
from seaway.sign_in.account_policy import apply_policy
from seaway.users import users
from tests.sign_in.test_second_factors import Phone
from tests.support import sites
from tests.support.accounts import Accounts
from tests.support.clock import ManualClock
from tests.support.sites import Factory

pytestmark = pytest.mark.anyio


def with_policy(accounts: Accounts, by: Caller) -> Caller:
    with accounts.seaway.site.database.read() as tx:
        return apply_policy(tx, accounts.parts.policy, by)


def require(accounts: Accounts, by: Caller, action: Action) -> None:
    with accounts.seaway.site.database.read() as tx:
        permissions.require(by, action, channels.access_of(tx, "tools", by), channel_name="tools")


@pytest.mark.parametrize("required_for", ["owners", "all"])
async def test_required_second_factor_restricts_users_without_one(
    tmp_path: Path, clock: ManualClock, required_for: str
) -> None:
    """They can read and set one up, but change nothing else."""
    seaway = sites.build(tmp_path, clock, require_second_factor=required_for)
    factory, accounts = Factory(seaway), Accounts(seaway)
    factory.user("founder")
    accounts.add("ada")
    accounts.add("bob")
    factory.channel("tools", owner="ada", public=False)
    ada, bob = [with_policy(accounts, (await accounts.session(name))[0]) for name in ("ada", "bob")]
    assert (True, required_for == "all") == (ada.lacks_second_factor, bob.lacks_second_factor)

    require(accounts, ada, Action.READ)
    require_site(ada, SiteAction.CHANGE_ACCOUNT)
    for action in (Action.UPLOAD, Action.MANAGE, Action.TRANSFER, Action.REMOVE):
        with pytest.raises(NotAllowed, match="requires a second factor"):
            require(accounts, ada, action)
    with pytest.raises(NotAllowed, match="requires a second factor"):
        require_site(ada, SiteAction.ADD_CHANNEL)

    phone = Phone(accounts, totp.begin(accounts.parts, ada).seed)
    await totp.confirm(accounts.parts, ada, phone.code())
    ada = with_policy(accounts, ada)
    require(accounts, ada, Action.MANAGE)
    require_site(ada, SiteAction.ADD_CHANNEL)
    seaway.close()


async def test_required_second_factor_restricts_keys_and_oauth_grants(tmp_path: Path, clock: ManualClock) -> None:
    """Keys created before the policy can read, and can write again once the owner has a second factor."""
    with closing(sites.build(tmp_path, clock, require_second_factor="owners")) as seaway:
        factory, accounts = Factory(seaway), Accounts(seaway)
        factory.user("founder")
        for name in ("ada", "bob"):
            accounts.add(name)
        factory.channel("tools", owner="ada")
        factory.member("tools", "bob", Role.CONTRIBUTOR)
        credentials = {name: factory.key(name, mode=Mode.MANAGE) for name in ("ada", "bob")}
        with seaway.site.database.write_site() as tx:
            user_id = users.get(tx, "ada").id
            scope = "openid channel:read channel:upload"
            credentials["ada's tool"] = grants.add(tx, clock.now_ms(), user_id, "rattler", scope, address="")[1].access
        transport = httpx.ASGITransport(create_app(seaway))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:

            async def statuses(name: str) -> tuple[int, int, int]:
                """Return the statuses of reading, uploading and creating a channel; 422 and 201 mean permitted."""
                headers = {"Authorization": f"Bearer {credentials[name]}", "X-File-Name": "demo-1.0-h1_0.conda"}
                read = await http.get("/tools/noarch/repodata.json", headers=headers)
                uploaded = await http.post("/api/v1/upload/tools", content=b"no package", headers=headers)
                created = await http.post("/api/v1/channels", json={"name": f"of-{len(name)}"}, headers=headers)
                assert ("second factor" in uploaded.text) is (uploaded.status_code == 403)
                return read.status_code, uploaded.status_code, created.status_code

            assert (200, 403, 403) == await statuses("ada")
            assert (200, 403, 403) == await statuses("ada's tool")
            assert (200, 422, 403) == await statuses("bob"), (
                "users who own no channel can upload but not create a channel"
            )

            ada = with_policy(accounts, (await accounts.session("ada"))[0])
            phone = Phone(accounts, totp.begin(accounts.parts, ada).seed)
            await totp.confirm(accounts.parts, ada, phone.code())
            assert (200, 422, 201) == await statuses("ada")
            assert (200, 422, 403) == await statuses("ada's tool")


async def test_accepting_a_channel_needs_the_required_second_factor(tmp_path: Path, clock: ManualClock) -> None:
    with closing(sites.build(tmp_path, clock, require_second_factor="owners")) as seaway:
        factory, accounts = Factory(seaway), Accounts(seaway)
        factory.user("founder")
        factory.channel("tools", owner="ada")
        accounts.add("bob")
        factory.member("tools", "bob", Role.CONTRIBUTOR)
        ada = factory.signed_in("ada")
        with seaway.site.database.write_site() as tx:
            transfers.offer(tx, clock.now_ms(), ada, "tools", "bob")
        bob = with_policy(accounts, (await accounts.session("bob"))[0])
        with pytest.raises(NotAllowed, match="of channel owners"), seaway.site.database.write_site() as tx:
            transfers.accept(tx, clock.now_ms(), bob, "tools")
        phone = Phone(accounts, totp.begin(accounts.parts, bob).seed)
        await totp.confirm(accounts.parts, bob, phone.code())
        bob = with_policy(accounts, bob)
        with seaway.site.database.write_site() as tx:
            assert "tools" == transfers.accept(tx, clock.now_ms(), bob, "tools").channel


@pytest.mark.parametrize("required", [True, False])
async def test_verification_can_be_disabled(tmp_path: Path, clock: ManualClock, required: bool) -> None:
    """For sites where the operator trusts every user who can reach them."""
    seaway = sites.build(tmp_path, clock, require_verification=required)
    accounts = Accounts(seaway)
    Factory(seaway).user("founder")
    accounts.add("ada", verified=False)
    by = with_policy(accounts, (await accounts.session("ada"))[0])
    assert by.is_verified is not required
    seaway.close()
