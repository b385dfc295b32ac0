"""Another secret key of the site, while people are signed in."""

from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from seaway.clock import MINUTE_MS
from seaway.errors import Unavailable
from seaway.sign_in import password_sign_in, totp
from seaway.sign_in.password_sign_in import NeedsSecondFactor
from tests.accounts.conftest import HOME, Folk
from tests.accounts.test_second_factors import Phone
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.house import People

pytestmark = pytest.mark.anyio


async def test_a_new_secret_key_signs_nobody_out(tmp_path: Path, clock: TurnedClock) -> None:
    """Case 96: before the old one, then alone: sessions go on, and codes of an app for as long as the old one opens."""
    one, two = ("first" * 8), ("second" * 8)
    with closing(house.build(tmp_path, clock, secret_key=one)) as seaway:
        People(seaway).user("founder")
        folk = Folk(seaway)
        folk.add("ada")
        by, cookie = await folk.session("ada")
        seed = totp.begin(folk.house, by).seed
        await totp.confirm(folk.house, by, Phone(folk, seed).code())
    for number, (secret_key, opens) in enumerate(((f"{two},{one}", True), (two, False)), 1):
        clock.move(number * MINUTE_MS)
        with closing(house.build(tmp_path, clock, secret_key=secret_key)) as seaway:
            folk = Folk(seaway)
            assert folk.is_good(cookie)
            found = await folk.sign_in("ada")
            assert isinstance(found, NeedsSecondFactor)
            with nullcontext() if opens else pytest.raises(Unavailable, match="secret key that is missing"):
                assert await password_sign_in.second_factor(folk.house, found.flow, Phone(folk, seed).code(), HOME)
