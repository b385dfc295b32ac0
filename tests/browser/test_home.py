"""Home page and account pages: the first steps, an invitation, a new key, sign-up with errors, an unverified user."""

from collections.abc import Iterator
from itertools import count

import httpx
import pytest
from playwright.sync_api import Page, expect

from seaway.callers.caller import OPERATOR
from seaway.channels import invitations
from seaway.channels.roles import Role
from tests.browser.demo_site import PASSWORD, DemoSite, new_user
from tests.browser.user_browser import BrowserUser, browser_user
from tests.support.packages import REAL
from tests.support.requests import bearer, wait_until
from tests.support.sites import Factory

pytestmark = pytest.mark.slow

EDITOR = REAL / "pixi" / "noarch" / "pixi-editor-2.0.0-h4616a5c_0.conda"
_numbers = count(1)


@pytest.fixture
def user(demo: DemoSite) -> Iterator[BrowserUser]:
    """A signed-in user without channels and keys."""
    with browser_user(demo, new_user(demo.seaway, f"sailor-{next(_numbers)}")) as new:
        demo.sign_in(new.page, new.name)
        yield new


def test_checklist_leads_from_an_empty_account_to_the_first_install(demo: DemoSite, user: BrowserUser) -> None:
    """Its links lead through all steps; it disappears with the first download."""
    page, channel = user.page, f"first-steps-{next(_numbers)}"
    page.goto("/home")
    steps = page.locator(".checklist > li")
    expect(steps).to_have_count(4)
    page.get_by_role("link", name="Create a channel").first.click()
    page.get_by_label("Name", exact=True).fill(channel)
    page.get_by_role("button", name="Create channel").click()
    page.wait_for_url(f"**/channels/{channel}")

    page.goto("/home")
    expect(page.locator("#step-3-pixi")).to_have_text(
        f"pixi upload prefix --url {demo.address} --channel {channel} PACKAGE.conda"
    )
    page.get_by_role("link", name="Create an API key").click()
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()

    page.goto("/home")
    page.get_by_role("link", name="Upload in the browser").click()
    page.wait_for_url(f"**/channels/{channel}/settings/upload")
    user.drop(channel, EDITOR)

    page.goto("/home")
    expect(page.locator(".checklist > .done")).to_have_count(3)
    expect(page.locator("#step-4-pixi")).to_contain_text(f"{demo.address}/{channel} && pixi add pixi-editor")
    expect(page.get_by_role("link", name=EDITOR.name)).to_be_visible()
    got = httpx.get(f"{demo.address}/{channel}/noarch/{EDITOR.name}", headers=bearer(secret))
    assert 200 == got.status_code

    def is_gone() -> bool:
        page.goto("/home")
        return page.get_by_role("heading", name="Getting started").count() == 0

    wait_until(is_gone)


def test_invitation_is_accepted_on_the_home_page(demo: DemoSite, user: BrowserUser) -> None:
    """With one click, without the email."""
    channel = Factory(demo.seaway).channel(f"crew-{next(_numbers)}", owner=f"captain-{next(_numbers)}", public=False)
    with demo.seaway.site.database.write_site() as tx:
        now_ms = demo.seaway.site.clock.now_ms()
        invitations.invite(tx, now_ms, OPERATOR, channel, user.address, Role.CONTRIBUTOR, outbox=None)
    user.page.goto("/home")
    user.page.get_by_role("button", name=f"Accept the invitation to {channel}").click()
    user.page.wait_for_url(f"**/channels/{channel}")
    expect(user.page.get_by_text(f"You joined {channel} as a contributor.")).to_be_visible()


def test_new_key_shows_the_login_of_each_tool(demo: DemoSite, user: BrowserUser) -> None:
    """All errors of the form at once, then the secret with the lines to paste, and the key in the list."""
    page = user.page
    page.goto("/account/keys")
    page.get_by_label("Name", exact=True).fill(" ")
    page.get_by_role("radio", name="Only selected channels").check()
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#name-error")).to_be_visible()
    expect(page.locator("#channels-error")).to_contain_text("No channels are selected")

    page.get_by_label("Name", exact=True).fill("workstation")
    page.get_by_role("radio", name="All channels").check()
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    for tool in ("pixi", "rattler", "conda", "mamba", "env", "curl"):
        expect(page.locator(f"#login-{tool}")).to_contain_text(secret)
    row = page.get_by_role("row", name="workstation")
    for text in ("Active", "Read and publish (READ_WRITE)", "in 90 days", "never"):
        expect(row).to_contain_text(text)
    page.get_by_role("button", name="Revoke the key workstation").click()
    page.get_by_role("button", name="Revoke key").click()
    expect(page.get_by_text("The key workstation was revoked.")).to_be_visible()
    expect(page.get_by_role("row", name="workstation")).to_contain_text("Revoked")


def test_sign_up_reports_three_errors_and_keeps_the_input(page: Page) -> None:
    page.goto("/signup")
    page.get_by_label("User name").fill("Not A Name")
    page.get_by_label("Email address").fill("someone@nowhere")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Create account").click()
    for field in ("name", "address", "password"):
        expect(page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
        expect(page.locator(f"#{field}-error")).to_be_visible()
    assert ("not a name", "someone@nowhere") == (page.input_value("#name"), page.input_value("#address"))
    assert "" == page.input_value("#password")


def test_unverified_user_sees_what_to_do(demo: DemoSite) -> None:
    """A banner with one button, no form that can only fail, and everything open after the link of the email."""
    with browser_user(demo, f"recruit-{next(_numbers)}") as recruit:
        page = recruit.page
        page.goto("/signup")
        page.get_by_label("User name").fill(recruit.name)
        page.get_by_label("Email address").fill(recruit.address)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()
        page.get_by_role("link", name="Go to home").click()
        expect(page.get_by_text("Verify your email address.")).to_be_visible()
        page.goto("/account/keys")
        expect(page.get_by_role("button", name="Create key")).to_have_count(0)
        page.get_by_role("button", name="Resend email").click()
        expect(page.get_by_text(f"We sent a verification email to {recruit.address}.")).to_be_visible()
        page.goto(f"/verify/{recruit.secret_in_email('Verify your email address')}")
        page.get_by_role("button", name="Verify address").click()
        page.wait_for_url("**/home")
        expect(page.get_by_text(f"Your email address {recruit.address} is verified.")).to_be_visible()
        expect(page.get_by_role("heading", name="Getting started")).to_be_visible()
