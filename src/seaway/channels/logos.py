"""The logo of a channel; `publishing.logos` re-encodes it and stores its bytes."""

from sqlalchemy import delete, insert, select

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.channels import channels
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.database.tables import damaged_blobs, logos


def put(tx: Tx, now_ms: int, by: Caller, channel: str, sha256: bytes, size: int) -> None:
    """Set the logo of a channel; its blob must be stored and protected from the sweep, which deletes the old one."""
    access = channels.require(tx, by, Action.MANAGE, channel)
    tx.execute(delete(logos).where(logos.c.channel_id == access.channel_id))
    tx.execute(delete(damaged_blobs).where(damaged_blobs.c.sha256 == sha256))
    tx.execute(insert(logos).values(channel_id=access.channel_id, sha256=sha256, size=size))
    audit.write(tx, now_ms, by.actor, Event.CHANNEL_CHANGED, channel=channel, changed="logo", sha256=sha256.hex())


def remove(tx: Tx, now_ms: int, by: Caller, channel: str) -> bool:
    """Remove the logo of a channel, if it has one; return whether it had one."""
    access = channels.require(tx, by, Action.MANAGE, channel)
    had_one = bool(tx.execute(delete(logos).where(logos.c.channel_id == access.channel_id)).rowcount)
    if had_one:
        audit.write(tx, now_ms, by.actor, Event.CHANNEL_CHANGED, channel=channel, changed="logo", sha256="")
    return had_one


def is_logo_of(tx: Tx, channel_id: int, sha256: bytes) -> bool:
    """Return whether this is the logo of the channel."""
    named = select(logos.c.channel_id).where(logos.c.channel_id == channel_id, logos.c.sha256 == sha256)
    return tx.execute(named).scalar() is not None
