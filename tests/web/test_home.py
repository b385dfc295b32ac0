"""The home page: channels, uploads, invitations and offers, keys, and the checklist of a new user."""

from collections.abc import Callable
from itertools import count

import pytest
from anyio.from_thread import BlockingPortal

from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import invitations, transfers
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.packages import downloads
from seaway.packages.client_families import ClientFamily
from seaway.packages.downloads import DownloadKey
from seaway.server.wiring import Seaway
from seaway.sign_in import sessions
from seaway.users import emails, pending_offers, users
from seaway.web.rendering import ago
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file
from tests.web.conftest import new_user
from tests.web.http_browser import HttpBrowser

_numbers = count(1)


def invite(seaway: Seaway, channel: str, address: str, role: Role = Role.VIEWER) -> int:
    with seaway.site.database.write_site() as tx:
        now_ms = seaway.site.clock.now_ms()
        return invitations.invite(tx, now_ms, OPERATOR, channel, address, role, outbox=None)[0].id


def offer(seaway: Seaway, owner: str, channel: str, to: str) -> None:
    Factory(seaway).member(channel, to, Role.VIEWER)
    by = Factory(seaway).signed_in(owner)
    with seaway.site.database.write_site() as tx:
        transfers.offer(tx, seaway.site.clock.now_ms(), by, channel, to)


@pytest.fixture
def channel(shared: Seaway) -> str:
    """A channel of another user."""
    return Factory(shared).channel(f"harbor-{next(_numbers)}", owner=new_user(shared), public=False)


def done_steps(page: str) -> int:
    return page.count('<li class="done">')


def test_checklist_follows_the_first_steps_and_disappears(
    shared: Seaway, portal: BlockingPortal, browser: HttpBrowser, ada: str
) -> None:
    """Each step shows where it is done; uploading and installing show the command with the user's own channel."""
    browser.sign_in(ada)
    page = browser.get("/home").text
    assert ("Getting started" in page, done_steps(page)) == (True, 0)
    assert 'href="/channels/new"' in page

    channel = Factory(shared).channel(f"first-{next(_numbers)}", owner=ada)
    page = browser.get("/home").text
    assert f"--channel {channel} " in page
    assert f'href="/channels/{channel}/settings/keys"' in page
    assert 1 == done_steps(page)

    Factory(shared).key(ada, mode=Mode.READ_WRITE)
    assert 2 == done_steps(browser.get("/home").text)

    portal.call(publish_file, shared, channel, conda(index_json("lighthouse")))
    page = browser.get("/home").text
    assert 3 == done_steps(page)
    assert "pixi add lighthouse" in page
    assert f'href="/channels/{channel}/packages/lighthouse/files/noarch/lighthouse-' in page

    with shared.site.database.read() as tx:
        file_id = tx.exec_driver_sql("SELECT max(id) FROM files").scalar_one()
    with shared.site.database.write_site() as tx:
        downloads.add(tx, {DownloadKey(file_id, 20_000, ClientFamily.CONDA): 1}, today=20_000)
    assert "Getting started" not in browser.get("/home").text


def test_home_shows_only_own_channels_and_their_uploads(
    shared: Seaway, portal: BlockingPortal, browser: HttpBrowser, ada: str, channel: str
) -> None:
    """With the role, and the name of the user who uploaded each file."""
    joined = Factory(shared).channel(f"joined-{next(_numbers)}", owner=new_user(shared))
    Factory(shared).member(joined, ada, Role.CONTRIBUTOR)
    foreign = Factory(shared).channel(f"foreign-{next(_numbers)}", owner=new_user(shared))
    by = Factory(shared).signed_in(ada)
    portal.call(lambda: publish_file(shared, joined, conda(index_json("own-file")), by=by))
    portal.call(publish_file, shared, foreign, conda(index_json("foreign-file")))
    browser.sign_in(ada)
    page = browser.get("/home").text
    assert "own-file-1.0-h1_0.conda" in page
    assert f"{ada} · " in page.partition("own-file-1.0-h1_0.conda</a>")[2][:300]
    assert "Contributor" in page
    for hidden in (foreign, "foreign-file", channel):
        assert hidden not in page


def test_invitation_is_answered_on_the_home_page(shared: Seaway, browser: HttpBrowser, ada: str, channel: str) -> None:
    """Without the link of the email, if it was sent to a verified address of the user."""
    number = invite(shared, channel, f"{ada.upper()}@example.com", Role.CONTRIBUTOR)
    declined = Factory(shared).channel(f"declined-{next(_numbers)}", owner=new_user(shared), public=False)
    other = invite(shared, declined, f"{ada}@example.com")
    browser.sign_in(ada)
    page = browser.get("/home").text
    assert channel in page
    assert declined in page
    response = browser.send("/account/invitations/accept", invitation=str(number))
    assert f"/channels/{channel}" == response.headers["location"]
    assert f"You joined {channel} as a contributor." in browser.get(f"/channels/{channel}").text
    browser.get("/home")
    response = browser.send("/account/invitations/decline", invitation=str(other), back="/home")
    assert "/home" == response.headers["location"]
    page = browser.get("/home").text
    assert f"You declined the invitation to {declined}." in page
    assert "Invitations and offers" not in page.partition("<main")[2]


def test_invitation_to_another_address_cannot_be_answered(
    shared: Seaway, browser: HttpBrowser, ada: str, channel: str
) -> None:
    """An address that the user added but did not verify proves nothing."""
    address = f"unproven-{ada}@example.com"
    number = invite(shared, channel, address)
    with shared.site.database.write_site() as tx:
        emails.add(tx, shared.site.clock.now_ms(), users.get(tx, ada).id, address, verified=False)
    browser.sign_in(ada)
    assert channel not in browser.get("/home").text
    for act in ("accept", "decline"):
        assert 404 == browser.send(f"/account/invitations/{act}", invitation=str(number)).status_code
        browser.get("/home")


def test_offer_is_accepted_on_the_home_page(shared: Seaway, browser: HttpBrowser, ada: str) -> None:
    """The user becomes the owner, and the next page says so."""
    owner = new_user(shared)
    offered = Factory(shared).channel(f"offered-{next(_numbers)}", owner=owner)
    offer(shared, owner, offered, ada)
    browser.sign_in(ada)
    assert f"the ownership of {offered}" in browser.get("/home").text
    response = browser.send("/account/offers/accept", channel=offered)
    assert f"You own {offered} now." in browser.get(response.headers["location"]).text


def test_pending_count_is_read_with_the_session(
    shared: Seaway, shared_clock: ManualClock, ada: str, channel: str
) -> None:
    """Invitations to verified addresses and offers, without those that expired."""
    owner = new_user(shared)
    offered = Factory(shared).channel(f"offered-{next(_numbers)}", owner=owner)
    invite(shared, channel, f"{ada}@example.com")
    offer(shared, owner, offered, ada)
    with shared.site.database.write_site() as tx:
        user_id = users.get(tx, ada).id
        emails.add(tx, shared_clock.now_ms(), user_id, f"second-{ada}@example.com", verified=True)

    def counts() -> tuple[int, int]:
        with shared.site.database.write_site() as tx:
            now_ms = shared_clock.now_ms()
            caller = sessions.caller_of(tx, sessions.start(tx, now_ms, user_id, address="", agent=""), now_ms)
            assert caller is not None
            return caller.pending_count, pending_offers.pending_count(tx, now_ms, user_id)

    assert (2, 2) == counts()
    shared_clock.move(8 * DAY_MS)
    assert (0, 0) == counts()


def test_keys_that_expire_soon_are_shown(shared: Seaway, browser: HttpBrowser, ada: str) -> None:
    """Keys that expire in more than 14 days are not."""
    for days in (90, 10, -2):
        Factory(shared).key(ada, days=days)
    browser.sign_in(ada)
    page = browser.get("/home").text.partition("<main")[2]
    assert "in 10 days" in page
    assert "2 days ago" in page
    assert "90 days" not in page


def test_home_needs_a_session(browser: HttpBrowser) -> None:
    response = browser.get("/home")
    assert (303, "/signin?next=/home") == (response.status_code, response.headers["location"])


def test_unverified_user_resends_the_email_from_the_home_page(new_browser: Callable[[], HttpBrowser], ada: str) -> None:
    """The page of the keys shows the same banner and no form."""
    browser = new_browser()
    name = f"new-{ada}"
    browser.sign_up(name, f"{name}@example.com")
    assert "Verify your email address." in browser.get("/home").text
    keys = browser.get("/account/keys").text
    assert "Verify your email address." in keys
    assert "Create key" not in keys
    response = browser.send("/account/emails/send", back="/account/keys")
    assert "/account/keys" == response.headers["location"]
    assert f"We sent a verification email to {name}@example.com." in browser.get("/account/keys").text
    other = browser.send("/account/emails/send", address="nobody@example.com")
    assert (404, True) == (other.status_code, "This email address is not in your account." in other.text)


def test_verified_and_primary_address_stays_as_it_is(browser: HttpBrowser, ada: str) -> None:
    """Sending or choosing it again is no change, and signs out no browser."""
    browser.sign_in(ada)
    for act, sentence in (("send", "Your email address is already verified."), ("primary", "is already your primary")):
        browser.get("/account/emails")
        assert 303 == browser.send(f"/account/emails/{act}", address=f"{ada}@example.com").status_code
        assert sentence in browser.get("/account/emails").text


@pytest.mark.parametrize(
    ("distance", "shown"),
    [
        (90 * DAY_MS - 1, "in 90 days"),
        (90 * DAY_MS - DAY_MS // 2 - 1, "in 89 days"),
        (DAY_MS - 1, "in 1 day"),
        (90 * 60_000, "in 2 hours"),
        (59 * 60_000 + 40_000, "in 1 hour"),
        (89_000, "in 1 minute"),
        (365 * DAY_MS, "in 12 months"),
        (730 * DAY_MS, "in 2 years"),
        (-1, "just now"),
        (-3 * DAY_MS - 1, "3 days ago"),
    ],
)
def test_relative_times_are_rounded(distance: int, shown: str) -> None:
    assert shown == ago(1_800_000_000_000 + distance, 1_800_000_000_000)
