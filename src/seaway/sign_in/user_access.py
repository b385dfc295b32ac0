"""Change whether and how a user can sign in: the password, and the disabled state of an account."""

from sqlalchemy import select, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.database.engine import Tx
from seaway.database.tables import users as rows
from seaway.sign_in import pending_sign_ins, sessions
from seaway.users import email_links, users
from seaway.users.email_links import Purpose


def has_password(tx: Tx, user_id: int) -> bool:
    """Return whether a user can sign in with a password."""
    return tx.execute(select(rows.c.password_hash).where(rows.c.id == user_id)).scalar_one() is not None


def set_password(tx: Tx, now_ms: int, by: Caller, name: str, password_hash: str) -> users.User:
    """Replace the password and delete pending links that set one."""
    user = users.get(tx, name)
    for purpose in (Purpose.RESET, Purpose.INVITATION):
        email_links.delete_pending(tx, purpose, user.id)
    tx.execute(update(rows).where(rows.c.id == user.id).values(password_hash=password_hash))
    audit.write(tx, now_ms, by.actor, Event.USER_PASSWORD_SET, target=name)
    return user


def set_disabled(tx: Tx, now_ms: int, by: Caller, name: str, *, disabled: bool) -> users.User:
    """Disable or enable an account, and sign out its browsers; its keys stop or work again on the next request."""
    user = users.get(tx, name)
    sessions.end_others(tx, user.id, keep=None)
    pending_sign_ins.delete_of_user(tx, user.id)
    tx.execute(update(rows).where(rows.c.id == user.id).values(disabled_at=now_ms if disabled else None))
    audit.write(tx, now_ms, by.actor, Event.USER_DISABLED if disabled else Event.USER_ENABLED, target=name)
    return users.get(tx, name)
