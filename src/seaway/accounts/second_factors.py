"""
What a person has besides the password: an app that shows codes, passkeys, recovery codes.

1. Who has a second factor signs in with it, whichever way they came.
2. Adding one needs a fresh proof, or a recent sign-in where the user has nothing yet to prove themselves by.
3. It is lost by the operator's command at once; by an admin after 72 hours, of which every verified address is told,
   and which the user can stop. Never by a letter alone.
"""

from dataclasses import dataclass

from sqlalchemy import delete, exists, func, select, update

from seaway import audit
from seaway.accounts import security, users
from seaway.accounts.parts import Accounts
from seaway.accounts.permissions import SiteAction, require_site
from seaway.accounts.principal import Principal
from seaway.audit import Event
from seaway.clock import HOUR_MS, is_behind
from seaway.database.engine import Tx
from seaway.database.tables import passkeys, recovery_codes, totp
from seaway.database.tables import users as rows
from seaway.errors import Unavailable

RESET_AFTER_MS = 72 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Factors:
    """The second factors of one user."""

    has_totp: bool
    passkeys: int
    recovery_codes: int  # that were not used

    @property
    def any(self) -> bool:
        return self.has_totp or self.passkeys > 0


def of_user(tx: Tx, user_id: int) -> Factors:
    """What a user has."""
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


def has_own_proof(tx: Tx, user_id: int) -> bool:
    """Whether a user can prove here to be there: by a password or a second factor."""
    query = select(rows.c.password_hash).where(rows.c.id == user_id)
    return tx.execute(query).scalar_one() is not None or of_user(tx, user_id).any


def require_fresh_to_add(tx: Tx, by: Principal) -> None:
    """
    Return if `by` may add a second factor now.

    Whoever has neither password nor factor may have no way to a fresh proof (GitHub gives none), so a recent sign-in
    is enough for their first factor.
    """
    assert by.user_id is not None
    if has_own_proof(tx, by.user_id):
        require_site(by, SiteAction.OPEN_ACCOUNT)
    else:
        require_site(by, SiteAction.ADD_FIRST_FACTOR)


def require_may_add(house: Accounts, by: Principal) -> None:
    """Check `require_fresh_to_add` in a transaction of its own, before costly work."""
    with house.database.read() as tx:
        require_fresh_to_add(tx, by)


def forget_codes_without_use(tx: Tx, user_id: int) -> None:
    """Delete the recovery codes of a user who has nothing left that they could stand for."""
    if not of_user(tx, user_id).any:
        tx.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))


def reset_now(house: Accounts, tx: Tx, now_ms: int, by: Principal, user_id: int) -> None:
    """Take every second factor away: the operator's word, or the end of the 72 hours."""
    for table in (totp, passkeys, recovery_codes):
        tx.execute(delete(table).where(table.c.user_id == user_id))
    _set_end(tx, user_id, None)
    user = users.by_id(tx, user_id)
    audit.write(tx, now_ms, by.actor, Event.SECOND_FACTOR_RESET, target=user.name)
    security.changed(house, tx, now_ms, user_id, "Its second factors were taken away.", keep=None)


def ask_reset(house: Accounts, tx: Tx, now_ms: int, by: Principal, user_id: int) -> int:
    """An admin asks for it; the moment at which it will be done, unless the user signs in and stops it."""
    if is_behind(now_ms):  # once it is right, the 72 hours would be over at once
        raise Unavailable("The clock of this server is wrong.", "Ask the operator to set it, then try again.")
    ends_at = now_ms + RESET_AFTER_MS
    _set_end(tx, user_id, ends_at)
    user = users.by_id(tx, user_id)
    audit.write(tx, now_ms, by.actor, Event.SECOND_FACTOR_RESET_ASKED, target=user.name)
    what = "An admin was asked to take its second factors away. That happens in 72 hours, unless you stop it there."
    security.announce(house, tx, now_ms, user_id, what)
    return ends_at


def stop_reset(house: Accounts, tx: Tx, now_ms: int, by: Principal, user_id: int) -> None:
    """The user, or an admin, stops it."""
    _set_end(tx, user_id, None)
    user = users.by_id(tx, user_id)
    audit.write(tx, now_ms, by.actor, Event.SECOND_FACTOR_RESET_CANCELLED, target=user.name)
    security.announce(house, tx, now_ms, user_id, "Its second factors stay: what an admin was asked for was stopped.")


def reset_due(house: Accounts, by: Principal) -> int:
    """Do what was announced 72 hours ago; how many."""
    now_ms = house.clock.now_ms()
    due = select(rows.c.id).where(rows.c.second_factor_ends_at <= now_ms)
    with house.database.read() as tx:
        found = list(tx.execute(due).scalars())
    done = 0
    for user_id in found:
        with house.database.write_user(user_id) as tx:
            if tx.execute(due.where(rows.c.id == user_id)).first():  # else it was stopped meanwhile
                reset_now(house, tx, now_ms, by, user_id)
                done += 1
    return done


def ends_at(tx: Tx, user_id: int) -> int | None:
    """When the second factors of a user will be taken away, if that was announced."""
    found: int | None = tx.execute(select(rows.c.second_factor_ends_at).where(rows.c.id == user_id)).scalar()
    return found


def _set_end(tx: Tx, user_id: int, ends_at: int | None) -> None:
    tx.execute(update(rows).where(rows.c.id == user_id).values(second_factor_ends_at=ends_at))
