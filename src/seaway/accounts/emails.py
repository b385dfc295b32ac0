"""
The addresses of people.

1. A verified address belongs to one user; an unverified one proves nothing, so several may claim it.
2. A user who has an address has exactly one primary one, where letters go; it can be replaced, and not removed.
3. Whether an address belongs to somebody already is told to nobody but its owner.
"""

from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import ColumnElement, delete, exists, insert, select, update

from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import emails
from seaway.errors import Malformed, NameTaken, NotAllowed, NotFound

MAX_CHARS = 254


@dataclass(frozen=True, slots=True)
class Email:
    """An address of a user."""

    address: str
    is_primary: bool
    added_at_ms: int
    verified_at_ms: int | None
    id: int


def checked(address: str) -> str:
    """The address as letters are sent to it; `Malformed` unless it could be one (RFC 5321). Nothing is looked up."""
    try:
        return validate_email(address[: MAX_CHARS + 1], check_deliverability=False).normalized
    except (EmailNotValidError, UnicodeError):
        raise Malformed(f"{address[:60]!a} is not an e-mail address.", "Write it as name@example.com.") from None


def folded(address: str) -> str:
    """The address as it is compared: two that differ in case are one mailbox, wherever mail is really delivered."""
    return checked(address).casefold()


def add(tx: Tx, now_ms: int, user_id: int, address: str, *, verified: bool) -> None:
    """Give a user an address, the first one as primary; `NameTaken` when it is to be verified and is somebody else's."""
    written, compared = checked(address), folded(address)
    if verified:
        _require_free(tx, user_id, written)
    if tx.execute(select(emails.c.id).where(*_of(user_id, written))).first():
        raise NameTaken(f"The address {written} is in this account already.", "Verify it, or use another one.")
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


def of_user(tx: Tx, user_id: int) -> list[Email]:
    """The addresses of a user, the primary one first."""
    rows = tx.execute(
        select(
            emails.c.address, emails.c.is_primary, emails.c.added_at.label("added_at_ms"),
            emails.c.verified_at.label("verified_at_ms"), emails.c.id,
        )
        .where(emails.c.user_id == user_id)
        .order_by(emails.c.is_primary.desc(), emails.c.id)
    )  # fmt: skip
    return [from_row(Email, row) for row in rows]


def owner_of(tx: Tx, address: str) -> int | None:
    """Whose verified address this is."""
    owner = select(emails.c.user_id).where(emails.c.folded == folded(address), emails.c.verified_at.is_not(None))
    found: int | None = tx.execute(owner).scalar()
    return found


def owner_if_address(tx: Tx, text: str) -> int | None:
    """As `owner_of`, for what may be no address at all."""
    try:
        return owner_of(tx, text)
    except Malformed:
        return None


def verify(tx: Tx, now_ms: int, user_id: int, address: str) -> bool:
    """Mark an address as theirs; False when it is not in the account any more."""
    _require_free(tx, user_id, address)
    changed = tx.execute(
        update(emails).where(*_of(user_id, address), emails.c.verified_at.is_(None)).values(verified_at=now_ms)
    )
    return changed.rowcount == 1


def remove(tx: Tx, user_id: int, address: str) -> None:
    """Take an address out of an account; not the primary one (2)."""
    if _get(tx, user_id, address).is_primary:
        raise NotAllowed("The primary address cannot be removed.", "Make another one primary first.")
    tx.execute(delete(emails).where(*_of(user_id, address)))


def make_primary(tx: Tx, user_id: int, address: str) -> None:
    """Have letters go to this address, which must be verified."""
    if _get(tx, user_id, address).verified_at_ms is None:
        raise NotAllowed(f"The address {address} is not verified.", "Open the link in the letter that was sent to it.")
    tx.execute(update(emails).where(emails.c.user_id == user_id).values(is_primary=False))
    tx.execute(update(emails).where(*_of(user_id, address)).values(is_primary=True))


def _get(tx: Tx, user_id: int, address: str) -> Email:
    found = next((one for one in of_user(tx, user_id) if one.address.casefold() == folded(address)), None)
    if found is None:
        raise NotFound(f"The address {checked(address)} is not in this account.", "Add it first.")
    return found


def _require_free(tx: Tx, user_id: int, address: str) -> None:
    if owner_of(tx, address) not in (None, user_id):
        raise NameTaken(f"The address {checked(address)} belongs to an account already.", "Use another one.")


def _of(user_id: int, address: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (emails.c.user_id == user_id, emails.c.folded == folded(address))
