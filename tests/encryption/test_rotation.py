"""Rotation of the site's secret key while users are signed in."""

from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from seaway.clock import MINUTE_MS
from seaway.errors import Unavailable
from seaway.sign_in import password_sign_in, totp
from seaway.sign_in.password_sign_in import NeedsSecondFactor
from tests.sign_in.test_second_factors import Phone
from tests.support import sites
from tests.support.accounts import HOME, Accounts
from tests.support.clock import ManualClock
from tests.support.sites import Factory

pytestmark = pytest.mark.anyio


async def test_new_secret_key_keeps_sessions(tmp_path: Path, clock: ManualClock) -> None:
    """Case 96: sessions continue; TOTP codes work as long as the old key is listed."""
    old_key, new_key = ("first" * 8), ("second" * 8)
    with closing(sites.build(tmp_path, clock, secret_key=old_key)) as seaway:
        Factory(seaway).user("founder")
        accounts = Accounts(seaway)
        accounts.add("ada")
        by, cookie = await accounts.session("ada")
        seed = totp.begin(accounts.parts, by).seed
        await totp.confirm(accounts.parts, by, Phone(accounts, seed).code())
    for number, (secret_key, can_decrypt) in enumerate(((f"{new_key},{old_key}", True), (new_key, False)), 1):
        clock.move(number * MINUTE_MS)
        with closing(sites.build(tmp_path, clock, secret_key=secret_key)) as seaway:
            accounts = Accounts(seaway)
            assert accounts.is_valid(cookie)
            result = await accounts.sign_in("ada")
            assert isinstance(result, NeedsSecondFactor)
            with nullcontext() if can_decrypt else pytest.raises(Unavailable, match="secret key that is missing"):
                assert await password_sign_in.second_factor(
                    accounts.parts, result.flow, Phone(accounts, seed).code(), HOME
                )
