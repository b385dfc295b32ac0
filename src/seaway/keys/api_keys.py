"""
API keys, shown once at creation and stored as a hash.

A key never grants more than its user's current role; its access mode, channels and package name patterns narrow it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from sqlalchemy import bindparam, delete, insert, not_, or_, select, update

from seaway import audit, secret_tokens
from seaway.audit import Event
from seaway.callers.caller import Caller, CredentialKind, Mode
from seaway.clock import CLOCK_TOLERANCE_MS
from seaway.database.engine import Tx
from seaway.database.tables import channels, key_channels, keys, users
from seaway.errors import Malformed, NameTaken, NotFound, check_all
from seaway.users.users import User

MAX_NAME = 100
MAX_PATTERNS = 50

_PATTERN = re.compile(r"(?=.)(?:[a-z0-9_][a-z0-9_.-]{0,63})?\*?")
_ALL_PACKAGES = "[]"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key without its secret."""

    id: int
    name: str
    mode: Mode
    channels: tuple[str, ...] | None
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None
    patterns: tuple[str, ...] = ()
    used_at_ms: int | None = None
    used_from: str = ""


def add(
    tx: Tx,
    now_ms: int,
    by: Caller,
    user: User,
    name: str,
    *,
    mode: Mode,
    channel_ids: Sequence[int] | None,
    expires_at_ms: int | None,
    patterns: Sequence[str] = (),
) -> tuple[Key, str]:
    """
    Create a key and return it with its secret, which cannot be shown again.

    `channel_ids` of None means all channels of the user. `patterns` restricts writes to packages with matching names
    (a trailing `*` matches anything); empty means all packages.
    """
    check_all(partial(require_free_name, tx, user, name), partial(check_patterns, patterns))
    secret = secret_tokens.new_key(secret_tokens.KeyKind.USER)
    key_id = tx.execute(
        insert(keys)
        .values(
            user_id=user.id,
            name=name,
            digest=secret_tokens.hash_key(secret),
            mode=mode.name,
            all_channels=channel_ids is None,
            created_at=now_ms,
            expires_at=expires_at_ms,
            patterns=msgspec.json.encode(list(patterns)).decode(),
        )
        .returning(keys.c.id)
    ).scalar_one()
    if channel_ids:
        tx.execute(insert(key_channels), [{"key_id": key_id, "channel_id": channel_id} for channel_id in channel_ids])
    audit.write(tx, now_ms, by.actor, Event.KEY_ADDED, target=f"{user.name}/{name}", mode=mode.name)
    return next(key for key in all_keys(tx, user.id) if key.id == key_id), secret


def require_free_name(tx: Tx, user: User, name: str) -> None:
    """Raise `NameTaken` unless a new key of the user can have this name."""
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise NameTaken(
            f"{name[:60]!a} is not a valid key name.", f"Use 1 to {MAX_NAME} printable characters.", field="name"
        )
    if _id_of(tx, user.id, name) is not None:
        raise NameTaken(f"{user.name} already has a key named {name!r}.", "Choose another name.", field="name")


def all_keys(tx: Tx, user_id: int) -> list[Key]:
    """Return every key of a user, including revoked ones, sorted by name."""
    names: dict[int, list[str]] = {}
    for key_id, channel in tx.execute(
        select(key_channels.c.key_id, channels.c.name)
        .join(channels, channels.c.id == key_channels.c.channel_id)
        .join(keys, keys.c.id == key_channels.c.key_id)
        .where(keys.c.user_id == user_id)
        .order_by(channels.c.name)
    ):
        names.setdefault(key_id, []).append(channel)
    rows = tx.execute(select(keys).where(keys.c.user_id == user_id).order_by(keys.c.name))
    return [
        Key(
            id=row.id,
            name=row.name,
            mode=Mode[row.mode],
            channels=None if row.all_channels else tuple(names.get(row.id, ())),
            created_at_ms=row.created_at,
            expires_at_ms=row.expires_at,
            revoked_at_ms=row.revoked_at,
            patterns=patterns_of(row.patterns),
            used_at_ms=row.used_at,
            used_from=row.used_from,
        )
        for row in rows
    ]


def get(tx: Tx, user: User, name: str) -> Key:
    """Return one key of a user."""
    found = next((key for key in all_keys(tx, user.id) if key.name == name), None)
    if found is None:
        raise _no_key(user, name)
    return found


def revoke(tx: Tx, now_ms: int, by: Caller, user: User, name: str) -> Key:
    """Revoke a key from its next request on; it stays in the list."""
    key = get(tx, user, name)
    is_valid = (keys.c.id == key.id, keys.c.revoked_at.is_(None))
    if tx.execute(update(keys).where(*is_valid).values(revoked_at=now_ms)).rowcount:
        audit.write(tx, now_ms, by.actor, Event.KEY_REVOKED, target=f"{user.name}/{name}")
    return get(tx, user, name)


def revoke_all(tx: Tx, now_ms: int, by: Caller, user: User) -> int:
    """Revoke every key of a user; return how many were not revoked before."""
    names = tx.execute(
        update(keys)
        .where(keys.c.user_id == user.id, keys.c.revoked_at.is_(None))
        .values(revoked_at=now_ms)
        .returning(keys.c.name)
    ).scalars()
    revoked = sorted(names)
    for name in revoked:
        audit.write(tx, now_ms, by.actor, Event.KEY_REVOKED, target=f"{user.name}/{name}")
    return len(revoked)


def remove(tx: Tx, now_ms: int, by: Caller, user: User, name: str) -> None:
    """Delete a key, which also revokes it and frees its name."""
    if not tx.execute(delete(keys).where(keys.c.user_id == user.id, keys.c.name == name)).rowcount:
        raise _no_key(user, name)
    audit.write(tx, now_ms, by.actor, Event.KEY_REMOVED, target=f"{user.name}/{name}")


_USED = (
    update(keys)
    .where(
        keys.c.id == bindparam("of_key"),
        # A time in the future was written by a wrong clock.
        or_(keys.c.used_at.is_(None), not_(keys.c.used_at.between(bindparam("before") + 1, bindparam("latest")))),
    )
    .values(used_at=bindparam("at"), used_from=bindparam("from_address"))
)


def note_uses(tx: Tx, used: Mapping[int, tuple[int, str]], *, since_ms: int) -> None:
    """Record time and IP address of key uses, for keys whose recorded use is at least `since_ms` old."""
    rows = [
        {
            "of_key": key_id, "at": at_ms, "before": at_ms - since_ms, "latest": at_ms + CLOCK_TOLERANCE_MS,
            "from_address": address,
        }
        for key_id, (at_ms, address) in sorted(used.items())
    ]  # fmt: skip
    if rows:
        tx.execute(_USED, rows)


# Statements used by every request are built once: building one takes longer than SQLite needs to run it.
_CARRIER = (
    select(
        keys.c.id, keys.c.name, keys.c.mode, keys.c.all_channels, keys.c.patterns, keys.c.expires_at,
        users.c.id.label("user_id"), users.c.name.label("user_name"), users.c.is_admin,
    )
    .join(users, users.c.id == keys.c.user_id)
    .where(keys.c.digest == bindparam("digest"), keys.c.revoked_at.is_(None), users.c.disabled_at.is_(None))
)  # fmt: skip
_SCOPE = select(key_channels.c.channel_id).where(key_channels.c.key_id == bindparam("key_id"))


def caller_of(tx: Tx, secret: str, now_ms: int) -> Caller | None:
    """Return the caller with this key, or None if it is not valid; malformed secrets are refused without a query."""
    if not secret_tokens.is_well_formed(secret):
        return None
    row = tx.execute(_CARRIER, {"digest": secret_tokens.hash_key(secret)}).one_or_none()
    if row is None or (row.expires_at is not None and row.expires_at <= now_ms):
        return None
    channel_ids = None
    if not row.all_channels:
        channel_ids = frozenset(tx.execute(_SCOPE, {"key_id": row.id}).scalars())
    return Caller(
        name=row.user_name,
        user_id=row.user_id,
        credential=CredentialKind.KEY,
        is_admin=row.is_admin,
        mode=Mode[row.mode],
        channel_ids=channel_ids,
        patterns=patterns_of(row.patterns),
        key_id=row.id,
        key_name=row.name,
        expires_at_ms=row.expires_at,
    )


def check_patterns(patterns: Sequence[str]) -> None:
    """Raise `Malformed` unless these are valid package name patterns of a key or a publisher."""
    if len(patterns) > MAX_PATTERNS:
        raise Malformed(
            f"There can be at most {MAX_PATTERNS} package name patterns.",
            "Combine some with a * at the end.",
            field="packages",
        )
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise Malformed(
                f"{pattern[:80]!a} is not a valid package name pattern.",
                "Use a name in lower case; a * at its end matches all names that start with it.",
                field="packages",
            )


def patterns_of(text: str) -> tuple[str, ...]:
    """Decode the package name patterns of a key row."""
    return () if text == _ALL_PACKAGES else tuple(msgspec.json.decode(text, type=list[str]))


def _no_key(user: User, name: str) -> NotFound:
    return NotFound(f"{user.name} has no key named {name[:60]!a}.", "Check the list of keys.")


def _id_of(tx: Tx, user_id: int, name: str) -> int | None:
    return tx.execute(select(keys.c.id).where(keys.c.user_id == user_id, keys.c.name == name)).scalar()
