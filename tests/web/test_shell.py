"""The page shell: its headers, its assets, its pages for errors, and what strangers type on it."""

import gzip
import re
from pathlib import Path

import pytest

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.http import next_page
from seaway.http.cookies import Cookies
from seaway.web import assets
from tests.conftest import Site

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
FOLDER = Path(assets.__file__).parent / "templates"
TEMPLATES = [str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.html")]
MOST_BYTES = 100_000  # of our assets, on any page


def test_a_page_loads_from_here_only(site: Site) -> None:
    """The policy names this site alone and nothing inline, and the page names nothing else."""
    with site.client() as client:
        answer = client.get("/", headers=BROWSER)
    policy = answer.headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "font-src 'self'" in policy
    assert "unsafe" not in policy
    assert {"private, no-store"} == {answer.headers["cache-control"]}
    for address in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert address.startswith(("/", "#")), address
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script>", answer.text)


def loaded(template: str) -> set[str]:
    """The assets that a page loads: what its template and those that it extends name, and what the style names."""
    text = (FOLDER / template).read_text()
    extended = re.search(r'{% extends "([^"]+)" %}', text)
    named = set(re.findall(r"asset\('([^']+)'\)", text))
    return named | (loaded(extended[1]) if extended else {name for name in assets.sizes() if not name.endswith(".js")})


def test_every_asset_is_small_and_kept_for_good(site: Site) -> None:
    """No page loads more than its limit; a browser asks for each once."""
    assert {} == {
        name: size for name in TEMPLATES if (size := sum(assets.sizes()[one] for one in loaded(name))) > MOST_BYTES
    }
    assert {"uplot.js", "inter.woff2", "theme.js"} < loaded("package.html")
    with site.client() as client:
        for name in assets.sizes():
            answer = client.get(assets.asset_path(name), headers={"Accept-Encoding": "gzip"})
            assert 200 == answer.status_code
            assert "immutable" in answer.headers["cache-control"]
            plain = client.get(assets.asset_path(name), headers={"Accept-Encoding": "identity"})
            assert plain.content == answer.content
            assert "content-encoding" not in plain.headers


def test_an_unknown_asset_is_not_found(site: Site) -> None:
    """A path among the assets leads nowhere else."""
    with site.client() as client:
        assert {404} == {client.get(f"/static/{name}").status_code for name in ("seaway.css", "..%2fshell.py", "x")}


@pytest.mark.parametrize("path", ["/channels/no-such-channel", "/nowhere/noarch/x.conda", "/static/nothing"])
def test_a_browser_gets_a_page_and_a_program_its_sentence(site: Site, path: str) -> None:
    """The status is the same; what is said of it depends on who looks."""
    with site.client() as client:
        page, plain = client.get(path, headers=BROWSER), client.get(path)
    assert page.status_code == plain.status_code
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>" in page.text
    assert plain.headers["content-type"].startswith("text/plain")
    assert "<" not in plain.text


def test_what_is_typed_stays_text(site: Site) -> None:
    """A description is shown as it was written, and is no part of the page."""
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    people = site.people
    owner = people.user(site.new_name("owner"))
    name = site.new_channel(owner=owner)
    with people.seaway.database.write_site() as tx:
        channels.change(tx, people.seaway.clock.now_ms(), OPERATOR, name, description=hostile)
    with site.client() as client:
        for path in (f"/channels?q={name}", f"/channels/{name}"):
            text = client.get(path, headers=BROWSER).text
            assert "<script>alert" not in text
            assert "<img src=x" not in text
            assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    "value", ["//evil", "/\\evil", "https:evil", "javascript:alert(1)", "\\evil", "/a\nb", "/\tevil", "", "evil"]
)
def test_next_leads_nowhere_else(value: str) -> None:
    """Case 21: what is no path of this site becomes the front page."""
    assert "/" == next_page.local_path(value)


def test_next_keeps_paths_of_ours() -> None:
    """A path with a query is one of ours."""
    assert "/device?user_code=AB-CD" == next_page.local_path("/device?user_code=AB-CD")
    assert "/signin?next=/account/keys" == next_page.with_next("/signin", "/account/keys")


@pytest.mark.parametrize(
    ("site_url", "name"),
    [("https://conda.example.com", "__Host-seaway_session"), ("http://127.0.0.1:8000", "seaway_session")],
)
def test_cookies_are_bound_to_the_host_where_tls_is(site_url: str, name: str) -> None:
    """Case 17: the prefix only where browsers keep such a cookie."""
    assert name == Cookies.of_site(site_url).session_name


def test_packed_assets_are_the_plain_ones() -> None:
    """What is served compressed is what is served plain."""
    for asset in assets._ASSETS.values():
        assert asset.packed is None or gzip.decompress(asset.packed) == asset.plain
