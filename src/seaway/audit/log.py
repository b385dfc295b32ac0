"""
Read the audit log, newest first, in pages. Callers must check permissions.

Each filter is an index in the order of the pages (`database.tables`), so that the cost of a page does not grow with the
log. Of several filters, one index finds the entries that the others are applied to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, func, or_, select

from seaway.audit import SEVERAL_PACKAGES, Event, indexed_person, package_of_file, person_of
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


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Filters of the log; an empty value does not filter."""

    person: str = ""  # a user, or a workflow as the log names it
    action: str = ""  # the value of an `Event`
    channel: str = ""
    file: str = ""  # a package, or the name of one file, with or without its subdir

    @property
    def is_empty(self) -> bool:
        """Return whether every entry is shown."""
        return not (self.person or self.action or self.channel or self.file)


EVERYTHING = LogFilter()
MAX_FILTER = 211  # characters of a filter: the longest name of a file


def of_channel(
    tx: Tx, channel: str, *, before: int | None = None, limit: int, where: LogFilter = EVERYTHING
) -> list[Entry]:
    """
    Return the entries of a channel since it was created.

    Entries name channels, and a name can be reused: entries of an older channel with the same name are not shown to
    members of the new one. For users who only leave or decline, the IP address is left out: anyone can be added or
    invited without consent, and leaving must not reveal the user's network to the owner.
    """
    made_at = select(channels.c.created_at).where(channels.c.name == channel).scalar_subquery()
    conditions = [audit.c.channel == channel, audit.c.at >= made_at]
    found = _newest(tx, conditions, before, limit, where)
    return [replace(entry, address="") if _is_departure(entry) else entry for entry in found]


def of_all(tx: Tx, *, before: int | None = None, limit: int, where: LogFilter = EVERYTHING) -> list[Entry]:
    """Return the entries of the whole site."""
    return _newest(tx, [], before, limit, where)


def _is_departure(entry: Entry) -> bool:
    has_left = entry.action == Event.MEMBER_REMOVED.value and person_of(entry.actor) == entry.target
    return has_left or entry.action in (Event.INVITATION_DECLINED.value, Event.TRANSFER_DECLINED.value)


def _newest(
    tx: Tx, conditions: Sequence[ColumnElement[bool]], before: int | None, limit: int, where: LogFilter
) -> list[Entry]:
    shared = [*conditions]
    if before is not None:
        shared.append(audit.c.id < before)
    if where.person:
        shared.append(audit.c.person == indexed_person(where.person))
    if where.channel:
        shared.append(audit.c.channel == where.channel)
    if where.action:
        shared.append(audit.c.action == where.action)
    # Entries of one package and of several are in two parts of the index, each in the order of the pages.
    parts = _of_file(where.file) if where.file else [[]]
    found = [entry for part in parts for entry in _read(tx, _page([*shared, *part], limit))]
    return sorted(found, key=lambda entry: -entry.id)[:limit]


def _of_file(text: str) -> list[list[ColumnElement[bool]]]:
    """Return the conditions of entries about only this file or package, in any case, and about several packages."""
    text, target, detail = text.lower(), func.lower(audit.c.target), func.lower(audit.c.detail)
    package = package_of_file(text)
    if package is None:
        inside = or_(*(detail.contains(f"{before}{text}-", autoescape=True) for before in ("/", '"')))
        return [[audit.c.package == text], [audit.c.package == SEVERAL_PACKAGES, inside]]
    named = [target == text] if "/" in text else [target.endswith(f"/{text}", autoescape=True)]
    inside = detail.contains(text, autoescape=True)
    return [[audit.c.package == package, or_(*named, inside)], [audit.c.package == SEVERAL_PACKAGES, inside]]


def _page(conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any]:
    return (
        select(
            audit.c.id, audit.c.at, audit.c.actor, audit.c.address, audit.c.action, audit.c.channel, audit.c.target,
            audit.c.detail,
        )
        .where(*conditions)
        .order_by(audit.c.id.desc())
        .limit(limit)
    )  # fmt: skip


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
