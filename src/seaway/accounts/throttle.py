"""
How often somebody may try: buckets that leak, in the database, so that all workers count together.

1. A try is counted before it is made, so many at once cannot slip through.
2. A try that was refused is not counted: who waits as long as they are told gets through.
3. An IPv6 address stands for its /64, which is what one household or one attacker is given.

A bucket holds as many tries as its limit says and leaks that many in its time: a burst, then one at a time.
"""

import hashlib
import math
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import case, delete, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ColumnElement

from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS
from seaway.database.engine import Database, Tx
from seaway.database.tables import buckets
from seaway.errors import TooMany

_HINT = "Wait a while, then try again."


@dataclass(frozen=True, slots=True)
class Limit:
    """So many in so long."""

    count: int
    per_ms: int


class Rate(Enum):
    """What is limited, and how much of it; `said` completes «There were too many ...»."""

    said: str
    limits: tuple[Limit, ...]

    SIGN_IN_USER = "attempts to sign in as this user", Limit(10, 5 * MINUTE_MS)
    SIGN_IN_ADDRESS = "attempts to sign in from this address", Limit(10, 5 * MINUTE_MS)
    SIGN_IN_ALL = "attempts to sign in", Limit(1_000, 5 * MINUTE_MS)
    SECOND_FACTOR_USER = (
        "codes for this user",
        Limit(5, 5 * MINUTE_MS),
        Limit(20, HOUR_MS),
        Limit(50, DAY_MS),
    )
    SECOND_FACTOR_ADDRESS = "codes from this address", Limit(10, 5 * MINUTE_MS), Limit(50, HOUR_MS)
    CONFIRM_USER = "attempts to confirm this sign-in", Limit(10, 5 * MINUTE_MS)
    SIGN_UP_ADDRESS = "accounts from this address", Limit(20, HOUR_MS)
    LETTER_TO = "letters to this address", Limit(3, 6 * HOUR_MS)
    LETTERS_FROM = "letters asked for from this address", Limit(30, HOUR_MS)
    RESET_USER = "letters for a new password", Limit(5, DAY_MS)
    EMAIL_ADD = "new addresses", Limit(2, DAY_MS)
    FIND_USERS = "searches for users", Limit(100, HOUR_MS)
    TOOL_BEGIN = "logins of tools from this address", Limit(300, HOUR_MS)
    TOOL_TOKENS = "questions for tokens from this address", Limit(600, 5 * MINUTE_MS)  # one login asks 120 times
    TOOL_CODE = "codes of tools", Limit(10, 5 * MINUTE_MS)
    OUTSIDE = "sign-ins by way of another site from this address", Limit(60, 5 * MINUTE_MS)
    CHANNEL_ADD = "new channels", Limit(20, HOUR_MS)
    CHANNEL_NAME = "questions for free names", Limit(100, HOUR_MS)
    PUBLISHER_ADD = "new publishers", Limit(100, DAY_MS)
    # As many as 60 and 30 a minute, but a release of a large repository starts hundreds of jobs at one moment, and
    # all jobs of one CI may come from one address.
    EXCHANGE_ADDRESS = "exchanges from this address", Limit(600, 10 * MINUTE_MS)
    EXCHANGE_REPOSITORY = "exchanges for this repository", Limit(300, 10 * MINUTE_MS)
    EXCHANGE_REFUSED = "refused exchanges for this repository", Limit(30, MINUTE_MS)

    def __new__(cls, said: str, *limits: Limit) -> "Rate":
        member = object.__new__(cls)
        member._value_ = said
        member.said = said
        member.limits = limits
        return member


def take(database: Database, now_ms: int, rate: Rate, *subject: str) -> None:
    """Count a try of this subject (a user's id, an address ...), or `TooMany` with the time to wait."""
    take_all(database, now_ms, (rate, subject))


def take_all(database: Database, now_ms: int, *tries: tuple[Rate, tuple[str, ...]]) -> None:
    """
    Count a try of each, or of none and `TooMany`.

    Callers name rates in one order, as the table above has them, so that two on PostgreSQL do not wait for each other.
    """
    with database.write_part() as tx:
        for rate, subject in tries:
            for number, limit in enumerate(rate.limits):
                digest = _digest(rate, number, subject)
                if not _poured(tx, now_ms, digest, limit):
                    wait = _wait(tx, now_ms, digest, limit)
                    raise TooMany(f"There were too many {rate.said}.", _HINT, retry_after_seconds=wait)


def give_back(database: Database, now_ms: int, rate: Rate, *subject: str) -> None:
    """Uncount a try that went well: people who know their password are not those whom we slow down."""
    with database.write_part() as tx:
        for number, limit in enumerate(rate.limits):
            level = _level(now_ms, limit) - 1.0
            tx.execute(
                buckets.update()
                .where(buckets.c.digest == _digest(rate, number, subject))
                .values(level=case((level > 0, level), else_=literal(0.0)), at=now_ms)
            )


def forget_old(tx: Tx, now_ms: int) -> int:
    """Delete the buckets that have run empty; how many."""
    return tx.execute(delete(buckets).where(buckets.c.empty_at <= now_ms)).rowcount


def shortened(address: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed.packed[:8] + bytes(8), 64)))
    return str(parsed)


def _poured(tx: Tx, now_ms: int, digest: bytes, limit: Limit) -> bool:
    """One statement: of many that come at once on many workers, each sees what those before it left."""
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    level = _level(now_ms, limit) + 1.0
    statement = (
        dialect.insert(buckets)
        .values(digest=digest, level=1.0, at=now_ms, empty_at=now_ms + limit.per_ms)
        .on_conflict_do_update(
            index_elements=[buckets.c.digest],
            set_={"level": level, "at": now_ms, "empty_at": now_ms + limit.per_ms},
            where=level <= float(limit.count),
        )
        .returning(buckets.c.level)
    )
    return tx.execute(statement).first() is not None


def _level(now_ms: int, limit: Limit) -> ColumnElement[float]:
    """What is in the bucket now, as the database computes it; a clock that is behind drains nothing."""
    left = buckets.c.level - (literal(float(now_ms)) - buckets.c.at) * (limit.count / limit.per_ms)
    return case((left < 0.0, literal(0.0)), (left > buckets.c.level, buckets.c.level), else_=left)


def _wait(tx: Tx, now_ms: int, digest: bytes, limit: Limit) -> int:
    level = tx.execute(select(_level(now_ms, limit)).where(buckets.c.digest == digest)).scalar_one()
    return max(math.ceil((level + 1.0 - limit.count) * limit.per_ms / limit.count / 1000), 1)


def _digest(rate: Rate, number: int, subject: tuple[str, ...]) -> bytes:
    return hashlib.sha256(
        "\0".join([rate.name, str(number), *map(shortened, subject)]).encode(errors="replace")
    ).digest()
