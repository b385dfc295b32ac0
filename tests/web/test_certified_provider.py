"""Signing in by a provider that is certified for OpenID Connect: npm's `oidc-provider`, with its own pages."""

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
from tests.support import house
from tests.support.house import People
from tests.support.providers import CLIENT_ID, CLIENT_SECRET
from tests.web.visitor import SITE, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not here")]

HERE = Path(__file__).with_name("oidc_provider")
CALLBACK = f"{SITE}/signin/certified/callback"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The provider, installed as its lock file says, on a free port."""
    folder = tmp_path_factory.mktemp("provider") / "oidc"
    shutil.copytree(HERE, folder)
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
    built = house.build(tmp_path_factory.mktemp("certified"), public_url=SITE, oidc=[provider])
    People(built).user("operator-of-it", admin=True)
    yield built
    built.close()


def agreed(url: str, login: str, answer: str = "") -> str:
    """Through the pages of the provider, as somebody who signs in there: where it sends the browser back to."""
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
            if answer == "abort":
                page = http.get(urljoin(str(page.url), unescape(action[1]) + "/abort"))
                continue
            form = {"prompt": prompt[1], "login": login, "password": "any"}
            page = http.post(urljoin(str(page.url), unescape(action[1])), data=form)
    raise AssertionError("it sends nobody back")


def way_back(browser: Visitor, login: str, answer: str = "") -> httpx.Response:
    led = browser.get("/signin/certified")
    assert 303 == led.status_code, led.text
    parts = urlsplit(agreed(led.headers["location"], login, answer))
    return browser.get(f"{parts.path}?{parts.query}")


def test_somebody_signs_up_and_comes_back(seaway: Seaway, portal: BlockingPortal) -> None:
    """Discovery, PKCE, the code, the ID token, the claims of userinfo, and `iss` in the answer, which it sends."""
    browser = Visitor(seaway, portal, "2001:db8:c::1")
    assert "/signup/external" == way_back(browser, "ada").headers["location"]
    assert "ada@example.com" in browser.get("/signup/external").text
    assert 303 == browser.send("/signup/external", name="ada").status_code
    assert 200 == browser.get("/account/keys").status_code
    again = Visitor(seaway, portal, "2001:db8:c::2")
    assert "/account" == way_back(again, "ada").headers["location"]
    assert "ada" in again.get("/account").text


def test_somebody_refuses_there(seaway: Seaway, portal: BlockingPortal) -> None:
    """Whoever goes back without agreeing is not let in."""
    browser = Visitor(seaway, portal, "2001:db8:c::3")
    assert 403 == way_back(browser, "grace", "abort").status_code
    assert browser.session is None
