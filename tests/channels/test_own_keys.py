"""Keys that people make for themselves: who makes them, for what, how long, and who is told of their end."""

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
from tests.support.clock import TurnedClock
from tests.support.house import People

RULES = KeyPolicy()


def add(
    seaway: Seaway,
    by: Caller,
    name: str = "laptop",
    *,
    channels: list[str] | None = None,
    patterns: tuple[str, ...] = (),
    days: int | None = 90,
    rules: KeyPolicy = RULES,
) -> tuple[api_keys.Key, str]:
    with seaway.database.write_site() as tx:
        return account_keys.add(
            tx, seaway.clock.now_ms(), by, name,
            mode=Mode.READ_WRITE, channel_names=channels, patterns=patterns, days=days, rules=rules,
        )  # fmt: skip


def test_a_person_makes_a_key(seaway: Seaway, people: People) -> None:
    """For channels and packages, with an end; it is theirs, and the list tells everything but the secret."""
    people.channel("boats", owner="owner", public=False)
    people.member("boats", "ada", Role.VIEWER)
    ada = people.person("ada")
    made, secret = add(seaway, ada, channels=["boats"], patterns=("sail*", "mast"))
    carried = people.by_key(secret)
    assert ("ada", Mode.READ_WRITE, ("sail*", "mast")) == (carried.name, carried.mode, carried.patterns)
    assert seaway.clock.now_ms() + 90 * DAY_MS == made.expires_at_ms
    with seaway.database.read() as tx:
        assert [made] == account_keys.list_all(tx, ada)


def test_no_key_makes_a_key(seaway: Seaway, people: People) -> None:
    """A key that leaked would live on in those that it made; nor does nobody, or an unverified or old sign-in."""
    people.user("ada")
    with pytest.raises(NotAllowed):
        add(seaway, people.by_key(people.key("ada", mode=Mode.MANAGE)))
    with pytest.raises(BadCredential):
        add(seaway, ANONYMOUS)
    with pytest.raises(NotAllowed, match="not verified"):
        add(seaway, people.person("ada", verified=False))
    with pytest.raises(ConfirmationRequired):
        add(seaway, people.person("ada", confirmed=False))


def test_a_key_is_for_channels_that_its_owner_may_read(seaway: Seaway, people: People) -> None:
    """A channel that is hidden from somebody is not told apart from none by making keys for it."""
    people.channel("hidden", owner="owner", public=False)
    ada = people.person("ada")
    refusals = set()
    for name in ("hidden", "nothing"):
        with pytest.raises(NotFound) as caught:
            add(seaway, ada, channels=[name])
        refusals.add(str(caught.value))
    assert 1 == len(refusals)


@pytest.mark.parametrize("days", [0, -1, 366, None])
def test_a_key_ends_within_a_year(seaway: Seaway, people: People, days: int | None) -> None:
    """Unless the operator allows keys without an end; a number of days has its limits even then."""
    ada = people.person("ada")
    with pytest.raises(Malformed):
        add(seaway, ada, days=days)
    if days is None:
        made, _ = add(seaway, ada, days=None, rules=KeyPolicy(allow_unlimited=True))
        assert made.expires_at_ms is None


@pytest.mark.parametrize("pattern", ["", "A", "a b", "*a", "a**", "a*b", "-a", "a" * 65])
def test_a_pattern_could_be_a_name(seaway: Seaway, people: People, pattern: str) -> None:
    """Names of packages, with one star at the end of some."""
    with pytest.raises(Malformed, match="not a valid package name"):
        add(seaway, people.person("ada"), patterns=(pattern,))


def test_revoking_and_deleting_are_two_things(seaway: Seaway, people: People) -> None:
    """A revoked key stays in the list, a deleted one goes and frees its name; both open nothing. An old sign-in will do."""
    ada = people.person("ada")
    secrets = [add(seaway, ada, name)[1] for name in ("one", "two", "three")]
    left_open = people.person("ada", confirmed=False)
    with seaway.database.write_site() as tx:
        now_ms = seaway.clock.now_ms()
        account_keys.revoke(tx, now_ms, left_open, "one")
        account_keys.remove(tx, now_ms, left_open, "two")
        assert [("one", False), ("three", True)] == [
            (key.name, key.revoked_at_ms is None) for key in account_keys.list_all(tx, ada)
        ]
        assert [True, True, False] == [api_keys.caller_of(tx, secret, now_ms) is None for secret in secrets]
        assert 1 == account_keys.revoke_all(tx, now_ms, left_open)
        assert api_keys.caller_of(tx, secrets[2], now_ms) is None
        with pytest.raises(NotFound):
            account_keys.remove(tx, now_ms, left_open, "two")
    add(seaway, ada, "two")


def letters(seaway: Seaway) -> int:
    with seaway.database.write_site() as tx:
        account_keys.warn_of_expiry(tx, seaway.clock.now_ms(), notifier=seaway.request_parts.accounts)
        return tx.execute(select(func.count()).where(jobs.c.kind == SendEmail.kind)).scalar_one()


def test_the_end_of_a_key_is_told_three_times(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """14, 3 and 1 days before, once each however often the job runs; not of keys that were made for less, or revoked."""
    ada = people.person("ada")
    with seaway.database.write_site() as tx:
        emails.add(tx, 0, users.get(tx, "ada").id, "ada@example.com", verified=True)
    add(seaway, ada, "long", days=30)
    add(seaway, ada, "revoked", days=30)
    with seaway.database.write_site() as tx:
        account_keys.revoke(tx, clock.now_ms(), ada, "revoked")
    told = []
    for day in range(31):
        told.append((day, letters(seaway)))
        assert told[-1][1] == letters(seaway)
        clock.move(DAY_MS)
    assert [(16, 1), (27, 2), (29, 3)] == [
        (day, count) for (_, before), (day, count) in pairwise(told) if count > before
    ]
