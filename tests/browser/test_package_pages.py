"""Package and file pages: install tabs, yank with undo, deletion of the last file, long names, downloads."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.demo_packages import BUILT
from tests.browser.demo_site import LONG, PASSWORD, DemoSite, new_user
from tests.browser.user_browser import BrowserUser, browser_user
from tests.support.packages import conda, index_json
from tests.support.requests import upload
from tests.support.sites import Factory

pytestmark = pytest.mark.slow

TOOLS = ("pixi", "conda", "mamba", "rattler-build")
# Elements that are wider than the box that contains them, or that reach beyond the window.
OVERFLOWING = """() => {
  const wide = [...document.querySelectorAll("main table, main ul, main dl, main section, main .paste, main h1")]
    .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth
      || (element.scrollWidth > element.clientWidth + 1 && element.matches("table, ul, dl, h1")));
  return [document.documentElement.scrollWidth > innerWidth, ...wide.map((element) => element.outerHTML.slice(0, 80))];
}"""


def sign_in_new_owner(demo: DemoSite, user: BrowserUser, channel: str, *builds: tuple[str, str]) -> None:
    """Create the account of a user with a channel and builds of the package `servo`: pairs of version and build."""
    name = new_user(demo.seaway, user.name)
    factory = Factory(demo.seaway)
    factory.channel(channel, owner=name, public=True)
    key = factory.key(name)
    with demo.server.client() as client:
        for version, build in builds:
            assert upload(client, channel, conda(index_json("servo", version, build=build)), key).status_code == 201
    user.page.goto("/signin")
    user.page.get_by_label("User name or email address").fill(name)
    user.page.get_by_label("Password").fill(PASSWORD)
    user.page.get_by_role("button", name="Sign in").click()
    user.page.wait_for_url(re.compile("/(home|account)$"))


def panel(page: Page, tool: str) -> Locator:
    return page.get_by_role("tabpanel", name=tool)


def test_install_tabs_remember_the_tool(demo: DemoSite, page: Page) -> None:
    """Tabs work with the mouse and the arrow keys; every box of every page shows the tool that was chosen last."""
    page.goto("/channels/robots/packages/gripper")
    expect(panel(page, "pixi")).to_contain_text("pixi add gripper")
    page.get_by_role("tab", name="conda", exact=True).click()
    expect(panel(page, "conda")).to_contain_text("conda install -c")
    expect(panel(page, "pixi")).to_be_hidden()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="rattler-build")).to_be_focused()
    expect(page.get_by_role("tab", selected=True)).to_have_text("rattler-build")
    expect(panel(page, "rattler-build")).to_contain_text("Add gripper to the requirements in recipe.yaml")
    page.keyboard.press("Home")
    expect(page.get_by_role("tab", name="pixi")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.goto("/channels/robots/packages/pixi-editor")
    expect(page.get_by_role("tab", selected=True)).to_have_text("conda")
    expect(panel(page, "conda")).to_contain_text("pixi-editor")
    page.goto("/channels/robots")
    expect(page.get_by_label("Use this channel").get_by_role("tab", selected=True)).to_have_text("conda")
    demo.sign_in(page)
    page.goto("/channels/robots")
    page.get_by_text("Publish to this channel").click()
    publishing = page.locator("details").filter(has_text="Publish to this channel")
    expect(publishing.get_by_text("pixi upload prefix")).to_be_visible()  # there is none for conda


def test_all_commands_are_shown_without_javascript(demo: DemoSite) -> None:
    """And the versions open, and dependents are on a page of their own."""
    with demo.context(scripts=False) as context:
        page = context.new_page()
        page.goto(f"/channels/robots/packages/{BUILT}")
        for tool, text in zip(
            TOOLS, ("pixi add", "conda install", "mamba install", "rattler-build build"), strict=True
        ):
            box = page.locator(f".install-line[data-tool={tool}]")
            expect(box.get_by_role("paragraph").first).to_have_text(tool)
            expect(box).to_contain_text(text)
        expect(page.get_by_role("tab")).to_have_count(0)
        expect(page.get_by_role("link", name="py39_0", exact=True)).to_have_count(3)
        expect(page.get_by_title("1.9.0", exact=True)).to_be_visible()
        page.get_by_title("1.9.0", exact=True).click()
        expect(page.get_by_role("link", name="h1_0", exact=True)).to_be_visible()
        page.goto("/channels/robots/packages/gripper/dependents")
        expect(page.get_by_role("link", name=BUILT)).to_be_visible()


def test_version_is_yanked_in_two_clicks_and_undone(demo: DemoSite) -> None:
    """The button next to a version, then the confirmation; Undo restores the 15 builds, but not one yanked before."""
    with browser_user(demo, "mauchly") as user:
        page = user.page
        builds = [("2.0", f"h1_{number}") for number in range(15)]
        sign_in_new_owner(demo, user, "drivers", ("1.0", "h1_0"), *builds, ("2.0", "old_0"))
        page.goto("/channels/drivers/packages/servo/files/noarch/servo-2.0-old_0.conda")
        page.get_by_role("button", name="Yank").click()
        page.get_by_role("button", name="Yank this file").click()
        page.goto("/channels/drivers/packages/servo")
        page.get_by_role("button", name="Yank version 2.0").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Yank servo 2.0?")
        expect(page.get_by_text("All 16 files of servo 2.0")).to_be_visible()
        expect(page.get_by_label("Reason")).to_be_visible()
        page.get_by_role("button", name="Yank 16 files").click()
        expect(page.locator("[data-message]")).to_contain_text("servo 2.0 was yanked: 15 files.")
        expect(page.get_by_text("Version 2.0 is yanked.")).to_be_visible()
        expect(page.get_by_role("tab")).to_have_count(0)
        expect(page.get_by_role("link", name="Install 1.0 instead")).to_be_visible()
        page.get_by_role("button", name="Undo").click()
        expect(page.locator("[data-message]")).to_contain_text("solvers can choose 15 files again")
        expect(page.get_by_text("partly yanked")).to_be_visible()
        expect(page.locator(".builds .tag", has_text="yanked")).to_have_count(1)


def test_selected_files_are_deleted_and_the_channel_is_shown_after_the_last(demo: DemoSite) -> None:
    """The buttons for the selection appear with the first selected file; nothing ends on an error page."""
    with browser_user(demo, "eckert") as user:
        page = user.page
        sign_in_new_owner(demo, user, "motors", ("1.0", "a_0"), ("1.0", "b_0"), ("1.0", "c_0"))
        page.goto("/channels/motors/packages/servo")
        expect(page.get_by_text("Selected files:")).to_be_hidden()
        for build in ("a_0", "b_0"):
            page.get_by_label(f"Select noarch/servo-1.0-{build}.conda").check()
        page.get_by_role("button", name="Delete selected files").click()
        page.get_by_role("button", name="Delete 2 files").click()
        expect(page.locator("[data-message]")).to_contain_text("2 files of servo were deleted.")
        page.get_by_role("button", name="Delete version 1.0").click()
        page.get_by_role("button", name="Delete this file").click()
        expect(page).to_have_url("/channels/motors")
        expect(page.locator("[data-message]")).to_contain_text("servo-1.0-c_0.conda was deleted.")
        expect(page.get_by_role("heading", name="motors")).to_be_visible()


def test_package_without_listed_files_has_a_warning_instead_of_commands(page: Page) -> None:
    page.goto("/channels/robots/packages/legacy-driver")
    expect(page.get_by_text("All versions of legacy-driver are yanked.")).to_be_visible()
    expect(page.get_by_text("Reason: Burns motors.")).to_be_visible()
    expect(page.get_by_role("tab")).to_have_count(0)
    assert "pixi add" not in page.content()


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_longest_names_fit(demo: DemoSite, width: int) -> None:
    """A version and a build string of 64 characters, the longest that are accepted, push nothing out of sight."""
    with demo.context(width=width) as context:
        page = context.new_page()
        demo.sign_in(page)
        package = "/channels/robots/packages/gripper-firmware"
        for path in (package, f"{package}/files/linux-64/{LONG}", "/channels/robots/packages/force-sensor"):
            page.goto(path)
            assert [False] == page.evaluate(OVERFLOWING), path


def test_download_button(page: Page) -> None:
    """It downloads the file whose URL and SHA-256 are on the page."""
    page.goto("/channels/robots/packages/gripper/files/noarch/gripper-1.0-h1_0.conda")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert "gripper-1.0-h1_0.conda" == download.value.suggested_filename
    for label in ("URL", "SHA-256"):
        expect(page.get_by_role("group", name=label)).to_be_visible()
        expect(page.get_by_role("button", name=f"Copy {label}")).to_be_visible()
