"""Channel transfers: offers, responses and exactly one owner at all times."""

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
from tests.support import sites
from tests.support.clock import ManualClock
from tests.support.sites import Factory


@pytest.fixture
def boats(factory: Factory) -> str:
    factory.channel("boats", owner="ada", public=False)
    factory.member("boats", "bob", Role.CONTRIBUTOR)
    factory.member("boats", "eve", Role.VIEWER)
    return "boats"


def offer(seaway: Seaway, by: Caller, to: str = "bob") -> None:
    with seaway.site.database.write_channel("boats") as tx:
        transfers.offer(tx, seaway.site.clock.now_ms(), by, "boats", to)


def accept(seaway: Seaway, by: Caller) -> None:
    with seaway.site.database.write_channel("boats") as tx:
        transfers.accept(tx, seaway.site.clock.now_ms(), by, "boats")


def decline(seaway: Seaway, by: Caller) -> None:
    with seaway.site.database.write_channel("boats") as tx:
        transfers.decline(tx, seaway.site.clock.now_ms(), by, "boats")


def cancel(seaway: Seaway, by: Caller) -> None:
    with seaway.site.database.write_channel("boats") as tx:
        transfers.cancel(tx, seaway.site.clock.now_ms(), by, "boats")


def roles(seaway: Seaway) -> dict[str, str]:
    with seaway.site.database.read() as tx:
        access = channels.access_of(tx, "boats", OPERATOR)
        assert access is not None
        return {member.user: member.role.value for member in members.all_members(tx, access.channel_id)}


BEFORE = {"ada": "owner", "bob": "contributor", "eve": "viewer"}
AFTER = {"ada": "contributor", "bob": "owner", "eve": "viewer"}


def test_offer_changes_nothing_until_it_is_accepted(on_both: str, seaway: Seaway, factory: Factory, boats: str) -> None:
    """Then the previous owner becomes a contributor."""
    offer(seaway, factory.signed_in("ada"))
    assert BEFORE == roles(seaway)
    with seaway.site.database.read() as tx:
        pending = transfers.pending_for(tx, seaway.site.clock.now_ms(), factory.signed_in("bob").user_id or 0)
    assert [("boats", "bob", "ada")] == [
        (transfer.channel, transfer.to_user, transfer.offered_by) for transfer in pending
    ]
    accept(seaway, factory.signed_in("bob"))
    assert AFTER == roles(seaway)
    with pytest.raises(NotFound):
        accept(seaway, factory.signed_in("bob"))


@pytest.mark.parametrize(
    "end_offer",
    [
        pytest.param(lambda seaway, factory: decline(seaway, factory.signed_in("bob")), id="declined"),
        pytest.param(lambda seaway, factory: cancel(seaway, factory.signed_in("ada")), id="canceled"),
        pytest.param(lambda seaway, factory: factory.seaway.site.clock.move(transfers.LIFETIME_MS), id="expired"),
        pytest.param(lambda seaway, factory: remove_member(seaway, "bob"), id="membership removed"),
        pytest.param(lambda seaway, factory: transfer_now(seaway, "ada"), id="transferred by the operator"),
    ],
)
def test_ended_offer_cannot_be_accepted(
    seaway: Seaway, factory: Factory, boats: str, end_offer: Callable[[Seaway, Factory], None]
) -> None:
    """Declined, canceled, expired or superseded: another offer can be made."""
    offer(seaway, factory.signed_in("ada"))
    end_offer(seaway, factory)
    roles_before = roles(seaway)
    with pytest.raises(NotFound):
        accept(seaway, factory.signed_in("bob"))
    assert roles_before == roles(seaway)
    offer(seaway, factory.signed_in("ada"), "eve")


def remove_member(seaway: Seaway, user: str) -> None:
    with seaway.site.database.write_channel("boats") as tx:
        members.remove(tx, 0, OPERATOR, "boats", user)


def transfer_now(seaway: Seaway, user: str) -> None:
    with seaway.site.database.write_site() as tx:
        transfers.transfer_now(tx, 0, OPERATOR, "boats", user)


def test_only_the_recipient_can_respond(seaway: Seaway, factory: Factory, boats: str) -> None:
    """Other users get the same error as if there were no offer; the recipient needs a recent verified sign-in."""
    offer(seaway, factory.signed_in("ada"))
    for name in ("eve", "ada", "nonmember"):
        for respond in (accept, decline):
            with pytest.raises(NotFound, match="no pending transfer"):
                respond(seaway, factory.signed_in(name))
    with pytest.raises(BadCredential):
        accept(seaway, ANONYMOUS)
    with pytest.raises(NotAllowed):
        accept(seaway, factory.caller_of_key(factory.key("bob", mode=Mode.MANAGE)))
    with pytest.raises(NotAllowed):
        accept(seaway, factory.signed_in("bob", verified=False))
    with pytest.raises(ConfirmationRequired):
        accept(seaway, factory.signed_in("bob", confirmed=False))
    assert BEFORE == roles(seaway)


def test_only_owner_with_recent_sign_in_can_offer(seaway: Seaway, factory: Factory, boats: str) -> None:
    for name, error in (("bob", NotAllowed), ("eve", NotAllowed), ("nonmember", NotFound)):
        with pytest.raises(error):
            offer(seaway, factory.signed_in(name), "bob")
    with pytest.raises(NotAllowed):
        offer(seaway, factory.caller_of_key(factory.key("ada", mode=Mode.MANAGE)))
    with pytest.raises(ConfirmationRequired):
        offer(seaway, factory.signed_in("ada", confirmed=False))
    with pytest.raises(NotAllowed):
        transfer_now_as(seaway, factory.signed_in("ada"))


def transfer_now_as(seaway: Seaway, by: Caller) -> None:
    with seaway.site.database.write_site() as tx:
        transfers.transfer_now(tx, seaway.site.clock.now_ms(), by, "boats", "bob")


@pytest.mark.parametrize("to", ["nonmember", "ada", "gone", "unverified", "unknown"])
def test_offer_to_ineligible_user_is_refused(seaway: Seaway, factory: Factory, boats: str, to: str) -> None:
    """The recipient must be an existing, enabled and verified member other than the owner."""
    factory.user("nonmember")
    factory.member("boats", "gone", Role.VIEWER)
    with seaway.site.database.write_site() as tx:
        user_access.set_disabled(tx, 0, OPERATOR, "gone", disabled=True)
    unverified(seaway, factory, "unverified")
    with pytest.raises((Conflict, NotFound)):
        offer(seaway, factory.signed_in("ada"), to)
    with seaway.site.database.read() as tx:
        access = channels.access_of(tx, "boats", OPERATOR)
        assert access is not None
        assert transfers.of_channel(tx, seaway.site.clock.now_ms(), access.channel_id) is None


def unverified(seaway: Seaway, factory: Factory, name: str) -> None:
    """Add a member whose address is not verified."""
    with seaway.site.database.write_site() as tx:
        user = users.add(
            tx, 0, OPERATOR, name, email=f"{name}@example.com", password_hash=None, is_admin=False, is_verified=False
        )
        assert user.email is not None
    factory.member("boats", name, Role.CONTRIBUTOR)


def test_only_one_offer_can_be_pending(seaway: Seaway, factory: Factory, boats: str) -> None:
    offer(seaway, factory.signed_in("ada"))
    with pytest.raises(Conflict, match="already has a pending transfer"):
        offer(seaway, factory.signed_in("ada"), "eve")


def test_transfer_invalidates_invitations(seaway: Seaway, factory: Factory, boats: str) -> None:
    """The previous owner may still hold their links."""
    with seaway.site.database.write_site() as tx:
        _, secret = invitations.invite(tx, 0, OPERATOR, "boats", "x@example.com", Role.VIEWER, outbox=None)
    offer(seaway, factory.signed_in("ada"))
    accept(seaway, factory.signed_in("bob"))
    with seaway.site.database.read() as tx, pytest.raises(NotFound):
        invitations.get_by_secret(tx, seaway.site.clock.now_ms(), secret)


def run_concurrently(*operations: Callable[[], None]) -> list[SeawayError | None]:
    """Run all operations concurrently, each in a thread; return their errors."""
    barrier = Barrier(len(operations))

    def run(operation: Callable[[], None]) -> SeawayError | None:
        barrier.wait(30)
        try:
            operation()
        except SeawayError as error:
            return error
        return None

    with ThreadPoolExecutor(len(operations)) as threads:
        return list(threads.map(run, operations))


def count_owners(seaway: Seaway) -> int:
    with seaway.site.database.read() as tx:
        return tx.execute(select(func.count()).where(member_rows.c.role == Role.OWNER.value)).scalar_one()


@pytest.mark.both_states
def test_one_of_several_concurrent_responses_succeeds(
    on_both: str, seaway: Seaway, factory: Factory, boats: str
) -> None:
    """Two acceptances and a cancellation at the same moment: the others are refused."""
    ada, bob = factory.signed_in("ada"), factory.signed_in("bob")
    for _ in range(6):
        transfer_now(seaway, "ada")
        offer(seaway, ada)
        outcomes = run_concurrently(
            lambda: accept(seaway, bob), lambda: accept(seaway, bob), lambda: cancel(seaway, ada)
        )
        assert 1 == outcomes.count(None)
        assert all(isinstance(error, NotFound | NotAllowed) for error in outcomes if error is not None)
        owner = "ada" if outcomes[2] is None else "bob"
        assert [owner] == [user for user, role in roles(seaway).items() if role == "owner"]


@pytest.mark.both_states
def test_transfer_by_the_operator_prevails_over_a_concurrent_acceptance(
    on_both: str, seaway: Seaway, factory: Factory, boats: str
) -> None:
    """It cancels the offer, or transfers the channel from the user who accepted."""
    ada, bob = factory.signed_in("ada"), factory.signed_in("bob")
    for _ in range(6):
        transfer_now(seaway, "ada")
        offer(seaway, ada)
        accepted, transferred = run_concurrently(lambda: accept(seaway, bob), lambda: transfer_now(seaway, "eve"))
        assert transferred is None
        assert accepted is None or isinstance(accepted, NotFound)
        assert ["eve"] == [user for user, role in roles(seaway).items() if role == "owner"]


# Changes of owner and members, in any order.
USERS = st.sampled_from(["ada", "bob", "eve", "kim"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), USERS, USERS),
        st.tuples(st.sampled_from(["accept", "decline", "cancel", "leave"]), USERS),
        st.tuples(st.sampled_from(["put", "remove"]), USERS, USERS),
        st.tuples(st.just("give"), USERS),
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def shared_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    factory = Factory(sites.build(tmp_path_factory.mktemp("owners"), ManualClock()))
    for name in ("bob", "eve", "kim"):
        factory.user(name)
    factory.channel("boats", owner="ada", public=False)
    yield factory
    factory.seaway.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_channel_has_exactly_one_owner_after_every_step(shared_factory: Factory, steps: list[tuple[str, ...]]) -> None:
    """The number of owners stays one, whether the step is allowed or refused."""
    seaway = shared_factory.seaway
    operations: dict[str, Callable[..., object]] = {
        "offer": lambda tx, by, to: transfers.offer(tx, seaway.site.clock.now_ms(), by, "boats", to),
        "accept": lambda tx, by: transfers.accept(tx, seaway.site.clock.now_ms(), by, "boats"),
        "decline": lambda tx, by: transfers.decline(tx, seaway.site.clock.now_ms(), by, "boats"),
        "cancel": lambda tx, by: transfers.cancel(tx, seaway.site.clock.now_ms(), by, "boats"),
        "leave": lambda tx, by: members.leave(tx, seaway.site.clock.now_ms(), by, "boats"),
        "put": lambda tx, by, to: members.put(
            tx, seaway.site.clock.now_ms(), by, "boats", to, Role.CONTRIBUTOR, outbox=None
        ),
        "remove": lambda tx, by, to: members.remove(tx, seaway.site.clock.now_ms(), by, "boats", to),
        "give": lambda tx, by: transfers.transfer_now(tx, seaway.site.clock.now_ms(), OPERATOR, "boats", by.name),
    }
    for operation, name, *more in steps:
        by = shared_factory.signed_in(name)
        with suppress(SeawayError), seaway.site.database.write_site() as tx:
            operations[operation](tx, by, *more)
        assert 1 == count_owners(seaway)


def test_every_transfer_step_is_logged(seaway: Seaway, factory: Factory, boats: str) -> None:
    ada, bob = factory.signed_in("ada"), factory.signed_in("bob")
    offer(seaway, ada)
    cancel(seaway, ada)
    offer(seaway, ada)
    decline(seaway, bob)
    offer(seaway, ada)
    accept(seaway, bob)
    with seaway.site.database.read() as tx:
        entries = tx.execute(
            select(audit.c.actor, audit.c.action)
            .where(audit.c.channel == boats, audit.c.actor != "operator")
            .order_by(audit.c.id)
        ).all()
    assert [
        ("ada", "transfer.offered"), ("ada", "transfer.canceled"), ("ada", "transfer.offered"),
        ("bob", "transfer.declined"), ("ada", "transfer.offered"), ("bob", "channel.transferred"),
    ] == [tuple(entry) for entry in entries]  # fmt: skip
