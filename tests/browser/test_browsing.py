"""Finding a package by keyboard, as one types."""

import pytest
from playwright.sync_api import Page, expect

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
