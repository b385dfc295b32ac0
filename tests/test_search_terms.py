"""Search terms: how typed text is split and matched."""

from seaway.channels import channels
from seaway.search_terms import MAX_TERMS, search_terms
from seaway.server.wiring import Seaway
from seaway.users import users
from tests.support.sites import Factory


def test_number_of_search_terms_is_limited() -> None:
    """Two hundred characters can be a hundred terms, and each term costs a pass over every text."""
    assert ["numpy", "fast"] == search_terms("  NumPy\tfast ")
    assert MAX_TERMS == len(search_terms("a " * 100))


def test_terms_beyond_the_limit_are_ignored(seaway: Seaway, factory: Factory) -> None:
    """Both in the channel list and in the user list."""
    factory.channel("abacus", owner="abba")
    typed = "a " * MAX_TERMS
    with seaway.site.database.read() as tx:
        for terms, count in ((typed + "zzz", 1), ("zzz " + typed, 0)):
            assert count == len(users.all_users(tx, terms))
            assert count == len(channels.public(tx, terms, limit=9))
