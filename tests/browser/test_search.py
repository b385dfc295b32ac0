"""Lists of packages: one search box, filters that apply at once, the sign of loading, the length on a phone."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.demo_site import DemoSite

pytestmark = pytest.mark.slow


def package_names(page: Page) -> list[str]:
    return page.locator("#found [data-hit]").all_inner_texts()


def test_search_box_of_every_page_takes_names_words_and_match_specs(page: Page) -> None:
    """`/` focuses it; there is one on each page, in the header. An unfinished match spec is no error."""
    for path in ("/", "/search", "/channels", "/channels/robots", "/channels/robots/packages/gripper", "/docs"):
        page.goto(path)
        page.keyboard.press("/")
        expect(page.locator("[data-search]")).to_have_count(1)
        expect(page.locator("[data-search]")).to_be_focused()
        page.keyboard.type("gripper >=2")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"/search\?q=gripper"))
        expect(page.locator("[data-hit]")).to_have_text(["gripper"])
        expect(page.locator(".p-version").last).to_have_text("2.0")
    page.goto("/search")
    for text in ("libtrajectory >", "libtrajectory >=", "libtrajectory >=1,<"):
        page.locator("[data-search]").fill(text)
        expect(page.locator("[data-hit]")).to_have_text(["libtrajectory"])
    page.locator("[data-search]").fill("gripper >=3")
    expect(page.get_by_role("heading", name='No packages match "gripper >=3"')).to_be_visible()


def test_filters_and_order_apply_at_once(page: Page) -> None:
    """The chosen field keeps the focus, the URL can be shared, and Back leaves the list."""
    page.goto("/")
    page.goto("/search?q=tide")
    expect(page.get_by_role("status").filter(has_text="1 to 30 of 53 packages")).to_be_visible()
    page.get_by_label("Platform").focus()
    page.get_by_label("Platform").select_option("linux-64")
    expect(page.locator("#found [data-hit]").first).to_have_text("tide-brest-01")
    expect(page).to_have_url("/search?q=tide&subdir=linux-64")
    expect(page.get_by_label("Platform")).to_be_focused()
    page.get_by_label("License").select_option("Apache-2.0")
    expect(page.get_by_text("No packages match")).to_be_visible()
    page.get_by_role("link", name="Search without filters").click()
    page.get_by_label("License").select_option("Apache-2.0")
    expect(page.get_by_text("13 packages")).to_be_visible()
    page.get_by_label("Channel", exact=True).select_option("tide-tables")
    page.get_by_label("Sort by").select_option("downloads")
    expect(page).to_have_url("/search?q=tide&sort=downloads&channel=tide-tables&license=Apache-2.0")
    counts = [int(text.split()[0]) for text in page.locator("td.p-downloads").all_inner_texts()]
    assert 13 == len(counts)
    assert sorted(counts, reverse=True) == counts


def test_channel_page_is_filtered_at_once_and_paged(page: Page) -> None:
    page.goto("/channels/tide-tables")
    expect(page.get_by_text("1 to 50 of 53 packages")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("51 to 53 of 53 packages")).to_be_visible()
    page.get_by_role("link", name="Previous").click()
    expect(page.get_by_text("1 to 50 of 53 packages")).to_be_visible()
    page.get_by_label("Sort by").select_option("updated")
    expect(page.locator("[data-hit]").first).to_have_text("tide-" + "x" * 59)
    page.get_by_label("Platform").select_option("osx-arm64")
    expect(page.get_by_text("9 packages", exact=True)).to_be_visible()
    page.get_by_label("Filter packages of this channel").fill("vigo")
    expect(page.locator("[data-hit]").first).to_have_text(re.compile("^tide-vigo"))
    expect(page).to_have_url("/channels/tide-tables?q=vigo&sort=updated&subdir=osx-arm64")
    page.get_by_role("link", name="Show all 53 packages").click()
    expect(page).to_have_url("/channels/tide-tables")


def test_lists_without_javascript(demo: DemoSite) -> None:
    """A button applies the filters."""
    with demo.context(scripts=False) as context:
        page = context.new_page()
        page.goto("/channels/tide-tables")
        page.get_by_label("License").select_option("MIT")
        page.get_by_role("button", name="Apply").click()
        expect(page.get_by_text("14 packages")).to_be_visible()


def test_old_results_are_marked_while_new_ones_load(page: Page) -> None:
    """Also after a failure."""
    page.goto("/search?q=tide")
    answers = iter(["late", "failed"])

    def answer(route: Route) -> None:
        if next(answers) == "late":
            held.append(route)
        else:
            route.fulfill(status=503, body="The database is away.")

    held: list[Route] = []
    page.route("**/search?q=calibration*", answer)
    with page.expect_request("**/search?q=calibration*"):
        page.locator("[data-search]").fill("calibration")
    expect(page.get_by_text("Searching…")).to_be_visible()
    expect(page.locator("#found")).to_have_attribute("aria-busy", "true")
    expect(page.locator("#found")).not_to_have_css("opacity", "1")
    page.wait_for_function("document.querySelector('#found').ariaBusy === 'true'")
    held[0].continue_()
    expect(page.locator("[data-hit]")).to_have_text(["calibration"])
    expect(page.get_by_text("Searching…")).to_have_count(0)
    expect(page.locator("#found")).to_have_css("opacity", "1")
    with page.expect_request("**/search?q=calibration*"):
        page.get_by_label("Sort by").select_option("updated")
    expect(page.get_by_text("The search failed. Try again.")).to_be_visible()
    expect(page.locator("table.packages")).not_to_have_css("opacity", "1")


def test_channel_of_50_packages_is_short_on_a_phone(demo: DemoSite) -> None:
    """Two lines for each; a name and a version of 64 characters push nothing out of sight."""
    with demo.context(width=390) as context:
        page = context.new_page()
        page.goto("/channels/tide-tables")
        assert 50 == page.locator("[data-hit]").count()
        assert 4_500 > page.evaluate("document.documentElement.scrollHeight")
        for path in ("/channels/tide-tables?sort=updated", "/search?q=tide&sort=updated"):
            page.goto(path)
            assert 390 == page.evaluate("document.documentElement.scrollWidth")
    with demo.context(width=1440) as context:
        page = context.new_page()
        page.goto("/channels/tide-tables?sort=updated")
        heights = {row.bounding_box()["height"] for row in page.locator(".packages tbody tr").all()}  # type: ignore[index]
        assert 60 > max(heights)
        assert page.locator("td.p-updated").first.is_visible()
        assert 1440 == page.evaluate("document.documentElement.scrollWidth")
