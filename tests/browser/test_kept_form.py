"""What a user typed survives a confirmation that is required and a session that ended in another tab."""

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete, select, update

from seaway.database.tables import sessions, users
from tests.browser.demo_site import PASSWORD, DemoSite, new_user

pytestmark = pytest.mark.slow


def user_id(demo: DemoSite, name: str) -> int:
    with demo.seaway.site.database.read() as tx:
        return tx.execute(select(users.c.id).where(users.c.name == name)).scalar_one()


def fill_key_form(page: Page, name: str) -> None:
    page.goto("/account/keys")
    page.get_by_label("Name", exact=True).fill(name)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_key_is_created_after_the_password_was_confirmed(demo: DemoSite, scripts: bool) -> None:
    """Half an hour after signing in; with scripts, the form is sent without another click."""
    name = new_user(demo.seaway, f"late-{str(scripts).lower()}")
    with demo.context(scripts=scripts) as context:
        page = context.new_page()
        demo.sign_in(page, name)
        fill_key_form(page, "after half an hour")
        with demo.seaway.site.database.write_site() as tx:
            of_user = sessions.c.user_id == user_id(demo, name)
            tx.execute(update(sessions).where(of_user).values(confirmed_at=sessions.c.confirmed_at - 31 * 60_000))
        page.get_by_role("button", name="Create key").click()
        page.get_by_role("heading", name="Confirm access").wait_for()
        page.get_by_label(f"Password for {name}").fill(PASSWORD)
        page.get_by_role("button", name="Confirm", exact=True).click()
        if not scripts:
            page.get_by_role("button", name="Send").click()
        expect(page.locator("#secret")).to_contain_text("swy-u-")
        expect(page.get_by_role("table")).to_contain_text("after half an hour")


def test_form_is_sent_after_signing_in_in_another_tab(demo: DemoSite) -> None:
    name = new_user(demo.seaway, "two-tabs")
    with demo.context() as context:
        page = context.new_page()
        demo.sign_in(page, name)
        fill_key_form(page, "of two tabs")
        with demo.seaway.site.database.write_site() as tx:
            tx.execute(delete(sessions).where(sessions.c.user_id == user_id(demo, name)))
        page.get_by_role("button", name="Create key").click()
        page.get_by_role("heading", name="Your session has ended").wait_for()
        with context.expect_page() as opened:
            page.get_by_role("link", name="Sign in (new tab)").click()
        other = opened.value
        other.get_by_label("User name or email address").fill(name)
        other.get_by_label("Password").fill(PASSWORD)
        other.get_by_role("button", name="Sign in").click()
        other.get_by_role("heading", name="Continue in the other tab").wait_for()
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text(f"You are signed in as {name}")).to_be_visible()
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#secret")).to_contain_text("swy-u-")
