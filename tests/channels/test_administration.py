"""What site admins do to each other's accounts."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from seaway.errors import NotAllowed
from seaway.server.wiring import Seaway
from seaway.sign_in import site_admin
from seaway.users import users
from tests.support.house import People


@pytest.mark.parametrize("way", ["demote", "disable"])
def test_of_admins_who_end_each_other_one_remains(on_both: str, seaway: Seaway, people: People, way: str) -> None:
    """Both were admins when they asked: the one whose change comes second is none any more."""
    names = [people.user("ada", admin=True), people.user("bob", admin=True)]
    askers = [people.person(name) for name in names]

    def end(number: int) -> None:
        by, other = askers[number], names[1 - number]
        with seaway.database.write_site() as tx:
            if way == "demote":
                site_admin.set_admin(tx, seaway.clock.now_ms(), by, other, is_admin=False)
            else:
                site_admin.set_disabled(tx, seaway.clock.now_ms(), by, other, disabled=True)

    with ThreadPoolExecutor(2) as threads:
        outcomes = [done.exception(60) for done in [threads.submit(end, number) for number in (0, 1)]]
    assert {type(None), NotAllowed} == {type(outcome) for outcome in outcomes}
    with seaway.database.read() as tx:
        left = [user.name for user in users.all_users(tx) if user.is_admin and user.disabled_at_ms is None]
    assert [names[outcomes.index(None)]] == left
