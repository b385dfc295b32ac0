"""Emails that one person causes to another are few, and collapsed where they repeat (callers/email_limits.py)."""

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
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.mail import letters_to

VICTIM = "victim@example.com"


@pytest.fixture(autouse=True)
def _victim(seaway: Seaway, people: People) -> None:
    """A user with a verified address, whom others know by name."""
    reachable(seaway, people, "victim")


def reachable(seaway: Seaway, people: People, name: str) -> str:
    people.user(name)
    with seaway.database.write_site() as tx:
        emails.add(tx, seaway.clock.now_ms(), users.get(tx, name).id, f"{name}@example.com", verified=True)
    return name


def count(seaway: Seaway, address: str = VICTIM) -> int:
    return len(letters_to(seaway, address))


def add(seaway: Seaway, by: Caller, channel: str, user: str = "victim") -> None:
    with seaway.database.write_channel(channel) as tx:
        members.put(tx, seaway.clock.now_ms(), by, channel, user, Role.VIEWER, notifier=seaway.request_parts.accounts)


def take_out(seaway: Seaway, by: Caller, channel: str, user: str = "victim") -> None:
    with seaway.database.write_channel(channel) as tx:
        members.remove(tx, seaway.clock.now_ms(), by, channel, user)


def test_adding_and_removing_again_is_one_email(
    on_both: str, seaway: Seaway, people: People, clock: TurnedClock
) -> None:
    """Every change succeeds; the emails after the first of a day are dropped, which the log says."""
    people.channel("boats", owner="eve")
    eve = people.person("eve")
    with capture_logs() as logged:
        for _ in range(51):
            add(seaway, eve, "boats")
            take_out(seaway, eve, "boats")
    assert 1 == count(seaway)
    dropped = [line for line in logged if line["event"] == "mail.dropped"]
    assert (50, VICTIM) == (len(dropped), dropped[0]["to"])
    clock.move(DAY_MS)
    add(seaway, people.person("eve"), "boats")
    assert 2 == count(seaway)


def test_one_sender_cannot_use_up_what_others_may_send(seaway: Seaway, people: People) -> None:
    """Ten a day between two people, however many channels; another sender still gets through."""
    for number in range(12):
        people.channel(f"eve-{number}", owner="eve")
        add(seaway, people.person("eve"), f"eve-{number}")
    assert 10 == count(seaway)
    people.channel("boats", owner="ada")
    add(seaway, people.person("ada"), "boats")
    assert 11 == count(seaway)


def test_one_recipient_gets_thirty_a_day(seaway: Seaway, people: People) -> None:
    """Also from many accounts of one attacker."""
    for number in range(40):
        owner = f"eve-{number // 9}"
        people.channel(f"boats-{number}", owner=owner)
        add(seaway, people.person(owner), f"boats-{number}")
    assert 30 == count(seaway)


def test_one_sender_causes_sixty_an_hour(seaway: Seaway, people: People, clock: TurnedClock) -> None:
    """To however many people; those that are dropped are members all the same."""
    people.channel("boats", owner="eve")
    names = [reachable(seaway, people, f"user-{number}") for number in range(62)]
    for name in names:
        add(seaway, people.person("eve"), "boats", name)
    assert 60 == sum(count(seaway, f"{name}@example.com") for name in names)
    with seaway.database.read() as tx:
        assert 63 == len(members.list_all(tx, OPERATOR, "boats")[0])
    clock.move(HOUR_MS)
    add(seaway, people.person("eve"), "boats")
    assert 1 == count(seaway)


def test_groups_and_offers_are_limited_too(seaway: Seaway, people: People) -> None:
    """Whatever is done and undone again."""
    people.channel("boats", owner="eve")
    people.member("boats", "victim", Role.VIEWER)
    with seaway.database.write_site() as tx:
        groups.add(tx, 0, OPERATOR, "crew", users.get(tx, "eve"))
    eve, notifier = people.person("eve"), seaway.request_parts.accounts
    for _ in range(5):
        with seaway.database.write_site() as tx:
            now_ms = seaway.clock.now_ms()
            groups.put_member(tx, now_ms, eve, "crew", "victim", notifier=notifier)
            groups.remove_member(tx, now_ms, eve, "crew", "victim")
            transfers.offer(tx, now_ms, eve, "boats", "victim", notifier=notifier)
            transfers.cancel(tx, now_ms, eve, "boats")
    assert 2 == count(seaway)


def test_an_invitation_over_the_limit_is_refused(on_both: str, seaway: Seaway, people: People) -> None:
    """Its purpose is the email: nothing is left of one that cannot be sent, and sending again counts too."""
    people.channel("boats", owner="eve")
    eve, notifier = people.person("eve"), seaway.request_parts.accounts

    def invite(address: str) -> None:
        with seaway.database.write_channel("boats") as tx:
            invitations.invite(tx, seaway.clock.now_ms(), eve, "boats", address, Role.VIEWER, notifier=notifier)

    for _ in range(10):
        invite("stranger@example.com")
    with pytest.raises(TooManyRequests) as refused:
        invite("Stranger@Example.com")
    assert refused.value.retry_after_seconds > HOUR_MS // 1000
    assert 10 == count(seaway, "stranger@example.com")
    invite("another@example.com")
    with seaway.database.read() as tx:
        known = invitations.of_channel(tx, eve, "boats")
    assert ["another@example.com", "stranger@example.com"] == [one.address for one in known]


def test_emails_about_ones_own_account_are_never_dropped(seaway: Seaway, people: People) -> None:
    """Nor those that the operator causes."""
    people.channel("boats", owner="eve")
    with seaway.database.write_site() as tx:
        user_id = users.get(tx, "victim").id
        for _ in range(40):
            account_security.notify(
                seaway.request_parts.accounts, tx, seaway.clock.now_ms(), user_id, "The password was changed."
            )
    for _ in range(3):
        add(seaway, OPERATOR, "boats")
        take_out(seaway, OPERATOR, "boats")
    assert 43 == count(seaway)
