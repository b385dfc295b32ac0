"""
List of all channels for site admins: filtered, sorted, in pages.

Sorting by size, number of packages or last change reads the subdirs of all channels, which takes a second for a hundred
thousand channels. Sorting by name and the filters read only the shown rows or an index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, func, select, true

from seaway.channels import channels as all_channels
from seaway.channels import quotas
from seaway.channels.channel import Channel
from seaway.channels.quotas import QuotaUsage
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.database.tables import channels, members, shards, subdirs, users
from seaway.search_terms import search_terms


class ChannelOrder(Enum):
    """Orders of the list; all but the names start with the largest or latest."""

    NAME = "name"
    SIZE = "size"
    PACKAGES = "packages"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class ChannelFilter:
    """Words in the name, the name of the owner, visibility, and whether only channels over their quota are wanted."""

    words: str = ""
    owner: str = ""
    is_public: bool | None = None
    over_quota: bool = False


@dataclass(frozen=True, slots=True)
class ListedChannel:
    """A channel with its storage and the time of its last change (ms since the epoch; None without any file)."""

    channel: Channel
    storage: QuotaUsage
    changed_at_ms: int | None


def count(tx: Tx, chosen: ChannelFilter = ChannelFilter()) -> int:
    """Return the number of channels that match."""
    query = select(func.count()).select_from(channels).where(*_conditions(chosen))
    found: int = tx.execute(query).scalar_one()
    return found


def find(tx: Tx, chosen: ChannelFilter, order: ChannelOrder, *, skip: int, limit: int) -> list[ListedChannel]:
    """Return a page of the channels that match, in four statements."""
    ids = list(tx.execute(ids_query(chosen, order, skip=skip, limit=limit)).scalars())
    by_id = all_channels.by_ids(tx, ids)
    storage, changed = quotas.of_channels(tx, ids), _changed_at(tx, ids)
    return [ListedChannel(by_id[number], storage[number], changed.get(number)) for number in ids]


def ids_query(chosen: ChannelFilter, order: ChannelOrder, *, skip: int, limit: int) -> Select[Any]:
    """Return the statement that selects the ids of a page; sorting whole rows would read all of them."""
    query = select(channels.c.id).where(*_conditions(chosen)).offset(skip).limit(limit)
    if order is ChannelOrder.NAME:
        return query.order_by(channels.c.name)
    values = _SORTED_BY[order]
    return query.outerjoin(values, values.c.channel_id == channels.c.id).order_by(
        func.coalesce(values.c.value, 0).desc(), channels.c.name
    )


def _sums(value: ColumnElement[Any]) -> Subquery:
    return select(subdirs.c.channel_id, value.label("value")).group_by(subdirs.c.channel_id).subquery()


_PACKAGES = (
    select(subdirs.c.channel_id, func.count(func.distinct(shards.c.name)).label("value"))
    .join(shards, shards.c.subdir_id == subdirs.c.id)
    .where(shards.c.sha256.is_not(None))
    .group_by(subdirs.c.channel_id)
    .subquery()
)
_SORTED_BY = {
    ChannelOrder.SIZE: _sums(func.sum(subdirs.c.size)),
    ChannelOrder.PACKAGES: _PACKAGES,
    ChannelOrder.CHANGED: _sums(func.max(subdirs.c.changed_at)),
}


def _conditions(chosen: ChannelFilter) -> list[ColumnElement[bool]]:
    conditions = [channels.c.name.contains(word, autoescape=True) for word in search_terms(chosen.words)]
    if chosen.owner:
        owned = (
            select(members.c.channel_id)
            .join(users, users.c.id == members.c.user_id)
            .where(users.c.name == chosen.owner, members.c.role == Role.OWNER.value)
        )
        conditions.append(channels.c.id.in_(owned))
    if chosen.is_public is not None:
        conditions.append(channels.c.is_public if chosen.is_public else ~channels.c.is_public)
    if chosen.over_quota:
        conditions.append(quotas.is_exceeded())
    return conditions or [true()]


def _changed_at(tx: Tx, ids: Sequence[int]) -> dict[int, int]:
    query = select(subdirs.c.channel_id, func.max(subdirs.c.changed_at)).where(subdirs.c.channel_id.in_(ids))
    return dict(tx.execute(query.group_by(subdirs.c.channel_id)).all())
