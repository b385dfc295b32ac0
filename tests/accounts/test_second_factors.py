"""Codes of an app, recovery codes, and how they are lost (sign_in/totp.py, recovery.py, second_factors.py)."""

import pyotp
import pytest
from sqlalchemy import select, update

from seaway.callers.caller import OPERATOR
from seaway.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from seaway.database.tables import recovery_codes
from seaway.database.tables import totp as rows
from seaway.database.tables import users as user_rows
from seaway.errors import BadCredential, ConfirmationRequired, NotAllowed, NotFound, TooManyRequests
from seaway.server.wiring import Seaway
from seaway.sign_in import password_reset, password_sign_in, recovery, second_factors, totp
from seaway.sign_in.password_sign_in import BrowserInfo, NeedsSecondFactor, SignedIn
from seaway.sign_in.second_factors import Factors
from seaway.users import users
from tests.accounts.conftest import AWAY, HOME, OTHER_PASSWORD, PASSWORD, Folk
from tests.support.clock import TurnedClock
from tests.support.mail import letters, text_of

pytestmark = pytest.mark.anyio


class Phone:
    """An app with a seed, on the clock of the house or one that differs."""

    def __init__(self, folk: Folk, seed: str) -> None:
        self._folk, self._app = folk, pyotp.TOTP(seed)

    def code(self, late_ms: int = 0) -> str:
        return self._app.generate_otp((self._folk.now_ms + late_ms) // 30_000)


async def enrol(folk: Folk, name: str = "ada") -> tuple[Phone, list[str]]:
    """A user with an app, and their recovery codes; the clock stands at the next code."""
    folk.add(name)
    by, _ = await folk.session(name)
    phone = Phone(folk, totp.begin(folk.house, by).seed)
    codes = await totp.confirm(folk.house, by, phone.code())
    folk.seaway.clock.move(30 * SECOND_MS)  # type: ignore[attr-defined]
    return phone, codes


async def first_step(folk: Folk, name: str = "ada", client: BrowserInfo = HOME) -> str:
    found = await folk.sign_in(name, client=client)
    assert isinstance(found, NeedsSecondFactor)
    return found.flow


async def test_a_code_used_under_a_wrong_clock_bars_no_code_of_today(folk: Folk, clock: TurnedClock) -> None:
    """Case: the last step that was used lies years ahead after the clock is set back; a code still works only once."""
    phone, _ = await enrol(folk)
    clock.move(20_000 * HOUR_MS)
    await password_sign_in.second_factor(folk.house, await first_step(folk), phone.code(), HOME)
    clock.move(-20_000 * HOUR_MS)
    signed_in = await password_sign_in.second_factor(folk.house, await first_step(folk), phone.code(), HOME)
    assert folk.is_good(signed_in.secret)
    again = await first_step(folk)
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(folk.house, again, phone.code(), HOME)


async def test_an_app_is_asked_for_its_code(folk: Folk) -> None:
    """The password alone opens nothing any more; with the code it does."""
    phone, _ = await enrol(folk)
    found = await folk.sign_in("ada")
    assert isinstance(found, NeedsSecondFactor)
    assert (True, False) == (found.has_totp, found.has_passkeys)
    assert not folk.is_good(found.flow)
    code = phone.code()
    signed_in = await password_sign_in.second_factor(folk.house, found.flow, f"{code[:3]} {code[3:]}", HOME)
    assert folk.is_good(signed_in.secret)


async def test_a_code_is_good_once(folk: Folk) -> None:
    """Case 28: also for another sign-in, and also the code that enrolled the app (1)."""
    phone, _ = await enrol(folk)
    one, two = await first_step(folk), await first_step(folk)
    await password_sign_in.second_factor(folk.house, one, phone.code(), HOME)
    for code in (phone.code(), phone.code(-30_000)):
        with pytest.raises(BadCredential, match="already used"):
            await password_sign_in.second_factor(folk.house, two, code, HOME)


@pytest.mark.parametrize(("late", "is_good"), [(-60, False), (-29, True), (0, True), (30, True), (60, False)])
async def test_clocks_differ_by_one_step(folk: Folk, clock: TurnedClock, late: int, is_good: bool) -> None:
    """Thirty seconds to either side (2)."""
    phone, _ = await enrol(folk)
    clock.move(5 * MINUTE_MS)
    flow = await first_step(folk)
    code = phone.code(late * SECOND_MS)
    if is_good:
        assert await password_sign_in.second_factor(folk.house, flow, code, HOME)
    else:
        with pytest.raises(BadCredential):
            await password_sign_in.second_factor(folk.house, flow, code, HOME)


async def test_codes_cannot_be_guessed(folk: Folk) -> None:
    """Case 29: after five wrong ones even the right one has to wait, from anywhere."""
    phone, _ = await enrol(folk)
    flow = await first_step(folk)
    wrong = "000000" if phone.code() != "000000" else "000001"
    for _ in range(5):
        with pytest.raises(BadCredential):
            await password_sign_in.second_factor(folk.house, flow, wrong, HOME)
    for client in (HOME, AWAY):
        with pytest.raises(TooManyRequests, match="second-factor attempts for this user"):
            await password_sign_in.second_factor(folk.house, flow, phone.code(), client)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "٠١٢٣٤٥", "abcdef", "1", "9" * 13, "\ud800", "1" + "\0" * 12])
async def test_what_is_no_code_is_refused(folk: Folk, code: str) -> None:
    """Other digits, other lengths, half characters: one plain answer."""
    await enrol(folk)
    with pytest.raises(BadCredential, match="code is wrong"):
        await password_sign_in.second_factor(folk.house, await first_step(folk), code, HOME)


async def test_a_sign_in_waits_ten_minutes(folk: Folk, clock: TurnedClock) -> None:
    """And is used once."""
    phone, _ = await enrol(folk)
    flow = await first_step(folk)
    clock.move(10 * MINUTE_MS)
    with pytest.raises(BadCredential, match="has expired"):
        await password_sign_in.second_factor(folk.house, flow, phone.code(), HOME)
    flow = await first_step(folk)
    await password_sign_in.second_factor(folk.house, flow, phone.code(), HOME)
    clock.move(30 * SECOND_MS)
    with pytest.raises(BadCredential, match="has expired"):
        await password_sign_in.second_factor(folk.house, flow, phone.code(), HOME)


async def test_a_changed_password_ends_what_waits(folk: Folk, seaway: Seaway) -> None:
    """Who stole the old one and waits for a code has nothing (signing_in 3)."""
    phone, _ = await enrol(folk)
    flow = await first_step(folk)
    mine = await password_sign_in.second_factor(folk.house, await first_step(folk), phone.code(), HOME)
    await password_reset.change(folk.house, folk.who(mine.secret), OTHER_PASSWORD)
    with pytest.raises(BadCredential, match="has expired"):
        await password_sign_in.second_factor(folk.house, flow, phone.code(30_000), HOME)


async def test_an_app_counts_from_its_first_code(folk: Folk, seaway: Seaway) -> None:
    """Who closes the page before is not locked out; a wrong code enrols nothing (3)."""
    ada = folk.add("ada")
    by, _ = await folk.session("ada")
    phone = Phone(folk, totp.begin(folk.house, by).seed)
    again = Phone(folk, totp.begin(folk.house, by).seed)
    with pytest.raises(BadCredential, match="clock of your phone"):
        await totp.confirm(folk.house, by, phone.code())
    assert isinstance(await folk.sign_in("ada"), SignedIn)
    assert 8 == len(await totp.confirm(folk.house, by, again.code()))
    with seaway.database.read() as tx:
        assert Factors(True, 0, 8) == second_factors.of_user(tx, ada)
    with pytest.raises(NotAllowed, match="already"):
        totp.begin(folk.house, by)


async def test_the_seed_is_not_in_the_database(folk: Folk, seaway: Seaway) -> None:
    """It is encrypted, for this user alone (3)."""
    folk.add("ada")
    by, _ = await folk.session("ada")
    enrolment = totp.begin(folk.house, by)
    assert enrolment.seed in enrolment.uri
    with seaway.database.read() as tx:
        assert enrolment.seed.encode() not in tx.execute(select(rows.c.seed)).scalar_one()


async def test_recovery_codes_stand_for_the_phone(folk: Folk, seaway: Seaway) -> None:
    """Case 30: each once, in any order, however it is typed; the user is told."""
    _, codes = await enrol(folk)
    assert 8 == len(set(codes))
    typed = codes[4].upper().replace("-", " ")
    assert await password_sign_in.second_factor(folk.house, await first_step(folk), typed, HOME)
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(folk.house, await first_step(folk), codes[4], HOME)
    assert await password_sign_in.second_factor(folk.house, await first_step(folk), codes[0], HOME)
    assert 2 == sum("recovery code was used" in text_of(letter) for letter in letters(seaway))
    with seaway.database.read() as tx:
        assert all(kept.startswith("$argon2id$") for kept in tx.execute(select(recovery_codes.c.hash)).scalars())


async def test_another_ones_recovery_code_is_of_no_use(folk: Folk) -> None:
    """It is looked for among one's own."""
    await enrol(folk)
    _, codes = await enrol(folk, "bob")
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(folk.house, await first_step(folk), codes[0], HOME)


async def test_new_recovery_codes_end_the_old_ones(folk: Folk) -> None:
    """And only a person with a second factor has any."""
    phone, old = await enrol(folk)
    by = folk.who((await password_sign_in.second_factor(folk.house, await first_step(folk), phone.code(), HOME)).secret)
    new = await recovery.renew(folk.house, by)
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(folk.house, await first_step(folk), old[1], HOME)
    assert await password_sign_in.second_factor(folk.house, await first_step(folk), new[1], HOME)
    folk.add("bob")
    with pytest.raises(NotAllowed, match="replace a second factor"):
        await recovery.renew(folk.house, (await folk.session("bob"))[0])


async def test_changes_end_other_sessions_and_are_told(folk: Folk, seaway: Seaway) -> None:
    """Adding and removing; the browser in which it was done stays (security 1, 2)."""
    folk.add("ada")
    by, mine = await folk.session("ada")
    _, other = await folk.session("ada", AWAY)
    phone = Phone(folk, totp.begin(folk.house, by).seed)
    await totp.confirm(folk.house, by, phone.code())
    assert [True, False] == [folk.is_good(secret) for secret in (mine, other)]
    totp.remove(folk.house, by)
    assert [True, True] == [
        word in text_of(letter) for letter, word in zip(letters(seaway), ("app was added", "was removed"), strict=True)
    ]
    assert isinstance(await folk.sign_in("ada"), SignedIn)
    with seaway.database.read() as tx:
        assert [] == list(tx.execute(select(recovery_codes.c.id)))
    with pytest.raises(NotFound):
        totp.remove(folk.house, by)


async def test_a_sign_in_of_a_while_ago_changes_nothing(folk: Folk, clock: TurnedClock) -> None:
    """Case 32: neither adding nor removing."""
    folk.add("ada")
    by, secret = await folk.session("ada")
    clock.move(30 * MINUTE_MS)
    by = folk.who(secret)
    for change in (totp.begin, totp.remove):
        with pytest.raises(ConfirmationRequired):
            change(folk.house, by)
    with pytest.raises(ConfirmationRequired):
        await totp.confirm(folk.house, by, "000000")
    with pytest.raises(ConfirmationRequired):
        await recovery.renew(folk.house, by)


async def test_a_code_confirms_where_there_is_no_password(folk: Folk, seaway: Seaway, clock: TurnedClock) -> None:
    """People who sign in elsewhere prove by their second factor that they are there."""
    phone, _ = await enrol(folk)
    signed_in = await password_sign_in.second_factor(folk.house, await first_step(folk), phone.code(), HOME)
    with seaway.database.write_site() as tx:
        tx.execute(update(user_rows).values(password_hash=None))
    clock.move(HOUR_MS)
    by = folk.who(signed_in.secret)
    fresh = await password_sign_in.confirm(folk.house, by, signed_in.secret, phone.code(), HOME)
    assert (False, True) == (by.is_fresh, folk.who(fresh).is_fresh)
    with pytest.raises(BadCredential):
        await password_sign_in.confirm(folk.house, by, fresh, phone.code(), HOME)


async def test_the_operator_takes_it_away_at_once(folk: Folk, seaway: Seaway) -> None:
    """The password opens the account again, every browser is out, and the user is told (2)."""
    phone, _ = await enrol(folk)
    mine = await password_sign_in.second_factor(folk.house, await first_step(folk), phone.code(), HOME)
    with seaway.database.write_site() as tx:
        second_factors.reset_now(folk.house, tx, folk.now_ms, OPERATOR, users.get(tx, "ada").id)
    assert not folk.is_good(mine.secret)
    assert isinstance(await folk.sign_in("ada", PASSWORD), SignedIn)
    assert "second factors were removed" in text_of(letters(seaway)[-1])


async def test_an_admin_takes_it_away_after_three_days(folk: Folk, seaway: Seaway, clock: TurnedClock) -> None:
    """Announced to every address; the user who still has it can stop it (2)."""
    await enrol(folk)
    await enrol(folk, "bob")
    with seaway.database.write_site() as tx:
        ada, bob = (users.get(tx, name).id for name in ("ada", "bob"))
        for user_id in (ada, bob):
            second_factors.request_reset(folk.house, tx, folk.now_ms, OPERATOR, user_id)
    assert "in 72 hours, unless you cancel it" in text_of(letters(seaway)[-1])
    clock.move(71 * HOUR_MS)
    seaway.runner.run_due()
    with seaway.database.write_site() as tx:
        assert [True, True] == [second_factors.of_user(tx, each).any for each in (ada, bob)]
        second_factors.cancel_reset(folk.house, tx, folk.now_ms, OPERATOR, bob)
        assert [True, False] == [second_factors.ends_at(tx, each) is not None for each in (ada, bob)]
    clock.move(HOUR_MS + MINUTE_MS)
    seaway.runner.run_due()
    with seaway.database.read() as tx:
        assert [False, True] == [second_factors.of_user(tx, each).any for each in (ada, bob)]
