"""Finding a package by keyboard, as one types."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.stage import Stand

pytestmark = pytest.mark.slow


def test_slash_leads_to_the_search_and_arrows_to_a_package(page: Page) -> None:
    """From any page: `/`, a few letters, Enter; then the results follow what is typed, and arrows walk them."""
    page.goto("/channels/robots/packages/gripper")
    page.keyboard.press("/")
    page.keyboard.type("arm")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=arm")
    page.keyboard.press("/")
    page.keyboard.type("traject")
    expect(page.locator("[data-hit]")).to_have_count(1)
    expect(page).to_have_url("/search?q=traject")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/channels/robots/packages/libtrajectory")


def test_a_channel_is_searched_as_one_types(page: Page) -> None:
    """The table follows, and the address too, so that the page can be sent to somebody."""
    page.goto("/channels/robots")
    page.get_by_label("Search in robots").fill("kinem")
    expect(page.locator("#found tbody tr")).to_have_count(1)
    expect(page).to_have_url("/channels/robots?q=kinem")
    page.goto("/channels")
    page.get_by_label("Search channels").fill("harmonic")
    expect(page.locator("#found .card")).to_have_count(1)


PAPER = "getComputedStyle(document.querySelector('.chart rect')).fill"
# Whether the canvas holds a point of this colour.
PAINTED = """(colour) => {
  const canvas = document.querySelector("[data-canvas] canvas"), pen = canvas.getContext("2d");
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  const wanted = probe.getImageData(0, 0, 1, 1).data.join();
  const points = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  for (let at = 0; at < points.length; at += 4) if (points.slice(at, at + 4).join() === wanted) return true;
  return false;
}"""


def test_the_chart_of_downloads(page: Page) -> None:
    """Drawn with the colours of the page by day and by night; another choice keeps the place and the focus."""
    page.goto("/channels/robots/packages/pixi-editor?version=1.0.0")
    day = page.evaluate(PAPER)
    assert page.evaluate(PAINTED, day)
    page.get_by_role("button", name="Switch to dark theme").click()
    night = page.evaluate(PAPER)
    assert day != night
    assert page.evaluate(PAINTED, night)
    before = page.locator("[data-sum]").inner_text()
    page.get_by_label("Version", exact=True).focus()
    page.get_by_label("Version", exact=True).select_option("2.0.0")
    expect(page.locator("[data-sum]")).to_have_text(re.compile("in 30 days for 2.0.0$"))
    assert before != page.locator("[data-sum]").inner_text()
    expect(page.get_by_label("Version", exact=True)).to_be_focused()
    page.get_by_label("In the last").select_option("365")
    expect(page.locator("[data-sum]")).to_have_text(re.compile("in 365 days for 2.0.0$"))
    expect(page).to_have_url(re.compile(r"\?version=1.0.0&of=2.0.0&days=365$"))
    assert page.evaluate(PAINTED, night)
    page.locator("[data-canvas] .u-over").hover()
    expect(page.locator("[data-caption]")).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d: \d+ downloads?$"))


def test_the_chart_without_scripts(stand: Stand) -> None:
    """The server's drawing, and a form."""
    with stand.context(scripts=False) as context:
        page = context.new_page()
        page.goto("/channels/robots/packages/pixi-editor")
        page.get_by_label("In the last").select_option("90")
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("[data-sum]")).to_have_text(re.compile("in 90 days$"))
        assert page.locator("svg.chart rect").count() > 60
        page.get_by_text("Show as table").click()
        expect(page.locator("[data-day]").first).to_be_visible()
