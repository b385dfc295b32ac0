"""The audit log, read back: newest first, a page at a time. Who may is asked by those who call."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Select, select

from seaway.audit import Event
from seaway.database.engine import Tx
from seaway.database.tables import audit, channels


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    id: int
    at_ms: int
    actor: str
    address: str
    action: str
    channel: str
    target: str
    detail: Mapping[str, Any]


def of_channel(tx: Tx, channel: str, *, before: int | None = None, limit: int) -> list[Entry]:
    """
    The lines of a channel, since it was made.

    Lines name channels, and a name may be used again: what happened in an older channel of that name is not told to
    the people of this one. Of people who only leave or decline, the network address is left out: anyone can be added or
    invited without being asked, and getting out must not tell the owner where they are.
    """
    made_at = select(channels.c.created_at).where(channels.c.name == channel).scalar_subquery()
    found = _read(tx, _newest(before, limit).where(audit.c.channel == channel, audit.c.at >= made_at))
    return [replace(entry, address="") if _only_got_out(entry) else entry for entry in found]


def of_all(tx: Tx, *, before: int | None = None, limit: int) -> list[Entry]:
    """Every line."""
    return _read(tx, _newest(before, limit))


def _only_got_out(entry: Entry) -> bool:
    left = (
        entry.action == Event.MEMBER_REMOVED.value and entry.actor.partition(" (")[0] == entry.target
    )  # with or without the name of a key
    return left or entry.action in (Event.INVITATION_DECLINED.value, Event.TRANSFER_DECLINED.value)


def _newest(before: int | None, limit: int) -> Select[Any]:
    query = select(
        audit.c.id, audit.c.at, audit.c.actor, audit.c.address, audit.c.action, audit.c.channel, audit.c.target,
        audit.c.detail,
    )  # fmt: skip
    query = query.order_by(audit.c.id.desc()).limit(limit)
    return query if before is None else query.where(audit.c.id < before)


def _read(tx: Tx, query: Select[Any]) -> list[Entry]:
    rows = tx.execute(query)
    return [
        Entry(
            id=row.id,
            at_ms=row.at,
            actor=row.actor,
            address=row.address,
            action=row.action,
            channel=row.channel,
            target=row.target,
            detail=msgspec.json.decode(row.detail),
        )
        for row in rows
    ]
