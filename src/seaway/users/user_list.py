"""
List of all users for site admins: searched, filtered, sorted, in pages.

Each order and each rare state has an index, so that a page costs the same with a hundred thousand users. Only a search
for words reads every user.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import emails as addresses
from seaway.database.tables import users
from seaway.users.users import HAS_NO_VERIFIED_ADDRESS, SELECT_USERS, User, having_words


class UserState(Enum):
    """States that the list can be limited to."""

    ANY = ""
    ACTIVE = "active"
    DISABLED = "disabled"
    ADMIN = "admin"
    UNVERIFIED = "unverified"  # has email addresses, none of them verified


class UserOrder(Enum):
    """Orders of the list."""

    NAME = "name"
    CREATED = "created"  # newest first
    SIGNED_IN = "signed-in"  # latest first; users who never signed in are last


_CONDITIONS: dict[UserState, tuple[ColumnElement[bool], ...]] = {
    UserState.ANY: (),
    UserState.ACTIVE: (users.c.disabled_at.is_(None),),
    UserState.DISABLED: (users.c.disabled_at.is_not(None),),
    UserState.ADMIN: (users.c.is_admin,),
    # The first condition reads the index of unverified addresses instead of every user.
    UserState.UNVERIFIED: (
        users.c.id.in_(select(addresses.c.user_id).where(addresses.c.verified_at.is_(None))),
        HAS_NO_VERIFIED_ADDRESS,
    ),
}
_ORDERS: dict[UserOrder, tuple[ColumnElement[Any], ...]] = {
    UserOrder.NAME: (users.c.name,),
    UserOrder.CREATED: (users.c.created_at.desc(), users.c.id.desc()),
    UserOrder.SIGNED_IN: (users.c.signed_in_at.desc(), users.c.id.desc()),
}


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Words in names or primary email address, and a state."""

    words: str = ""
    state: UserState = UserState.ANY


def count(tx: Tx, chosen: UserFilter = UserFilter()) -> int:
    """Return the number of users that match."""
    query = select(func.count()).select_from(users)
    if chosen.words.strip():
        query = query.outerjoin(addresses, (addresses.c.user_id == users.c.id) & addresses.c.is_primary)
    found: int = tx.execute(_matching(query, chosen)).scalar_one()
    return found


def find(tx: Tx, chosen: UserFilter, order: UserOrder, *, skip: int, limit: int) -> list[User]:
    """Return a page of the users that match."""
    return [from_row(User, row) for row in tx.execute(query_of(chosen, order, skip=skip, limit=limit))]


def query_of(chosen: UserFilter, order: UserOrder, *, skip: int, limit: int) -> Select[Any]:
    """Return the statement of `find`."""
    return _matching(SELECT_USERS, chosen).order_by(*_ORDERS[order]).offset(skip).limit(limit)


def _matching(query: Select[Any], chosen: UserFilter) -> Select[Any]:
    return query.where(*_CONDITIONS[chosen.state], *having_words(chosen.words))
