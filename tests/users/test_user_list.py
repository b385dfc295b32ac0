"""The list of users for site admins (users/user_list.py)."""

import pytest
from sqlalchemy import insert, text

from seaway.database.tables import emails, users
from seaway.server.wiring import Seaway
from seaway.users import user_list
from seaway.users.user_list import UserFilter, UserOrder, UserState

ROWS = [
    {"name": "ada", "is_admin": True, "created_at": 30, "signed_in_at": 0, "disabled_at": None},
    {"name": "bob", "is_admin": False, "created_at": 20, "signed_in_at": 99, "disabled_at": None},
    {"name": "eve", "is_admin": False, "created_at": 40, "signed_in_at": 50, "disabled_at": 60},
    {"name": "kim", "is_admin": False, "created_at": 10, "signed_in_at": 0, "disabled_at": None},
]


@pytest.fixture
def seaway_with_users(seaway: Seaway) -> Seaway:
    """Four users: an admin, one with addresses of both kinds, a disabled one, and one whose address is not verified."""
    with seaway.site.database.write_site() as tx:
        tx.execute(users.delete())
        ids = [
            tx.execute(insert(users).values(display_name="", **row).returning(users.c.id)).scalar_one() for row in ROWS
        ]
        for number, address, primary, verified in (
            (1, "bob@example.com", True, 5), (1, "bob@new.example", False, None), (3, "kim@example.com", True, None),
        ):  # fmt: skip
            tx.execute(
                insert(emails).values(
                    user_id=ids[number], address=address, folded=address, is_primary=primary, added_at=1,
                    verified_at=verified,
                )
            )  # fmt: skip
    return seaway


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (UserFilter(), "ada bob eve kim"),
        (UserFilter(state=UserState.ACTIVE), "ada bob kim"),
        (UserFilter(state=UserState.DISABLED), "eve"),
        (UserFilter(state=UserState.ADMIN), "ada"),
        (UserFilter(state=UserState.UNVERIFIED), "kim"),
        (UserFilter("EXAMPLE.com b"), "bob"),
        (UserFilter("e", UserState.UNVERIFIED), "kim"),
        (UserFilter("nothing"), ""),
    ],
)
def test_users_are_filtered(seaway_with_users: Seaway, chosen: UserFilter, names: str) -> None:
    """Only users with addresses of which none is verified count as unverified."""
    with seaway_with_users.site.database.read() as tx:
        found = user_list.find(tx, chosen, UserOrder.NAME, skip=0, limit=9)
        assert (names.split(), len(found)) == ([user.name for user in found], user_list.count(tx, chosen))
        assert all(user.is_verified == (user.name != "kim") for user in found)


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (UserOrder.NAME, "ada bob eve kim"),
        (UserOrder.CREATED, "eve ada bob kim"),
        (UserOrder.SIGNED_IN, "bob eve kim ada"),
    ],
)
def test_users_are_sorted_in_pages(seaway_with_users: Seaway, order: UserOrder, names: str) -> None:
    """Users who never signed in are last."""
    with seaway_with_users.site.database.read() as tx:
        found = [
            user
            for skip in (0, 2)
            for user in user_list.find(tx, UserFilter(), order, skip=skip, limit=2)
        ]  # fmt: skip
    assert names.split() == [user.name for user in found]
    assert [None, None] == [user.signed_in_at_ms for user in found if user.name in ("ada", "kim")]


@pytest.mark.on_disk
@pytest.mark.parametrize("order", UserOrder)
def test_each_order_is_read_from_an_index(seaway: Seaway, order: UserOrder) -> None:
    """Otherwise each page would sort a hundred thousand users."""
    for state in (UserState.ANY, UserState.ACTIVE):
        plan = plan_of(seaway, UserFilter(state=state), order)
        assert "TEMP B-TREE" not in plan
        assert "SCAN users USING" in plan


@pytest.mark.on_disk
@pytest.mark.parametrize(
    ("state", "index"),
    [
        (UserState.DISABLED, "ix_users_disabled"),
        (UserState.ADMIN, "ix_users_admin"),
        (UserState.UNVERIFIED, "ix_emails_unverified"),
    ],
)
def test_rare_states_have_an_index(seaway: Seaway, state: UserState, index: str) -> None:
    """The users in other states are not read."""
    assert index in plan_of(seaway, UserFilter(state=state), UserOrder.NAME)


def plan_of(seaway: Seaway, chosen: UserFilter, order: UserOrder) -> str:
    query = user_list.query_of(chosen, order, skip=0, limit=50)
    with seaway.site.database.read() as tx:
        statement = query.compile(dialect=tx.dialect, compile_kwargs={"literal_binds": True})
        return "\n".join(row.detail for row in tx.execute(text(f"EXPLAIN QUERY PLAN {statement}")))
