"""Whole stories without a mouse: Tab, arrows, Space, Enter and what is typed, and the focus is seen wherever it is."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.stage import PASSWORD, Stand, new_user
from tests.support.packages import conda, index_json
from tests.support.sites import Factory

pytestmark = pytest.mark.slow

_MOST_STOPS = 80
_IS_SEEN = """one => {
  const look = (where) => getComputedStyle(where).outlineStyle !== "none" || getComputedStyle(where).boxShadow !== "none";
  return look(one) || look(one.parentElement);
}"""


def reach(page: Page, wanted: Locator) -> None:
    """Tab by tab until the focus is there, and is seen."""
    for _ in range(_MOST_STOPS):
        page.keyboard.press("Tab")
        if wanted.evaluate("one => one === document.activeElement"):
            assert wanted.evaluate(_IS_SEEN), f"the focus on {wanted} is not seen"
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
    page.wait_for_url("**/account")


def test_a_channel_from_its_making_to_its_end(stand: Stand, page: Page, tmp_path: Path) -> None:
    """Sign in, make a channel, open it to all, upload, find, choose a chart, yank, delete by the name typed."""
    sign_in(page, new_user(stand.beside, "helmsman"))
    press(page, "link", "Channels")
    page.wait_for_url("**/channels")
    press(page, "link", "New channel")
    page.wait_for_url("**/channels/new")
    page.keyboard.type("by-keyboard")  # the form begins with its first field
    reach(page, page.get_by_label("Private"))
    page.keyboard.press("ArrowDown")
    press(page, "button", "Create channel")
    page.wait_for_url("**/channels/by-keyboard")
    assert page.get_by_text("Public", exact=True).is_visible()

    press(page, "link", "Upload")
    page.wait_for_url("**/settings/upload")
    stored = conda(index_json("tiller")).write_to(tmp_path)
    # Listened to from before the way there: a browser that is told in the moment of the key may miss it.
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
    reach(page, page.get_by_label("In the last"))
    page.keyboard.type("9")
    expect(page.locator("[data-sum]")).to_contain_text("in 90 days")
    expect(page.get_by_label("In the last")).to_be_focused()

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
    assert not page.get_by_text("by-keyboard").is_visible()


def test_the_menu(stand: Stand, page: Page) -> None:
    """It opens, is walked, and leads on; leaving is one more stop."""
    sign_in(page, new_user(stand.beside, "lookout"))
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


def test_somebody_is_let_in(stand: Stand, page: Page) -> None:
    """A name typed, a role chosen by its first letter, and the membership ended again."""
    owner, guest = new_user(stand.beside, "bosun"), new_user(stand.beside, "stowaway")
    Factory(stand.beside).channel("crew-list", owner=owner)
    sign_in(page, owner)
    page.goto("/channels/crew-list/settings/members")
    fill(page, "User name or email address", guest)
    reach(page, page.locator("#role"))
    page.keyboard.type("V")
    press(page, "button", "Add")
    row = page.get_by_role("row").filter(has_text=guest)
    expect(row.get_by_role("combobox")).to_have_value("viewer")
    press(page, "button", f"Remove {guest}")
    expect(row).to_have_count(0)
