"""Front page for anonymous visitors, before and after the first account exists."""

from contextlib import closing
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal

from tests.support import sites
from tests.support.sites import Factory
from tests.web.http_browser import SITE, HttpBrowser


@pytest.mark.parametrize("sign_up", ["open", "closed"])
def test_front_page_offers_only_what_works(tmp_path: Path, portal: BlockingPortal, sign_up: str) -> None:
    """Without accounts it names the operator's command; sign-up is offered if it is open."""
    with closing(sites.build(tmp_path, public_url=SITE, sign_up=sign_up)) as seaway:
        browser = HttpBrowser(seaway, portal, "2001:db8::1")
        empty = browser.get("/").text
        assert "seaway user add NAME" in empty
        assert "/signup" not in empty
        assert "Browse channels" not in empty
        Factory(seaway).channel("boats")
        page = browser.get("/").text
        assert "seaway user add NAME" not in page
        assert (sign_up == "open") == ('href="/signup"' in page)
        assert "0 packages" not in page
        assert "No packages" in page
        header = browser.get("/docs").text.partition("</header>")[0]
        assert (sign_up == "open") == ('href="/signup"' in header)
