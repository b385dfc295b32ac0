"""
What a browser has begun and not ended: sent to a provider, waiting for a second factor, answering a challenge.

1. Each is used once: `take` deletes it.
2. It is known by the hash of a secret that only this browser has, and is good for ten minutes and for one kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.sql import ColumnElement

from seaway import ids
from seaway.clock import MINUTE_MS, bounds_of_end
from seaway.database.engine import Tx
from seaway.database.tables import sign_ins

LASTS_MS = 10 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Pending:
    """What was put aside, and for whom if that is known."""

    user_id: int | None
    data: Mapping[str, Any]


def put(
    tx: Tx,
    now_ms: int,
    kind: str,
    data: Mapping[str, Any],
    *,
    user_id: int | None = None,
    lasts_ms: int = LASTS_MS,
) -> str:
    """Put aside what is needed later; the secret by which it is found."""
    secret = ids.new_key(ids.KeyKind.FLOW)
    tx.execute(
        insert(sign_ins).values(
            digest=ids.digest(secret),
            kind=kind,
            user_id=user_id,
            data=msgspec.json.encode(data).decode(),
            expires_at=now_ms + lasts_ms,
        )
    )
    return secret


def look(tx: Tx, now_ms: int, kind: str, secret: str) -> Pending | None:
    """What was put aside, which stays: for a step that may be tried again."""
    if not ids.is_of(ids.KeyKind.FLOW, secret):
        return None
    row = tx.execute(select(sign_ins.c.user_id, sign_ins.c.data).where(*_good(now_ms, kind, secret))).one_or_none()
    return None if row is None else Pending(row.user_id, msgspec.json.decode(row.data))


def take(tx: Tx, now_ms: int, kind: str, secret: str) -> Pending | None:
    """What was put aside, which nobody can take again; None when there is no such thing, or no longer."""
    if not ids.is_of(ids.KeyKind.FLOW, secret):
        return None
    row = tx.execute(
        delete(sign_ins).where(*_good(now_ms, kind, secret)).returning(sign_ins.c.user_id, sign_ins.c.data)
    ).one_or_none()
    return None if row is None else Pending(row.user_id, msgspec.json.decode(row.data))


def forget_of(tx: Tx, user_id: int) -> None:
    """End what a user has begun: it may rest on what was good until now."""
    tx.execute(delete(sign_ins).where(sign_ins.c.user_id == user_id))


def forget_old(tx: Tx, now_ms: int) -> int:
    """Delete those that ended; how many."""
    return tx.execute(delete(sign_ins).where(sign_ins.c.expires_at <= now_ms)).rowcount


def _good(now_ms: int, kind: str, secret: str) -> tuple[ColumnElement[bool], ...]:
    is_valid = sign_ins.c.expires_at.between(*bounds_of_end(now_ms, LASTS_MS))
    return (sign_ins.c.digest == ids.digest(secret), sign_ins.c.kind == kind, is_valid)
