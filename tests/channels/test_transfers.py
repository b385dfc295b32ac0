"""A channel changes hands: offered, answered, and at every moment with exactly one owner."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from seaway.callers.caller import ANONYMOUS, OPERATOR, Caller, Mode
from seaway.channels import channels, invitations, members, transfers
from seaway.channels.roles import Role
from seaway.database.tables import audit
from seaway.database.tables import members as member_rows
from seaway.errors import BadCredential, ConfirmationRequired, Conflict, NotAllowed, NotFound, SeawayError
from seaway.server.wiring import Seaway
from seaway.sign_in import user_access
from seaway.users import users
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.house import People


@pytest.fixture
def boats(people: People) -> str:
    people.channel("boats", owner="ada", public=False)
    people.member("boats", "bob", Role.CONTRIBUTOR)
    people.member("boats", "eve", Role.VIEWER)
    return "boats"


def offer(seaway: Seaway, by: Caller, to: str = "bob") -> None:
    with seaway.database.write_channel("boats") as tx:
        transfers.offer(tx, seaway.clock.now_ms(), by, "boats", to)


def accept(seaway: Seaway, by: Caller) -> None:
    with seaway.database.write_channel("boats") as tx:
        transfers.accept(tx, seaway.clock.now_ms(), by, "boats")


def decline(seaway: Seaway, by: Caller) -> None:
    with seaway.database.write_channel("boats") as tx:
        transfers.decline(tx, seaway.clock.now_ms(), by, "boats")


def cancel(seaway: Seaway, by: Caller) -> None:
    with seaway.database.write_channel("boats") as tx:
        transfers.cancel(tx, seaway.clock.now_ms(), by, "boats")


def roles(seaway: Seaway) -> dict[str, str]:
    with seaway.database.read() as tx:
        access = channels.access_of(tx, "boats", OPERATOR)
        assert access is not None
        return {member.user: member.role.value for member in members.all_members(tx, access.channel_id)}


BEFORE = {"ada": "owner", "bob": "contributor", "eve": "viewer"}
AFTER = {"ada": "contributor", "bob": "owner", "eve": "viewer"}


def test_nothing_changes_until_the_offer_is_accepted(on_both: str, seaway: Seaway, people: People, boats: str) -> None:
    """The channel is the old owner's until then; afterwards the old owner is a contributor."""
    offer(seaway, people.person("ada"))
    assert BEFORE == roles(seaway)
    with seaway.database.read() as tx:
        waiting = transfers.pending_for(tx, seaway.clock.now_ms(), people.person("bob").user_id or 0)
    assert [("boats", "bob", "ada")] == [(one.channel, one.to_user, one.offered_by) for one in waiting]
    accept(seaway, people.person("bob"))
    assert AFTER == roles(seaway)
    with pytest.raises(NotFound):
        accept(seaway, people.person("bob"))


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda seaway, people: decline(seaway, people.person("bob")), id="declined"),
        pytest.param(lambda seaway, people: cancel(seaway, people.person("ada")), id="cancelled"),
        pytest.param(lambda seaway, people: people.seaway.clock.move(transfers.LIFETIME_MS), id="expired"),
        pytest.param(lambda seaway, people: take_out(seaway, "bob"), id="no member any more"),
        pytest.param(lambda seaway, people: give(seaway, "ada"), id="the operator was faster"),
    ],
)
def test_an_offer_that_is_over_gives_nothing(
    seaway: Seaway, people: People, boats: str, end: Callable[[Seaway, People], None]
) -> None:
    """Declined, cancelled, expired, or overtaken: accepting finds nothing, and another offer can be made."""
    offer(seaway, people.person("ada"))
    end(seaway, people)
    before = roles(seaway)
    with pytest.raises(NotFound):
        accept(seaway, people.person("bob"))
    assert before == roles(seaway)
    offer(seaway, people.person("ada"), "eve")


def take_out(seaway: Seaway, user: str) -> None:
    with seaway.database.write_channel("boats") as tx:
        members.remove(tx, 0, OPERATOR, "boats", user)


def give(seaway: Seaway, user: str) -> None:
    with seaway.database.write_site() as tx:
        transfers.transfer_now(tx, 0, OPERATOR, "boats", user)


def test_only_the_one_to_whom_it_was_offered_accepts(seaway: Seaway, people: People, boats: str) -> None:
    """Others hear what they would hear if nothing was offered."""
    offer(seaway, people.person("ada"))
    for other in ("eve", "ada", "stranger"):
        for answer in (accept, decline):
            with pytest.raises(NotFound, match="no pending transfer"):
                answer(seaway, people.person(other))
    with pytest.raises(BadCredential):
        accept(seaway, ANONYMOUS)
    with pytest.raises(NotAllowed):
        accept(seaway, people.by_key(people.key("bob", mode=Mode.MANAGE)))
    with pytest.raises(NotAllowed):
        accept(seaway, people.person("bob", verified=False))
    with pytest.raises(ConfirmationRequired):
        accept(seaway, people.person("bob", confirmed=False))
    assert BEFORE == roles(seaway)


def test_only_the_owner_offers_and_proves_it(seaway: Seaway, people: People, boats: str) -> None:
    """Members, strangers, keys, and a browser left open offer nothing."""
    for who, error in (("bob", NotAllowed), ("eve", NotAllowed), ("stranger", NotFound)):
        with pytest.raises(error):
            offer(seaway, people.person(who), "bob")
    with pytest.raises(NotAllowed):
        offer(seaway, people.by_key(people.key("ada", mode=Mode.MANAGE)))
    with pytest.raises(ConfirmationRequired):
        offer(seaway, people.person("ada", confirmed=False))
    with pytest.raises(NotAllowed):
        give_as(seaway, people.person("ada"))


def give_as(seaway: Seaway, by: Caller) -> None:
    with seaway.database.write_site() as tx:
        transfers.transfer_now(tx, seaway.clock.now_ms(), by, "boats", "bob")


@pytest.mark.parametrize("to", ["stranger", "ada", "gone", "unverified", "nobody"])
def test_a_channel_is_offered_to_a_member_in_good_standing(seaway: Seaway, people: People, boats: str, to: str) -> None:
    """Not to who is no member, to the owner, to a disabled or unverified account, or to nobody."""
    people.user("stranger")
    people.member("boats", "gone", Role.VIEWER)
    with seaway.database.write_site() as tx:
        user_access.set_disabled(tx, 0, OPERATOR, "gone", disabled=True)
    unverified(seaway, people, "unverified")
    with pytest.raises((Conflict, NotFound)):
        offer(seaway, people.person("ada"), to)
    with seaway.database.read() as tx:
        access = channels.access_of(tx, "boats", OPERATOR)
        assert access is not None
        assert transfers.of_channel(tx, seaway.clock.now_ms(), access.channel_id) is None


def unverified(seaway: Seaway, people: People, name: str) -> None:
    """A member with an address that nobody has proved to read."""
    with seaway.database.write_site() as tx:
        user = users.add(
            tx, 0, OPERATOR, name, email=f"{name}@example.com", password_hash=None, is_admin=False, is_verified=False
        )
        assert user.email is not None
    people.member("boats", name, Role.CONTRIBUTOR)


def test_one_offer_waits_at_a_time(seaway: Seaway, people: People, boats: str) -> None:
    """A second one would make it unclear whose the channel will be."""
    offer(seaway, people.person("ada"))
    with pytest.raises(Conflict, match="already has a pending transfer"):
        offer(seaway, people.person("ada"), "eve")


def test_a_new_owner_does_not_inherit_invitations(seaway: Seaway, people: People, boats: str) -> None:
    """The old owner may hold links of them: they are over."""
    with seaway.database.write_site() as tx:
        _, secret = invitations.invite(tx, 0, OPERATOR, "boats", "x@example.com", Role.VIEWER, notifier=None)
    offer(seaway, people.person("ada"))
    accept(seaway, people.person("bob"))
    with seaway.database.read() as tx, pytest.raises(NotFound):
        invitations.get_by_secret(tx, seaway.clock.now_ms(), secret)


def at_once(*acts: Callable[[], None]) -> list[SeawayError | None]:
    """Do all of them in the same moment, each in a thread."""
    gate = Barrier(len(acts))

    def do(act: Callable[[], None]) -> SeawayError | None:
        gate.wait(30)
        try:
            act()
        except SeawayError as error:
            return error
        return None

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(do, acts))


def count_owners(seaway: Seaway) -> int:
    with seaway.database.read() as tx:
        return tx.execute(select(func.count()).where(member_rows.c.role == Role.OWNER.value)).scalar_one()


@pytest.mark.both_states
def test_a_race_has_one_winner(on_both: str, seaway: Seaway, people: People, boats: str) -> None:
    """Two accept at once, while the operator gives it away and the owner cancels: there is one owner at the end."""
    ada, bob = people.person("ada"), people.person("bob")
    for _ in range(6):
        give(seaway, "ada")
        with suppress(NotFound):
            cancel(seaway, ada)
        people.member("boats", "bob", Role.CONTRIBUTOR)
        offer(seaway, ada)
        outcomes = at_once(
            lambda: accept(seaway, bob),
            lambda: accept(seaway, bob),
            lambda: give(seaway, "eve"),
            lambda: cancel(seaway, ada),
        )
        assert sum(outcome is None for outcome in outcomes[:2]) <= 1
        assert 1 == count_owners(seaway)


# What may happen to who owns and who belongs, in any order.
WHO = st.sampled_from(["ada", "bob", "eve", "kim"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), WHO, WHO),
        st.tuples(st.sampled_from(["accept", "decline", "cancel", "leave"]), WHO),
        st.tuples(st.sampled_from(["put", "remove"]), WHO, WHO),
        st.tuples(st.just("give"), WHO),
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    people = People(house.build(tmp_path_factory.mktemp("owners"), TurnedClock()))
    for name in ("bob", "eve", "kim"):
        people.user(name)
    people.channel("boats", owner="ada", public=False)
    yield people
    people.seaway.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_there_is_one_owner_whatever_happens(shared: People, steps: list[tuple[str, ...]]) -> None:
    """After every step, allowed or refused, the channel has exactly one owner."""
    seaway = shared.seaway
    acts: dict[str, Callable[..., object]] = {
        "offer": lambda tx, by, to: transfers.offer(tx, seaway.clock.now_ms(), by, "boats", to),
        "accept": lambda tx, by: transfers.accept(tx, seaway.clock.now_ms(), by, "boats"),
        "decline": lambda tx, by: transfers.decline(tx, seaway.clock.now_ms(), by, "boats"),
        "cancel": lambda tx, by: transfers.cancel(tx, seaway.clock.now_ms(), by, "boats"),
        "leave": lambda tx, by: members.leave(tx, seaway.clock.now_ms(), by, "boats"),
        "put": lambda tx, by, to: members.put(tx, seaway.clock.now_ms(), by, "boats", to, Role.CONTRIBUTOR),
        "remove": lambda tx, by, to: members.remove(tx, seaway.clock.now_ms(), by, "boats", to),
        "give": lambda tx, by: transfers.transfer_now(tx, seaway.clock.now_ms(), OPERATOR, "boats", by.name),
    }
    for act, who, *more in steps:
        by = shared.person(who)
        with suppress(SeawayError), seaway.database.write_site() as tx:
            acts[act](tx, by, *more)
        assert 1 == count_owners(seaway)


def test_every_step_leaves_a_line(seaway: Seaway, people: People, boats: str) -> None:
    """Who offered what to whom, and what became of it, is in the log of the channel."""
    ada, bob = people.person("ada"), people.person("bob")
    offer(seaway, ada)
    cancel(seaway, ada)
    offer(seaway, ada)
    decline(seaway, bob)
    offer(seaway, ada)
    accept(seaway, bob)
    with seaway.database.read() as tx:
        lines = tx.execute(
            select(audit.c.actor, audit.c.action)
            .where(audit.c.channel == boats, audit.c.actor != "operator")
            .order_by(audit.c.id)
        ).all()
    assert [
        ("ada", "transfer.offered"), ("ada", "transfer.canceled"), ("ada", "transfer.offered"),
        ("bob", "transfer.declined"), ("ada", "transfer.offered"), ("bob", "channel.transferred"),
    ] == [tuple(line) for line in lines]  # fmt: skip
