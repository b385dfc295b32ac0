"""Pages of site admins: invite a user, disable an account, filter lists, delete a channel."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.demo_site import PASSWORD, DemoSite, new_user
from tests.browser.user_browser import BrowserUser
from tests.support.sites import Factory

pytestmark = pytest.mark.slow


def test_invited_user_signs_in_with_the_emailed_link(demo: DemoSite, page: Page) -> None:
    """Errors of both fields are shown at once and keep what was typed; afterwards the list shows the sign-in."""
    demo.sign_in(page)
    page.goto("/admin")
    page.get_by_role("link", name="Invite user").click()
    page.get_by_label("Email address").fill("ada@example.com")
    page.get_by_label("User name").fill("ada")
    page.get_by_role("button", name="Send invitation").click()
    expect(page.get_by_label("Email address")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("User name")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Email address")).to_have_value("ada@example.com")
    page.get_by_label("Email address").fill("linnea@example.com")
    page.get_by_label("User name").fill("linnea")
    page.get_by_role("button", name="Send invitation").click()
    expect(page.get_by_text("linnea was invited.")).to_be_visible()

    with demo.context() as context:
        invited = BrowserUser("linnea", demo, context.new_page())
        invited.page.goto(f"/invite/{invited.secret_in_email('ada invites you')}")
        invited.page.get_by_label("Password").fill(PASSWORD)
        invited.page.get_by_role("button", name="Accept and sign in").click()
        expect(invited.page.get_by_text("linnea", exact=True).first).to_be_visible()
        invited.page.goto("/account/keys")
        expect(invited.page).to_have_url(re.compile("/account/keys"))

    page.goto("/admin/users?sort=signed-in")
    first = page.locator("#found tbody tr").first
    expect(first).to_contain_text("linnea")
    expect(first).not_to_contain_text("Not verified")


def test_account_is_disabled_after_confirmation(demo: DemoSite, page: Page) -> None:
    """The confirmation says what will happen; canceling changes nothing."""
    new_user(demo.seaway, "mercator")
    demo.sign_in(page)
    page.goto("/admin/users/mercator")
    page.get_by_role("link", name="Disable account").click()
    expect(page.get_by_role("heading", name="Disable the account mercator?")).to_be_visible()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Disable account").click()
    page.get_by_role("button", name="Disable account").click()
    expect(page.get_by_text("mercator is disabled.")).to_be_visible()
    expect(page.get_by_role("link", name="Enable account")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_users_are_filtered(demo: DemoSite, scripts: bool) -> None:
    """At once with JavaScript, with a button without; the filters stay in the URL, and can be cleared."""
    with demo.context(scripts=scripts) as context:
        page = context.new_page()
        demo.sign_in(page)
        page.goto("/admin/users")
        page.get_by_label("State").select_option("Disabled")
        page.get_by_label("Name or email address").fill("grace")
        if scripts:
            expect(page.get_by_role("button", name="Apply")).to_have_count(0)
        else:
            page.get_by_role("button", name="Apply").click()
        expect(page.locator("#found")).to_contain_text("1 user")
        expect(page).to_have_url(re.compile(r"q=grace&state=disabled"))
        expect(page.locator("#found tbody tr")).to_have_count(1)
        page.get_by_role("link", name="Clear filters").click()
        expect(page.locator("#found tbody tr").first).to_contain_text("ada")


def test_channel_is_deleted_by_an_admin(demo: DemoSite, page: Page) -> None:
    """The error of a wrong name stands at the field; the message names the channel."""
    Factory(demo.seaway).channel("driftwood", owner="turing")
    demo.sign_in(page)
    page.goto("/admin/channels")
    page.get_by_label("Owner").fill("turing")
    expect(page.locator("#found tbody tr")).to_have_count(1)
    page.get_by_role("link", name="driftwood", exact=True).click()
    page.get_by_role("link", name="Delete channel").click()
    page.get_by_label("Type driftwood to confirm").fill("flotsam")
    page.get_by_role("button", name="Delete this channel").click()
    expect(page.get_by_label("Type driftwood to confirm")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Type driftwood to confirm").fill("driftwood")
    page.get_by_role("button", name="Delete this channel").click()
    expect(page.get_by_text("The channel driftwood was deleted")).to_be_visible()
