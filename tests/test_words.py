"""What somebody types to find something."""

from seaway.channels import channels
from seaway.search_terms import MAX_TERMS, search_terms
from seaway.server.wiring import Seaway
from seaway.users import users
from tests.support.house import People


def test_words_are_few_whatever_is_typed() -> None:
    """Two hundred characters can be a hundred words, each of them a pass over every text."""
    assert ["numpy", "fast"] == search_terms("  NumPy\tfast ")
    assert MAX_TERMS == len(search_terms("a " * 100))


def test_words_beyond_the_most_narrow_nothing(seaway: Seaway, people: People) -> None:
    """In lists of channels and of users."""
    people.channel("abacus", owner="abba")
    typed = "a " * MAX_TERMS
    with seaway.database.read() as tx:
        for words, count in ((typed + "zzz", 1), ("zzz " + typed, 0)):
            assert count == len(users.all_users(tx, words))
            assert count == len(channels.public(tx, words, limit=9))
