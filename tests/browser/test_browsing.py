"""Search fields and the chart of downloads."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.demo_site import DemoSite

pytestmark = pytest.mark.slow


def test_slash_key_opens_search_and_arrow_keys_select_result(page: Page) -> None:
    """From any page: `/`, a few letters, Enter; results update while the user types, and arrow keys move through them."""
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


def test_filter_of_a_channel_updates_while_typing(page: Page) -> None:
    """The URL is updated too, so that it can be shared."""
    page.goto("/channels/robots")
    page.get_by_label("Filter packages of this channel").fill("waypoints")
    expect(page.locator("#found tbody tr")).to_have_count(1)
    expect(page).to_have_url("/channels/robots?q=waypoints")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-hit]")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Filter packages of this channel")).to_be_focused()
    page.goto("/channels")
    page.get_by_label("Filter channels by name").fill("harmonic")
    expect(page.locator("#found .card")).to_have_count(1)
    page.get_by_label("Sort by").select_option("updated")
    expect(page).to_have_url("/channels?q=harmonic&sort=updated")


BACKGROUND = "getComputedStyle(document.querySelector('.chart path')).fill"
# Whether the canvas has a pixel of this color.
HAS_COLOR = """(color) => {
  const canvas = document.querySelector("[data-canvas] canvas"), context = canvas.getContext("2d");
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = color;
  probe.fillRect(0, 0, 1, 1);
  const wanted = probe.getImageData(0, 0, 1, 1).data.join();
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  for (let i = 0; i < data.length; i += 4) if (data.slice(i, i + 4).join() === wanted) return true;
  return false;
}"""


def test_chart_of_downloads(page: Page) -> None:
    """It has the colors of the theme; choosing another version or period keeps the scroll position and the focus."""
    page.goto("/channels/robots/packages/pixi-editor?version=1.0.0")
    light = page.evaluate(BACKGROUND)
    assert page.evaluate(HAS_COLOR, light)
    page.get_by_role("button", name="Switch to dark theme").click()
    dark = page.evaluate(BACKGROUND)
    assert light != dark
    assert page.evaluate(HAS_COLOR, dark)
    before = page.locator("[data-sum]").inner_text()
    page.get_by_label("Version", exact=True).focus()
    page.get_by_label("Version", exact=True).select_option("2.0.0")
    expect(page.locator("[data-sum]")).to_have_text(re.compile("in 30 days for 2.0.0$"))
    assert before != page.locator("[data-sum]").inner_text()
    expect(page.get_by_label("Version", exact=True)).to_be_focused()
    page.get_by_role("link", name="365 days").click()
    expect(page.locator("[data-sum]")).to_have_text(re.compile("in 365 days for 2.0.0$"))
    expect(page.get_by_role("link", name="365 days")).to_be_focused()
    expect(page).to_have_url(re.compile(r"\?version=1.0.0&of=2.0.0&days=365$"))
    assert page.evaluate(HAS_COLOR, dark)
    page.locator("[data-canvas] .u-over").hover()
    expect(page.locator("[data-caption]")).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d: (Downloads \d+|no downloads)$"))


def test_the_last_choice_of_a_chart_counts(page: Page) -> None:
    """An answer that arrives after that of a later choice is not shown."""
    page.goto("/channels/robots/packages/pixi-editor?version=1.0.0")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile("days=90"), hold)
    page.get_by_role("link", name="90 days").click()
    page.get_by_role("link", name="365 days").click()
    expect(page.locator("[data-sum]")).to_have_text(re.compile("in 365 days$"))
    with page.expect_response(re.compile("days=90")) as arrived:
        held[0].continue_()
    arrived.value.finished()
    page.evaluate("new Promise((done) => setTimeout(done))")  # the scripts have seen the response
    expect(page.locator("[data-sum]")).to_have_text(re.compile("in 365 days$"))
    expect(page).to_have_url(re.compile("days=365"))


@pytest.mark.parametrize("answer", ["", "<p>No chart</p>"], ids=["no connection", "no chart"])
def test_chart_that_cannot_be_fetched_is_opened_as_a_page(page: Page, answer: str) -> None:
    page.goto("/channels/robots/packages/pixi-editor")
    page.route(
        re.compile("days=90"),
        lambda route: (
            route.fulfill(body=answer, content_type="text/html") if answer else route.abort("connectionreset")
        ),
        times=1,
    )
    with page.expect_navigation(url=re.compile("days=90")):
        page.get_by_role("link", name="90 days").click()
    expect(page.locator("[data-sum]")).to_have_text(re.compile("in 90 days$"))


def test_charts_of_statistics(page: Page) -> None:
    """The canvas has the colors of the legend; the pointer shows the numbers of a day."""
    page.goto("/channels/robots/statistics")
    expect(page.locator("[data-canvas] canvas")).to_have_count(2)
    page.get_by_role("link", name="Client").click()
    expect(page.locator(".chart-legend li")).to_have_count(5)
    assert page.evaluate(HAS_COLOR, page.evaluate("getComputedStyle(document.querySelectorAll('.swatch')[1]).color"))
    downloads, storage = page.locator("[data-caption]").all()
    page.locator("[data-canvas] .u-over").first.hover()
    expect(downloads).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d: Downloads \d+, pixi and rattler \d+, conda \d+, "))
    page.locator("[data-canvas] .u-over").last.hover()
    expect(storage).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d: Size \d+ kB, Files \d+, Packages \d+$"))


def test_chart_without_javascript(demo: DemoSite) -> None:
    """The server draws the chart, and links and a form change it."""
    with demo.context(scripts=False) as context:
        page = context.new_page()
        page.goto("/channels/robots/packages/pixi-editor")
        page.get_by_role("link", name="90 days").click()
        page.get_by_role("link", name="Version", exact=True).click()
        expect(page.locator("[data-sum]")).to_have_text(re.compile("in 90 days$"))
        assert page.locator("svg.chart rect").count() > 60
        assert page.locator("svg.chart path").count() == page.locator(".chart-legend li").count() == 2
        page.get_by_label("Version", exact=True).select_option("2.0.0")
        page.locator("[data-chart-section]").get_by_role("button", name="Apply").click()
        expect(page.locator("[data-sum]")).to_have_text(re.compile("in 90 days for 2.0.0$"))
        page.get_by_text("Show as table").click()
        expect(page.locator("[data-day]").first).to_be_visible()
