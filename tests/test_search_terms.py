"""Search terms: how typed text is split and matched."""

import pytest

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.channels.channel import ChannelSettings
from seaway.search_terms import MAX_TERMS, search_terms
from seaway.server.wiring import Seaway
from seaway.users import user_list, users
from seaway.users.user_list import UserFilter, UserOrder
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


@pytest.mark.parametrize("typed", ["\u00c4da", "\u00e4DA", "A\u0308da"])
def test_terms_match_in_any_case_and_encoding(seaway: Seaway, factory: Factory, typed: str) -> None:
    """Display names of users and descriptions of channels, on every database, also letters outside ASCII."""
    factory.channel("boats", owner="bob")
    with seaway.site.database.write_site() as tx:
        users.set_display_name(tx, 0, OPERATOR, "bob", "\u00c4DA Lovelace")
        channels.change(tx, 0, OPERATOR, "boats", ChannelSettings(description="Boats of \u00c4DA"))
        assert ["bob"] == [user.name for user in users.all_users(tx, typed)]
        assert ["bob"] == [user.name for user in user_list.find(tx, UserFilter(typed), UserOrder.NAME, skip=0, limit=9)]
        assert ["boats"] == [channel.name for channel in channels.public(tx, typed, limit=9)]
