"""Every page: what axe-core finds, what the browser refuses, how narrow it may be, what a keyboard reaches."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.browser.stage import PAGES, Shot, Stand

pytestmark = pytest.mark.slow

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass(frozen=True)
class Pair:
    """Two browsers in one chart: one signed in, one not."""

    signed_in: Page
    nobody: Page
    watched: tuple[Watched, Watched]
    host: str

    def open(self, shot: Shot) -> Page:
        page = self.signed_in if shot.signed_in else self.nobody
        page.goto(shot.path)
        return page


@pytest.fixture(scope="module", params=["day", "night"])
def pair(request: pytest.FixtureRequest, stand: Stand) -> Iterator[Pair]:
    dark = request.param == "night"
    with stand.context(dark=dark) as mine, stand.context(dark=dark) as nobodys:
        watched = Watched(mine), Watched(nobodys)
        signed_in = mine.new_page()
        stand.sign_in(signed_in)
        yield Pair(signed_in, nobodys.new_page(), watched, stand.address.split("/")[2])


@pytest.mark.parametrize("shot", PAGES, ids=lambda shot: shot.name)
def test_axe_finds_nothing(pair: Pair, shot: Shot) -> None:
    """By day and by night; and the policy of the page refused nothing, and nothing came from elsewhere."""
    page = pair.open(shot)
    assert [] == findings(page)
    assert [] == [text for one in pair.watched for text in one.complaints]
    assert {pair.host} == pair.watched[0].hosts | pair.watched[1].hosts


def findings(page: Page) -> list[tuple[str, list[Any]]]:
    """What axe-core has to say, shortly. It comes in through the debugger, which no policy of a page binds."""
    result = page.evaluate(AXE + f";axe.run(document, {{runOnly: {TAGS}}})")
    return [(found["id"], [node["html"][:200] for node in found["nodes"]]) for found in result["violations"]]


def test_axe_finds_something_where_something_is_wrong(page: Page) -> None:
    """The test above can fail."""
    page.set_content("<html><body><img src='data:,'><input></body></html>")
    assert {"image-alt", "label"} <= {found for found, _ in findings(page)}


@pytest.mark.parametrize("width", [320, 768, 2560])
def test_nothing_sticks_out(stand: Stand, width: int) -> None:
    """No page is wider than its window."""
    with stand.context(width=width) as mine, stand.context(width=width) as nobodys:
        signed_in, nobody = mine.new_page(), nobodys.new_page()
        stand.sign_in(signed_in)
        wide = {}
        for shot in PAGES:
            page = signed_in if shot.signed_in else nobody
            page.goto(shot.path)
            wide[shot.name] = page.evaluate("document.documentElement.scrollWidth")
        assert {} == {name: found for name, found in wide.items() if found > width}


def test_the_keyboard_reaches_everything(stand: Stand, page: Page) -> None:
    """Tab by tab through a page with a form: the first stop is the way to the content, and every control is one."""
    stand.sign_in(page)
    page.goto("/account/keys")
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        where = page.evaluate("document.activeElement.outerHTML.slice(0, 60)")
        if where.startswith("<body"):
            break
        reached.append(where)
    assert 'href="#main"' in reached[0]
    assert any('href="/account/sessions"' in where for where in reached)
    controls = page.evaluate(
        "[...document.querySelectorAll('main button, main input:not([type=hidden]), main select')]"
        ".filter(one => one.checkVisibility() && (one.type !== 'radio' || one.checked)).map(one => one.outerHTML.slice(0, 60))"
    )
    assert [] == [control for control in controls if control not in reached]


def test_the_menu_opens_and_closes_by_keyboard(stand: Stand, page: Page) -> None:
    """Escape closes it and leaves the focus where it was."""
    stand.sign_in(page)
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("link", name="Your account").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("link", name="Your account").is_visible()
    assert "SUMMARY" == page.evaluate("document.activeElement.tagName")


def test_the_chosen_chart_stays(page: Page) -> None:
    """The switch changes day and night, and the next page has it from the first paint."""
    page.goto("/")
    colour = "getComputedStyle(document.body).color"
    day = page.evaluate(colour)
    page.get_by_role("button", name="Switch to dark theme").click()
    night = page.evaluate(colour)
    assert day != night
    page.goto("/signin")
    assert ("night", night) == (page.evaluate("document.documentElement.dataset.theme"), page.evaluate(colour))


def test_without_a_network(stand: Stand) -> None:
    """A page says so, keeps what was typed, sends nothing into the void, and goes on when the network is back."""
    with stand.context() as context:
        page = context.new_page()
        stand.sign_in(page)
        page.goto("/channels/new")
        page.get_by_label("Description").fill("Long thought about.")
        page.get_by_label("Name", exact=True).fill("made-at-sea")
        context.set_offline(True)
        said = page.get_by_text("No connection")
        expect(said).to_be_visible()
        page.get_by_role("button", name="Create channel").click()
        expect(page).to_have_url(f"{stand.address}/channels/new")
        context.set_offline(False)
        expect(said).to_be_hidden()
        page.get_by_role("button", name="Create channel").click()
        page.wait_for_url("**/channels/made-at-sea")
        assert page.get_by_text("Long thought about.").is_visible()


def test_without_javascript(stand: Stand) -> None:
    """Signing in, a key, signing out: forms are forms."""
    with stand.context(scripts=False) as context:
        page = context.new_page()
        stand.sign_in(page)
        page.goto("/account/keys")
        page.get_by_label("Name", exact=True).fill("without scripts")
        page.get_by_role("button", name="Create key").click()
        assert page.locator("#secret").inner_text().startswith("swy-u-")
        page.locator("summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in").first).to_be_visible()
