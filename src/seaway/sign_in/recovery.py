"""
Recovery codes: eight single-use codes that replace a lost second factor.

1. Each code is valid once, shown once, and stored as an argon2 hash.
2. Its first character is its number, so that an attempt costs one hash and not eight.
3. New codes invalidate the old ones.
"""

import secrets
from dataclasses import dataclass
from functools import partial

from anyio import to_thread
from sqlalchemy import delete, insert, select, update

from seaway import audit
from seaway.audit import Actor, Event
from seaway.callers.caller import Caller
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.database.engine import Tx
from seaway.database.tables import recovery_codes, users
from seaway.errors import NotAllowed
from seaway.sign_in import account_security, second_factors
from seaway.sign_in.parts import AccountParts
from seaway.site import Site

COUNT = 8
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # no look-alikes
_LENGTH = 12  # 59 random bits


@dataclass(frozen=True, slots=True)
class NewCodes:
    """New codes and the hashes to store."""

    codes: list[str]
    hashes: list[str]


@dataclass(frozen=True, slots=True)
class RecoveryCode:
    """A stored recovery code that was not used."""

    id: int
    hash: str


async def prepare(accounts: AccountParts) -> NewCodes:
    """Generate codes; they are valid once stored."""
    codes = [f"{number}{_random()}" for number in range(1, COUNT + 1)]
    hashes = [await accounts.hasher.hash_code(code) for code in codes]
    return NewCodes(["-".join((code[:5], code[5:9], code[9:])) for code in codes], hashes)


async def renew(accounts: AccountParts, by: Caller) -> list[str]:
    """Replace the caller's recovery codes and return the new ones, which cannot be shown again."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    made = await prepare(accounts)
    return await to_thread.run_sync(partial(_renew, accounts, by, made))


async def make_first(accounts: AccountParts, by: Caller) -> list[str]:
    """Create recovery codes after the first second factor was added; return an empty list if the user has codes."""
    if await to_thread.run_sync(_has_some, accounts.site, by):
        return []
    made = await prepare(accounts)
    return await to_thread.run_sync(partial(_put_first, accounts.site, by, made))


def put_if_none(tx: Tx, now_ms: int, by: Caller, made: NewCodes) -> list[str]:
    """Store codes if the user has none; return the codes to show."""
    assert by.user_id is not None
    if second_factors.of_user(tx, by.user_id).recovery_codes:
        return []
    return _replace(tx, now_ms, by, made)


def find(site: Site, user_id: int, code: str) -> RecoveryCode | None:
    """Return the unused stored code with the number that `code` starts with; its hash is not verified here."""
    if not code.isascii() or not code[:1].isdigit():
        return None
    with site.database.read() as tx:
        rows = tx.execute(
            select(recovery_codes.c.id, recovery_codes.c.hash, recovery_codes.c.used_at)
            .where(recovery_codes.c.user_id == user_id)
            .order_by(recovery_codes.c.id)
        ).all()
    number = int(code[0])
    if not 1 <= number <= len(rows) or rows[number - 1].used_at is not None:
        return None
    return RecoveryCode(rows[number - 1].id, rows[number - 1].hash)


def use(accounts: AccountParts, tx: Tx, now_ms: int, user_id: int, code: RecoveryCode) -> bool:
    """Mark a code as used and notify the user; return False if it already was used."""
    unused = (recovery_codes.c.id == code.id, recovery_codes.c.used_at.is_(None))
    if tx.execute(update(recovery_codes).where(*unused).values(used_at=now_ms)).rowcount != 1:
        return False
    name = tx.execute(select(users.c.name).where(users.c.id == user_id)).scalar_one()
    audit.write(tx, now_ms, Actor(name, user_id), Event.RECOVERY_CODE_USED, target=name)
    account_security.notify(accounts, tx, now_ms, user_id, "A recovery code was used.")
    return True


def _has_some(site: Site, by: Caller) -> bool:
    assert by.user_id is not None
    with site.database.read() as tx:
        return second_factors.of_user(tx, by.user_id).recovery_codes > 0


def _put_first(site: Site, by: Caller, made: NewCodes) -> list[str]:
    assert by.user_id is not None
    with site.database.write_user(by.user_id) as tx:
        return put_if_none(tx, site.clock.now_ms(), by, made)


def _renew(accounts: AccountParts, by: Caller, made: NewCodes) -> list[str]:
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.write_user(by.user_id) as tx:
        if not second_factors.of_user(tx, by.user_id).any:
            raise NotAllowed("Recovery codes replace a second factor, and this account has none.", "Set one up first.")
        what = "New recovery codes were created, and the old ones no longer work."
        account_security.end_sessions_and_notify(accounts, tx, now_ms, by.user_id, what, keep=by.session_id)
        return _replace(tx, now_ms, by, made)


def _replace(tx: Tx, now_ms: int, by: Caller, made: NewCodes) -> list[str]:
    tx.execute(delete(recovery_codes).where(recovery_codes.c.user_id == by.user_id))
    tx.execute(insert(recovery_codes), [{"user_id": by.user_id, "hash": code_hash} for code_hash in made.hashes])
    audit.write(tx, now_ms, by.actor, Event.RECOVERY_CODES_MADE, target=by.name)
    return made.codes


def _random() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
