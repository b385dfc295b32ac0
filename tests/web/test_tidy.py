"""Addresses as people and programs type them, and what they send without being asked to."""

import gzip
from collections.abc import Callable

import httpx
import pytest

from seaway.callers.caller import Mode
from seaway.channels import channels
from seaway.packages import versions
from seaway.web.path_redirects import normalized_path
from tests.conftest import Site
from tests.support.packages import PackageFile, conda, index_json, tar_bz2
from tests.support.requests import bearer, raw_headers, upload

BROWSER = {"Accept": "text/html"}


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("/channels/", "/channels"),
        ("/channels//", "/channels"),
        ("/channels/?q=a%2Fb", "/channels?q=a%2Fb"),
        ("/search/?q=x", "/search?q=x"),
        ("/channels/{channel}/", "/channels/{channel}"),
        ("/channels/{CHANNEL}", "/channels/{channel}"),
        ("/channels/{CHANNEL}/?sort=new", "/channels/{channel}?sort=new"),
        ("/channels/{CHANNEL}/packages/demo/", "/channels/{channel}/packages/demo"),
        ("/channels/{CHANNEL}/packages/a%3Fb/", "/channels/{channel}/packages/a%3Fb"),
        ("/channels/{CHANNEL}/packages/a%0D%0Ab/", "/channels/{channel}/packages/a%0D%0Ab"),
    ],
)
def test_a_page_is_found_at_an_untidy_address(site: Site, asked: str, there: str) -> None:
    """One redirect, with the query, for GET and HEAD."""
    name = site.new_channel()
    names = {"channel": name, "CHANNEL": name.capitalize()}
    with site.client() as http:
        for method in ("GET", "HEAD"):
            answer: httpx.Response = http.request(method, asked.format(**names), headers=BROWSER)
            assert (308, there.format(**names)) == (answer.status_code, answer.headers["location"])


@pytest.mark.parametrize(
    "path", ["//evil.example/", "//evil.example/channels/", "/\\evil.example/", "/nowhere/x/", "/a/b/c/"]
)
def test_nothing_leads_to_another_host(site: Site, path: str) -> None:
    """What is no page is led nowhere."""
    with site.client() as http:
        answer = http.send(http.build_request("GET", site.server.address + path, headers=BROWSER))
    assert "location" not in answer.headers
    assert answer.status_code in (401, 404)


def test_a_tidy_path_stays() -> None:
    """So nothing is led in a circle."""
    for path in ("/", "/channels", "/channels/a/packages/B", "//"):
        assert path == normalized_path(path)


def test_capitals_in_a_channel_are_told(site: Site) -> None:
    """A client hears why nothing is there."""
    with site.client() as http:
        assert "lower case" in http.get(f"/{site.new_channel().capitalize()}/noarch/repodata.json").text


def test_what_browsers_ask_for_by_themselves(site: Site) -> None:
    """An icon, and what robots may read."""
    with site.client() as http:
        icon = http.get(http.get("/favicon.ico").headers["location"])
        robots = http.get("/robots.txt")
    assert (200, "image/svg+xml") == (icon.status_code, icon.headers["content-type"])
    assert (200, True) == (robots.status_code, "Disallow: /t/" in robots.text)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/channels/new", "GET, HEAD, POST"),
        ("PUT", "/signin", "GET, HEAD, POST"),
        ("PUT", "/api/v1/uploads/x", "DELETE, HEAD, PATCH, POST"),
        ("GET", "/api/v1/channels/pub/members/bob", "DELETE, PUT"),
        ("PUT", "/api/v1/channels", "GET, POST"),
        ("PUT", "/api/v1/channels/pub", "DELETE, GET, PATCH"),
        ("DELETE", "/chan/noarch/repodata.json", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_hears_all_that_there_are(site: Site, method: str, path: str, allowed: str) -> None:
    """RFC 9110, 15.5.6: the header lists the methods of the address, of every route there."""
    with site.client() as http:
        answer = http.request(method, path)
    assert (405, allowed) == (answer.status_code, answer.headers["allow"])


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "zstd"])
def test_a_coded_upload_is_refused_by_its_cause(site: Site, coding: str) -> None:
    """Not as a broken package: nothing is wrong with the file."""
    file, owner = conda(), site.people.user(site.new_name("owner"))
    channel = site.new_channel(owner=owner)
    headers = {**raw_headers(file), **bearer(site.people.key(owner)), "Content-Encoding": coding}
    with site.client() as http:
        answer = http.post(f"/api/v1/upload/{channel}", content=gzip.compress(file.content), headers=headers)
    assert (415, "identity") == (answer.status_code, answer.headers["accept-encoding"])
    assert "Content-Encoding" in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/channels"),
        ("POST", "/api/v1/upload/{channel}"),
        ("POST", "/api/oidc/mint_token"),
    ],
)
def test_no_path_reads_a_coded_body(site: Site, method: str, path: str) -> None:
    """The API, uploads and the exchange of tokens say the same."""
    owner = site.people.user(site.new_name("owner"))
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    if "oidc" not in path:
        headers |= bearer(site.people.key(owner, mode=Mode.MANAGE)) | raw_headers(conda())
    with site.client() as http:
        answer = http.request(method, path.format(channel=site.new_channel(owner=owner)), content=b"x", headers=headers)
    assert (415, "identity") == (answer.status_code, answer.headers.get("accept-encoding")), answer.text


def test_a_named_identity_is_no_coding(site: Site) -> None:
    """Nor is an empty header."""
    file, owner = conda(), site.people.user(site.new_name("owner"))
    headers = {**raw_headers(file), **bearer(site.people.key(owner))}
    with site.client() as http:
        for coding in ("identity", ""):
            path = f"/api/v1/upload/{site.new_channel(owner=owner)}"
            answer = http.post(path, content=file.content, headers=headers | {"Content-Encoding": coding})
            assert 201 == answer.status_code


@pytest.mark.parametrize("kind", ["", "-precomposed"])
def test_apples_icons_are_known_to_be_absent(site: Site, kind: str) -> None:
    """Browsers ask for them on each page otherwise."""
    with site.client() as http:
        answer = http.get(f"/apple-touch-icon{kind}.png")
    assert (404, "public, max-age=86400") == (answer.status_code, answer.headers["cache-control"])


@pytest.mark.parametrize("order", [(conda, tar_bz2), (tar_bz2, conda)])
def test_of_two_formats_the_conda_is_the_latest(site: Site, order: tuple[Callable[..., PackageFile], ...]) -> None:
    """Whichever came last, on the page and in the API."""
    owner = site.people.user(site.new_name("owner"))
    channel = site.new_channel(owner=owner)
    with site.client(site.people.key(owner)) as http:
        for build in order:
            assert 201 == upload(http, channel, build(index_json("demo"))).status_code
        latest = http.get(f"/api/v1/channels/{channel}/packages/demo").json()["latest"]
    assert conda(index_json("demo")).name in latest.values()
    with site.people.seaway.database.read() as tx:
        (version,) = versions.of_package(tx, channels.get(tx, channel).id, "demo")
    assert conda(index_json("demo")).name == version.newest.file_name


def test_lists_in_about_json_are_shown_by_their_first(site: Site) -> None:
    """As conda-build writes `home` and `dev_url` of some recipes."""
    said = {"home": ["https://one.example/", "https://two.example/"], "dev_url": ["https://dev.example/"]}
    owner = site.people.user(site.new_name("owner"))
    channel = site.new_channel(owner=owner)
    with site.client(site.people.key(owner)) as http:
        assert 201 == upload(http, channel, conda(index_json("demo"), about=said)).status_code
        page = http.get(f"/channels/{channel}/packages/demo", headers=BROWSER).text
        data = http.get(f"/{channel}/channeldata.json").json()["packages"]["demo"]
    assert all(f'href="{url}"' in page for url in ("https://one.example/", "https://dev.example/"))
    assert ("https://one.example/", "https://dev.example/") == (data["home"], data["dev_url"])
