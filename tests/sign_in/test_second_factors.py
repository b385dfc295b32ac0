"""TOTP, recovery codes and second-factor resets (sign_in/totp.py, recovery.py, second_factors.py)."""

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
from tests.support.accounts import AWAY, HOME, OTHER_PASSWORD, PASSWORD, Accounts
from tests.support.clock import ManualClock
from tests.support.mail import sent_emails, text_of

pytestmark = pytest.mark.anyio


class Phone:
    """An authenticator app with a seed."""

    def __init__(self, accounts: Accounts, seed: str) -> None:
        self._accounts, self._app = accounts, pyotp.TOTP(seed)

    def code(self, offset_ms: int = 0) -> str:
        return self._app.generate_otp((self._accounts.now_ms + offset_ms) // 30_000)


async def enroll(accounts: Accounts, name: str = "ada") -> tuple[Phone, list[str]]:
    """Add a user with TOTP; return the app and the recovery codes. Move the clock to the next TOTP step."""
    accounts.add(name)
    by, _ = await accounts.session(name)
    phone = Phone(accounts, totp.begin(accounts.parts, by).seed)
    codes = await totp.confirm(accounts.parts, by, phone.code())
    accounts.seaway.site.clock.move(30 * SECOND_MS)  # type: ignore[attr-defined]
    return phone, codes


async def first_step(accounts: Accounts, name: str = "ada", client: BrowserInfo = HOME) -> str:
    result = await accounts.sign_in(name, client=client)
    assert isinstance(result, NeedsSecondFactor)
    return result.flow


async def test_code_used_while_clock_was_ahead_does_not_block_later_codes(
    accounts: Accounts, clock: ManualClock
) -> None:
    """After the clock is set back, the last used step is years ahead; each code still works only once."""
    phone, _ = await enroll(accounts)
    clock.move(20_000 * HOUR_MS)
    await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)
    clock.move(-20_000 * HOUR_MS)
    signed_in = await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)
    assert accounts.is_valid(signed_in.secret)
    second_flow = await first_step(accounts)
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(accounts.parts, second_flow, phone.code(), HOME)


async def test_sign_in_needs_totp_code(accounts: Accounts) -> None:
    """The password alone does not sign in."""
    phone, _ = await enroll(accounts)
    result = await accounts.sign_in("ada")
    assert isinstance(result, NeedsSecondFactor)
    assert (True, False) == (result.has_totp, result.has_passkeys)
    assert not accounts.is_valid(result.flow)
    code = phone.code()
    signed_in = await password_sign_in.second_factor(accounts.parts, result.flow, f"{code[:3]} {code[3:]}", HOME)
    assert accounts.is_valid(signed_in.secret)


async def test_code_is_used_once(accounts: Accounts) -> None:
    """Case 28: neither another sign-in nor the code that confirmed the enrollment can reuse it (1)."""
    phone, _ = await enroll(accounts)
    first_flow, second_flow = await first_step(accounts), await first_step(accounts)
    await password_sign_in.second_factor(accounts.parts, first_flow, phone.code(), HOME)
    for code in (phone.code(), phone.code(-30_000)):
        with pytest.raises(BadCredential, match="already used"):
            await password_sign_in.second_factor(accounts.parts, second_flow, code, HOME)


@pytest.mark.parametrize(("offset_s", "is_accepted"), [(-60, False), (-29, True), (0, True), (30, True), (60, False)])
async def test_code_of_adjacent_step_is_accepted(
    accounts: Accounts, clock: ManualClock, offset_s: int, is_accepted: bool
) -> None:
    """Clocks can differ by thirty seconds (2)."""
    phone, _ = await enroll(accounts)
    clock.move(5 * MINUTE_MS)
    flow = await first_step(accounts)
    code = phone.code(offset_s * SECOND_MS)
    if is_accepted:
        assert await password_sign_in.second_factor(accounts.parts, flow, code, HOME)
    else:
        with pytest.raises(BadCredential):
            await password_sign_in.second_factor(accounts.parts, flow, code, HOME)


async def test_code_attempts_are_limited_per_user(accounts: Accounts) -> None:
    """Case 29: after five wrong codes even the right one is refused, from any IP address."""
    phone, _ = await enroll(accounts)
    flow = await first_step(accounts)
    wrong = "000000" if phone.code() != "000000" else "000001"
    for _ in range(5):
        with pytest.raises(BadCredential):
            await password_sign_in.second_factor(accounts.parts, flow, wrong, HOME)
    for client in (HOME, AWAY):
        with pytest.raises(TooManyRequests, match="second-factor attempts for this user"):
            await password_sign_in.second_factor(accounts.parts, flow, phone.code(), client)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "٠١٢٣٤٥", "abcdef", "1", "9" * 13, "\ud800", "1" + "\0" * 12])
async def test_malformed_code_is_refused(accounts: Accounts, code: str) -> None:
    """Non-ASCII digits, other lengths and lone surrogates get the same error."""
    await enroll(accounts)
    with pytest.raises(BadCredential, match="code is wrong"):
        await password_sign_in.second_factor(accounts.parts, await first_step(accounts), code, HOME)


async def test_pending_sign_in_expires_after_ten_minutes(accounts: Accounts, clock: ManualClock) -> None:
    """It can also be completed only once."""
    phone, _ = await enroll(accounts)
    flow = await first_step(accounts)
    clock.move(10 * MINUTE_MS)
    with pytest.raises(BadCredential, match="has expired"):
        await password_sign_in.second_factor(accounts.parts, flow, phone.code(), HOME)
    flow = await first_step(accounts)
    await password_sign_in.second_factor(accounts.parts, flow, phone.code(), HOME)
    clock.move(30 * SECOND_MS)
    with pytest.raises(BadCredential, match="has expired"):
        await password_sign_in.second_factor(accounts.parts, flow, phone.code(), HOME)


async def test_password_change_ends_pending_sign_ins(accounts: Accounts, seaway: Seaway) -> None:
    """A thief of the old password must not be able to complete a sign-in later (password_sign_in 3)."""
    phone, _ = await enroll(accounts)
    flow = await first_step(accounts)
    own_session = await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)
    await password_reset.change(accounts.parts, accounts.caller_of(own_session.secret), OTHER_PASSWORD)
    with pytest.raises(BadCredential, match="has expired"):
        await password_sign_in.second_factor(accounts.parts, flow, phone.code(30_000), HOME)


async def test_totp_is_enabled_by_its_first_code(accounts: Accounts, seaway: Seaway) -> None:
    """A user who closes the page before is not locked out; a wrong code enables nothing (3)."""
    ada = accounts.add("ada")
    by, _ = await accounts.session("ada")
    phone = Phone(accounts, totp.begin(accounts.parts, by).seed)
    second_phone = Phone(accounts, totp.begin(accounts.parts, by).seed)
    with pytest.raises(BadCredential, match="clock of your phone"):
        await totp.confirm(accounts.parts, by, phone.code())
    assert isinstance(await accounts.sign_in("ada"), SignedIn)
    assert 8 == len(await totp.confirm(accounts.parts, by, second_phone.code()))
    with seaway.site.database.read() as tx:
        assert Factors(True, 0, 8) == second_factors.of_user(tx, ada)
    with pytest.raises(NotAllowed, match="already"):
        totp.begin(accounts.parts, by)


async def test_seed_is_stored_encrypted(accounts: Accounts, seaway: Seaway) -> None:
    """The plain seed is not in the table (3)."""
    accounts.add("ada")
    by, _ = await accounts.session("ada")
    enrollment = totp.begin(accounts.parts, by)
    assert enrollment.seed in enrollment.uri
    with seaway.site.database.read() as tx:
        assert enrollment.seed.encode() not in tx.execute(select(rows.c.seed)).scalar_one()


async def test_recovery_codes_replace_the_app(accounts: Accounts, seaway: Seaway) -> None:
    """Case 30: each works once, in any order and spelling; the user is notified."""
    _, codes = await enroll(accounts)
    assert 8 == len(set(codes))
    typed = codes[4].upper().replace("-", " ")
    assert await password_sign_in.second_factor(accounts.parts, await first_step(accounts), typed, HOME)
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(accounts.parts, await first_step(accounts), codes[4], HOME)
    assert await password_sign_in.second_factor(accounts.parts, await first_step(accounts), codes[0], HOME)
    assert 2 == sum("recovery code was used" in text_of(email) for email in sent_emails(seaway))
    with seaway.site.database.read() as tx:
        assert all(stored.startswith("$argon2id$") for stored in tx.execute(select(recovery_codes.c.hash)).scalars())


async def test_recovery_code_of_another_user_is_refused(accounts: Accounts) -> None:
    await enroll(accounts)
    _, codes = await enroll(accounts, "bob")
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(accounts.parts, await first_step(accounts), codes[0], HOME)


async def test_new_recovery_codes_invalidate_the_old_ones(accounts: Accounts) -> None:
    """Only users with a second factor can create them."""
    phone, old_codes = await enroll(accounts)
    by = accounts.caller_of(
        (await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)).secret
    )
    new_codes = await recovery.renew(accounts.parts, by)
    with pytest.raises(BadCredential):
        await password_sign_in.second_factor(accounts.parts, await first_step(accounts), old_codes[1], HOME)
    assert await password_sign_in.second_factor(accounts.parts, await first_step(accounts), new_codes[1], HOME)
    accounts.add("bob")
    with pytest.raises(NotAllowed, match="replace a second factor"):
        await recovery.renew(accounts.parts, (await accounts.session("bob"))[0])


async def test_adding_and_removing_totp_ends_other_sessions_and_notifies(accounts: Accounts, seaway: Seaway) -> None:
    """The session that made the change continues (account_security 1, 2)."""
    accounts.add("ada")
    by, own_session = await accounts.session("ada")
    _, other_session = await accounts.session("ada", AWAY)
    phone = Phone(accounts, totp.begin(accounts.parts, by).seed)
    await totp.confirm(accounts.parts, by, phone.code())
    assert [True, False] == [accounts.is_valid(secret) for secret in (own_session, other_session)]
    totp.remove(accounts.parts, by)
    assert [True, True] == [
        text in text_of(email)
        for email, text in zip(sent_emails(seaway), ("app was added", "was removed"), strict=True)
    ]
    assert isinstance(await accounts.sign_in("ada"), SignedIn)
    with seaway.site.database.read() as tx:
        assert [] == list(tx.execute(select(recovery_codes.c.id)))
    with pytest.raises(NotFound):
        totp.remove(accounts.parts, by)


async def test_changing_second_factors_needs_recent_sign_in(accounts: Accounts, clock: ManualClock) -> None:
    """Case 32."""
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


async def test_code_confirms_session_of_user_without_password(
    accounts: Accounts, seaway: Seaway, clock: ManualClock
) -> None:
    """Users with external logins confirm with their second factor."""
    phone, _ = await enroll(accounts)
    signed_in = await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)
    with seaway.site.database.write_site() as tx:
        tx.execute(update(user_rows).values(password_hash=None))
    clock.move(HOUR_MS)
    by = accounts.caller_of(signed_in.secret)
    fresh = await password_sign_in.confirm(accounts.parts, by, signed_in.secret, phone.code(), HOME)
    assert (False, True) == (by.is_fresh, accounts.caller_of(fresh).is_fresh)
    with pytest.raises(BadCredential):
        await password_sign_in.confirm(accounts.parts, by, fresh, phone.code(), HOME)


async def test_operator_removes_second_factors_at_once(accounts: Accounts, seaway: Seaway) -> None:
    """Afterwards the password alone signs in, all sessions end, and the user is notified (2)."""
    phone, _ = await enroll(accounts)
    own_session = await password_sign_in.second_factor(accounts.parts, await first_step(accounts), phone.code(), HOME)
    with seaway.site.database.write_site() as tx:
        second_factors.reset_now(accounts.parts, tx, accounts.now_ms, OPERATOR, users.get(tx, "ada").id)
    assert not accounts.is_valid(own_session.secret)
    assert isinstance(await accounts.sign_in("ada", PASSWORD), SignedIn)
    assert "second factors were removed" in text_of(sent_emails(seaway)[-1])


async def test_second_factor_reset_takes_three_days(accounts: Accounts, seaway: Seaway, clock: ManualClock) -> None:
    """It is announced to every address, and a user who still has the factor can cancel it (2)."""
    await enroll(accounts)
    await enroll(accounts, "bob")
    with seaway.site.database.write_site() as tx:
        ada, bob = (users.get(tx, name).id for name in ("ada", "bob"))
        for user_id in (ada, bob):
            second_factors.request_reset(accounts.parts, tx, accounts.now_ms, OPERATOR, user_id)
    assert "in 72 hours, unless you cancel it" in text_of(sent_emails(seaway)[-1])
    clock.move(71 * HOUR_MS)
    seaway.runner.run_due()
    with seaway.site.database.write_site() as tx:
        assert [True, True] == [second_factors.of_user(tx, user_id).any for user_id in (ada, bob)]
        second_factors.cancel_reset(accounts.parts, tx, accounts.now_ms, OPERATOR, bob)
        assert [True, False] == [second_factors.ends_at(tx, user_id) is not None for user_id in (ada, bob)]
        with pytest.raises(NotFound, match="No removal of second factors is pending"):
            second_factors.cancel_reset(accounts.parts, tx, accounts.now_ms, OPERATOR, bob)
    clock.move(HOUR_MS + MINUTE_MS)
    seaway.runner.run_due()
    with seaway.site.database.read() as tx:
        assert [False, True] == [second_factors.of_user(tx, user_id).any for user_id in (ada, bob)]
