"""Reading of the audit log, newest first, in pages. Callers must check permissions."""

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
    """An audit log entry as read back."""

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
    Return the entries of a channel since it was created.

    Entries name channels, and a name can be reused: entries of an older channel with the same name are not shown to
    members of the new one. For users who only leave or decline, the IP address is left out: anyone can be added or
    invited without consent, and leaving must not reveal the user's network to the owner.
    """
    made_at = select(channels.c.created_at).where(channels.c.name == channel).scalar_subquery()
    found = _read(tx, _newest(before, limit).where(audit.c.channel == channel, audit.c.at >= made_at))
    return [replace(entry, address="") if _is_departure(entry) else entry for entry in found]


def of_all(tx: Tx, *, before: int | None = None, limit: int) -> list[Entry]:
    """Return the entries of the whole site."""
    return _read(tx, _newest(before, limit))


def _is_departure(entry: Entry) -> bool:
    has_left = (
        entry.action == Event.MEMBER_REMOVED.value and entry.actor.partition(" (")[0] == entry.target
    )  # with or without a key name
    return has_left or entry.action in (Event.INVITATION_DECLINED.value, Event.TRANSFER_DECLINED.value)


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
