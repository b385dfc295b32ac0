"""External login with a certified OpenID Connect provider: `oidc-provider` of npm, with its own pages."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from anyio.from_thread import BlockingPortal

from seaway.server.wiring import Seaway
from seaway.settings import OpenIdProvider
from tests.support import sites
from tests.support.providers import CLIENT_ID, CLIENT_SECRET
from tests.support.sites import Factory
from tests.web.http_browser import SITE, HttpBrowser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")]

SOURCE = Path(__file__).with_name("oidc_provider")
CALLBACK = f"{SITE}/signin/certified/callback"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The provider, installed from its lock file, on a free port."""
    folder = tmp_path_factory.mktemp("provider") / "oidc"
    shutil.copytree(SOURCE, folder)
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=240)
    with subprocess.Popen(
        ["node", "server.mjs", CLIENT_ID, CLIENT_SECRET, CALLBACK],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().removeprefix("listens on ")
        process.kill()


@pytest.fixture(scope="module")
def seaway(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaway]:
    provider = OpenIdProvider(
        name="certified", title="Certified", issuer=issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET
    )
    parts = sites.build(tmp_path_factory.mktemp("certified"), public_url=SITE, oidc=[provider])
    Factory(parts).user("operator-of-it", admin=True)
    yield parts
    parts.close()


def pass_provider(url: str, login: str, decision: str = "") -> str:
    """Sign in on the pages of the provider; return the URL to which it redirects the browser back."""
    with httpx.Client(follow_redirects=False) as http:
        page = http.get(url)
        for _ in range(12):
            location = page.headers.get("location")
            if location is not None and location.startswith(SITE):
                return location
            if location is not None:
                page = http.get(urljoin(str(page.url), location))
                continue
            action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
            prompt = re.search(r'name="prompt" value="([^"]+)"', page.text)
            assert action is not None, page.text
            assert prompt is not None, page.text
            if decision == "abort":
                page = http.get(urljoin(str(page.url), unescape(action[1]) + "/abort"))
                continue
            form = {"prompt": prompt[1], "login": login, "password": "any"}
            page = http.post(urljoin(str(page.url), unescape(action[1])), data=form)
    raise AssertionError("the provider does not redirect back")


def sign_in(browser: HttpBrowser, login: str, decision: str = "") -> httpx.Response:
    redirect = browser.get("/signin/certified")
    assert 303 == redirect.status_code, redirect.text
    parts = urlsplit(pass_provider(redirect.headers["location"], login, decision))
    return browser.get(f"{parts.path}?{parts.query}")


def test_user_signs_up_and_signs_in_again(seaway: Seaway, portal: BlockingPortal) -> None:
    """Covers discovery, PKCE, the code, the ID token, the claims of userinfo, and `iss` in the response."""
    browser = HttpBrowser(seaway, portal, "2001:db8:c::1")
    assert "/signup/external" == sign_in(browser, "ada").headers["location"]
    assert "ada@example.com" in browser.get("/signup/external").text
    assert 303 == browser.send("/signup/external", name="ada").status_code
    assert 200 == browser.get("/account/keys").status_code
    second_browser = HttpBrowser(seaway, portal, "2001:db8:c::2")
    assert "/home" == sign_in(second_browser, "ada").headers["location"]
    assert "ada" in second_browser.get("/account").text


def test_refusal_at_the_provider_signs_no_user_in(seaway: Seaway, portal: BlockingPortal) -> None:
    browser = HttpBrowser(seaway, portal, "2001:db8:c::3")
    assert 403 == sign_in(browser, "grace", "abort").status_code
    assert browser.session is None
