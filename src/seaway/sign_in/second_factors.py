"""
Second factors of users: authenticator app, passkeys and recovery codes.

1. A user with a second factor needs it for every sign-in method.
2. Adding one requires a recently confirmed session, or a recent sign-in if the user has no password or factor yet.
3. The operator's command resets factors at once. An admin's reset takes effect after 72 hours, is notified to every
   verified address, and can be canceled by the user. Access to a mailbox alone never resets them.
"""

from dataclasses import dataclass

from sqlalchemy import delete, exists, func, select, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.clock import HOUR_MS, is_before_release
from seaway.database.engine import Tx
from seaway.database.tables import passkeys, recovery_codes, totp
from seaway.database.tables import users as rows
from seaway.errors import Conflict, NotFound, Unavailable
from seaway.sign_in import account_security
from seaway.sign_in.parts import AccountParts
from seaway.site import Site
from seaway.users import users

RESET_AFTER_MS = 72 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Factors:
    """The second factors of one user."""

    has_totp: bool
    passkeys: int
    recovery_codes: int  # unused ones

    @property
    def any(self) -> bool:
        return self.has_totp or self.passkeys > 0


def of_user(tx: Tx, user_id: int) -> Factors:
    """Return the user's second factors."""
    has_totp = tx.execute(
        select(exists().where(totp.c.user_id == user_id, totp.c.confirmed_at.is_not(None)))
    ).scalar_one()
    keys = tx.execute(select(func.count()).select_from(passkeys).where(passkeys.c.user_id == user_id)).scalar_one()
    codes = tx.execute(
        select(func.count())
        .select_from(recovery_codes)
        .where(recovery_codes.c.user_id == user_id, recovery_codes.c.used_at.is_(None))
    ).scalar_one()
    return Factors(bool(has_totp), keys, codes)


def can_confirm(tx: Tx, user_id: int) -> bool:
    """Return whether a user can confirm a session here, with a password or a second factor."""
    query = select(rows.c.password_hash).where(rows.c.id == user_id)
    return tx.execute(query).scalar_one() is not None or of_user(tx, user_id).any


def require_fresh_to_add(tx: Tx, by: Caller) -> None:
    """
    Return if `by` can add a second factor now; raise the refusal otherwise.

    A user with neither password nor factor may be unable to confirm a session (GitHub reports no authentication time),
    so a recent sign-in is enough for their first factor.
    """
    assert by.user_id is not None
    if can_confirm(tx, by.user_id):
        require_site(by, SiteAction.OPEN_ACCOUNT)
    else:
        require_site(by, SiteAction.ADD_FIRST_FACTOR)


def require_can_add(site: Site, by: Caller) -> None:
    """Check `require_fresh_to_add` in a separate transaction, before expensive work."""
    with site.database.read() as tx:
        require_fresh_to_add(tx, by)


def delete_unneeded_codes(tx: Tx, user_id: int) -> None:
    """Delete the recovery codes of a user without any other second factor."""
    if not of_user(tx, user_id).any:
        tx.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))


def reset_now(accounts: AccountParts, tx: Tx, now_ms: int, by: Caller, user_id: int) -> None:
    """Remove every second factor of a user, on the operator's command or after the 72 hours."""
    for table in (totp, passkeys, recovery_codes):
        tx.execute(delete(table).where(table.c.user_id == user_id))
    _set_end(tx, user_id, None)
    user = users.by_id(tx, user_id)
    audit.write(tx, now_ms, by.actor, Event.SECOND_FACTOR_RESET, target=user.name)
    account_security.end_sessions_and_notify(
        accounts, tx, now_ms, user_id, "All second factors were removed.", keep=None
    )


def request_reset(accounts: AccountParts, tx: Tx, now_ms: int, by: Caller, user_id: int) -> int:
    """Schedule an admin's reset of a user's second factors; return the time in ms at which it takes effect."""
    if is_before_release(now_ms):  # once the clock is corrected, the 72 hours would have passed already
        raise Unavailable("The clock of this server is wrong.", "Ask the operator to correct it, then try again.")
    user = users.by_id(tx, user_id)
    if not of_user(tx, user_id).any:
        raise Conflict(f"{user.name} has no second factor.", "A forgotten password is reset by email.")
    ends_at = now_ms + RESET_AFTER_MS
    _set_end(tx, user_id, ends_at)
    audit.write(tx, now_ms, by.actor, Event.SECOND_FACTOR_RESET_REQUESTED, target=user.name)
    what = "An admin requested the removal of all second factors. It happens in 72 hours, unless you cancel it."
    account_security.notify(accounts, tx, now_ms, user_id, what)
    return ends_at


def cancel_reset(accounts: AccountParts, tx: Tx, now_ms: int, by: Caller, user_id: int) -> None:
    """Cancel a pending second-factor reset; `NotFound` if there is none."""
    if ends_at(tx, user_id) is None:
        raise NotFound("No removal of second factors is pending.", "It was already canceled or carried out.")
    _set_end(tx, user_id, None)
    user = users.by_id(tx, user_id)
    audit.write(tx, now_ms, by.actor, Event.SECOND_FACTOR_RESET_CANCELED, target=user.name)
    account_security.notify(accounts, tx, now_ms, user_id, "The requested removal of all second factors was canceled.")


def run_due_resets(accounts: AccountParts, by: Caller) -> int:
    """Carry out the resets whose 72 hours have passed; return the count."""
    now_ms = accounts.site.clock.now_ms()
    due = select(rows.c.id).where(rows.c.second_factor_ends_at <= now_ms)
    with accounts.site.database.read() as tx:
        user_ids = list(tx.execute(due).scalars())
    count = 0
    for user_id in user_ids:
        with accounts.site.database.write_user(user_id) as tx:
            if tx.execute(due.where(rows.c.id == user_id)).first():  # otherwise it was canceled concurrently
                reset_now(accounts, tx, now_ms, by, user_id)
                count += 1
    return count


def ends_at(tx: Tx, user_id: int) -> int | None:
    """Return the time in ms at which the user's second factors will be reset, or None if no reset is pending."""
    ends_at_ms: int | None = tx.execute(select(rows.c.second_factor_ends_at).where(rows.c.id == user_id)).scalar()
    return ends_at_ms


def pending_resets(tx: Tx, *, limit: int) -> list[tuple[str, int]]:
    """Return the users whose second factors will be removed, and when (ms since the epoch), the earliest first."""
    columns = rows.c.name, rows.c.second_factor_ends_at
    query = select(*columns).where(columns[1].is_not(None)).order_by(columns[1]).limit(limit)
    return [(name, at_ms) for name, at_ms in tx.execute(query)]


def _set_end(tx: Tx, user_id: int, ends_at: int | None) -> None:
    tx.execute(update(rows).where(rows.c.id == user_id).values(second_factor_ends_at=ends_at))
