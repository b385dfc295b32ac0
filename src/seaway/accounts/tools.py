"""
Command-line tools that a user logged in: one grant for each login, and the tokens that follow one another in it.

1. What a tool holds is stored as SHA-256 only.
2. An access token is good for an hour, while its user is not disabled, in the mode of the scope that the person saw.
3. A refresh token is used once; then the next one counts. For a minute the old one is answered too, since two
   processes of pixi refresh at once and know nothing of each other.
4. A refresh token that was replaced longer ago comes from a copy: the grant ends, for the thief and for the owner.
5. A grant that is not used for 90 days is over.

A change of a grant is made in a transaction that has `hold`, so that of two refreshes one sees what the other did.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from seaway import audit, ids
from seaway.accounts import clients
from seaway.accounts.principal import Carrier, Mode, Principal
from seaway.audit import Actor, Event
from seaway.clock import CLOCK_TOLERANCE_MS, DAY_MS, HOUR_MS, MINUTE_MS
from seaway.database.engine import Database, Tx
from seaway.database.tables import cli_grants, cli_tokens, users
from seaway.errors import NotFound

ACCESS_MS = HOUR_MS
IDLE_MS = 90 * DAY_MS
GRACE_MS = MINUTE_MS

_ACCESS, _REFRESH = "access", "refresh"
_PREFIX = f"swy-{ids.KeyKind.TOOL.value}-"


@dataclass(frozen=True, slots=True)
class Grant:
    """A login as its user sees it afterwards: everything but the secrets."""

    id: int
    client_id: str
    scope: str
    mode: Mode
    created_at_ms: int
    used_at_ms: int
    address: str


@dataclass(frozen=True, slots=True)
class Login:
    """Whose login a token belongs to."""

    id: int
    user_id: int
    client_id: str


@dataclass(frozen=True, slots=True)
class Issued:
    """What a tool gets, once."""

    user_id: int
    client_id: str
    access: str
    refresh: str
    scope: str
    nonce: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a tool gets nothing: a code of RFC 6749 (5.2) or RFC 8628 (3.5), and a sentence for the person."""

    code: str
    sentence: str


def hold(database: Database, tx: Tx) -> None:
    """Be the only one who changes logins of tools, until the transaction ends."""
    database.hold(tx, "tools")


def add(
    tx: Tx, now_ms: int, user_id: int, client_id: str, scope: str, *, address: str, nonce: str = ""
) -> tuple[int, Issued]:
    """A new login, with its first tokens; the person has agreed already."""
    mode = clients.mode_of(scope)
    grant_id = tx.execute(
        insert(cli_grants)
        .values(
            user_id=user_id,
            client_id=client_id,
            scope=scope,
            mode=mode.name,
            created_at=now_ms,
            used_at=now_ms,
            address=address,
        )
        .returning(cli_grants.c.id)
    ).scalar_one()
    actor = _actor(tx, user_id, client_id, address)
    audit.write(tx, now_ms, actor, Event.TOOL_LOGGED_IN, target=client_id, login=grant_id, mode=mode.name)
    return grant_id, Issued(user_id, client_id, *_new_tokens(tx, now_ms, grant_id), scope, nonce)


def refresh(
    tx: Tx, now_ms: int, secret: str, client_id: str, *, asked: str = "", address: str = ""
) -> Issued | Refusal:
    """
    The next tokens for a refresh token (RFC 6749, 6; rotation as in RFC 9700, 4.14.2).

    Within the grace both answers live on: which of the two the tool stores last cannot be known. The next refresh of
    either one replaces both.
    """
    row = tx.execute(_TOKEN, {"digest": ids.digest(secret)}).one_or_none()
    if row is None or row.kind != _REFRESH or row.client_id != client_id or _is_over(row, now_ms):
        return _OVER
    if row.replaced_at is not None and row.replaced_at + GRACE_MS <= now_ms:
        end(tx, now_ms, row.grant_id, address=address, reason="an old refresh token came again")
        return _OVER
    if row.disabled_at is not None:
        return _OVER
    if asked and clients.granted(asked) != row.scope:
        return Refusal("invalid_scope", "A login keeps its scope. Log in again for another.")
    if row.replaced_at is None:
        tx.execute(_REPLACE, {"of_grant": row.grant_id, "now": now_ms})
    tx.execute(
        update(cli_grants).where(cli_grants.c.id == row.grant_id).values(used_at=now_ms, address=address or row.address)
    )
    return Issued(row.user_id, client_id, *_new_tokens(tx, now_ms, row.grant_id), row.scope)


def principal_of(tx: Tx, secret: str, now_ms: int) -> Principal | None:
    """Who logged in the tool that carries this access token, or None unless it is good now."""
    if not secret.startswith(_PREFIX) or not ids.is_well_formed(secret):
        return None
    row = tx.execute(_CARRIER, {"digest": ids.digest(secret)}).one_or_none()
    if row is None or _is_over(row, now_ms):
        return None
    return Principal(
        name=row.user_name,
        user_id=row.user_id,
        carrier=Carrier.TOOL,
        is_admin=row.is_admin,
        mode=Mode[row.mode],
        tool=row.client_id,
        expires_at_ms=row.expires_at,
    )


def of_user(tx: Tx, user_id: int, now_ms: int) -> list[Grant]:
    """The logins of a user that are not over, the newest first."""
    rows = tx.execute(
        select(
            cli_grants.c.id,
            cli_grants.c.client_id,
            cli_grants.c.scope,
            cli_grants.c.mode,
            cli_grants.c.created_at,
            cli_grants.c.used_at,
            cli_grants.c.address,
        )
        .where(cli_grants.c.user_id == user_id, cli_grants.c.used_at.between(*_alive(now_ms)))
        .order_by(cli_grants.c.id.desc())
    )
    return [
        Grant(
            id=row.id,
            client_id=row.client_id,
            scope=row.scope,
            mode=Mode[row.mode],
            created_at_ms=row.created_at,
            used_at_ms=row.used_at,
            address=row.address,
        )
        for row in rows
    ]


def login_of(tx: Tx, secret: str) -> Login | None:
    """The login that a token of either kind belongs to, good or not, for who found it somewhere."""
    row = tx.execute(_TOKEN, {"digest": ids.digest(secret)}).one_or_none()
    return None if row is None else Login(row.grant_id, row.user_id, row.client_id)


def revoke(tx: Tx, now_ms: int, by: Principal, user_id: int, grant_id: int) -> None:
    """End a login of a user, on its next request; `NotFound` unless it is theirs."""
    client_id = tx.execute(
        delete(cli_grants)
        .where(cli_grants.c.id == grant_id, cli_grants.c.user_id == user_id)
        .returning(cli_grants.c.client_id)
    ).scalar()
    if client_id is None:
        raise NotFound("There is no such login of a tool.", "It may have ended already.")
    audit.write(tx, now_ms, by.actor, Event.TOOL_REVOKED, target=client_id, login=grant_id)


def give_back(tx: Tx, now_ms: int, secret: str, client_id: str, *, address: str) -> None:
    """
    End the login that a token of either kind belongs to (RFC 7009, 2.1); one that is unknown is gone already.

    A tool gives back its refresh token first and then the access token: with the first all is over.
    """
    row = tx.execute(_TOKEN, {"digest": ids.digest(secret)}).one_or_none()
    if row is not None and row.client_id == client_id:
        end(tx, now_ms, row.grant_id, address=address, reason="the tool logged out")


def end(tx: Tx, now_ms: int, grant_id: int, *, address: str, reason: str) -> None:
    """Take a login away, and with it all its tokens, without a person who asked for it."""
    row = tx.execute(
        delete(cli_grants).where(cli_grants.c.id == grant_id).returning(cli_grants.c.user_id, cli_grants.c.client_id)
    ).one_or_none()
    if row is None:
        return
    actor = _actor(tx, row.user_id, row.client_id, address)
    audit.write(tx, now_ms, actor, Event.TOOL_ENDED, target=row.client_id, login=grant_id, reason=reason)


def forget_old(tx: Tx, now_ms: int) -> int:
    """Delete expired logins; return the count. A login in the future is kept: our clock may be behind."""
    tx.execute(delete(cli_tokens).where(cli_tokens.c.expires_at <= now_ms))
    return tx.execute(delete(cli_grants).where(cli_grants.c.used_at < _alive(now_ms)[0])).rowcount


def _alive(now_ms: int) -> tuple[int, int]:
    """Return the bounds of the last use of a valid login; a time in the future is refused."""
    return now_ms - IDLE_MS + 1, now_ms + CLOCK_TOLERANCE_MS


def _is_over(row: Any, now_ms: int) -> bool:
    return bool(row.expires_at <= now_ms or row.used_at > now_ms + CLOCK_TOLERANCE_MS)


_OVER = Refusal("invalid_grant", "This login is over. Log in again.")

# Statements of every request are made once, as those of keys.
_CARRIER = (
    select(
        cli_tokens.c.expires_at, cli_grants.c.client_id, cli_grants.c.mode, cli_grants.c.used_at,
        users.c.id.label("user_id"), users.c.name.label("user_name"), users.c.is_admin,
    )
    .join(cli_grants, cli_grants.c.id == cli_tokens.c.grant_id)
    .join(users, users.c.id == cli_grants.c.user_id)
    .where(cli_tokens.c.digest == bindparam("digest"), cli_tokens.c.kind == _ACCESS, users.c.disabled_at.is_(None))
)  # fmt: skip
_TOKEN = (
    select(
        cli_tokens.c.kind, cli_tokens.c.grant_id, cli_tokens.c.expires_at, cli_tokens.c.replaced_at,
        cli_grants.c.client_id, cli_grants.c.scope, cli_grants.c.user_id, cli_grants.c.address, cli_grants.c.used_at,
        users.c.disabled_at,
    )
    .join(cli_grants, cli_grants.c.id == cli_tokens.c.grant_id)
    .join(users, users.c.id == cli_grants.c.user_id)
    .where(cli_tokens.c.digest == bindparam("digest"))
)  # fmt: skip
_REPLACE = (
    update(cli_tokens)
    .where(
        cli_tokens.c.grant_id == bindparam("of_grant"),
        cli_tokens.c.kind == _REFRESH,
        cli_tokens.c.replaced_at.is_(None),
    )
    .values(replaced_at=bindparam("now"))
)


def _new_tokens(tx: Tx, now_ms: int, grant_id: int) -> tuple[str, str]:
    access, following = ids.new_key(ids.KeyKind.TOOL), ids.new_key(ids.KeyKind.TOOL_REFRESH)
    rows = [
        {"digest": ids.digest(secret), "grant_id": grant_id, "kind": kind, "expires_at": now_ms + lasts_ms}
        for secret, kind, lasts_ms in ((access, _ACCESS, ACCESS_MS), (following, _REFRESH, IDLE_MS))
    ]
    tx.execute(insert(cli_tokens), rows)
    return access, following


def _actor(tx: Tx, user_id: int, client_id: str, address: str) -> Actor:
    name = tx.execute(select(users.c.name).where(users.c.id == user_id)).scalar_one()
    return Actor(f"{name} (tool {client_id})", user_id, address)
