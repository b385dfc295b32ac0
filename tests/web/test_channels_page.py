"""The list of channels: own channels and other public ones, sorted and in pages."""

import re
from itertools import count

import pytest
from anyio.from_thread import BlockingPortal

from seaway.server.wiring import Seaway
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file
from tests.web.conftest import new_user
from tests.web.http_browser import HttpBrowser

_numbers = count(1)


@pytest.fixture
def prefix() -> str:
    """Start of the names of the channels of one test, which is what it searches for."""
    return f"fleet{next(_numbers)}"


def cards(page: str) -> list[str]:
    return re.findall(r'class="card" href="/channels/([^"]+)"', page)


def test_own_channels_are_not_repeated_among_the_public_ones(
    shared: Seaway, browser: HttpBrowser, ada: str, prefix: str
) -> None:
    """On the list, on its pages and on the front page; an anonymous visitor sees all public channels."""
    factory, other = Factory(shared), new_user(shared)
    mine = [factory.channel(f"{prefix}-a", owner=ada), factory.channel(f"{prefix}-b", owner=ada, public=False)]
    others = [factory.channel(f"{prefix}-{number:02}", owner=other) for number in range(26)]
    assert [*others, mine[0]][:24] == cards(browser.get(f"/channels?q={prefix}").text)
    browser.sign_in(ada)
    first = browser.get(f"/channels?q={prefix}").text
    assert [*mine, *others[:24]] == cards(first)
    assert "Other public channels" in first
    assert others[24:] == cards(browser.get(f"/channels?q={prefix}&after={others[23]}").text)
    assert 1 == cards(browser.get("/").text).count(mine[0])


def test_channels_are_sorted_by_last_update(
    shared: Seaway, portal: BlockingPortal, shared_clock: ManualClock, browser: HttpBrowser, ada: str, prefix: str
) -> None:
    """Own and other ones; cards show the update, and the next page continues the order."""
    factory, other = Factory(shared), new_user(shared)
    own = [factory.channel(f"{prefix}-own-{letter}", owner=ada) for letter in "ab"]
    others = [factory.channel(f"{prefix}-{number:02}", owner=other) for number in range(26)]
    for channel in (others[7], own[1], others[9]):
        shared_clock.move(60_000)
        portal.call(publish_file, shared, channel, conda(index_json("boat")))
    shared_clock.move(120_000)
    browser.sign_in(ada)
    rest = [name for name in others if name not in (others[7], others[9])]
    page = browser.get(f"/channels?q={prefix}&sort=updated").text
    assert [own[1], own[0], others[9], others[7], *rest[:22]] == cards(page)
    assert "updated <time" in page.partition(f'href="/channels/{others[9]}"')[2].partition("</a>")[0]
    assert "updated <time" not in page.partition(f'href="/channels/{rest[0]}"')[2].partition("</a>")[0]
    next_url = re.search(r'href="([^"]+)" rel="next"', page)
    assert next_url is not None
    assert rest[22:] == cards(browser.get(next_url[1].replace("&amp;", "&")).text)
    assert 200 == browser.get("/channels?sort=updated&after=1+2+3").status_code
