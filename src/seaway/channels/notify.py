"""
Notify users by email; the email is queued in the transaction of the change.

Only verified addresses are used: an unverified one may belong to someone else.
"""

from collections.abc import Callable

from sqlalchemy import select

from seaway.callers.caller import Caller
from seaway.database.engine import Tx
from seaway.database.tables import emails
from seaway.mail.messages import OutgoingEmail
from seaway.mail.outbox import Cause, Outbox


def verified_email_of(tx: Tx, user_id: int | None) -> str | None:
    """Return the verified primary email address of a user, or None."""
    return tx.execute(
        select(emails.c.address).where(
            emails.c.user_id == user_id, emails.c.is_primary, emails.c.verified_at.is_not(None)
        )
    ).scalar()


def caused_by(by: Caller, kind: str, about: str, *, is_required: bool = False) -> Cause | None:
    """Return the `Cause` that limits emails triggered by a caller; None for the operator, who is not limited."""
    if by.is_operator:
        return None
    sender = by.address if by.user_id is None else f"#{by.user_id}"
    return Cause(sender, kind, about, is_required)


def notify_user(
    tx: Tx,
    now_ms: int,
    outbox: Outbox | None,
    user_id: int | None,
    make_email: Callable[..., OutgoingEmail],
    *,
    cause: Cause | None,
    **values: str,
) -> None:
    """Queue an email to a user, if email is set up and they have an address; `make_email` builds it from `values`."""
    to = None if outbox is None else verified_email_of(tx, user_id)
    if outbox is not None and to is not None:
        outbox.send(tx, now_ms, make_email(to, site_url=outbox.site_url, **values), cause=cause)
