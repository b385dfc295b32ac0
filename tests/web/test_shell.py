"""The page shell: headers, assets, error pages, and escaped user input."""

import gzip
import re
from pathlib import Path

import pytest

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.channels.channel import ChannelSettings
from seaway.http import next_page
from seaway.http.cookies import Cookies
from seaway.web import assets
from tests.conftest import Site

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
FOLDER = Path(assets.__file__).parent / "templates"
TEMPLATES = [str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.html")]
MAX_BYTES = 100_000  # of assets, on any page


def test_page_loads_only_from_this_site(site: Site) -> None:
    """The content security policy allows only this site and nothing inline, and the page refers to nothing else."""
    with site.client() as client:
        response = client.get("/", headers=BROWSER)
    policy = response.headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "font-src 'self'" in policy
    assert "unsafe" not in policy
    assert {"private, no-store"} == {response.headers["cache-control"]}
    loaded = re.sub(r'<link rel="canonical"[^>]*>', "", response.text)
    for url in re.findall(r'(?:src|href)="([^"]+)"', loaded):
        assert url.startswith(("/", "#")), url
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script>", response.text)


def loaded_assets(template: str) -> set[str]:
    """Return the assets that a page loads: those in its template, in templates it extends, and in the style sheet."""
    text = (FOLDER / template).read_text()
    extended = re.search(r'{% extends "([^"]+)" %}', text)
    assets_in_template = set(re.findall(r"asset\('([^']+)'\)", text))
    if re.search(r'class="[^"]*\bdepths\b', text):
        assets_in_template.add("depth.svg")  # a browser loads the mask only for elements that have it
    fonts_and_style = {name for name in assets.sizes() if not name.endswith((".js", "depth.svg"))}
    return assets_in_template | (loaded_assets(extended[1]) if extended else fonts_and_style)


def test_assets_are_small_and_immutable(site: Site) -> None:
    """No page loads more than MAX_BYTES; browsers request each asset once."""
    assert {} == {
        name: size
        for name in TEMPLATES
        if (size := sum(assets.sizes()[asset] for asset in loaded_assets(name))) > MAX_BYTES
    }
    assert {"uplot.js", "inter.woff2", "theme.js"} < loaded_assets("package.html")
    with site.client() as client:
        for name in assets.sizes():
            response = client.get(assets.asset_path(name), headers={"Accept-Encoding": "gzip"})
            assert 200 == response.status_code
            assert "immutable" in response.headers["cache-control"]
            plain = client.get(assets.asset_path(name), headers={"Accept-Encoding": "identity"})
            assert plain.content == response.content
            assert "content-encoding" not in plain.headers


def test_unknown_asset_returns_404(site: Site) -> None:
    """Paths below /static/ never lead outside the assets."""
    with site.client() as client:
        assert {404} == {client.get(f"/static/{name}").status_code for name in ("seaway.css", "..%2fshell.py", "x")}


@pytest.mark.parametrize("path", ["/channels/no-such-channel", "/nowhere/noarch/x.conda", "/static/nothing"])
def test_error_is_a_page_for_browsers_and_text_for_programs(site: Site, path: str) -> None:
    """The status is the same."""
    with site.client() as client:
        page, plain = client.get(path, headers=BROWSER), client.get(path)
    assert page.status_code == plain.status_code
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>" in page.text
    assert plain.headers["content-type"].startswith("text/plain")
    assert "<" not in plain.text


def test_channel_description_is_escaped(site: Site) -> None:
    """HTML in a description is shown as text."""
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    factory = site.factory
    owner = factory.user(site.new_name("owner"))
    name = site.new_channel(owner=owner)
    with factory.seaway.site.database.write_site() as tx:
        channels.change(tx, factory.seaway.site.clock.now_ms(), OPERATOR, name, ChannelSettings(description=hostile))
    with site.client() as client:
        for path in (f"/channels?q={name}", f"/channels/{name}"):
            text = client.get(path, headers=BROWSER).text
            assert "<script>alert" not in text
            assert "<img src=x" not in text
            assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    "value", ["//evil", "/\\evil", "https:evil", "javascript:alert(1)", "\\evil", "/a\nb", "/\tevil", "", "evil"]
)
def test_next_never_leads_to_another_site(value: str) -> None:
    """Case 21: a value that is not a path of this site becomes the front page."""
    assert "/" == next_page.local_path(value)


def test_next_keeps_paths_of_this_site() -> None:
    """Paths can have a query."""
    assert "/device?user_code=AB-CD" == next_page.local_path("/device?user_code=AB-CD")
    assert "/signin?next=/account/keys" == next_page.with_next("/signin", "/account/keys")


@pytest.mark.parametrize(
    ("site_url", "name"),
    [("https://conda.example.com", "__Host-seaway_session"), ("http://127.0.0.1:8000", "seaway_session")],
)
def test_cookie_has_the_host_prefix_with_https_only(site_url: str, name: str) -> None:
    """Case 17: browsers reject a `__Host-` cookie over plain http."""
    assert name == Cookies.of_site(site_url).session_name


def test_compressed_assets_equal_the_plain_ones() -> None:
    for asset in assets._ASSETS.values():
        assert asset.packed is None or gzip.decompress(asset.packed) == asset.plain
