"""Use of the pages by keyboard only; the focus must be visible at every stop."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.demo_site import PASSWORD, DemoSite, new_user
from tests.support.packages import conda, index_json
from tests.support.sites import Factory

pytestmark = pytest.mark.slow

_MAX_STOPS = 80
_HAS_VISIBLE_FOCUS = """element => {
  const isMarked = (node) => getComputedStyle(node).outlineStyle !== "none" || getComputedStyle(node).boxShadow !== "none";
  return isMarked(element) || isMarked(element.parentElement);
}"""


def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until the element has the focus; the focus must be visible."""
    for _ in range(_MAX_STOPS):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            assert wanted.evaluate(_HAS_VISIBLE_FOCUS), f"the focus on {wanted} is not visible"
            return
    pytest.fail(f"no Tab leads to {wanted}")


def fill(page: Page, label: str, text: str) -> None:
    reach(page, page.get_by_label(label, exact=True))
    page.keyboard.type(text)


def press(page: Page, role: str, name: str, key: str = "Enter") -> None:
    reach(page, page.locator("body").get_by_role(role, name=name, exact=True).first)  # type: ignore[arg-type]
    page.keyboard.press(key)


def sign_in(page: Page, name: str) -> None:
    page.goto("/")
    press(page, "link", "Sign in")
    page.get_by_role("heading", name="Sign in").wait_for()
    page.evaluate("document.activeElement.blur()")
    fill(page, "User name or email address", name)
    fill(page, "Password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/home")


def test_channel_from_creation_to_deletion(demo: DemoSite, page: Page, tmp_path: Path) -> None:
    """Sign in, create a public channel, upload, search, change the chart, yank, delete."""
    sign_in(page, new_user(demo.seaway, "helmsman"))
    press(page, "link", "Channels")
    page.wait_for_url("**/channels")
    press(page, "link", "New channel")
    page.wait_for_url("**/channels/new")
    page.keyboard.type("by-keyboard")  # the first field has the focus
    reach(page, page.get_by_label("Private"))
    page.keyboard.press("ArrowDown")
    press(page, "button", "Create channel")
    page.wait_for_url("**/channels/by-keyboard")
    assert page.get_by_text("Public", exact=True).is_visible()

    press(page, "link", "Upload")
    page.wait_for_url("**/settings/upload")
    stored = conda(index_json("tiller")).write_to(tmp_path)
    # Registered before the focus moves: the browser may miss a handler that is registered just before the key press.
    page.on("filechooser", lambda chooser: chooser.set_files(stored))
    reach(page, page.locator("[data-files]"))
    page.keyboard.press("Enter")
    row = page.get_by_role("listitem").filter(has_text=stored.name)
    expect(row).to_contain_text("Published")

    page.keyboard.press("/")
    page.keyboard.type("tiller")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=tiller")
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/by-keyboard/packages/tiller")
    period = page.get_by_role("group", name="Period").get_by_role("link", name="90 days")
    reach(page, period)
    page.keyboard.press("Enter")
    expect(page.locator("[data-sum]")).to_contain_text("in 90 days")
    expect(period).to_be_focused()

    press(page, "link", "h1_0")
    page.wait_for_url("**/files/noarch/tiller-1.0-h1_0.conda")
    press(page, "button", f"Yank {stored.name}")
    page.get_by_text("Solvers no longer choose yanked files").wait_for()
    press(page, "button", "Yank this file")
    page.get_by_text("Yanked: ignored by solvers").wait_for()

    page.goto("/channels/by-keyboard/settings/danger")
    fill(page, "Type by-keyboard to confirm", "by-keyboard")
    press(page, "button", "Delete this channel")
    page.wait_for_url("**/channels")
    expect(page.get_by_text("The channel by-keyboard and its 1 package were deleted.")).to_be_visible()
    expect(page.get_by_role("link", name="by-keyboard")).to_have_count(0)


def test_user_menu_by_keyboard(demo: DemoSite, page: Page) -> None:
    """The menu opens, its links work, and signing out is one of its stops."""
    sign_in(page, new_user(demo.seaway, "lookout"))
    reach(page, page.locator("[data-menu] summary"))
    page.keyboard.press("Space")
    press(page, "link", "API keys")
    page.wait_for_url("**/account/keys")
    fill(page, "Name", "by keyboard")
    reach(page, page.locator("#mode-READ_WRITE"))
    page.keyboard.press("ArrowUp")
    press(page, "button", "Create key")
    assert page.locator("#secret").inner_text().startswith("swy-u-")
    reach(page, page.locator("[data-menu] summary"))
    page.keyboard.press("Enter")
    press(page, "button", "Sign out")
    page.get_by_role("link", name="Sign in").first.wait_for()


def test_member_is_added_and_removed_by_keyboard(demo: DemoSite, page: Page) -> None:
    """The first letter of a role selects it."""
    owner, guest = new_user(demo.seaway, "bosun"), new_user(demo.seaway, "stowaway")
    Factory(demo.seaway).channel("crew-list", owner=owner)
    sign_in(page, owner)
    page.goto("/channels/crew-list/settings/members")
    fill(page, "User, group or email address", guest[:4])
    page.get_by_role("option", name=guest).wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    reach(page, page.locator("#role"))
    page.keyboard.type("V")
    press(page, "button", "Add")
    row = page.get_by_role("row").filter(has_text=guest)
    expect(row.get_by_label(f"Role of {guest}")).to_have_value("viewer")
    press(page, "button", f"Remove {guest}")
    expect(row).to_have_count(0)
