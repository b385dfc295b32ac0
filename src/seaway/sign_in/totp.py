"""
TOTP codes of authenticator apps (RFC 6238: SHA-1, six digits, 30 seconds).

1. A code is valid once: the step of the last code is stored, and only later steps are accepted (pyotp alone accepts a
   code twice).
2. Clocks may differ by one step.
3. The seed is stored encrypted, shown once, and active once the first correct code was entered.
"""

import hmac
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import pyotp
from anyio import to_thread
from sqlalchemy import delete, insert, not_, select, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.clock import CLOCK_TOLERANCE_MS
from seaway.database.engine import Tx
from seaway.database.tables import totp
from seaway.errors import BadCredential, NotAllowed, NotFound
from seaway.sign_in import account_security, recovery, second_factors
from seaway.sign_in.parts import AccountParts

STEP_MS = 30_000
_STEPS_AHEAD = CLOCK_TOLERANCE_MS // STEP_MS  # a last step beyond this was written by a wrong clock and blocks no code
_PURPOSE = "totp"


@dataclass(frozen=True, slots=True)
class TotpEnrollment:
    """A TOTP seed as text, and as the URI in the QR code."""

    seed: str
    uri: str


def is_code(text: str) -> bool:
    """Return whether the text has the form of a TOTP code."""
    return len(text) == 6 and text.isascii() and text.isdigit()


def begin(accounts: AccountParts, by: Caller) -> TotpEnrollment:
    """Create a seed, which is active once `confirm` gets its first code."""
    assert by.user_id is not None
    second_factors.require_can_add(accounts.site, by)
    seed = pyotp.random_base32()
    with accounts.site.database.write_user(by.user_id) as tx:
        second_factors.require_fresh_to_add(tx, by)
        if second_factors.of_user(tx, by.user_id).has_totp:
            raise NotAllowed("This account already has an authenticator app.", "Remove it first.")
        tx.execute(delete(totp).where(totp.c.user_id == by.user_id))
        encrypted = accounts.encryption.encrypt(seed.encode(), _purpose(by.user_id))
        tx.execute(insert(totp).values(user_id=by.user_id, seed=encrypted, last_step=0))
    issuer = f"Seaway {urlsplit(accounts.site.url).netloc}"
    return TotpEnrollment(seed, pyotp.TOTP(seed).provisioning_uri(name=by.name, issuer_name=issuer))


async def confirm(accounts: AccountParts, by: Caller, code: str) -> list[str]:
    """Activate the authenticator app with its first code; return new recovery codes if the user had none."""
    await to_thread.run_sync(second_factors.require_can_add, accounts.site, by)
    made = await recovery.prepare(accounts)
    return await to_thread.run_sync(partial(_confirm, accounts, by, "".join(code.split()), made))


def step_of(accounts: AccountParts, user_id: int, code: str, *, confirmed: bool = True) -> int | None:
    """Return the step of a correct code, or None if it is wrong or its step was already used."""
    with accounts.site.database.read() as tx:
        return _step_of(accounts, tx, user_id, code, confirmed=confirmed)


def use(tx: Tx, user_id: int, step: int) -> bool:
    """Mark a TOTP step as used; return False if it already was."""
    is_unused = not_(totp.c.last_step.between(step, step + _STEPS_AHEAD))
    changed = tx.execute(update(totp).where(totp.c.user_id == user_id, is_unused).values(last_step=step))
    return changed.rowcount == 1


def remove(accounts: AccountParts, by: Caller) -> None:
    """Remove the caller's authenticator app."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.write_user(by.user_id) as tx:
        if tx.execute(delete(totp).where(totp.c.user_id == by.user_id)).rowcount == 0:
            raise NotFound("This account has no authenticator app.", "Set one up first.")
        second_factors.delete_unneeded_codes(tx, by.user_id)
        audit.write(tx, now_ms, by.actor, Event.TOTP_REMOVED, target=by.name)
        account_security.end_sessions_and_notify(
            accounts, tx, now_ms, by.user_id, "The authenticator app was removed.", keep=by.session_id
        )


def _confirm(accounts: AccountParts, by: Caller, code: str, made: recovery.NewCodes) -> list[str]:
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.write_user(by.user_id) as tx:
        second_factors.require_fresh_to_add(tx, by)
        step = _step_of(accounts, tx, by.user_id, code, confirmed=False) if is_code(code) else None
        if step is None:
            raise BadCredential(
                "The code is wrong.", "Check the clock of your phone, then enter the current code.", field="code"
            )
        tx.execute(update(totp).where(totp.c.user_id == by.user_id).values(confirmed_at=now_ms, last_step=step))
        audit.write(tx, now_ms, by.actor, Event.TOTP_ADDED, target=by.name)
        account_security.end_sessions_and_notify(
            accounts, tx, now_ms, by.user_id, "An authenticator app was added.", keep=by.session_id
        )
        return recovery.put_if_none(tx, now_ms, by, made)


def _step_of(accounts: AccountParts, tx: Tx, user_id: int, code: str, *, confirmed: bool) -> int | None:
    row = tx.execute(
        select(totp.c.seed, totp.c.last_step).where(
            totp.c.user_id == user_id, totp.c.confirmed_at.is_not(None) if confirmed else totp.c.confirmed_at.is_(None)
        )
    ).one_or_none()
    if row is None:
        return None
    app = pyotp.TOTP(accounts.encryption.decrypt(row.seed, _purpose(user_id)).decode())
    now = accounts.site.clock.now_ms() // STEP_MS
    correct = [step for step in (now - 1, now, now + 1) if hmac.compare_digest(app.generate_otp(step), code)]
    return next((step for step in correct if not step <= row.last_step <= step + _STEPS_AHEAD), None)


def _purpose(user_id: int) -> str:
    """Return the encryption purpose for one user's seed: write access to the table does not allow swapping seeds."""
    return f"{_PURPOSE}/{user_id}"
