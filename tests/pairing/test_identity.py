"""What each combination of identities allows (pairing.identity)."""

from dataclasses import replace

import pytest

from seaway.pairing.identity import (
    ACCEPT_UPLOADS,
    PREVENT_START,
    DatabaseIdentity,
    StoreIdentity,
    Verdict,
    compare,
    message_of,
    new_identity,
)

PAIR = DatabaseIdentity("a" * 32, counter=5, stored=5)


@pytest.mark.parametrize(
    ("database", "store", "names_blobs", "has_blobs", "verdict"),
    [
        (None, None, False, False, Verdict.NEW),
        (None, None, False, True, Verdict.UNKNOWN_STORE),
        (None, None, True, True, Verdict.UNPAIRED),
        (None, None, True, False, Verdict.ABSENT),
        (None, StoreIdentity("a" * 32, 1), False, False, Verdict.UNKNOWN_STORE),
        (None, StoreIdentity("a" * 32, 1), True, True, Verdict.UNKNOWN_STORE),
        (PAIR, None, False, False, Verdict.ABSENT),
        (PAIR, None, True, True, Verdict.ABSENT),
        (replace(PAIR, counter=1, stored=0), None, True, True, Verdict.NEW),
        (replace(PAIR, counter=1, stored=0), StoreIdentity(PAIR.id, 1), True, True, Verdict.MATCHES),
        (PAIR, StoreIdentity("b" * 32, 5), True, True, Verdict.OTHER_STORE),
        (PAIR, StoreIdentity(PAIR.id, 5), True, True, Verdict.MATCHES),
        (replace(PAIR, counter=6), StoreIdentity(PAIR.id, 5), True, True, Verdict.MATCHES),
        (replace(PAIR, counter=6), StoreIdentity(PAIR.id, 6), True, True, Verdict.MATCHES),
        (replace(PAIR, counter=7), StoreIdentity(PAIR.id, 6), True, True, Verdict.MATCHES),
        (PAIR, StoreIdentity(PAIR.id, 6), True, True, Verdict.BEHIND),
        (PAIR, StoreIdentity(PAIR.id, 4), True, True, Verdict.OLDER_STORE),
    ],
)
def test_two_identities_have_one_meaning(
    database: DatabaseIdentity | None,
    store: StoreIdentity | None,
    names_blobs: bool,
    has_blobs: bool,
    verdict: Verdict,
) -> None:
    assert verdict is compare(database, store, database_names_blobs=names_blobs, store_has_blobs=has_blobs)


def test_a_kill_while_the_counter_is_raised_leaves_a_pair() -> None:
    """Database, store, database: after each of the three writes the two match."""
    before, raised = PAIR, PAIR.raised()
    for database, store in (
        (raised, before.of_store),
        (raised, raised.of_store),
        (raised.confirmed(), raised.of_store),
    ):
        assert Verdict.MATCHES is compare(database, store, database_names_blobs=True, store_has_blobs=True)
    again = raised.raised()  # cut off twice: after the first or the second write, then after the first
    for store in (before.of_store, raised.of_store):
        assert Verdict.MATCHES is compare(again, store, database_names_blobs=True, store_has_blobs=True)


def test_identities_are_never_the_same() -> None:
    assert new_identity().id != new_identity().id


def test_every_verdict_that_stops_something_says_what_to_do() -> None:
    """One sentence for clients, of which they show 512 characters."""
    for verdict in Verdict:
        if verdict in PREVENT_START or verdict not in ACCEPT_UPLOADS | {Verdict.NEW} or verdict is Verdict.BEHIND:
            message, hint = message_of(verdict)
            assert len(f"{message} {hint}") < 512
            assert "`seaway adopt`" in hint
