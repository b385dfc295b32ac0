"""Notices from the owner of a channel to its users, which conda and pixi show (CEP 6)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

import msgspec
from sqlalchemy import delete, func, insert, select

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.channels import channels
from seaway.channels.roles import Action
from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.database.rows import from_row
from seaway.database.tables import notices
from seaway.errors import Conflict, Malformed, NotFound

MAX_MESSAGE = 1_000
MAX_NOTICES = 20  # per channel: clients refuse more than 1 MiB, and users stop reading long before
MAX_DAYS = 366


class Level(Enum):
    """Severity of a notice; clients show the levels differently."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice."""

    id: int
    level: Level
    message: str
    created_at_ms: int
    expires_at_ms: int


def add(tx: Tx, now_ms: int, by: Caller, channel: str, level: Level, message: str, *, expires_at_ms: int) -> Notice:
    """Show a notice to users of the channel until it expires."""
    access = channels.require(tx, by, Action.MANAGE, channel)
    if not 1 <= len(message.strip()) <= MAX_MESSAGE or not message.replace("\n", "").isprintable():
        raise Malformed(
            f"A notice needs 1 to {MAX_MESSAGE:,} printable characters.", "Change its text.", field="message"
        )
    if not now_ms < expires_at_ms <= now_ms + MAX_DAYS * DAY_MS:
        raise Malformed("A notice must expire in the future, within a year.", "Choose another time.", field="days")
    count = tx.execute(select(func.count()).where(notices.c.channel_id == access.channel_id)).scalar_one()
    if count >= MAX_NOTICES:
        raise Conflict(f"{channel} already has {count} notices.", "Withdraw some of them.")
    notice_id = tx.execute(
        insert(notices)
        .values(
            channel_id=access.channel_id,
            level=level.value,
            message=message.strip(),
            created_at=now_ms,
            expires_at=expires_at_ms,
        )
        .returning(notices.c.id)
    ).scalar_one()
    audit.write(tx, now_ms, by.actor, Event.NOTICE_ADDED, channel=channel, target=str(notice_id), level=level.value)
    return Notice(notice_id, level, message.strip(), now_ms, expires_at_ms)


def remove(tx: Tx, now_ms: int, by: Caller, channel: str, notice_id: int) -> None:
    """Withdraw a notice."""
    access = channels.require(tx, by, Action.MANAGE, channel)
    which = (notices.c.channel_id == access.channel_id, notices.c.id == notice_id)
    if not tx.execute(delete(notices).where(*which)).rowcount:
        raise NotFound("This notice does not exist.", "It may have expired or been withdrawn.")
    audit.write(tx, now_ms, by.actor, Event.NOTICE_REMOVED, channel=channel, target=str(notice_id))


def list_current(tx: Tx, now_ms: int, by: Caller, channel: str) -> list[Notice]:
    """Return the notices that users of the channel see, newest first."""
    return current(tx, now_ms, channels.require(tx, by, Action.READ, channel).channel_id)


def current(tx: Tx, now_ms: int, channel_id: int) -> list[Notice]:
    """Return the notices of a channel that have not expired, newest first, without a permission check."""
    rows = tx.execute(
        select(
            notices.c.id, notices.c.level, notices.c.message, notices.c.created_at.label("created_at_ms"),
            notices.c.expires_at.label("expires_at_ms"),
        )
        .where(notices.c.channel_id == channel_id, notices.c.expires_at > now_ms)
        .order_by(notices.c.id.desc())
    )  # fmt: skip
    return [from_row(Notice, row) for row in rows]


def notices_json(found: list[Notice]) -> bytes:
    """Return `notices.json`. It has only `expires_at` of CEP 6: rattler refuses a notice with a second name for it."""
    return msgspec.json.encode(
        {
            "notices": [
                {
                    "id": str(notice.id),
                    "level": notice.level.value,
                    "message": notice.message,
                    "created_at": _moment(notice.created_at_ms),
                    "expires_at": _moment(notice.expires_at_ms),
                }
                for notice in found
            ]
        }
    )


def delete_expired(tx: Tx, now_ms: int) -> int:
    """Delete expired notices; return the count."""
    return tx.execute(delete(notices).where(notices.c.expires_at <= now_ms)).rowcount


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
