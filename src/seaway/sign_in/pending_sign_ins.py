"""
Pending sign-in flows of browsers: redirected to a provider, waiting for a second factor, answering a challenge.

1. Each flow is used once: `take` deletes it.
2. It is found by the hash of a secret that only this browser has, and is valid for ten minutes and for one kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.sql import ColumnElement

from seaway import secret_tokens
from seaway.clock import MINUTE_MS, expiry_bounds
from seaway.database.engine import Tx
from seaway.database.tables import sign_ins

LASTS_MS = 10 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Pending:
    """Stored data of a flow, and its user if known."""

    user_id: int | None
    data: Mapping[str, Any]


def add(
    tx: Tx,
    now_ms: int,
    kind: str,
    data: Mapping[str, Any],
    *,
    user_id: int | None = None,
    lasts_ms: int = LASTS_MS,
) -> str:
    """Store a flow and return its secret."""
    secret = secret_tokens.new_key(secret_tokens.KeyKind.SIGN_IN_FLOW)
    tx.execute(
        insert(sign_ins).values(
            digest=secret_tokens.hash_key(secret),
            kind=kind,
            user_id=user_id,
            data=msgspec.json.encode(data).decode(),
            expires_at=now_ms + lasts_ms,
        )
    )
    return secret


def find(tx: Tx, now_ms: int, kind: str, secret: str) -> Pending | None:
    """Return a valid flow without using it up, for a step that can be retried; None if there is none."""
    if not secret_tokens.is_kind(secret_tokens.KeyKind.SIGN_IN_FLOW, secret):
        return None
    row = tx.execute(select(sign_ins.c.user_id, sign_ins.c.data).where(*_valid(now_ms, kind, secret))).one_or_none()
    return None if row is None else Pending(row.user_id, msgspec.json.decode(row.data))


def take(tx: Tx, now_ms: int, kind: str, secret: str) -> Pending | None:
    """Use up a valid flow and return it; None if there is none."""
    if not secret_tokens.is_kind(secret_tokens.KeyKind.SIGN_IN_FLOW, secret):
        return None
    row = tx.execute(
        delete(sign_ins).where(*_valid(now_ms, kind, secret)).returning(sign_ins.c.user_id, sign_ins.c.data)
    ).one_or_none()
    return None if row is None else Pending(row.user_id, msgspec.json.decode(row.data))


def delete_of_user(tx: Tx, user_id: int) -> None:
    """Delete the flows of a user: they may rely on credentials that just changed."""
    tx.execute(delete(sign_ins).where(sign_ins.c.user_id == user_id))


def delete_expired(tx: Tx, now_ms: int) -> int:
    """Delete expired flows; return the count."""
    return tx.execute(delete(sign_ins).where(sign_ins.c.expires_at <= now_ms)).rowcount


def _valid(now_ms: int, kind: str, secret: str) -> tuple[ColumnElement[bool], ...]:
    is_valid = sign_ins.c.expires_at.between(*expiry_bounds(now_ms, LASTS_MS))
    return (sign_ins.c.digest == secret_tokens.hash_key(secret), sign_ins.c.kind == kind, is_valid)
