"""
The addresses of people.

1. A verified address belongs to one user; an unverified one proves nothing, so several may claim it.
2. A user who has an address has exactly one primary one, where letters go.
"""

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import exists, insert, select

from seaway.database.engine import Tx
from seaway.database.tables import emails
from seaway.errors import Malformed, NameTaken

MAX_CHARS = 254


def checked(address: str) -> str:
    """The address as letters are sent to it; `Malformed` unless it could be one (RFC 5321). Nothing is looked up."""
    try:
        return validate_email(address[: MAX_CHARS + 1], check_deliverability=False).normalized
    except EmailNotValidError:
        raise Malformed(f"{address[:60]!a} is not an e-mail address.", "Write it as name@example.com.") from None


def folded(address: str) -> str:
    """The address as it is compared: two that differ in case are one mailbox, wherever mail is really delivered."""
    return checked(address).casefold()


def add(tx: Tx, now_ms: int, user_id: int, address: str, *, verified: bool) -> None:
    """Give a user an address, the first one as primary; `NameTaken` when it is verified as somebody else's."""
    written, compared = checked(address), folded(address)
    if tx.execute(select(emails.c.id).where(emails.c.folded == compared, emails.c.verified_at.is_not(None))).first():
        raise NameTaken(f"The address {written} belongs to an account already.", "Use another one.")
    has_one = tx.execute(select(exists().where(emails.c.user_id == user_id))).scalar_one()
    tx.execute(
        insert(emails).values(
            user_id=user_id,
            address=written,
            folded=compared,
            is_primary=not has_one,
            added_at=now_ms,
            verified_at=now_ms if verified else None,
        )
    )
