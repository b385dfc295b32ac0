"""
Rate limits: leaky buckets in the database, shared by all workers.

1. An attempt is counted before it is made, so that concurrent attempts cannot exceed the limit.
2. A refused attempt is not counted: a caller that waits as long as Retry-After says succeeds.
3. IPv6 addresses are counted per /64, which is what one household or one attacker gets.
4. A bucket with a time in the future (from a wrong clock) counts as empty; otherwise it would stay full until then.

A bucket holds `Limit.count` attempts and leaks that many in `Limit.per_ms`: it allows a burst, then a steady rate.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from sqlalchemy import BigInteger, Executable, Float, bindparam, case, delete, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from seaway.clock import CLOCK_TOLERANCE_MS, DAY_MS, HOUR_MS, MINUTE_MS
from seaway.database.engine import Database, Tx
from seaway.database.tables import buckets
from seaway.errors import TooManyRequests

_HINT = "Wait a while, then try again."


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of attempts per period."""

    count: int
    per_ms: int


class Rate(Enum):
    """A rate-limited kind of attempt and its limits; `attempts` completes "Too many ..."."""

    attempts: str
    limits: tuple[Limit, ...]

    SIGN_IN_USER = "sign-in attempts for this user", Limit(10, 5 * MINUTE_MS)
    SIGN_IN_ADDRESS = "sign-in attempts from this IP address", Limit(10, 5 * MINUTE_MS)
    SIGN_IN_ALL = "sign-in attempts", Limit(1_000, 5 * MINUTE_MS)
    SECOND_FACTOR_USER = (
        "second-factor attempts for this user",
        Limit(5, 5 * MINUTE_MS),
        Limit(20, HOUR_MS),
        Limit(50, DAY_MS),
    )
    SECOND_FACTOR_ADDRESS = (
        "second-factor attempts from this IP address",
        Limit(10, 5 * MINUTE_MS),
        Limit(50, HOUR_MS),
    )
    CONFIRM_USER = "attempts to confirm this session", Limit(10, 5 * MINUTE_MS)
    SIGN_UP_ADDRESS = "new accounts from this IP address", Limit(20, HOUR_MS)
    EMAILS_TO_ADDRESS = "emails to this address", Limit(3, 6 * HOUR_MS)
    EMAILS_FROM_ADDRESS = "email requests from this IP address", Limit(30, HOUR_MS)
    MAIL_FROM = "emails to other users from your account", Limit(60, HOUR_MS)
    MAIL_TO = "emails to this recipient", Limit(30, DAY_MS)
    MAIL_BETWEEN = "emails from you to this recipient", Limit(10, DAY_MS)
    MAIL_REPEATED = "emails to this recipient about the same change", Limit(1, DAY_MS)
    RESET_USER = "password reset requests for this email address", Limit(5, DAY_MS)
    EMAIL_ADD = "new email addresses", Limit(2, DAY_MS)
    FIND_USERS = "user searches", Limit(100, HOUR_MS)
    TOOL_BEGIN = "command-line tool logins from this IP address", Limit(300, HOUR_MS)
    TOOL_TOKENS = "token requests from this IP address", Limit(600, 5 * MINUTE_MS)  # one login polls 120 times
    TOOL_CODE = "device codes", Limit(10, 5 * MINUTE_MS)
    PASSKEY_BEGIN = "passkey requests from this IP address", Limit(60, 5 * MINUTE_MS)
    EXTERNAL_LOGIN = "external logins from this IP address", Limit(60, 5 * MINUTE_MS)
    CHANNEL_ADD = "new channels", Limit(20, HOUR_MS)
    CHANNEL_NAME = "channel name checks", Limit(100, HOUR_MS)
    LOGO = "new logos", Limit(30, HOUR_MS)
    PUBLISHER_ADD = "new publishers", Limit(100, DAY_MS)
    TOKEN_TEST = "token tests", Limit(30, 10 * MINUTE_MS)
    # The same rates as 60 and 30 a minute, but with room for bursts: a release of a large repository starts hundreds of
    # jobs at once, and all jobs of one CI system may have the same IP address.
    EXCHANGE_ADDRESS = "token exchanges from this IP address", Limit(600, 10 * MINUTE_MS)
    EXCHANGE_REPOSITORY = "token exchanges for this repository", Limit(300, 10 * MINUTE_MS)
    UPLOAD = "uploads", Limit(600, HOUR_MS)  # default; the operator can change it
    EXAMINE_REFUSED = "refused files that take long to examine", Limit(10 * MINUTE_MS, HOUR_MS)  # in milliseconds
    EXCHANGE_REFUSED = "refused token exchanges for this repository", Limit(30, MINUTE_MS)

    def __new__(cls, attempts: str, *limits: Limit) -> "Rate":
        member = object.__new__(cls)
        member._value_ = attempts
        member.attempts = attempts
        member.limits = limits
        return member


def count_attempt(database: Database, now_ms: int, rate: Rate, *subject: str) -> None:
    """Count an attempt of this subject (user id, IP address, ...); raise `TooManyRequests` with the time to wait."""
    count_all(database, now_ms, (rate, subject))


def count_all(database: Database, now_ms: int, *tries: tuple[Rate, tuple[str, ...]]) -> None:
    """
    Count an attempt of each, or count none and raise `TooManyRequests`.

    Callers must pass rates in the order of `Rate`, so that two transactions on PostgreSQL cannot deadlock.
    """
    with database.write_unlocked() as tx:
        for rate, subject in tries:
            for number, limit in enumerate(rate.limits):
                digest = _digest(rate, number, subject)
                if not _add_to_bucket(tx, now_ms, digest, limit):
                    raise _refusal(tx, now_ms, rate, digest, limit)


def count_all_in(tx: Tx, now_ms: int, *tries: tuple[Rate, tuple[str, ...]]) -> TooManyRequests | None:
    """Count an attempt of each in the caller's transaction, or count none and return the refusal."""
    buckets_to_fill = [
        (rate, limit, _digest(rate, number, subject))
        for rate, subject in tries
        for number, limit in enumerate(rate.limits)
    ]
    for rate, limit, digest in buckets_to_fill:
        if _level(tx, now_ms, digest, limit) + 1.0 > limit.count:
            return _refusal(tx, now_ms, rate, digest, limit)
    for rate, limit, digest in buckets_to_fill:
        if not _add_to_bucket(tx, now_ms, digest, limit):  # another worker counted in between
            return _refusal(tx, now_ms, rate, digest, limit)
    return None


def count_in(tx: Tx, now_ms: int, rate: Rate, limit: Limit, tries: int, *subject: str) -> TooManyRequests | None:
    """Count several attempts in the caller's transaction, or count none and return the refusal."""
    digest = _digest(rate, 0, subject)
    return None if _add_to_bucket(tx, now_ms, digest, limit, tries) else _refusal(tx, now_ms, rate, digest, limit)


def add(tx: Tx, now_ms: int, rate: Rate, amount: int, *subject: str) -> None:
    """Count what has already happened, even above the limit; no attempt is allowed until the excess has leaked."""
    digest, limit = _digest(rate, 0, subject), rate.limits[0]
    values = {"of": digest, "tries": float(amount), "most": math.inf, "empty": now_ms + limit.per_ms}
    now = _now(now_ms, limit)
    level = tx.execute(_POUR[tx.dialect.name], {**values, **now}).scalar_one()
    empty_at = now_ms + math.ceil(level / now["leaks"])
    tx.execute(update(buckets).where(buckets.c.digest == digest).values(empty_at=empty_at))


def require_room(tx: Tx, now_ms: int, rate: Rate, limit: Limit, *subject: str) -> None:
    """Raise `TooManyRequests` if one more attempt would exceed the limit; counts nothing."""
    digest = _digest(rate, 0, subject)
    if _level(tx, now_ms, digest, limit) + 1.0 > limit.count:
        raise _refusal(tx, now_ms, rate, digest, limit)


def uncount(database: Database, now_ms: int, rate: Rate, *subject: str) -> None:
    """Uncount a successful attempt: only failures are to be slowed down."""
    with database.write_unlocked() as tx:
        for number, limit in enumerate(rate.limits):
            tx.execute(_DRAW, {"of": _digest(rate, number, subject), **_now(now_ms, limit)})


def delete_expired(tx: Tx, now_ms: int) -> int:
    """Delete empty buckets; return the count."""
    return tx.execute(delete(buckets).where(buckets.c.empty_at <= now_ms)).rowcount


def network_of(address: str) -> str:
    """Return the network that an IP address is counted under: the IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed.packed[:8] + bytes(8), 64)))
    return str(parsed)


def _add_to_bucket(tx: Tx, now_ms: int, digest: bytes, limit: Limit, tries: int = 1) -> bool:
    """Add attempts to a bucket if it has room, in one statement, so that concurrent workers see each other's counts."""
    if tries > limit.count:  # an empty bucket would accept them
        return False
    values = {"of": digest, "tries": float(tries), "most": float(limit.count), "empty": now_ms + limit.per_ms}
    return tx.execute(_POUR[tx.dialect.name], {**values, **_now(now_ms, limit)}).first() is not None


# Current level of a bucket, computed by the database; a clock that is behind by minutes drains nothing.
_IS_AHEAD = buckets.c.at > bindparam("now", type_=Float) + float(CLOCK_TOLERANCE_MS)
_LEFT = buckets.c.level - (bindparam("now", type_=Float) - buckets.c.at) * bindparam("leaks", type_=Float)
_LEVEL = case((_IS_AHEAD | (_LEFT < 0.0), literal(0.0)), (buckets.c.level < _LEFT, buckets.c.level), else_=_LEFT)


def _pour(insert: Callable[..., Any]) -> Executable:
    level = _LEVEL + bindparam("tries", type_=Float)
    at, empty_at = bindparam("moment", type_=BigInteger), bindparam("empty", type_=BigInteger)
    statement: Executable = (
        insert(buckets)
        .values(digest=bindparam("of"), level=bindparam("tries", type_=Float), at=at, empty_at=empty_at)
        .on_conflict_do_update(
            index_elements=[buckets.c.digest],
            set_={"level": level, "at": at, "empty_at": empty_at},
            where=level <= bindparam("most", type_=Float),
        )
        .returning(buckets.c.level)
    )
    return statement


# Built once, since each upload runs one: building it takes longer than SQLite needs to run it.
_POUR = {"sqlite": _pour(sqlite.insert), "postgresql": _pour(postgresql.insert)}
_LOOK = select(_LEVEL).where(buckets.c.digest == bindparam("of"))
_DRAWN = _LEVEL - 1.0
_DRAW = (
    update(buckets)
    .where(buckets.c.digest == bindparam("of"))
    .values(level=case((_DRAWN > 0, _DRAWN), else_=literal(0.0)), at=bindparam("moment", type_=BigInteger))
)


def _now(now_ms: int, limit: Limit) -> dict[str, float]:
    return {"now": float(now_ms), "moment": now_ms, "leaks": limit.count / limit.per_ms}


def _refusal(tx: Tx, now_ms: int, rate: Rate, digest: bytes, limit: Limit) -> TooManyRequests:
    level = _level(tx, now_ms, digest, limit)
    wait = max(math.ceil((level + 1.0 - limit.count) * limit.per_ms / limit.count / 1000), 1)
    return TooManyRequests(f"Too many {rate.attempts}.", _HINT, retry_after_seconds=wait)


def _level(tx: Tx, now_ms: int, digest: bytes, limit: Limit) -> float:
    found: float | None = tx.execute(_LOOK, {"of": digest, **_now(now_ms, limit)}).scalar()
    return found or 0.0


def _digest(rate: Rate, number: int, subject: tuple[str, ...]) -> bytes:
    return hashlib.sha256(
        "\0".join([rate.name, str(number), *map(network_of, subject)]).encode(errors="replace")
    ).digest()
