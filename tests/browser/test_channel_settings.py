"""Stories of the channel settings: members with Undo, publishers and a tested token, the filter of the audit log."""

from collections.abc import Iterator
from itertools import count

import pytest
from playwright.sync_api import Page, expect

from seaway.callers.caller import OPERATOR
from seaway.channels import groups
from seaway.channels.roles import Role
from seaway.trusted_publishing import issuers
from seaway.users import users
from tests.browser.demo_site import DemoSite, new_user
from tests.browser.user_browser import browser_user
from tests.support.issuer import LocalIssuer, gitlab, local_issuer, now_s, token
from tests.support.sites import Factory

pytestmark = pytest.mark.slow

_numbers = count(1)


@pytest.fixture
def channel(demo: DemoSite) -> str:
    """A channel of a new user, whose name is the channel's with `-owner`."""
    name = f"stories-{next(_numbers)}"
    return Factory(demo.seaway).channel(name, owner=new_user(demo.seaway, f"{name}-owner"), public=False)


@pytest.fixture
def page(demo: DemoSite, channel: str) -> Iterator[Page]:
    with browser_user(demo, f"{channel}-owner") as user:
        demo.sign_in(user.page, user.name)
        yield user.page


def test_member_is_invited_with_four_clicks_and_changes_are_undone(demo: DemoSite, page: Page, channel: str) -> None:
    """Settings, Members, a suggestion, Add; the role is saved when it is chosen, and its message has an Undo button."""
    user = new_user(demo.seaway, f"mate-{channel}")
    page.goto(f"/channels/{channel}")
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Members").click()
    picker = page.get_by_label("User, group or email address")
    picker.press_sequentially(user[:-1])
    page.get_by_role("option", name=user).click()
    expect(picker).to_have_value(user)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text(f"{user} was added as a contributor.")

    role = page.get_by_label(f"Role of {user}")
    role.select_option("viewer")
    expect(page.get_by_text(f"{user} is now a viewer.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text(f"{user} is now a contributor.")).to_be_visible()
    expect(role).to_have_value("contributor")


def test_picker_by_keyboard_finds_groups_and_closes(demo: DemoSite, page: Page, channel: str) -> None:
    """The field keeps the focus, names the marked option, and Escape closes the list without changing the text."""
    owner, group = f"{channel}-owner", f"watch-{channel}"
    with demo.seaway.site.database.write_site() as tx:
        groups.add(tx, demo.seaway.site.clock.now_ms(), OPERATOR, group, users.get(tx, owner))
    page.goto(f"/channels/{channel}/settings/members")
    picker = page.get_by_label("User, group or email address")
    picker.press_sequentially(group[:-1])
    option = page.get_by_role("option", name=group)
    option.wait_for()
    page.keyboard.press("Escape")
    expect(option).to_be_hidden()
    expect(picker).to_have_value(group[:-1])
    page.keyboard.press("Backspace")
    option.wait_for()
    page.keyboard.press("ArrowDown")
    assert option.get_attribute("id") == picker.get_attribute("aria-activedescendant")
    page.keyboard.press("Enter")
    expect(picker).to_be_focused()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text(f"The group {group} was added as a contributor.")).to_be_visible()


def test_unknown_user_keeps_the_input_and_an_address_is_invited(page: Page, channel: str) -> None:
    page.goto(f"/channels/{channel}/settings/members")
    picker = page.get_by_label("User, group or email address")
    picker.fill("nobody-at-all")
    page.get_by_label("Role", exact=True).select_option("viewer")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#who-error")).to_contain_text("There is no user or group named 'nobody-at-all'.")
    expect(picker).to_have_value("nobody-at-all")
    expect(page.get_by_label("Role", exact=True)).to_have_value("viewer")
    picker.fill("someone@example.com")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("An invitation to become a viewer was sent to someone@example.com.")).to_be_visible()
    page.get_by_role("button", name="Withdraw the invitation to someone@example.com").click()
    expect(page.get_by_text("The invitation to someone@example.com was withdrawn.")).to_be_visible()


def test_members_are_filtered_while_typing(demo: DemoSite, page: Page, channel: str) -> None:
    factory = Factory(demo.seaway)
    for name in ("gannet", "petrel"):
        factory.member(channel, f"{name}-{channel}", Role.VIEWER)
    page.goto(f"/channels/{channel}/settings/members")
    page.get_by_role("searchbox", name="Filter members").fill("GANN")
    expect(page.get_by_role("row").filter(has_text="petrel")).to_be_hidden()
    expect(page.get_by_text("1 of 3 members.")).to_be_visible()


def test_filtered_page_of_members_leads_back_to_all(page: Page, channel: str) -> None:
    """Its rows are filtered by the server, so clearing the field asks the server for the others."""
    page.goto(f"/channels/{channel}/settings/members?filter=no-such-member")
    page.get_by_role("searchbox", name="Filter members").fill("")
    expect(page.get_by_role("link", name="Show all")).to_be_visible()
    page.get_by_role("searchbox", name="Filter members").press("Enter")
    expect(page.locator("#members-list > [data-text]").first).to_be_visible()


@pytest.fixture
def forge(demo: DemoSite, channel: str) -> Iterator[LocalIssuer]:
    """A registered GitLab instance, named after the channel."""
    with local_issuer() as running:
        with demo.seaway.site.database.write_site() as tx:
            issuers.add(tx, demo.seaway.site.clock.now_ms(), OPERATOR, channel, kind="gitlab", issuer=running.address)
        yield running


def test_three_errors_at_once_then_a_publisher_and_a_tested_token(page: Page, channel: str, forge: LocalIssuer) -> None:
    """Every error is at its field; a tested token is accepted, or the page says which requirement it misses."""
    page.goto(f"/channels/{channel}/settings/publishers")
    page.get_by_role("link", name=f"GitLab ({channel})").click()
    page.get_by_label("Namespace").fill("-")
    page.get_by_label("Project").fill("a b")
    page.get_by_label("Pipeline file").fill("ci.txt")
    page.get_by_role("button", name="Add publisher").click()
    expect(page.locator(".fault")).to_have_count(3)
    assert ["-", "a b", "ci.txt"] == [
        page.get_by_label(name).input_value() for name in ("Namespace", "Project", "Pipeline file")
    ]
    page.get_by_label("Namespace").fill("acme/team")
    page.get_by_label("Project").fill("tools")
    page.get_by_label("Pipeline file").fill(".gitlab-ci.yml")
    page.get_by_role("button", name="Add publisher").click()
    expect(page.get_by_text(f"acme/team/tools, .gitlab-ci.yml can now publish to {channel}")).to_be_visible()

    for claims, verdict in (
        (gitlab(now_s(), issuer=forge.address, aud="localhost"), "This token would be accepted"),
        (gitlab(now_s(), issuer=forge.address, aud="elsewhere"), "This token would be refused"),
    ):
        page.get_by_label("Token", exact=True).fill(token(claims))
        page.get_by_role("button", name="Test token").click()
        expect(page.get_by_text(verdict)).to_be_visible()
    expect(page.get_by_role("row", name="Audience Failed")).to_contain_text(
        "Request a token with the audience localhost"
    )
    page.get_by_role("button", name="Remove acme/team/tools").click()
    expect(page.get_by_text("The publisher acme/team/tools, .gitlab-ci.yml was removed.")).to_be_visible()


def test_audit_log_is_filtered_at_once(demo: DemoSite, page: Page, channel: str) -> None:
    """The URL has the filters; without matches there is a way back."""
    member = Factory(demo.seaway).member(channel, f"logged-{channel}", Role.VIEWER)
    page.goto(f"/channels/{channel}/settings/log")
    page.get_by_label("Action").select_option("channel.added")
    expect(page.get_by_role("row").filter(has_text=member)).to_have_count(0)
    assert "action=channel.added" in page.url
    page.get_by_label("Person").fill("nobody")
    expect(page.get_by_text("No entries match these filters.")).to_be_visible()
    page.get_by_role("link", name="Show all entries").click()
    expect(page.get_by_role("row").filter(has_text=member)).to_have_count(1)
