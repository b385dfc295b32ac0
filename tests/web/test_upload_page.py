"""The upload page: the form for one file, which works without JavaScript, and the values of the page."""

import os
from html import unescape
from itertools import count

import httpx
import pytest
from anyio.from_thread import BlockingPortal

from seaway.channels.roles import Role
from seaway.server.wiring import Seaway
from tests.support.packages import PackageFile, conda, index_json
from tests.support.sites import Factory
from tests.web.conftest import new_user
from tests.web.http_browser import SITE, HttpBrowser

_numbers = count(1)
PAGE_HEADERS = {"Sec-Fetch-Site": "same-origin", "Origin": SITE}


@pytest.fixture
def channel(shared: Seaway, ada: str) -> str:
    return Factory(shared).channel(f"uploads-{next(_numbers)}", owner=ada)


@pytest.fixture
def owner(browser: HttpBrowser, ada: str) -> HttpBrowser:
    browser.sign_in(ada)
    return browser


def new_file(name: str = "") -> PackageFile:
    """A new package, or other contents for the name of an earlier one."""
    return conda(index_json(name or f"formed-{next(_numbers)}"), files={"share/noise": os.urandom(100)})


def submit(browser: HttpBrowser, channel: str, file_name: str, content: bytes, **fields: str) -> httpx.Response:
    """Open the page and submit its form with a file, like a browser: the fields in their order, the file last."""
    browser.get(f"/channels/{channel}/settings/upload")
    return resubmit(browser, channel, file_name, content, **fields)


def resubmit(browser: HttpBrowser, channel: str, file_name: str, content: bytes, **fields: str) -> httpx.Response:
    """Submit the form of the page that is open."""
    response = browser.request(
        "POST",
        f"/channels/{channel}/settings/upload",
        data={"csrf_token": browser.token} | fields,
        files={"file": (file_name, content, "application/octet-stream")},
        headers=PAGE_HEADERS,
    )
    browser.shown = response.text
    return response


def content_of(browser: HttpBrowser, channel: str, file: PackageFile) -> bytes:
    return browser.request("GET", f"/{channel}/noarch/{file.name}").content


def test_file_of_the_form_is_published(owner: HttpBrowser, channel: str) -> None:
    """The browser is redirected to the page of the package, which confirms it; the same file again is no error."""
    file = new_file()
    for outcome in ("was published", "was already in the channel"):
        response = submit(owner, channel, file.name, file.content)
        package = file.name.rsplit("-", 2)[0]
        assert 303 == response.status_code
        assert f"/channels/{channel}/packages/{package}" == response.headers["location"].partition("?")[0]
        assert f"{file.name} {outcome}." in unescape(owner.get(response.headers["location"]).text)
    assert file.content == content_of(owner, channel, file)


@pytest.mark.parametrize(
    ("file_name", "status", "sentence"),
    [
        ("", 422, "Choose a .conda or .tar.bz2 file."),
        ("notes.txt", 400, "notes.txt"),
        ("damaged-1.0-0.conda", 422, "not a well-formed .conda"),
    ],
)
def test_refused_file_is_explained_at_the_field(
    owner: HttpBrowser, channel: str, file_name: str, status: int, sentence: str
) -> None:
    """The form is shown again with the reason; nothing can be replaced."""
    response = submit(owner, channel, file_name, b"no archive" if file_name else b"")
    assert status == response.status_code
    fault = owner.shown.partition('id="file-error"')[2].partition("</p>")[0]
    assert sentence in unescape(fault)
    assert 'name="replace"' not in owner.shown


def test_existing_file_can_be_replaced(owner: HttpBrowser, channel: str) -> None:
    """With other contents, the form offers to replace the file; without the checked box it stays."""
    old = new_file()
    new = new_file(old.name.rsplit("-", 2)[0])
    assert 303 == submit(owner, channel, old.name, old.content).status_code
    assert 409 == submit(owner, channel, new.name, new.content).status_code
    assert "with other contents" in owner.shown
    assert 'name="replace"' in owner.shown
    assert old.content == content_of(owner, channel, old)
    response = resubmit(owner, channel, new.name, new.content, replace="on")
    assert 303 == response.status_code
    assert f"{new.name} was replaced." in unescape(owner.get(response.headers["location"]).text)
    assert new.content == content_of(owner, channel, new)


def test_file_of_another_member_is_not_offered_for_replacement(
    shared: Seaway, portal: BlockingPortal, owner: HttpBrowser, channel: str
) -> None:
    """A contributor gets the reason only; the same contents are in the channel already, which is no error."""
    file, contributor = new_file(), new_user(shared)
    assert 303 == submit(owner, channel, file.name, file.content).status_code
    Factory(shared).member(channel, contributor, Role.CONTRIBUTOR)
    browser = owner.another()
    browser.sign_in(contributor)
    other = new_file(file.name.rsplit("-", 2)[0])
    assert 409 == submit(browser, channel, other.name, other.content).status_code
    assert "raise the build number" in browser.shown
    assert 'name="replace"' not in browser.shown
    response = submit(browser, channel, file.name, file.content)
    assert 303 == response.status_code
    assert f"{file.name} was already in the channel." in unescape(browser.get(response.headers["location"]).text)


def test_form_over_the_limit_is_refused(shared: Seaway, owner: HttpBrowser, channel: str) -> None:
    """By its announced length, before a byte of the file is stored."""
    owner.get(f"/channels/{channel}/settings/upload")
    file = new_file()
    request = httpx.Request("POST", SITE, data={"csrf_token": owner.token}, files={"file": (file.name, file.content)})
    limit = shared.request_parts.publishing.upload_limit
    headers = {**PAGE_HEADERS, "Content-Type": request.headers["content-type"], "Content-Length": str(2 * limit)}
    response = owner.request("POST", f"/channels/{channel}/settings/upload", content=request.read(), headers=headers)
    assert 413 == response.status_code
    assert f"{limit:,} bytes" in response.text


def test_form_without_its_token_is_refused(owner: HttpBrowser, channel: str) -> None:
    """403 as for every form, and nothing is published."""
    file = new_file()
    owner.get("/")
    owner.shown = ""
    assert 403 == resubmit(owner, channel, file.name, file.content).status_code
    assert 404 == owner.request("GET", f"/{channel}/noarch/{file.name}").status_code


def test_page_shows_the_commands_for_this_site(owner: HttpBrowser, channel: str) -> None:
    shown = unescape(owner.get(f"/channels/{channel}/settings/upload").text)
    for tool in ("pixi", "rattler-build"):
        assert f"{tool} upload prefix --url {SITE} --channel {channel} PACKAGE.conda" in shown
    assert f'href="/channels/{channel}/settings/keys"' in shown
