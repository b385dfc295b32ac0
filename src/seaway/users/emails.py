"""
Email addresses of users.

1. A verified address belongs to one user; an unverified one proves nothing, so several users may claim it.
2. A user with any address has exactly one primary address, which receives emails; it can be replaced but not removed.
3. Only the owner of an address learns that it already belongs to an account.
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
    """An email address of a user."""

    address: str
    is_primary: bool
    added_at_ms: int
    verified_at_ms: int | None
    id: int


def normalize(address: str) -> str:
    """Return the normalized address; raise `Malformed` unless it is valid (RFC 5321). Makes no DNS lookup."""
    try:
        return validate_email(address[: MAX_CHARS + 1], check_deliverability=False).normalized
    except (EmailNotValidError, UnicodeError):
        raise Malformed(
            f"{address[:60]!a} is not an email address.", "Write it as name@example.com.", field="address"
        ) from None


def case_folded(address: str) -> str:
    """Return the address for comparison, case-folded: in practice, mail servers ignore case in mailbox names."""
    return normalize(address).casefold()


def add(tx: Tx, now_ms: int, user_id: int, address: str, *, verified: bool) -> None:
    """Add an address to a user, the first as primary; raise `NameTaken` if `verified` and another user verified it."""
    normalized, folded_address = normalize(address), case_folded(address)
    if verified:
        _require_free(tx, user_id, normalized)
    if tx.execute(select(emails.c.id).where(*_matching(user_id, normalized))).first():
        raise NameTaken(
            f"The email address {normalized} is already in this account.",
            "Verify it, or use another one.",
            field="address",
        )
    has_any = tx.execute(select(exists().where(emails.c.user_id == user_id))).scalar_one()
    tx.execute(
        insert(emails).values(
            user_id=user_id,
            address=normalized,
            folded=folded_address,
            is_primary=not has_any,
            added_at=now_ms,
            verified_at=now_ms if verified else None,
        )
    )


def of_user(tx: Tx, user_id: int) -> list[Email]:
    """Return the addresses of a user, the primary one first."""
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
    """Return the id of the user who verified this address, or None."""
    owner = select(emails.c.user_id).where(emails.c.folded == case_folded(address), emails.c.verified_at.is_not(None))
    found: int | None = tx.execute(owner).scalar()
    return found


def owner_if_address(tx: Tx, text: str) -> int | None:
    """Return `owner_of` for text that may not be an email address."""
    try:
        return owner_of(tx, text)
    except Malformed:
        return None


def verify(tx: Tx, now_ms: int, user_id: int, address: str) -> bool:
    """Mark an address of the user as verified; return False if it is no longer in the account."""
    _require_free(tx, user_id, address)
    changed = tx.execute(
        update(emails).where(*_matching(user_id, address), emails.c.verified_at.is_(None)).values(verified_at=now_ms)
    )
    return changed.rowcount == 1


def remove(tx: Tx, user_id: int, address: str) -> None:
    """Remove an address from an account; the primary one is refused (2)."""
    if _get(tx, user_id, address).is_primary:
        raise NotAllowed("The primary email address cannot be removed.", "Make another one primary first.")
    tx.execute(delete(emails).where(*_matching(user_id, address)))


def make_primary(tx: Tx, user_id: int, address: str) -> bool:
    """Make a verified address the primary one; return whether it was not the primary one before."""
    found = _get(tx, user_id, address)
    if found.verified_at_ms is None:
        raise NotAllowed(f"The email address {address} is not verified.", "Open the link in the verification email.")
    tx.execute(update(emails).where(emails.c.user_id == user_id).values(is_primary=False))
    tx.execute(update(emails).where(*_matching(user_id, address)).values(is_primary=True))
    return not found.is_primary


def _get(tx: Tx, user_id: int, address: str) -> Email:
    found = next((email for email in of_user(tx, user_id) if email.address.casefold() == case_folded(address)), None)
    if found is None:
        raise NotFound(f"The email address {normalize(address)} is not in this account.", "Add it first.")
    return found


def _require_free(tx: Tx, user_id: int, address: str) -> None:
    if owner_of(tx, address) not in (None, user_id):
        raise NameTaken(f"The email address {normalize(address)} already belongs to an account.", "Use another one.")


def _matching(user_id: int, address: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (emails.c.user_id == user_id, emails.c.folded == case_folded(address))
