"""Concurrent changes of site admins to each other's accounts."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from seaway.errors import NotAllowed
from seaway.server.wiring import Seaway
from seaway.sign_in import site_admin
from seaway.users import users
from tests.support.sites import Factory


@pytest.mark.parametrize("change", ["demote", "disable"])
def test_two_admins_changing_each_other_leave_one_admin(
    on_both: str, seaway: Seaway, factory: Factory, change: str
) -> None:
    """The permission is checked in the transaction: the second change comes from a user who is no longer an admin."""
    names = [factory.user("ada", admin=True), factory.user("bob", admin=True)]
    admins = [factory.signed_in(name) for name in names]

    def change_other_admin(number: int) -> None:
        by, target = admins[number], names[1 - number]
        with seaway.site.database.write_site() as tx:
            if change == "demote":
                site_admin.set_admin(tx, seaway.site.clock.now_ms(), by, target, is_admin=False)
            else:
                site_admin.set_disabled(tx, seaway.site.clock.now_ms(), by, target, disabled=True)

    with ThreadPoolExecutor(2) as threads:
        errors = [future.exception(60) for future in [threads.submit(change_other_admin, number) for number in (0, 1)]]
    assert {type(None), NotAllowed} == {type(error) for error in errors}
    with seaway.site.database.read() as tx:
        remaining = [user.name for user in users.all_users(tx) if user.is_admin and user.disabled_at_ms is None]
    assert [names[errors.index(None)]] == remaining
