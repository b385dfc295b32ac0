"""Components that all pages share: messages, the account menu, loading, chips, tables, print, high contrast."""

import re
from itertools import pairwise

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.demo_site import DemoSite
from tests.support.requests import wait_until

pytestmark = pytest.mark.slow

# Ratio of the contrast of a color with the nearest background, as WCAG defines it; `0` is the text, `1` the border.
_CONTRASTS = """element => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const over = (colors) => {
    for (const color of colors) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); }
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (data) => [0.2126, 0.7152, 0.0722].reduce((sum, part, at) => {
    const value = data[at] / 255;
    return sum + part * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  }, 0);
  const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  const behind = (node) => node ? [...behind(node.parentElement), getComputedStyle(node).backgroundColor] : [];
  const style = getComputedStyle(element);
  const inside = behind(element), outside = behind(element.parentElement);
  return [ratio(light(over([...inside, style.color])), light(over(inside))),
    ratio(light(over([...outside, style.borderTopColor])), light(over(outside)))];
}"""
_COUNT_ANNOUNCED = """
  window.announced = [];
  new MutationObserver((changes) => {
    if (document.readyState !== "complete") return;
    for (const change of changes) {
      if (change.target.closest?.("[data-message]")) window.announced.push(...[...change.addedNodes].map((node) => node.textContent));
    }
  }).observe(document, { childList: true, subtree: true });
"""


def theme(page: Page, name: str) -> Locator:
    return page.locator(f".style-theme[data-theme={name}]")


def test_message_is_announced_once_and_can_be_dismissed(page: Page) -> None:
    """Its text is inserted again after the page is loaded; the focus goes to the content when it is dismissed."""
    page.add_init_script(_COUNT_ANNOUNCED)
    page.goto("/style")
    wait_until(lambda: "Nothing changed." in page.evaluate("window.announced"))
    banners = theme(page, "day").locator(".message")
    expect(banners).to_have_count(2)
    dismiss = banners.first.get_by_role("button", name="Dismiss message")
    dismiss.focus()
    page.keyboard.press("Enter")
    expect(banners).to_have_count(1)
    expect(page.locator("#main")).to_be_focused()


def test_message_does_not_cover_the_content(page: Page) -> None:
    """It is part of the flow: what follows begins below it."""
    page.goto("/style")
    for banner in theme(page, "day").locator(".message").all():
        assert "static" == banner.evaluate("element => getComputedStyle(element).position")


def test_message_without_javascript_has_no_dead_button(demo: DemoSite) -> None:
    with demo.context(scripts=False) as context:
        page = context.new_page()
        page.goto("/style")
        banner = theme(page, "day").locator(".message").first
        expect(banner.get_by_role("button", name="Undo")).to_be_visible()
        expect(banner.locator("[data-dismiss]")).to_be_hidden()


def is_expanded(page: Page, name: str) -> bool:
    """Return what the accessibility tree says of a button with this name."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    found = [
        node
        for node in nodes
        if name in node.get("name", {}).get("value", "") and "DisclosureTriangle" in node["role"]["value"]
    ]
    return next(entry["value"]["value"] for entry in found[0]["properties"] if entry["name"] == "expanded")


def test_account_menu_by_keyboard(demo: DemoSite, page: Page) -> None:
    """The arrow keys open it and move in it; Escape and leaving it close it; screen readers learn whether it is open."""
    demo.sign_in(page)
    button = page.locator(".head summary")
    button.focus()
    assert not is_expanded(page, "Account menu for ada")
    page.keyboard.press("ArrowDown")
    assert is_expanded(page, "Account menu for ada")
    menu = page.locator(".head .menu-sheet")
    expect(menu.get_by_role("link", name="Home")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(menu.get_by_role("link", name="New channel")).to_be_focused()
    page.keyboard.press("End")
    expect(menu.get_by_role("button", name="Sign out")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(menu.get_by_role("link", name="Home")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(menu.get_by_role("button", name="Sign out")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(button).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    expect(menu).to_be_hidden()


def test_results_are_busy_while_a_search_runs(page: Page) -> None:
    """The old results stay, dimmed, until the new ones arrive."""
    page.goto("/search?q=gripper")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/search?q=arm", hold)
    results = page.locator("#found")
    with page.expect_request("**/search?q=arm"):
        page.get_by_role("searchbox").first.fill("arm")
    expect(results).to_have_attribute("aria-busy", "true")
    expect(results).to_have_css("opacity", "0.5")
    expect(results).to_contain_text("gripper")
    held[0].continue_()
    expect(results).to_contain_text("arm-driver")
    expect(results).not_to_have_attribute("aria-busy", "true")
    expect(results).to_have_css("opacity", "1")


@pytest.mark.parametrize("name", ["day", "night"])
def test_tags_and_chips_are_visible_in_both_themes(page: Page, name: str) -> None:
    """Text 4.5:1, borders 3:1 (WCAG 1.4.3 and 1.4.11)."""
    page.goto("/style")
    found = theme(page, name).locator(".tag, .platform").all()
    assert len(found) > 10
    for chip in found:
        text, border = chip.evaluate(_CONTRASTS)
        assert text >= 4.5, chip.inner_text()
        assert border >= 3, chip.inner_text()


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("signed_in", [False, True])
def test_header_is_one_line_on_a_phone(demo: DemoSite, width: int, *, signed_in: bool) -> None:
    """Brand, channels, theme and account are next to each other, and each is large enough for a finger."""
    with demo.context(width=width) as context:
        page = context.new_page()
        if signed_in:
            demo.sign_in(page)
        page.goto("/channels/robots")
        boxes = [
            found.bounding_box() for found in page.locator(".head :is(a, summary, button)").all() if found.is_visible()
        ]
        shown = [box for box in boxes if box is not None]
        assert len(shown) == (4 if signed_in else 5)
        middles = [box["y"] + box["height"] / 2 for box in shown]
        assert max(middles) - min(middles) < 4
        assert min(min(box["width"], box["height"]) for box in shown) >= 24
        ends = sorted((box["x"], box["x"] + box["width"]) for box in shown)
        assert all(end <= start for (_, end), (start, _) in pairwise(ends))
        assert ends[-1][1] <= width


def test_number_columns_alone_have_tabular_figures(page: Page) -> None:
    """A tabular hyphen is as wide as a digit: 2026-11 would fall apart."""
    page.goto("/style")
    figures = page.evaluate(
        "[...document.querySelectorAll('.list td')].map((cell) => [cell.classList.contains('number'), getComputedStyle(cell).fontVariantNumeric])"
    )
    assert {(True, "tabular-nums"), (False, "normal")} == {tuple(pair) for pair in figures}


def test_printed_page_has_black_text_and_no_controls(demo: DemoSite) -> None:
    """Also from the dark theme, whose text would be invisible on paper."""
    with demo.context(dark=True) as context:
        page = context.new_page()
        page.goto("/channels/robots/packages/gripper")
        page.emulate_media(media="print", color_scheme="dark")
        assert re.fullmatch(r"rgb\(0, 0, 0\)|.*\b0 0 0\b.*", page.evaluate("getComputedStyle(document.body).color"))
        expect(page.locator(".head")).to_be_hidden()
        expect(page.locator("main button").first).to_be_hidden()
        expect(page.get_by_role("heading", name="gripper").first).to_be_visible()


def test_high_contrast_marks_the_current_page(demo: DemoSite, page: Page) -> None:
    """With forced colors, all borders would have the same color."""
    demo.sign_in(page)
    page.emulate_media(forced_colors="active")
    page.goto("/account/keys")
    color = "element => getComputedStyle(element).borderLeftColor"
    side = page.get_by_role("navigation", name="Your account")
    current = side.locator("[aria-current=page]").evaluate(color)
    assert current != side.get_by_role("link", name="Sessions").evaluate(color)


@pytest.mark.parametrize("width", [390, 1440])
def test_header_has_the_same_search_box_on_every_page(demo: DemoSite, width: int) -> None:
    """In the same place, whatever else the page searches or filters."""
    with demo.context(width=width) as context:
        page = context.new_page()
        boxes = []
        for path in ("/", "/channels", "/channels/robots", "/search", "/search?q=gripper", "/docs", "/signin"):
            page.goto(path)
            boxes.append(page.locator(".head [name=q]").bounding_box())
        assert boxes[0] is not None
        assert [boxes[0]] * len(boxes) == boxes
