"""Invitations by email."""

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
from seaway.database.tables import members as member_rows
from seaway.errors import BadCredential, ConfirmationRequired, Malformed, NotAllowed, NotFound, TooManyRequests
from seaway.server.wiring import Seaway
from seaway.users import emails
from tests.support.clock import ManualClock
from tests.support.sites import Factory


@pytest.fixture
def boats(factory: Factory) -> str:
    factory.channel("boats", owner="ada", public=False)
    factory.member("boats", "bob", Role.CONTRIBUTOR)
    return "boats"


def invite(
    seaway: Seaway, by: Caller, address: str = "Kim@Example.com", role: Role = Role.CONTRIBUTOR
) -> tuple[Invitation, str]:
    with seaway.site.database.write_channel("boats") as tx:
        return invitations.invite(tx, seaway.site.clock.now_ms(), by, "boats", address, role, outbox=None)


def accept(seaway: Seaway, by: Caller, secret: str) -> None:
    with seaway.site.database.write_channel("boats") as tx:
        invitations.accept(tx, seaway.site.clock.now_ms(), by, secret)


def role(seaway: Seaway, caller: Caller) -> Role | None:
    with seaway.site.database.read() as tx:
        access = channels.access_of(tx, "boats", caller)
    assert access is not None
    return access.role


def test_verified_user_with_the_link_becomes_a_member(
    on_both: str, seaway: Seaway, factory: Factory, boats: str
) -> None:
    """Any verified account can accept, and only once."""
    kim, eve = factory.signed_in("kim"), factory.signed_in("eve")
    invitation, secret = invite(seaway, factory.signed_in("ada"))
    with seaway.site.database.read() as tx:
        assert invitation == invitations.get_by_secret(tx, seaway.site.clock.now_ms(), secret)
    assert ("boats", "Kim@example.com", "ada") == (invitation.channel, invitation.address, invitation.invited_by)
    accept(seaway, kim, secret)
    assert Role.CONTRIBUTOR is role(seaway, kim)
    with pytest.raises(NotFound):
        accept(seaway, eve, secret)
    assert role(seaway, eve) is None


def test_invitation_link_is_stored_as_a_hash(seaway: Seaway, factory: Factory, boats: str) -> None:
    """A copy of the database grants no access, and logs mask the link."""
    _, secret = invite(seaway, factory.signed_in("ada"))
    with seaway.site.database.read() as tx:
        stored = tx.execute(select(rows.c.digest)).scalar_one()
    assert secret_tokens.hash_key(secret) == stored
    assert "/invitations/swy-inv-***" == secret_tokens.mask(f"/invitations/{secret}")


def test_accepting_needs_a_signed_in_verified_user(seaway: Seaway, factory: Factory, boats: str) -> None:
    _, secret = invite(seaway, factory.signed_in("ada"))
    with pytest.raises(BadCredential):
        accept(seaway, ANONYMOUS, secret)
    for by in (factory.caller_of_key(factory.key("kim", mode=Mode.MANAGE)), factory.signed_in("kim", verified=False)):
        with pytest.raises(NotAllowed):
            accept(seaway, by, secret)
    assert role(seaway, factory.signed_in("kim")) is None


def expire(seaway: Seaway, factory: Factory, invitation: Invitation, secret: str) -> None:
    assert isinstance(seaway.site.clock, ManualClock)
    seaway.site.clock.move(invitations.LIFETIME_MS)


def decline(seaway: Seaway, factory: Factory, invitation: Invitation, secret: str) -> None:
    with seaway.site.database.write_site() as tx:
        invitations.decline(tx, seaway.site.clock.now_ms(), ANONYMOUS, secret)


def withdraw(seaway: Seaway, factory: Factory, invitation: Invitation, secret: str) -> None:
    ada = factory.signed_in("ada")
    with seaway.site.database.write_site() as tx:
        invitations.withdraw(tx, seaway.site.clock.now_ms(), ada, "boats", invitation.id)


def resend(seaway: Seaway, factory: Factory, invitation: Invitation, secret: str) -> None:
    ada = factory.signed_in("ada")
    with seaway.site.database.write_site() as tx:
        invitations.resend(tx, seaway.site.clock.now_ms(), ada, "boats", invitation.id, outbox=None)


@pytest.mark.parametrize("invalidate", [expire, decline, withdraw, resend], ids=lambda invalidate: invalidate.__name__)
def test_invalid_invitation_is_refused(
    seaway: Seaway, factory: Factory, boats: str, invalidate: Callable[[Seaway, Factory, Invitation, str], None]
) -> None:
    """Expired, declined, withdrawn or resent: viewing and accepting the old link give the same error."""
    invitation, secret = invite(seaway, factory.signed_in("ada"))
    invalidate(seaway, factory, invitation, secret)
    with pytest.raises(NotFound, match="no longer valid"):
        accept(seaway, factory.signed_in("kim"), secret)
    with seaway.site.database.read() as tx, pytest.raises(NotFound, match="no longer valid"):
        invitations.get_by_secret(tx, seaway.site.clock.now_ms(), secret)
    with seaway.site.database.read() as tx, pytest.raises(NotFound, match="no longer valid"):
        invitations.get_by_secret(
            tx, seaway.site.clock.now_ms(), secret_tokens.new_key(secret_tokens.KeyKind.INVITATION)
        )


def test_resent_invitation_is_valid_for_another_week(
    seaway: Seaway, factory: Factory, boats: str, clock: ManualClock
) -> None:
    """There is still only one invitation per address."""
    ada = factory.signed_in("ada")
    invitation, _ = invite(seaway, ada)
    clock.move(invitations.LIFETIME_MS - 1)
    ada = factory.signed_in("ada")
    with seaway.site.database.write_site() as tx:
        again, secret = invitations.resend(tx, clock.now_ms(), ada, "boats", invitation.id, outbox=None)
        assert [again] == invitations.of_channel(tx, ada, "boats")
    clock.move(invitations.LIFETIME_MS - 1)
    accept(seaway, factory.signed_in("kim"), secret)
    assert Role.CONTRIBUTOR is role(seaway, factory.signed_in("kim"))


def test_accepting_an_invitation_never_lowers_a_role(seaway: Seaway, factory: Factory, boats: str) -> None:
    for name, expected in (("ada", Role.OWNER), ("bob", Role.CONTRIBUTOR)):
        _, secret = invite(seaway, factory.signed_in("ada"), role=Role.VIEWER)
        accept(seaway, factory.signed_in(name), secret)
        assert expected is role(seaway, factory.signed_in(name))


def test_only_owners_invite(seaway: Seaway, factory: Factory, boats: str) -> None:
    """Members are refused, other users find no channel; inviting needs a recent sign-in and grants no ownership."""
    invitation, _ = invite(seaway, factory.signed_in("ada"))
    for name, error in (("bob", NotAllowed), ("nonmember", NotFound)):
        with pytest.raises(error):
            invite(seaway, factory.signed_in(name))
        with seaway.site.database.read() as tx, pytest.raises(error):
            invitations.of_channel(tx, factory.signed_in(name), "boats")
        by = factory.signed_in(name)
        with seaway.site.database.write_site() as tx, pytest.raises(error):
            invitations.withdraw(tx, 0, by, "boats", invitation.id)
    with pytest.raises(ConfirmationRequired):
        invite(seaway, factory.signed_in("ada", confirmed=False))
    with pytest.raises(Malformed, match="exactly one owner"):
        invite(seaway, factory.signed_in("ada"), role=Role.OWNER)
    with pytest.raises(Malformed, match="not an email address"):
        invite(seaway, factory.signed_in("ada"), address="kim")


def test_invitation_of_another_channel_is_not_found(seaway: Seaway, factory: Factory, boats: str) -> None:
    invitation, secret = invite(seaway, factory.signed_in("ada"))
    factory.channel("others", owner="eve")
    eve = factory.signed_in("eve")
    for operation in (invitations.withdraw, lambda *args: invitations.resend(*args, outbox=None)):
        with seaway.site.database.write_site() as tx, pytest.raises(NotFound, match="invitation does not exist"):
            operation(tx, seaway.site.clock.now_ms(), eve, "others", invitation.id)
    accept(seaway, factory.signed_in("kim"), secret)


def test_open_invitations_of_a_channel_are_limited(seaway: Seaway, factory: Factory, boats: str) -> None:
    """Each one sends an email to an address that may belong to another user."""
    with seaway.site.database.write_site() as tx:
        for number in range(invitations.MAX_OPEN):
            invitations.invite(tx, 0, OPERATOR, "boats", f"u{number}@example.com", Role.VIEWER, outbox=None)
        with pytest.raises(TooManyRequests):
            invitations.invite(tx, 0, OPERATOR, "boats", "one-more@example.com", Role.VIEWER, outbox=None)
        invitations.invite(tx, 0, OPERATOR, "boats", "u3@example.com", Role.VIEWER, outbox=None)


def test_expired_invitations_are_deleted_after_a_month(
    seaway: Seaway, factory: Factory, boats: str, clock: ManualClock
) -> None:
    """Until then the owner sees that they expired."""
    ada = factory.signed_in("ada")
    invite(seaway, ada)
    clock.move(invitations.LIFETIME_MS + 1)
    with seaway.site.database.write_site() as tx:
        assert 0 == invitations.delete_expired(tx, clock.now_ms())
        assert 1 == len(invitations.of_channel(tx, ada, "boats"))
    clock.move(31 * 24 * 3_600_000)
    with seaway.site.database.write_site() as tx:
        assert 1 == invitations.delete_expired(tx, clock.now_ms())


def test_every_invitation_step_is_logged(seaway: Seaway, factory: Factory, boats: str) -> None:
    ada, kim = factory.signed_in("ada"), factory.signed_in("kim")
    invitation, _ = invite(seaway, ada)
    with seaway.site.database.write_site() as tx:
        invitations.withdraw(tx, seaway.site.clock.now_ms(), ada, "boats", invitation.id)
    _, secret = invite(seaway, ada)
    with seaway.site.database.write_site() as tx:
        invitations.decline(tx, seaway.site.clock.now_ms(), kim, secret)
    _, secret = invite(seaway, ada)
    accept(seaway, kim, secret)
    with seaway.site.database.read() as tx:
        entries = tx.execute(
            select(audit.c.actor, audit.c.action)
            .where(audit.c.channel == boats, audit.c.actor != "operator")
            .order_by(audit.c.id)
        ).all()
        assert 3 == len(members.list_all(tx, ada, "boats")[0])
    assert [
        ("ada", "invitation.sent"), ("ada", "invitation.withdrawn"), ("ada", "invitation.sent"),
        ("kim", "invitation.declined"), ("ada", "invitation.sent"), ("kim", "member.added"),
    ] == [tuple(entry) for entry in entries]  # fmt: skip


def test_emails_to_one_address_are_limited(on_both: str, seaway: Seaway, factory: Factory, boats: str) -> None:
    """However they are sent, and with or without an account; only the operator is not limited."""
    ada = factory.signed_in("ada")
    for _ in range(3):
        invite(seaway, ada)
    with pytest.raises(TooManyRequests):
        invite(seaway, ada, "kim@example.com")
    invite(seaway, ada, "lee@example.com")
    invite(seaway, OPERATOR)


def test_invitation_to_a_channel_without_owner_can_be_declined(seaway: Seaway, factory: Factory, boats: str) -> None:
    """A damaged database has such channels: there is no owner to notify, which is not an error."""
    _, secret = invite(seaway, factory.signed_in("ada"))
    with seaway.site.database.write_site() as tx:
        tx.execute(member_rows.delete().where(member_rows.c.role == Role.OWNER.value))
    with seaway.site.database.write_channel(boats) as tx:
        outbox = seaway.request_parts.accounts.outbox
        invitations.decline(tx, seaway.site.clock.now_ms(), ANONYMOUS, secret, outbox=outbox)


def test_user_with_the_verified_address_answers_without_the_link(seaway: Seaway, factory: Factory, boats: str) -> None:
    """Only that user; an address of another account, or one that is not verified, gives no access."""
    kim, eve = factory.signed_in("kim"), factory.signed_in("eve")
    with seaway.site.database.write_site() as tx:
        now_ms = seaway.site.clock.now_ms()
        emails.add(tx, now_ms, kim.user_id or 0, "KIM@example.com", verified=True)
        emails.add(tx, now_ms, eve.user_id or 0, "kim@example.com", verified=False)
    invitation, secret = invite(seaway, factory.signed_in("ada"))
    with seaway.site.database.read() as tx:
        assert [invitation] == invitations.addressed_to(tx, now_ms, kim.user_id or 0)
        assert [] == invitations.addressed_to(tx, now_ms, eve.user_id or 0)
    for answer in (invitations.accept_addressed, invitations.decline_addressed):
        with seaway.site.database.write_channel("boats") as tx, pytest.raises(NotFound):
            answer(tx, now_ms, eve, invitation.id)
    with seaway.site.database.write_channel("boats") as tx:
        invitations.accept_addressed(tx, now_ms, kim, invitation.id)
    assert Role.CONTRIBUTOR is role(seaway, kim)
    with pytest.raises(NotFound):
        accept(seaway, eve, secret)
