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
from tests.accounts.conftest import AWAY, HOME, OTHER_PASSWORD, PASSWORD, Accounts
from tests.support.clock import TurnedClock
from tests.support.mail import letters, text_of

pytestmark = pytest.mark.anyio


class Phone:
    """An app with a seed, on the clock of the house or one that differs."""

    def __init__(self, accounts: Accounts, seed: str) -> None:
        self._folk, self._app = accounts, pyotp.TOTP(seed)

    def code(self, late_ms: int = 0) -> str:
        return self._app.generate_otp((self._folk.now_ms + late_ms) // 30_000)


async def enrol(accounts: Accounts, name: str = "ada") -> tuple[Phone, list[str]]:
    """A user with an app, and their recovery codes; the clock stands at the next code."""
    accounts.add(name)
    by, _ = await accounts.session(name)
    phone = Phone(accounts, totp.begin(accounts.parts, by).seed)
    codes = await totp.confirm(accounts.parts, by, phone.code())
    accounts.seaway.clock.move(30 * SECOND_MS)  # type: ignore[attr-defined]
    return phone, codes


async def first_step(accounts: Accounts, name: str = "ada", client: BrowserInfo = HOME) -> str:
    found = await accounts.sign_in(name, client=client)
    assert isinstance(found, NeedsSecondFactor)
    return found.flow


async def test_a_code_used_under_a_wrong_clock_bars_no_code_of_today(accounts: Accounts, clock: TurnedClock) -> None:
    """Case: the last step that was used lies years ahead after the clock is set back; a code still works only once."""
    phone, _ = await enrol(accounts)
    clock.move(20_000 * HOUR_MS)
    await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)
    clock.move(-20_000 * HOUR_MS)
    signed_in = await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)
    assert accounts.is_valid(signed_in.secret)
    again = await first_step(accounts)
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(accounts.parts, again, phone.code(), HOME)


async def test_an_app_is_asked_for_its_code(accounts: Accounts) -> None:
    """The password alone opens nothing any more; with the code it does."""
    phone, _ = await enrol(accounts)
    found = await accounts.sign_in("ada")
    assert isinstance(found, NeedsSecondFactor)
    assert (True, False) == (found.has_totp, found.has_passkeys)
    assert not accounts.is_valid(found.flow)
    code = phone.code()
    signed_in = await password_sign_in.second_factor(accounts.parts, found.flow, f"{code[:3]} {code[3:]}", HOME)
    assert accounts.is_valid(signed_in.secret)


async def test_a_code_is_good_once(accounts: Accounts) -> None:
    """Case 28: also for another sign-in, and also the code that enrolled the app (1)."""
    phone, _ = await enrol(accounts)
    one, two = await first_step(accounts), await first_step(accounts)
    await password_sign_in.second_factor(accounts.parts, one, phone.code(), HOME)
    for code in (phone.code(), phone.code(-30_000)):
        with pytest.raises(BadCredential, match="already used"):
            await password_sign_in.second_factor(accounts.parts, two, code, HOME)


@pytest.mark.parametrize(("late", "is_good"), [(-60, False), (-29, True), (0, True), (30, True), (60, False)])
async def test_clocks_differ_by_one_step(accounts: Accounts, clock: TurnedClock, late: int, is_good: bool) -> None:
    """Thirty seconds to either side (2)."""
    phone, _ = await enrol(accounts)
    clock.move(5 * MINUTE_MS)
    flow = await first_step(accounts)
    code = phone.code(late * SECOND_MS)
    if is_good:
        assert await password_sign_in.second_factor(accounts.parts, flow, code, HOME)
    else:
        with pytest.raises(BadCredential):
            await password_sign_in.second_factor(accounts.parts, flow, code, HOME)


async def test_codes_cannot_be_guessed(accounts: Accounts) -> None:
    """Case 29: after five wrong ones even the right one has to wait, from anywhere."""
    phone, _ = await enrol(accounts)
    flow = await first_step(accounts)
    wrong = "000000" if phone.code() != "000000" else "000001"
    for _ in range(5):
        with pytest.raises(BadCredential):
            await password_sign_in.second_factor(accounts.parts, flow, wrong, HOME)
    for client in (HOME, AWAY):
        with pytest.raises(TooManyRequests, match="second-factor attempts for this user"):
            await password_sign_in.second_factor(accounts.parts, flow, phone.code(), client)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "٠١٢٣٤٥", "abcdef", "1", "9" * 13, "\ud800", "1" + "\0" * 12])
async def test_what_is_no_code_is_refused(accounts: Accounts, code: str) -> None:
    """Other digits, other lengths, half characters: one plain answer."""
    await enrol(accounts)
    with pytest.raises(BadCredential, match="code is wrong"):
        await password_sign_in.second_factor(accounts.parts, await first_step(accounts), code, HOME)


async def test_a_sign_in_waits_ten_minutes(accounts: Accounts, clock: TurnedClock) -> None:
    """And is used once."""
    phone, _ = await enrol(accounts)
    flow = await first_step(accounts)
    clock.move(10 * MINUTE_MS)
    with pytest.raises(BadCredential, match="has expired"):
        await password_sign_in.second_factor(accounts.parts, flow, phone.code(), HOME)
    flow = await first_step(accounts)
    await password_sign_in.second_factor(accounts.parts, flow, phone.code(), HOME)
    clock.move(30 * SECOND_MS)
    with pytest.raises(BadCredential, match="has expired"):
        await password_sign_in.second_factor(accounts.parts, flow, phone.code(), HOME)


async def test_a_changed_password_ends_what_waits(accounts: Accounts, seaway: Seaway) -> None:
    """Who stole the old one and waits for a code has nothing (signing_in 3)."""
    phone, _ = await enrol(accounts)
    flow = await first_step(accounts)
    mine = await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)
    await password_reset.change(accounts.parts, accounts.caller_of(mine.secret), OTHER_PASSWORD)
    with pytest.raises(BadCredential, match="has expired"):
        await password_sign_in.second_factor(accounts.parts, flow, phone.code(30_000), HOME)


async def test_an_app_counts_from_its_first_code(accounts: Accounts, seaway: Seaway) -> None:
    """Who closes the page before is not locked out; a wrong code enrols nothing (3)."""
    ada = accounts.add("ada")
    by, _ = await accounts.session("ada")
    phone = Phone(accounts, totp.begin(accounts.parts, by).seed)
    again = Phone(accounts, totp.begin(accounts.parts, by).seed)
    with pytest.raises(BadCredential, match="clock of your phone"):
        await totp.confirm(accounts.parts, by, phone.code())
    assert isinstance(await accounts.sign_in("ada"), SignedIn)
    assert 8 == len(await totp.confirm(accounts.parts, by, again.code()))
    with seaway.database.read() as tx:
        assert Factors(True, 0, 8) == second_factors.of_user(tx, ada)
    with pytest.raises(NotAllowed, match="already"):
        totp.begin(accounts.parts, by)


async def test_the_seed_is_not_in_the_database(accounts: Accounts, seaway: Seaway) -> None:
    """It is encrypted, for this user alone (3)."""
    accounts.add("ada")
    by, _ = await accounts.session("ada")
    enrolment = totp.begin(accounts.parts, by)
    assert enrolment.seed in enrolment.uri
    with seaway.database.read() as tx:
        assert enrolment.seed.encode() not in tx.execute(select(rows.c.seed)).scalar_one()


async def test_recovery_codes_stand_for_the_phone(accounts: Accounts, seaway: Seaway) -> None:
    """Case 30: each once, in any order, however it is typed; the user is told."""
    _, codes = await enrol(accounts)
    assert 8 == len(set(codes))
    typed = codes[4].upper().replace("-", " ")
    assert await password_sign_in.second_factor(accounts.parts, await first_step(accounts), typed, HOME)
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(accounts.parts, await first_step(accounts), codes[4], HOME)
    assert await password_sign_in.second_factor(accounts.parts, await first_step(accounts), codes[0], HOME)
    assert 2 == sum("recovery code was used" in text_of(letter) for letter in letters(seaway))
    with seaway.database.read() as tx:
        assert all(kept.startswith("$argon2id$") for kept in tx.execute(select(recovery_codes.c.hash)).scalars())


async def test_another_ones_recovery_code_is_of_no_use(accounts: Accounts) -> None:
    """It is looked for among one's own."""
    await enrol(accounts)
    _, codes = await enrol(accounts, "bob")
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(accounts.parts, await first_step(accounts), codes[0], HOME)


async def test_new_recovery_codes_end_the_old_ones(accounts: Accounts) -> None:
    """And only a person with a second factor has any."""
    phone, old = await enrol(accounts)
    by = accounts.caller_of(
        (await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)).secret
    )
    new = await recovery.renew(accounts.parts, by)
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(accounts.parts, await first_step(accounts), old[1], HOME)
    assert await password_sign_in.second_factor(accounts.parts, await first_step(accounts), new[1], HOME)
    accounts.add("bob")
    with pytest.raises(NotAllowed, match="replace a second factor"):
        await recovery.renew(accounts.parts, (await accounts.session("bob"))[0])


async def test_changes_end_other_sessions_and_are_told(accounts: Accounts, seaway: Seaway) -> None:
    """Adding and removing; the browser in which it was done stays (security 1, 2)."""
    accounts.add("ada")
    by, mine = await accounts.session("ada")
    _, other = await accounts.session("ada", AWAY)
    phone = Phone(accounts, totp.begin(accounts.parts, by).seed)
    await totp.confirm(accounts.parts, by, phone.code())
    assert [True, False] == [accounts.is_valid(secret) for secret in (mine, other)]
    totp.remove(accounts.parts, by)
    assert [True, True] == [
        word in text_of(letter) for letter, word in zip(letters(seaway), ("app was added", "was removed"), strict=True)
    ]
    assert isinstance(await accounts.sign_in("ada"), SignedIn)
    with seaway.database.read() as tx:
        assert [] == list(tx.execute(select(recovery_codes.c.id)))
    with pytest.raises(NotFound):
        totp.remove(accounts.parts, by)


async def test_a_sign_in_of_a_while_ago_changes_nothing(accounts: Accounts, clock: TurnedClock) -> None:
    """Case 32: neither adding nor removing."""
    accounts.add("ada")
    by, secret = await accounts.session("ada")
    clock.move(30 * MINUTE_MS)
    by = accounts.caller_of(secret)
    for change in (totp.begin, totp.remove):
        with pytest.raises(ConfirmationRequired):
            change(accounts.parts, by)
    with pytest.raises(ConfirmationRequired):
        await totp.confirm(accounts.parts, by, "000000")
    with pytest.raises(ConfirmationRequired):
        await recovery.renew(accounts.parts, by)


async def test_a_code_confirms_where_there_is_no_password(
    accounts: Accounts, seaway: Seaway, clock: TurnedClock
) -> None:
    """People who sign in elsewhere prove by their second factor that they are there."""
    phone, _ = await enrol(accounts)
    signed_in = await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)
    with seaway.database.write_site() as tx:
        tx.execute(update(user_rows).values(password_hash=None))
    clock.move(HOUR_MS)
    by = accounts.caller_of(signed_in.secret)
    fresh = await password_sign_in.confirm(accounts.parts, by, signed_in.secret, phone.code(), HOME)
    assert (False, True) == (by.is_fresh, accounts.caller_of(fresh).is_fresh)
    with pytest.raises(BadCredential):
        await password_sign_in.confirm(accounts.parts, by, fresh, phone.code(), HOME)


async def test_the_operator_takes_it_away_at_once(accounts: Accounts, seaway: Seaway) -> None:
    """The password opens the account again, every browser is out, and the user is told (2)."""
    phone, _ = await enrol(accounts)
    mine = await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)
    with seaway.database.write_site() as tx:
        second_factors.reset_now(accounts.parts, tx, accounts.now_ms, OPERATOR, users.get(tx, "ada").id)
    assert not accounts.is_valid(mine.secret)
    assert isinstance(await accounts.sign_in("ada", PASSWORD), SignedIn)
    assert "second factors were removed" in text_of(letters(seaway)[-1])


async def test_an_admin_takes_it_away_after_three_days(accounts: Accounts, seaway: Seaway, clock: TurnedClock) -> None:
    """Announced to every address; the user who still has it can stop it (2)."""
    await enrol(accounts)
    await enrol(accounts, "bob")
    with seaway.database.write_site() as tx:
        ada, bob = (users.get(tx, name).id for name in ("ada", "bob"))
        for user_id in (ada, bob):
            second_factors.request_reset(accounts.parts, tx, accounts.now_ms, OPERATOR, user_id)
    assert "in 72 hours, unless you cancel it" in text_of(letters(seaway)[-1])
    clock.move(71 * HOUR_MS)
    seaway.runner.run_due()
    with seaway.database.write_site() as tx:
        assert [True, True] == [second_factors.of_user(tx, each).any for each in (ada, bob)]
        second_factors.cancel_reset(accounts.parts, tx, accounts.now_ms, OPERATOR, bob)
        assert [True, False] == [second_factors.ends_at(tx, each) is not None for each in (ada, bob)]
    clock.move(HOUR_MS + MINUTE_MS)
    seaway.runner.run_due()
    with seaway.database.read() as tx:
        assert [False, True] == [second_factors.of_user(tx, each).any for each in (ada, bob)]
