"""API keys that users create: permissions, channels, expiry and expiry emails."""

from itertools import pairwise

import pytest
from sqlalchemy import func, select

from seaway.callers.caller import ANONYMOUS, Caller, Mode
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.database.tables import jobs
from seaway.errors import BadCredential, ConfirmationRequired, Malformed, NotAllowed, NotFound
from seaway.keys import account_keys, api_keys
from seaway.keys.account_keys import KeyPolicy
from seaway.mail.outbox import SendEmail
from seaway.server.wiring import Seaway
from seaway.users import emails, users
from tests.support.clock import ManualClock
from tests.support.sites import Factory

POLICY = KeyPolicy()


def add(
    seaway: Seaway,
    by: Caller,
    name: str = "laptop",
    *,
    channels: list[str] | None = None,
    patterns: tuple[str, ...] = (),
    days: int | None = 90,
    rules: KeyPolicy = POLICY,
) -> tuple[api_keys.Key, str]:
    with seaway.site.database.write_site() as tx:
        return account_keys.add(
            tx, seaway.site.clock.now_ms(), by, name,
            mode=Mode.READ_WRITE, channel_names=channels, patterns=patterns, days=days, rules=rules,
        )  # fmt: skip


def test_user_creates_a_key_for_channels_and_packages(seaway: Seaway, factory: Factory) -> None:
    """The list contains everything but the secret."""
    factory.channel("boats", owner="owner", public=False)
    factory.member("boats", "ada", Role.VIEWER)
    ada = factory.signed_in("ada")
    key, secret = add(seaway, ada, channels=["boats"], patterns=("sail*", "mast"))
    caller = factory.caller_of_key(secret)
    assert ("ada", Mode.READ_WRITE, ("sail*", "mast")) == (caller.name, caller.mode, caller.patterns)
    assert seaway.site.clock.now_ms() + 90 * DAY_MS == key.expires_at_ms
    with seaway.site.database.read() as tx:
        assert [key] == account_keys.list_all(tx, ada)


def test_creating_a_key_needs_a_recent_verified_sign_in(seaway: Seaway, factory: Factory) -> None:
    """A leaked key could otherwise create further keys that outlive it."""
    factory.user("ada")
    with pytest.raises(NotAllowed):
        add(seaway, factory.caller_of_key(factory.key("ada", mode=Mode.MANAGE)))
    with pytest.raises(BadCredential):
        add(seaway, ANONYMOUS)
    with pytest.raises(NotAllowed, match="not verified"):
        add(seaway, factory.signed_in("ada", verified=False))
    with pytest.raises(ConfirmationRequired):
        add(seaway, factory.signed_in("ada", confirmed=False))


def test_key_can_name_only_channels_that_its_user_can_read(seaway: Seaway, factory: Factory) -> None:
    """The error for a hidden channel equals the one for an unknown channel."""
    factory.channel("hidden", owner="owner", public=False)
    ada = factory.signed_in("ada")
    refusals = set()
    for name in ("hidden", "nothing"):
        with pytest.raises(NotFound) as error:
            add(seaway, ada, channels=[name])
        refusals.add(str(error.value))
    assert 1 == len(refusals)


@pytest.mark.parametrize("days", [0, -1, 366, None])
def test_key_expires_within_a_year(seaway: Seaway, factory: Factory, days: int | None) -> None:
    """Keys without expiry must be allowed by the operator; a number of days is limited even then."""
    ada = factory.signed_in("ada")
    with pytest.raises(Malformed):
        add(seaway, ada, days=days)
    if days is None:
        key, _ = add(seaway, ada, days=None, rules=KeyPolicy(allow_unlimited=True))
        assert key.expires_at_ms is None


@pytest.mark.parametrize("pattern", ["", "A", "a b", "*a", "a**", "a*b", "-a", "a" * 65])
def test_invalid_package_pattern_is_refused(seaway: Seaway, factory: Factory, pattern: str) -> None:
    """A pattern is a package name, optionally with one star at the end."""
    with pytest.raises(Malformed, match="not a valid package name"):
        add(seaway, factory.signed_in("ada"), patterns=(pattern,))


def test_revoked_key_is_listed_and_deleted_key_is_not(seaway: Seaway, factory: Factory) -> None:
    """Deleting frees the name; both refuse the key, and neither needs a recent sign-in."""
    ada = factory.signed_in("ada")
    secrets = [add(seaway, ada, name)[1] for name in ("one", "two", "three")]
    unconfirmed = factory.signed_in("ada", confirmed=False)
    with seaway.site.database.write_site() as tx:
        now_ms = seaway.site.clock.now_ms()
        account_keys.revoke(tx, now_ms, unconfirmed, "one")
        account_keys.remove(tx, now_ms, unconfirmed, "two")
        assert [("one", False), ("three", True)] == [
            (key.name, key.revoked_at_ms is None) for key in account_keys.list_all(tx, ada)
        ]
        assert [True, True, False] == [api_keys.caller_of(tx, secret, now_ms) is None for secret in secrets]
        assert 1 == account_keys.revoke_all(tx, now_ms, unconfirmed)
        assert api_keys.caller_of(tx, secrets[2], now_ms) is None
        with pytest.raises(NotFound):
            account_keys.remove(tx, now_ms, unconfirmed, "two")
    add(seaway, ada, "two")


def count_warnings(seaway: Seaway) -> int:
    with seaway.site.database.write_site() as tx:
        account_keys.warn_of_expiry(tx, seaway.site.clock.now_ms(), outbox=seaway.request_parts.accounts.outbox)
        return tx.execute(select(func.count()).where(jobs.c.kind == SendEmail.kind)).scalar_one()


def test_expiry_email_is_sent_14_3_and_1_days_before(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """Each is sent once, however often the job runs; not for revoked keys."""
    ada = factory.signed_in("ada")
    with seaway.site.database.write_site() as tx:
        emails.add(tx, 0, users.get(tx, "ada").id, "ada@example.com", verified=True)
    add(seaway, ada, "long", days=30)
    add(seaway, ada, "revoked", days=30)
    with seaway.site.database.write_site() as tx:
        account_keys.revoke(tx, clock.now_ms(), ada, "revoked")
    counts = []
    for day in range(31):
        counts.append((day, count_warnings(seaway)))
        assert counts[-1][1] == count_warnings(seaway)
        clock.move(DAY_MS)
    assert [(16, 1), (27, 2), (29, 3)] == [
        (day, count) for (_, before), (day, count) in pairwise(counts) if count > before
    ]
