"""Invitations by e-mail: one link, one week, one answer."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from seaway import secret_tokens
from seaway.callers.caller import ANONYMOUS, OPERATOR, Caller, Mode
from seaway.channels import channels, invitations, members
from seaway.channels.invitations import Invitation
from seaway.channels.roles import Role
from seaway.database.tables import audit
from seaway.database.tables import invitations as rows
from seaway.errors import BadCredential, ConfirmationRequired, Malformed, NotAllowed, NotFound, TooManyRequests
from seaway.server.wiring import Seaway
from tests.support.clock import TurnedClock
from tests.support.house import People


@pytest.fixture
def boats(people: People) -> str:
    people.channel("boats", owner="ada", public=False)
    people.member("boats", "bob", Role.CONTRIBUTOR)
    return "boats"


def invite(
    seaway: Seaway, by: Caller, address: str = "Kim@Example.com", role: Role = Role.CONTRIBUTOR
) -> tuple[Invitation, str]:
    with seaway.database.write_channel("boats") as tx:
        return invitations.invite(tx, seaway.clock.now_ms(), by, "boats", address, role, notifier=None)


def accept(seaway: Seaway, by: Caller, secret: str) -> None:
    with seaway.database.write_channel("boats") as tx:
        invitations.accept(tx, seaway.clock.now_ms(), by, secret)


def role(seaway: Seaway, who: Caller) -> Role | None:
    with seaway.database.read() as tx:
        access = channels.access_of(tx, "boats", who)
    assert access is not None
    return access.role


def test_whoever_holds_the_link_becomes_a_member(on_both: str, seaway: Seaway, people: People, boats: str) -> None:
    """Signed in to any verified account, once."""
    kim, eve = people.person("kim"), people.person("eve")
    made, secret = invite(seaway, people.person("ada"))
    with seaway.database.read() as tx:
        assert made == invitations.get_by_secret(tx, seaway.clock.now_ms(), secret)
    assert ("boats", "Kim@example.com", "ada") == (made.channel, made.address, made.invited_by)
    accept(seaway, kim, secret)
    assert Role.CONTRIBUTOR is role(seaway, kim)
    with pytest.raises(NotFound):
        accept(seaway, eve, secret)
    assert role(seaway, eve) is None


def test_the_link_is_stored_as_a_hash(seaway: Seaway, people: People, boats: str) -> None:
    """A copy of the database opens no channel, and logs hide what is in the link."""
    _, secret = invite(seaway, people.person("ada"))
    with seaway.database.read() as tx:
        stored = tx.execute(select(rows.c.digest)).scalar_one()
    assert secret_tokens.hash_key(secret) == stored
    assert "/invitations/swy-inv-***" == secret_tokens.mask(f"/invitations/{secret}")


def test_accepting_needs_a_person_with_a_verified_account(seaway: Seaway, people: People, boats: str) -> None:
    """Neither nobody, nor a key, nor an account whose address is not known to be theirs."""
    _, secret = invite(seaway, people.person("ada"))
    with pytest.raises(BadCredential):
        accept(seaway, ANONYMOUS, secret)
    for narrow in (people.by_key(people.key("kim", mode=Mode.MANAGE)), people.person("kim", verified=False)):
        with pytest.raises(NotAllowed):
            accept(seaway, narrow, secret)
    assert role(seaway, people.person("kim")) is None


def over_by_time(seaway: Seaway, people: People, made: Invitation, secret: str) -> None:
    assert isinstance(seaway.clock, TurnedClock)
    seaway.clock.move(invitations.LIFETIME_MS)


def over_by_decline(seaway: Seaway, people: People, made: Invitation, secret: str) -> None:
    with seaway.database.write_site() as tx:
        invitations.decline(tx, seaway.clock.now_ms(), ANONYMOUS, secret)


def over_by_withdrawal(seaway: Seaway, people: People, made: Invitation, secret: str) -> None:
    ada = people.person("ada")
    with seaway.database.write_site() as tx:
        invitations.withdraw(tx, seaway.clock.now_ms(), ada, "boats", made.id)


def over_by_another(seaway: Seaway, people: People, made: Invitation, secret: str) -> None:
    ada = people.person("ada")
    with seaway.database.write_site() as tx:
        invitations.resend(tx, seaway.clock.now_ms(), ada, "boats", made.id, notifier=None)


@pytest.mark.parametrize(
    "end", [over_by_time, over_by_decline, over_by_withdrawal, over_by_another], ids=lambda end: end.__name__
)
def test_an_invitation_that_is_over_opens_nothing(
    seaway: Seaway, people: People, boats: str, end: Callable[[Seaway, People, Invitation, str], None]
) -> None:
    """Expired, declined, withdrawn, sent again: the old link is refused in one way, to look at and to accept."""
    made, secret = invite(seaway, people.person("ada"))
    end(seaway, people, made, secret)
    with pytest.raises(NotFound, match="no longer valid"):
        accept(seaway, people.person("kim"), secret)
    with seaway.database.read() as tx, pytest.raises(NotFound, match="no longer valid"):
        invitations.get_by_secret(tx, seaway.clock.now_ms(), secret)
    with seaway.database.read() as tx, pytest.raises(NotFound, match="no longer valid"):
        invitations.get_by_secret(tx, seaway.clock.now_ms(), secret_tokens.new_key(secret_tokens.KeyKind.INVITATION))


def test_an_invitation_sent_again_is_good(seaway: Seaway, people: People, boats: str, clock: TurnedClock) -> None:
    """It has a week from then on, and there is one for each address."""
    ada = people.person("ada")
    made, _ = invite(seaway, ada)
    clock.move(invitations.LIFETIME_MS - 1)
    ada = people.person("ada")
    with seaway.database.write_site() as tx:
        again, secret = invitations.resend(tx, clock.now_ms(), ada, "boats", made.id, notifier=None)
        assert [again] == invitations.of_channel(tx, ada, "boats")
    clock.move(invitations.LIFETIME_MS - 1)
    accept(seaway, people.person("kim"), secret)
    assert Role.CONTRIBUTOR is role(seaway, people.person("kim"))


def test_an_invitation_makes_nobody_less(seaway: Seaway, people: People, boats: str) -> None:
    """The owner stays owner and a contributor stays contributor, whatever they are invited to be."""
    for name, expected in (("ada", Role.OWNER), ("bob", Role.CONTRIBUTOR)):
        _, secret = invite(seaway, people.person("ada"), role=Role.VIEWER)
        accept(seaway, people.person(name), secret)
        assert expected is role(seaway, people.person(name))


def test_only_owners_invite(seaway: Seaway, people: People, boats: str) -> None:
    """Others hear a no, or that there is nothing; an owner proves to be there; nobody is invited to own."""
    made, _ = invite(seaway, people.person("ada"))
    for who, error in (("bob", NotAllowed), ("stranger", NotFound)):
        with pytest.raises(error):
            invite(seaway, people.person(who))
        with seaway.database.read() as tx, pytest.raises(error):
            invitations.of_channel(tx, people.person(who), "boats")
        other = people.person(who)
        with seaway.database.write_site() as tx, pytest.raises(error):
            invitations.withdraw(tx, 0, other, "boats", made.id)
    with pytest.raises(ConfirmationRequired):
        invite(seaway, people.person("ada", confirmed=False))
    with pytest.raises(Malformed, match="exactly one owner"):
        invite(seaway, people.person("ada"), role=Role.OWNER)
    with pytest.raises(Malformed, match="not an email address"):
        invite(seaway, people.person("ada"), address="kim")


def test_the_invitations_of_another_channel_are_out_of_reach(seaway: Seaway, people: People, boats: str) -> None:
    """An owner who names the invitation of somebody else finds nothing."""
    made, secret = invite(seaway, people.person("ada"))
    people.channel("others", owner="eve")
    eve = people.person("eve")
    for act in (invitations.withdraw, lambda *args: invitations.resend(*args, notifier=None)):
        with seaway.database.write_site() as tx, pytest.raises(NotFound, match="invitation does not exist"):
            act(tx, seaway.clock.now_ms(), eve, "others", made.id)
    accept(seaway, people.person("kim"), secret)


def test_a_channel_has_so_many_open_invitations(seaway: Seaway, people: People, boats: str) -> None:
    """Letters to strangers are what they cost, so there is an end."""
    with seaway.database.write_site() as tx:
        for number in range(invitations.MAX_OPEN):
            invitations.invite(tx, 0, OPERATOR, "boats", f"u{number}@example.com", Role.VIEWER, notifier=None)
        with pytest.raises(TooManyRequests):
            invitations.invite(tx, 0, OPERATOR, "boats", "one-more@example.com", Role.VIEWER, notifier=None)
        invitations.invite(tx, 0, OPERATOR, "boats", "u3@example.com", Role.VIEWER, notifier=None)


def test_old_ones_are_forgotten(seaway: Seaway, people: People, boats: str, clock: TurnedClock) -> None:
    """The owner sees for a month that one is over; then its row goes."""
    ada = people.person("ada")
    invite(seaway, ada)
    clock.move(invitations.LIFETIME_MS + 1)
    with seaway.database.write_site() as tx:
        assert 0 == invitations.delete_expired(tx, clock.now_ms())
        assert 1 == len(invitations.of_channel(tx, ada, "boats"))
    clock.move(31 * 24 * 3_600_000)
    with seaway.database.write_site() as tx:
        assert 1 == invitations.delete_expired(tx, clock.now_ms())


def test_every_step_leaves_a_line(seaway: Seaway, people: People, boats: str) -> None:
    """Sent, withdrawn, declined, accepted: each is in the log of the channel."""
    ada, kim = people.person("ada"), people.person("kim")
    made, _ = invite(seaway, ada)
    with seaway.database.write_site() as tx:
        invitations.withdraw(tx, seaway.clock.now_ms(), ada, "boats", made.id)
    _, secret = invite(seaway, ada)
    with seaway.database.write_site() as tx:
        invitations.decline(tx, seaway.clock.now_ms(), kim, secret)
    _, secret = invite(seaway, ada)
    accept(seaway, kim, secret)
    with seaway.database.read() as tx:
        lines = tx.execute(
            select(audit.c.actor, audit.c.action)
            .where(audit.c.channel == boats, audit.c.actor != "operator")
            .order_by(audit.c.id)
        ).all()
        assert 3 == len(members.list_all(tx, ada, "boats")[0])
    assert [
        ("ada", "invitation.sent"), ("ada", "invitation.withdrawn"), ("ada", "invitation.sent"),
        ("kim", "invitation.declined"), ("ada", "invitation.sent"), ("kim", "member.added"),
    ] == [tuple(line) for line in lines]  # fmt: skip
