"""
External identities linked to users: accounts at identity providers.

1. An identity is found only by its issuer and subject, never by a login or an email address.
2. It belongs to one user. Linking requires recent authentication of that user on both sides.
3. The last sign-in method of a user cannot be removed.
"""

from dataclasses import dataclass

from sqlalchemy import delete, exists, func, insert, select, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import identities, passkeys, users
from seaway.errors import NameTaken, NotAllowed, NotFound
from seaway.sign_in.identity_providers import ExternalAccount

_MAX_LOGIN = 200


@dataclass(frozen=True, slots=True)
class Identity:
    """A linked account at an identity provider, as shown to its user."""

    id: int
    user_id: int
    provider: str
    issuer: str
    login: str
    created_at_ms: int
    used_at_ms: int


_IDENTITY = select(
    identities.c.id,
    identities.c.user_id,
    identities.c.provider,
    identities.c.issuer,
    identities.c.login,
    identities.c.created_at.label("created_at_ms"),
    identities.c.used_at.label("used_at_ms"),
)


def find(tx: Tx, issuer: str, subject: str) -> Identity | None:
    """Return the identity with this issuer and subject, or None."""
    row = tx.execute(_IDENTITY.where(identities.c.issuer == issuer, identities.c.subject == subject)).one_or_none()
    return None if row is None else from_row(Identity, row)


def of_user(tx: Tx, user_id: int) -> list[Identity]:
    """Return the identities of a user, the oldest first."""
    rows = tx.execute(_IDENTITY.where(identities.c.user_id == user_id).order_by(identities.c.id))
    return [from_row(Identity, row) for row in rows]


def link(tx: Tx, now_ms: int, by: Caller, user_id: int, external_account: ExternalAccount) -> None:
    """Link an external account to a user; raise `NameTaken` if it is linked to another user."""
    known = find(tx, external_account.issuer, external_account.subject)
    if known is not None and known.user_id != user_id:
        raise NameTaken(
            f"{_printable_login(external_account)} is linked to another account on this site.",
            "Unlink it there first, or use another one.",
        )
    if known is not None:
        note_use(tx, now_ms, known.id, external_account)
        return
    tx.execute(
        insert(identities).values(
            user_id=user_id,
            provider=external_account.provider,
            issuer=external_account.issuer,
            subject=external_account.subject,
            login=_printable_login(external_account),
            created_at=now_ms,
            used_at=now_ms,
        )
    )
    audit.write(
        tx,
        now_ms,
        by.actor,
        Event.IDENTITY_LINKED,
        target=f"{external_account.provider}/{_printable_login(external_account)}",
    )


def note_use(tx: Tx, now_ms: int, identity_id: int, external_account: ExternalAccount) -> None:
    """Record a sign-in with an identity, and its current login at the provider."""
    tx.execute(
        update(identities)
        .where(identities.c.id == identity_id)
        .values(used_at=now_ms, login=_printable_login(external_account))
    )


def unlink(tx: Tx, now_ms: int, by: Caller, user_id: int, identity_id: int) -> Identity:
    """Unlink an identity and return it; refuse if it is the user's last sign-in method."""
    found = next((identity for identity in of_user(tx, user_id) if identity.id == identity_id), None)
    if found is None:
        raise NotFound("This external account is not linked.", "It may have been unlinked already.")
    if not has_other_sign_in_method(tx, user_id, identity_id):
        raise NotAllowed("This is your only sign-in method.", "Set a password or add a passkey first.")
    tx.execute(delete(identities).where(identities.c.id == identity_id))
    audit.write(tx, now_ms, by.actor, Event.IDENTITY_UNLINKED, target=f"{found.provider}/{found.login}")
    return found


def has_other_sign_in_method(tx: Tx, user_id: int, identity_id: int) -> bool:
    """Return whether the user has a password, a passkey or another identity."""
    others = select(func.count()).where(identities.c.user_id == user_id, identities.c.id != identity_id)
    if tx.execute(others).scalar_one():
        return True
    has_passkey = exists().where(passkeys.c.user_id == users.c.id)
    other_method = select(users.c.id).where(users.c.id == user_id, users.c.password_hash.is_not(None) | has_passkey)
    return tx.execute(other_method).first() is not None


def _printable_login(external_account: ExternalAccount) -> str:
    """Return the login at the provider, shortened to what the database can store and pages can show."""
    shown = "".join(char for char in external_account.login[:_MAX_LOGIN] if char.isprintable())
    return shown.encode(errors="replace").decode() or external_account.subject[:_MAX_LOGIN]
