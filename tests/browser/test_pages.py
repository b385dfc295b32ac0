"""All pages: accessibility (axe-core), content security policy, width of the window, keyboard, theme, no network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserLog
from tests.browser.demo_site import PAGES, DemoPage, DemoSite

pytestmark = pytest.mark.slow

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass(frozen=True)
class Browsers:
    """A signed-in and an anonymous browser with the same theme."""

    signed_in: Page
    anonymous: Page
    logs: tuple[BrowserLog, BrowserLog]
    host: str

    def open(self, shown: DemoPage) -> Page:
        page = self.signed_in if shown.signed_in else self.anonymous
        page.goto(shown.path)
        return page


@pytest.fixture(scope="module", params=["light", "dark"])
def browsers(request: pytest.FixtureRequest, demo: DemoSite) -> Iterator[Browsers]:
    dark = request.param == "dark"
    with demo.context(dark=dark) as first, demo.context(dark=dark) as second:
        logs = BrowserLog(first), BrowserLog(second)
        signed_in = first.new_page()
        demo.sign_in(signed_in)
        yield Browsers(signed_in, second.new_page(), logs, demo.address.split("/")[2])


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
def test_axe_finds_no_violation(browsers: Browsers, shown: DemoPage) -> None:
    """In both themes; the browser reports no error and requests no other host."""
    page = browsers.open(shown)
    assert [] == violations(page)
    assert [] == [error for log in browsers.logs for error in log.errors]
    assert {browsers.host} == browsers.logs[0].hosts | browsers.logs[1].hosts


def violations(page: Page) -> list[tuple[str, list[Any]]]:
    """Run axe-core; return rule ids and elements. The debugger injects it, so the policy of the page does not apply."""
    result = page.evaluate(AXE + f";axe.run(document, {{runOnly: {TAGS}}})")
    return [(found["id"], [node["html"][:200] for node in found["nodes"]]) for found in result["violations"]]


def test_axe_finds_violations_on_wrong_page(page: Page) -> None:
    """The test above can fail."""
    page.set_content("<html><body><img src='data:,'><input></body></html>")
    assert {"image-alt", "label"} <= {rule for rule, _ in violations(page)}


# Right edges outside the window. Containers that scroll, and text for screen readers, may have wider content.
_CUT_OFF = """
  [...document.querySelectorAll("body *")]
    .filter((node) => node.checkVisibility() && !node.closest(".scroll, pre, .sr-only, .depths, .install-tabs, .side ul, .list.folds thead, .brand, .head summary, .plot"))
    .filter((node) => Math.floor(node.getBoundingClientRect().right) > innerWidth)
    .map((node) => node.outerHTML.slice(0, 80))
"""


@pytest.mark.parametrize("width", [320, 390, 768, 1440, 2560])
def test_no_page_is_wider_than_its_window(demo: DemoSite, width: int) -> None:
    """Also with names, versions and builds of the greatest length: nothing scrolls sideways, and nothing is cut off."""
    with demo.context(width=width) as first, demo.context(width=width) as second:
        signed_in, anonymous = first.new_page(), second.new_page()
        demo.sign_in(signed_in)
        found = {}
        for shown in PAGES:
            page = signed_in if shown.signed_in else anonymous
            response = page.goto(shown.path)
            assert response is not None
            assert response.status < 500, shown.name  # its error page would pass
            is_wider = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            found[shown.name] = (is_wider, page.evaluate(_CUT_OFF)[:3])
        assert {} == {name: result for name, result in found.items() if result != (False, [])}


def test_tab_key_reaches_all_controls(demo: DemoSite, page: Page) -> None:
    """On a page with a form: the first stop is the link that skips to the content."""
    demo.sign_in(page)
    page.goto("/account/keys")
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        element = page.evaluate("document.activeElement.outerHTML.slice(0, 60)")
        if element.startswith("<body"):
            break
        reached.append(element)
    assert 'href="#main"' in reached[0]
    assert any('href="/account/sessions"' in element for element in reached)
    controls = page.evaluate(
        "[...document.querySelectorAll('main button, main input:not([type=hidden]), main select')]"
        ".filter(control => control.checkVisibility() && (control.type !== 'radio' || control.checked))"
        ".map(control => control.outerHTML.slice(0, 60))"
    )
    assert [] == [control for control in controls if control not in reached]


def test_user_menu_opens_and_closes_by_keyboard(demo: DemoSite, page: Page) -> None:
    """Escape closes it and returns the focus to its button."""
    demo.sign_in(page)
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("link", name="Your account").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("link", name="Your account").is_visible()
    assert "SUMMARY" == page.evaluate("document.activeElement.tagName")


def test_chosen_theme_is_kept(page: Page) -> None:
    """The next page has it from the first paint."""
    page.goto("/")
    color = "getComputedStyle(document.body).color"
    light = page.evaluate(color)
    page.get_by_role("button", name="Switch to dark theme").click()
    dark = page.evaluate(color)
    assert light != dark
    page.goto("/signin")
    assert ("night", dark) == (page.evaluate("document.documentElement.dataset.theme"), page.evaluate(color))


def test_page_without_network(demo: DemoSite) -> None:
    """The page shows a message, keeps the input and does not send the form until the network is back."""
    with demo.context() as context:
        page = context.new_page()
        demo.sign_in(page)
        page.goto("/channels/new")
        page.get_by_label("Description").fill("Long thought about.")
        page.get_by_label("Name", exact=True).fill("made-at-sea")
        context.set_offline(True)
        message = page.get_by_text("No connection")
        expect(message).to_be_visible()
        page.get_by_role("button", name="Create channel").click()
        expect(page).to_have_url(f"{demo.address}/channels/new")
        context.set_offline(False)
        expect(message).to_be_hidden()
        page.get_by_role("button", name="Create channel").click()
        page.wait_for_url("**/channels/made-at-sea")
        assert page.get_by_text("Long thought about.").is_visible()


def test_pages_work_without_javascript(demo: DemoSite) -> None:
    """Sign in, create an API key, sign out."""
    with demo.context(scripts=False) as context:
        page = context.new_page()
        demo.sign_in(page)
        page.goto("/account/keys")
        page.get_by_label("Name", exact=True).fill("without scripts")
        page.get_by_role("button", name="Create key").click()
        assert page.locator("#secret").inner_text().startswith("swy-u-")
        page.locator("summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in").first).to_be_visible()
