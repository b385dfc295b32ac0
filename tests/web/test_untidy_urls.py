"""Untidy URLs, wrong methods, content codings, and files that browsers request by themselves."""

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
    ("requested", "location"),
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
def test_untidy_url_is_redirected_to_its_page(site: Site, requested: str, location: str) -> None:
    """One redirect that keeps the query, for GET and HEAD."""
    name = site.new_channel()
    names = {"channel": name, "CHANNEL": name.capitalize()}
    with site.client() as http:
        for method in ("GET", "HEAD"):
            response: httpx.Response = http.request(method, requested.format(**names), headers=BROWSER)
            assert (308, location.format(**names)) == (response.status_code, response.headers["location"])


@pytest.mark.parametrize(
    "path", ["//evil.example/", "//evil.example/channels/", "/\\evil.example/", "/nowhere/x/", "/a/b/c/"]
)
def test_untidy_url_never_redirects_to_another_host(site: Site, path: str) -> None:
    """Paths that are not pages are not redirected."""
    with site.client() as http:
        response = http.send(http.build_request("GET", site.server.address + path, headers=BROWSER))
    assert "location" not in response.headers
    assert response.status_code in (401, 404)


def test_tidy_path_is_unchanged() -> None:
    """Otherwise redirects could loop."""
    for path in ("/", "/channels", "/channels/a/packages/B", "//"):
        assert path == normalized_path(path)


def test_capitals_in_a_channel_name_are_explained(site: Site) -> None:
    """The 404 for a client says that names are in lower case."""
    with site.client() as http:
        assert "lower case" in http.get(f"/{site.new_channel().capitalize()}/noarch/repodata.json").text


def test_favicon_and_robots_txt_are_served(site: Site) -> None:
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
def test_wrong_method_returns_405_with_all_methods_of_the_path(
    site: Site, method: str, path: str, allowed: str
) -> None:
    """RFC 9110, 15.5.6: Allow lists the methods of all routes of the path."""
    with site.client() as http:
        response = http.request(method, path)
    assert (405, allowed) == (response.status_code, response.headers["allow"])


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "zstd"])
def test_upload_with_content_encoding_returns_415(site: Site, coding: str) -> None:
    """The file is not refused as a broken package."""
    file, owner = conda(), site.factory.user(site.new_name("owner"))
    channel = site.new_channel(owner=owner)
    headers = {**raw_headers(file), **bearer(site.factory.key(owner)), "Content-Encoding": coding}
    with site.client() as http:
        response = http.post(f"/api/v1/upload/{channel}", content=gzip.compress(file.content), headers=headers)
    assert (415, "identity") == (response.status_code, response.headers["accept-encoding"])
    assert "Content-Encoding" in response.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/channels"),
        ("POST", "/api/v1/upload/{channel}"),
        ("POST", "/api/oidc/mint_token"),
    ],
)
def test_content_encoding_is_refused_on_every_route(site: Site, method: str, path: str) -> None:
    """The API, uploads and the token exchange."""
    owner = site.factory.user(site.new_name("owner"))
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    if "oidc" not in path:
        headers |= bearer(site.factory.key(owner, mode=Mode.MANAGE)) | raw_headers(conda())
    with site.client() as http:
        response = http.request(
            method, path.format(channel=site.new_channel(owner=owner)), content=b"x", headers=headers
        )
    assert (415, "identity") == (response.status_code, response.headers.get("accept-encoding")), response.text


def test_content_encoding_identity_is_accepted(site: Site) -> None:
    """An empty header is accepted too."""
    file, owner = conda(), site.factory.user(site.new_name("owner"))
    headers = {**raw_headers(file), **bearer(site.factory.key(owner))}
    with site.client() as http:
        for coding in ("identity", ""):
            path = f"/api/v1/upload/{site.new_channel(owner=owner)}"
            response = http.post(path, content=file.content, headers=headers | {"Content-Encoding": coding})
            assert 201 == response.status_code


@pytest.mark.parametrize("kind", ["", "-precomposed"])
def test_apple_touch_icons_return_a_cacheable_404(site: Site, kind: str) -> None:
    """Otherwise browsers request them with each page."""
    with site.client() as http:
        response = http.get(f"/apple-touch-icon{kind}.png")
    assert (404, "public, max-age=86400") == (response.status_code, response.headers["cache-control"])


@pytest.mark.parametrize("order", [(conda, tar_bz2), (tar_bz2, conda)])
def test_conda_format_is_the_latest_of_two_formats(site: Site, order: tuple[Callable[..., PackageFile], ...]) -> None:
    """In any order of upload, on the page and in the API."""
    owner = site.factory.user(site.new_name("owner"))
    channel = site.new_channel(owner=owner)
    with site.client(site.factory.key(owner)) as http:
        for build in order:
            assert 201 == upload(http, channel, build(index_json("demo"))).status_code
        latest = http.get(f"/api/v1/channels/{channel}/packages/demo").json()["latest"]
    assert conda(index_json("demo")).name in latest.values()
    with site.factory.seaway.site.database.read() as tx:
        (version,) = versions.of_package(tx, channels.get(tx, channel).id, "demo")
    assert conda(index_json("demo")).name == version.newest.file_name


def test_first_url_of_a_list_in_about_json_is_shown(site: Site) -> None:
    """conda-build writes `home` and `dev_url` of some recipes as lists."""
    about = {"home": ["https://one.example/", "https://two.example/"], "dev_url": ["https://dev.example/"]}
    owner = site.factory.user(site.new_name("owner"))
    channel = site.new_channel(owner=owner)
    with site.client(site.factory.key(owner)) as http:
        assert 201 == upload(http, channel, conda(index_json("demo"), about=about)).status_code
        page = http.get(f"/channels/{channel}/packages/demo", headers=BROWSER).text
        data = http.get(f"/{channel}/channeldata.json").json()["packages"]["demo"]
    assert all(f'href="{url}"' in page for url in ("https://one.example/", "https://dev.example/"))
    assert ("https://one.example/", "https://dev.example/") == (data["home"], data["dev_url"])
