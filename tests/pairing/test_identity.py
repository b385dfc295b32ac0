"""Verdicts for each combination of identities (pairing.identity)."""

from dataclasses import replace

import pytest

from seaway.pairing.identity import (
    ACCEPT_UPLOADS,
    MESSAGES,
    PREVENT_START,
    DatabaseIdentity,
    PairingVerdict,
    StoreIdentity,
    compare,
    new_identity,
)

PAIR = DatabaseIdentity("a" * 32, counter=5, stored=5)


@pytest.mark.parametrize(
    ("database", "store", "names_blobs", "has_blobs", "verdict"),
    [
        (None, None, False, False, PairingVerdict.NEW),
        (None, None, False, True, PairingVerdict.UNKNOWN_STORE),
        (None, None, True, True, PairingVerdict.UNPAIRED),
        (None, None, True, False, PairingVerdict.ABSENT),
        (None, StoreIdentity("a" * 32, 1), False, False, PairingVerdict.UNKNOWN_STORE),
        (None, StoreIdentity("a" * 32, 1), True, True, PairingVerdict.UNKNOWN_STORE),
        (PAIR, None, False, False, PairingVerdict.ABSENT),
        (PAIR, None, True, True, PairingVerdict.ABSENT),
        (replace(PAIR, counter=1, stored=0), None, True, True, PairingVerdict.NEW),
        (replace(PAIR, counter=1, stored=0), StoreIdentity(PAIR.id, 1), True, True, PairingVerdict.MATCHES),
        (PAIR, StoreIdentity("b" * 32, 5), True, True, PairingVerdict.OTHER_STORE),
        (PAIR, StoreIdentity(PAIR.id, 5), True, True, PairingVerdict.MATCHES),
        (replace(PAIR, counter=6), StoreIdentity(PAIR.id, 5), True, True, PairingVerdict.MATCHES),
        (replace(PAIR, counter=6), StoreIdentity(PAIR.id, 6), True, True, PairingVerdict.MATCHES),
        (replace(PAIR, counter=7), StoreIdentity(PAIR.id, 6), True, True, PairingVerdict.MATCHES),
        (PAIR, StoreIdentity(PAIR.id, 6), True, True, PairingVerdict.BEHIND),
        (PAIR, StoreIdentity(PAIR.id, 4), True, True, PairingVerdict.OLDER_STORE),
    ],
)
def test_verdict_of_two_identities(
    database: DatabaseIdentity | None,
    store: StoreIdentity | None,
    names_blobs: bool,
    has_blobs: bool,
    verdict: PairingVerdict,
) -> None:
    assert verdict is compare(database, store, database_names_blobs=names_blobs, store_has_blobs=has_blobs)


def test_a_kill_while_the_counter_is_raised_leaves_a_match() -> None:
    """The counter is written to database, store and database; both match after each write."""
    before, raised = PAIR, PAIR.raised()
    for database, store in (
        (raised, before.of_store),
        (raised, raised.of_store),
        (raised.confirmed(), raised.of_store),
    ):
        assert PairingVerdict.MATCHES is compare(database, store, database_names_blobs=True, store_has_blobs=True)
    raised_twice = raised.raised()  # interrupted twice: after the first or second write, then after the first
    for store in (before.of_store, raised.of_store):
        assert PairingVerdict.MATCHES is compare(raised_twice, store, database_names_blobs=True, store_has_blobs=True)


def test_new_identities_are_unique() -> None:
    assert new_identity().id != new_identity().id


def test_every_blocking_verdict_has_a_hint() -> None:
    """Clients show at most 512 characters."""
    for verdict in PairingVerdict:
        if (
            verdict in PREVENT_START
            or verdict not in ACCEPT_UPLOADS | {PairingVerdict.NEW}
            or verdict is PairingVerdict.BEHIND
        ):
            message, hint = MESSAGES[verdict]
            assert len(f"{message} {hint}") < 512
            assert "`seaway adopt`" in hint
