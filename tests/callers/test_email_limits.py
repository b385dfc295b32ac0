"""Limits for emails that one user causes to another (callers/email_limits.py)."""

import pytest
from structlog.testing import capture_logs

from seaway.callers.caller import OPERATOR, Caller
from seaway.channels import groups, invitations, members, transfers
from seaway.channels.roles import Role
from seaway.clock import DAY_MS, HOUR_MS
from seaway.errors import TooManyRequests
from seaway.server.wiring import Seaway
from seaway.sign_in import account_security
from seaway.users import emails, users
from tests.support.clock import ManualClock
from tests.support.mail import emails_to
from tests.support.sites import Factory

VICTIM = "victim@example.com"


@pytest.fixture(autouse=True)
def _victim(seaway: Seaway, factory: Factory) -> None:
    """Add a user with a verified address, whose name other users know."""
    reachable(seaway, factory, "victim")


def reachable(seaway: Seaway, factory: Factory, name: str) -> str:
    factory.user(name)
    with seaway.site.database.write_site() as tx:
        emails.add(tx, seaway.site.clock.now_ms(), users.get(tx, name).id, f"{name}@example.com", verified=True)
    return name


def count(seaway: Seaway, address: str = VICTIM) -> int:
    return len(emails_to(seaway, address))


def add(seaway: Seaway, by: Caller, channel: str, user: str = "victim") -> None:
    with seaway.site.database.write_channel(channel) as tx:
        members.put(
            tx, seaway.site.clock.now_ms(), by, channel, user, Role.VIEWER, outbox=seaway.request_parts.accounts.outbox
        )


def remove(seaway: Seaway, by: Caller, channel: str, user: str = "victim") -> None:
    with seaway.site.database.write_channel(channel) as tx:
        members.remove(tx, seaway.site.clock.now_ms(), by, channel, user)


def test_repeated_adding_and_removing_sends_one_email_per_day(
    on_both: str, seaway: Seaway, factory: Factory, clock: ManualClock
) -> None:
    """Every change succeeds; later emails of the day are dropped, and each drop is logged."""
    factory.channel("boats", owner="eve")
    eve = factory.signed_in("eve")
    with capture_logs() as logged:
        for _ in range(51):
            add(seaway, eve, "boats")
            remove(seaway, eve, "boats")
    assert 1 == count(seaway)
    dropped = [line for line in logged if line["event"] == "mail.dropped"]
    assert (50, VICTIM) == (len(dropped), dropped[0]["to"])
    clock.move(DAY_MS)
    add(seaway, factory.signed_in("eve"), "boats")
    assert 2 == count(seaway)


def test_sender_cannot_exhaust_the_limit_of_other_senders(seaway: Seaway, factory: Factory) -> None:
    """Ten emails a day from one user to another, however many channels; another sender still gets through."""
    for number in range(12):
        factory.channel(f"eve-{number}", owner="eve")
        add(seaway, factory.signed_in("eve"), f"eve-{number}")
    assert 10 == count(seaway)
    factory.channel("boats", owner="ada")
    add(seaway, factory.signed_in("ada"), "boats")
    assert 11 == count(seaway)


def test_recipient_gets_at_most_thirty_emails_per_day(seaway: Seaway, factory: Factory) -> None:
    """The limit also holds when one attacker has many accounts."""
    for number in range(40):
        owner = f"eve-{number // 9}"
        factory.channel(f"boats-{number}", owner=owner)
        add(seaway, factory.signed_in(owner), f"boats-{number}")
    assert 30 == count(seaway)


def test_sender_causes_at_most_sixty_emails_per_hour(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """The limit covers all recipients together; users whose email is dropped still become members."""
    factory.channel("boats", owner="eve")
    names = [reachable(seaway, factory, f"user-{number}") for number in range(62)]
    for name in names:
        add(seaway, factory.signed_in("eve"), "boats", name)
    assert 60 == sum(count(seaway, f"{name}@example.com") for name in names)
    with seaway.site.database.read() as tx:
        assert 63 == len(members.list_all(tx, OPERATOR, "boats")[0])
    clock.move(HOUR_MS)
    add(seaway, factory.signed_in("eve"), "boats")
    assert 1 == count(seaway)


def test_group_changes_and_transfer_offers_are_limited(seaway: Seaway, factory: Factory) -> None:
    factory.channel("boats", owner="eve")
    factory.member("boats", "victim", Role.VIEWER)
    with seaway.site.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "eve"))
    eve, outbox = factory.signed_in("eve"), seaway.request_parts.accounts.outbox
    for _ in range(5):
        with seaway.site.database.write_site() as tx:
            now_ms = seaway.site.clock.now_ms()
            groups.put_member(tx, now_ms, eve, "crew", "victim", outbox=outbox)
            groups.remove_member(tx, now_ms, eve, "crew", "victim")
            transfers.offer(tx, now_ms, eve, "boats", "victim", outbox=outbox)
            transfers.cancel(tx, now_ms, eve, "boats")
    assert 2 == count(seaway)


def test_invitation_over_the_limit_is_refused(on_both: str, seaway: Seaway, factory: Factory) -> None:
    """An invitation that cannot be sent is not stored, and sending one again counts too."""
    factory.channel("boats", owner="eve")
    eve, outbox = factory.signed_in("eve"), seaway.request_parts.accounts.outbox

    def invite(address: str) -> None:
        with seaway.site.database.write_channel("boats") as tx:
            invitations.invite(tx, seaway.site.clock.now_ms(), eve, "boats", address, Role.VIEWER, outbox=outbox)

    for _ in range(3):
        invite("other@example.com")
    with pytest.raises(TooManyRequests) as refused:
        invite("Other@Example.com")
    assert refused.value.retry_after_seconds > HOUR_MS // 1000
    assert 3 == count(seaway, "other@example.com")
    invite("another@example.com")
    with seaway.site.database.read() as tx:
        pending = invitations.of_channel(tx, eve, "boats")
    assert ["another@example.com", "other@example.com"] == [invitation.address for invitation in pending]


def test_security_emails_and_operator_emails_are_never_dropped(seaway: Seaway, factory: Factory) -> None:
    factory.channel("boats", owner="eve")
    with seaway.site.database.write_site() as tx:
        user_id = users.get(tx, "victim").id
        for _ in range(40):
            account_security.notify(
                seaway.request_parts.accounts, tx, seaway.site.clock.now_ms(), user_id, "The password was changed."
            )
    for _ in range(3):
        add(seaway, OPERATOR, "boats")
        remove(seaway, OPERATOR, "boats")
    assert 43 == count(seaway)
