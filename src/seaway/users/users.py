"""User accounts."""

import re
from dataclasses import dataclass

from sqlalchemy import Boolean, ColumnElement, exists, func, insert, select, type_coerce, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import emails as addresses
from seaway.database.tables import released_user_names, users
from seaway.errors import NameTaken, NotAllowed, NotFound
from seaway.search_terms import fold, search_terms
from seaway.users import emails
from seaway.users.reserved_names import is_reserved

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,37}[a-z0-9])?")

MAX_DISPLAY_NAME = 100
NAME_HELD_MS = 365 * DAY_MS


@dataclass(frozen=True, slots=True)
class User:
    """A user account."""

    id: int
    name: str
    display_name: str
    email: str | None
    is_admin: bool
    is_verified: bool  # an address is verified, or there is none to verify
    created_at_ms: int
    signed_in_at_ms: int | None  # in a browser
    disabled_at_ms: int | None


_own = addresses.alias("own_addresses")
HAS_NO_VERIFIED_ADDRESS = exists().where(_own.c.user_id == users.c.id, _own.c.verified_at.is_(None)) & ~exists().where(
    _own.c.user_id == users.c.id, _own.c.verified_at.is_not(None)
)
SELECT_USERS = select(
    users.c.id, users.c.name, users.c.display_name, addresses.c.address.label("email"), users.c.is_admin,
    type_coerce(~HAS_NO_VERIFIED_ADDRESS, Boolean()).label("is_verified"), users.c.created_at.label("created_at_ms"),
    func.nullif(users.c.signed_in_at, 0).label("signed_in_at_ms"), users.c.disabled_at.label("disabled_at_ms"),
).outerjoin(addresses, (addresses.c.user_id == users.c.id) & addresses.c.is_primary)  # fmt: skip


def add(
    tx: Tx,
    now_ms: int,
    by: Caller,
    name: str,
    *,
    email: str | None,
    password_hash: str | None,
    is_admin: bool,
    is_verified: bool = True,
) -> User:
    """
    Create an account; the first one, which only the operator can create, becomes a site admin.

    An account without a password uses keys or an external login. `is_verified` marks the email address as verified.
    """
    require_free_name(tx, now_ms, name)
    is_first = not any_exist(tx)
    if is_first and not by.is_operator:  # otherwise the first user to sign up would become the admin
        raise NotAllowed(
            "This site has no account yet.",
            "The operator creates the first one with the link that seaway serve prints.",
        )
    user_id = tx.execute(
        insert(users)
        .values(
            name=name, display_name="", password_hash=password_hash, is_admin=is_admin or is_first, created_at=now_ms
        )
        .returning(users.c.id)
    ).scalar_one()
    if email is not None:
        emails.add(tx, now_ms, user_id, email, verified=is_verified)
    user = get(tx, name)
    audit.write(tx, now_ms, by.actor, Event.USER_ADDED, target=name, admin=user.is_admin)
    return user


def require_free_name(tx: Tx, now_ms: int, name: str) -> None:
    """Raise `NameTaken` unless a new user can have this name."""
    if not is_possible_name(name):
        raise _invalid_name(name)
    if find(tx, name) is not None:
        raise NameTaken(f"A user named {name!r} already exists.", "Choose another name.", field="name")
    if _is_name_held(tx, now_ms, name):
        raise NameTaken(f"The name {name!r} was recently used by another account.", "Choose another one.", field="name")


def add_admin(tx: Tx, now_ms: int, by: Caller, name: str) -> User:
    """Create a site admin without password or email address, for the operator; reserved names are allowed."""
    if _NAME.fullmatch(name) is None:
        raise _invalid_name(name)
    if find(tx, name) is not None:
        raise NameTaken(f"A user named {name!r} already exists.", "Choose another name.")
    tx.execute(insert(users).values(name=name, display_name="", is_admin=True, created_at=now_ms))
    audit.write(tx, now_ms, by.actor, Event.USER_ADDED, target=name, admin=True)
    return get(tx, name)


def first_admin(tx: Tx) -> User | None:
    """Return the oldest site admin that is not disabled, or None."""
    row = tx.execute(
        SELECT_USERS.where(users.c.is_admin, users.c.disabled_at.is_(None)).order_by(users.c.id).limit(1)
    ).first()
    return None if row is None else from_row(User, row)


def is_possible_name(name: str) -> bool:
    """Return whether this is a valid name for a user or a group."""
    return _NAME.fullmatch(name) is not None and not is_reserved(name)


def set_display_name(tx: Tx, now_ms: int, by: Caller, name: str, display_name: str) -> User:
    """Set the display name of a user: any text of one line."""
    normalized = " ".join(display_name.split())
    if len(normalized) > MAX_DISPLAY_NAME or not normalized.isprintable():
        raise NameTaken(
            "This is not a valid display name.",
            f"Use up to {MAX_DISPLAY_NAME} printable characters.",
            field="display_name",
        )
    tx.execute(
        update(users)
        .where(users.c.id == get(tx, name).id)
        .values(display_name=normalized, folded_display_name=fold(normalized))
    )
    audit.write(tx, now_ms, by.actor, Event.USER_RENAMED, target=name)
    return get(tx, name)


def find(tx: Tx, name: str) -> User | None:
    """Return the user with this name, or None."""
    row = tx.execute(SELECT_USERS.where(users.c.name == name)).one_or_none()
    return None if row is None else from_row(User, row)


def get(tx: Tx, name: str) -> User:
    """Return the user with this name; `NotFound` names the field of a request."""
    user = find(tx, name)
    if user is None:
        raise NotFound(f"There is no user named {name[:60]!a}.", "Check the spelling.", field="user")
    return user


def all_users(tx: Tx, words: str = "", *, after: str = "", limit: int | None = None) -> list[User]:
    """Return users with all words in their names or primary email address, sorted by name, from after `after` on."""
    query = SELECT_USERS.where(users.c.name > after).order_by(users.c.name).limit(limit)
    return [from_row(User, row) for row in tx.execute(query.where(*having_words(words)))]


def having_words(words: str) -> list[ColumnElement[bool]]:
    """Return the conditions that names or primary email address of a user contain these words, in any case."""
    searched = users.c.name + " " + users.c.folded_display_name + " " + func.coalesce(addresses.c.folded, "")
    return [searched.contains(word, autoescape=True) for word in search_terms(words)]


def by_id(tx: Tx, user_id: int) -> User:
    """Return the user with this id, which must exist."""
    return from_row(User, tx.execute(SELECT_USERS.where(users.c.id == user_id)).one())


def set_admin(tx: Tx, now_ms: int, by: Caller, name: str, *, is_admin: bool) -> User:
    """Grant or revoke a user's site admin role."""
    user = get(tx, name)
    tx.execute(update(users).where(users.c.id == user.id).values(is_admin=is_admin))
    audit.write(tx, now_ms, by.actor, Event.USER_PROMOTED if is_admin else Event.USER_DEMOTED, target=name)
    return get(tx, name)


def _invalid_name(name: str) -> NameTaken:
    return NameTaken(
        f"{name[:60]!a} is not a valid user name.",
        "Use at most 39 lowercase letters, digits and inner hyphens, and no reserved word.",
        field="name",
    )


def _is_name_held(tx: Tx, now_ms: int, name: str) -> bool:
    since = released_user_names.c.released_at > now_ms - NAME_HELD_MS
    return (
        tx.execute(select(released_user_names.c.name).where(released_user_names.c.name == name, since)).first()
        is not None
    )


def any_exist(tx: Tx) -> bool:
    """Return whether any account exists."""
    return tx.execute(select(users.c.id).limit(1)).scalar() is not None
