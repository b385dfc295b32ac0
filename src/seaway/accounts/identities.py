"""
Accounts elsewhere that sign in here.

1. An identity is found by its issuer and its number there, and by nothing else: never by a name, never by an address.
2. It belongs to one user. To link it takes somebody who has just proved to be that user, here and there.
3. The last way in is not taken away.
"""

from dataclasses import dataclass

from sqlalchemy import delete, exists, func, insert, select, update

from seaway import audit
from seaway.accounts.principal import Principal
from seaway.accounts.providers import Outsider
from seaway.audit import Event
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import identities, passkeys, users
from seaway.errors import NameTaken, NotAllowed, NotFound

_MAX_LOGIN = 200


@dataclass(frozen=True, slots=True)
class Identity:
    """An account elsewhere, as its user sees it."""

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
    """The identity with this number at this issuer."""
    row = tx.execute(_IDENTITY.where(identities.c.issuer == issuer, identities.c.subject == subject)).one_or_none()
    return None if row is None else from_row(Identity, row)


def of_user(tx: Tx, user_id: int) -> list[Identity]:
    """Those of a user, the oldest first."""
    rows = tx.execute(_IDENTITY.where(identities.c.user_id == user_id).order_by(identities.c.id))
    return [from_row(Identity, row) for row in rows]


def link(tx: Tx, now_ms: int, by: Principal, user_id: int, outsider: Outsider) -> None:
    """Let this account sign its user in; `NameTaken` when it signs in somebody else."""
    known = find(tx, outsider.issuer, outsider.subject)
    if known is not None and known.user_id != user_id:
        raise NameTaken(
            f"{_login(outsider)} signs in another account of this site.", "Unlink it there first, or use another one."
        )
    if known is not None:
        note_use(tx, now_ms, known.id, outsider)
        return
    tx.execute(
        insert(identities).values(
            user_id=user_id,
            provider=outsider.provider,
            issuer=outsider.issuer,
            subject=outsider.subject,
            login=_login(outsider),
            created_at=now_ms,
            used_at=now_ms,
        )
    )
    audit.write(tx, now_ms, by.actor, Event.IDENTITY_LINKED, target=f"{outsider.provider}/{_login(outsider)}")


def note_use(tx: Tx, now_ms: int, identity_id: int, outsider: Outsider) -> None:
    """It signed its user in, under the name that it has there now."""
    tx.execute(update(identities).where(identities.c.id == identity_id).values(used_at=now_ms, login=_login(outsider)))


def unlink(tx: Tx, now_ms: int, by: Principal, user_id: int, identity_id: int) -> Identity:
    """Let it sign nobody in any more; refused where it is the last way in."""
    found = next((one for one in of_user(tx, user_id) if one.id == identity_id), None)
    if found is None:
        raise NotFound("This account is not linked.", "It may have been unlinked already.")
    if not has_another_way_in(tx, user_id, identity_id):
        raise NotAllowed("This is the only way to sign in to your account.", "Set a password or add a passkey first.")
    tx.execute(delete(identities).where(identities.c.id == identity_id))
    audit.write(tx, now_ms, by.actor, Event.IDENTITY_UNLINKED, target=f"{found.provider}/{found.login}")
    return found


def has_another_way_in(tx: Tx, user_id: int, identity_id: int) -> bool:
    """Whether the user has a password, a passkey or another identity."""
    others = select(func.count()).where(identities.c.user_id == user_id, identities.c.id != identity_id)
    if tx.execute(others).scalar_one():
        return True
    has_passkey = exists().where(passkeys.c.user_id == users.c.id)
    way = select(users.c.id).where(users.c.id == user_id, users.c.password_hash.is_not(None) | has_passkey)
    return tx.execute(way).first() is not None


def _login(outsider: Outsider) -> str:
    """Its name there, as far as it can be kept and shown."""
    shown = "".join(char for char in outsider.login[:_MAX_LOGIN] if char.isprintable())
    return shown.encode(errors="replace").decode() or outsider.subject[:_MAX_LOGIN]
