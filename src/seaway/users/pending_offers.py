"""
Invitations and transfer offers that wait for a user's answer.

An invitation is for the user who verified its email address; an unverified address proves nothing.
"""

from sqlalchemy import BigInteger, ColumnElement, ScalarSelect, bindparam, func, select

from seaway.database.engine import Tx
from seaway.database.tables import emails, invitations, transfers, users

UserId = int | ColumnElement[int]


def invited(user_id: UserId, now_ms: int | ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions on rows of `invitations` for the invitations to a user that have not expired."""
    own = select(emails.c.folded).where(emails.c.user_id == user_id, emails.c.verified_at.is_not(None))
    # Without this, `users.c.id` of the outermost query would be any user here.
    own = own.correlate(users)
    return (invitations.c.folded.in_(own), invitations.c.expires_at > now_ms)


def offered(user_id: UserId, now_ms: int | ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions on rows of `transfers` for the offers to a user that have not expired."""
    return (transfers.c.to_user_id == user_id, transfers.c.expires_at > now_ms)


def count_of(user_id: ColumnElement[int]) -> ColumnElement[int]:
    """Return the expression of `pending_count` for a query over users, at the time of its parameter `now_ms`."""
    now_ms = bindparam("now_ms", type_=BigInteger)
    return _count(*invited(user_id, now_ms)) + _count(*offered(user_id, now_ms))


def pending_count(tx: Tx, now_ms: int, user_id: int) -> int:
    """Return the number of invitations and offers that a user can answer; `Caller.pending_count` costs no statement."""
    counts = select(_count(*invited(user_id, now_ms)) + _count(*offered(user_id, now_ms)))
    return int(tx.execute(counts).scalar_one())


def _count(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).where(*conditions).scalar_subquery()
