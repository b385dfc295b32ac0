"""The head of pages: title and description, and what other sites may show of a page."""

import re
from html import unescape

import pytest

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.channels.channel import ChannelSettings
from seaway.web import formats
from tests.conftest import Site
from tests.support.packages import conda, index_json
from tests.support.requests import upload
from tests.web.http_browser import SITE, HttpBrowser

BROWSER = {"Accept": "text/html"}


def described(html: str) -> str:
    found = re.findall(r'<meta name="description" content="([^"]*)">', html)
    assert 1 == len(found)
    return unescape(found[0])


def open_graph(html: str) -> dict[str, str]:
    return {
        name: unescape(value) for name, value in re.findall(r'<meta property="og:([a-z_]+)" content="([^"]*)">', html)
    }


def canonical(html: str) -> list[str]:
    return re.findall(r'<link rel="canonical" href="([^"]*)">', html)


def channel_with_package(site: Site, *, public: bool) -> tuple[str, str]:
    """Create a channel that has a description and one package; return its name and its owner."""
    factory = site.factory
    owner = factory.user(site.new_name("owner"))
    name = site.new_channel(public=public, owner=owner)
    with factory.seaway.site.database.write_site() as tx:
        settings = ChannelSettings(description='Arms of "hall 3" & more. Second sentence.')
        channels.change(tx, factory.seaway.site.clock.now_ms(), OPERATOR, name, settings)
    with site.client() as client:
        file = conda(index_json("gripper"), about={"summary": 'Two & "three" fingers ' + "and one more " * 30})
        assert 201 == upload(client, name, file, factory.key(owner)).status_code
    return name, factory.key(owner)


def test_public_channel_describes_itself_to_other_sites(site: Site) -> None:
    """Title, description and canonical URL, without the query; quotes are escaped."""
    name, _ = channel_with_package(site, public=True)
    with site.client() as client:
        html = client.get(f"/channels/{name}?sort=updated", headers=BROWSER).text
    assert 'Arms of "hall 3" & more.' == described(html) == open_graph(html)["description"]
    assert f"{name} – Seaway" == open_graph(html)["title"]
    assert [open_graph(html)["url"]] == canonical(html)
    assert canonical(html)[0].endswith(f"/channels/{name}")


def test_package_page_is_described_by_its_summary(site: Site) -> None:
    """Cut between words."""
    name, _ = channel_with_package(site, public=True)
    with site.client() as client:
        html = client.get(f"/channels/{name}/packages/gripper", headers=BROWSER).text
    text = described(html)
    assert text.startswith('gripper: Two & "three" fingers and one more')
    assert len(text) <= 160
    assert text.endswith(("and…", "one…", "more…"))
    assert f"gripper in {name} – Seaway" == open_graph(html)["title"]


@pytest.mark.parametrize("path", ["", "/packages/gripper", "/packages/gripper/files/noarch/gripper-1.0-h1_0.conda"])
def test_private_channel_tells_other_sites_nothing(site: Site, path: str) -> None:
    """Members get no Open Graph data; everyone else does not learn the name."""
    name, key = channel_with_package(site, public=False)
    with site.client() as client, site.client(key) as member:
        shown = client.get(f"/channels/{name}{path}", headers=BROWSER)
        own = member.get(f"/channels/{name}{path}", headers=BROWSER)
    assert 200 == own.status_code
    assert name in own.text
    assert ({}, []) == (open_graph(own.text), canonical(own.text))
    assert name not in shown.text.replace(f"/channels/{name}{path}", "")
    assert ({}, []) == (open_graph(shown.text), canonical(shown.text))


@pytest.mark.parametrize("path", ["/signin", "/signup", "/search?q=secret", "/reset", "/channels/no-such-channel"])
def test_other_pages_are_described_but_not_shared(browser: HttpBrowser, path: str) -> None:
    html = browser.get(path).text
    assert 20 < len(described(html)) <= 160
    assert ({}, []) == (open_graph(html), canonical(html))
    assert re.search(r"<title>[^<]+Seaway</title>", html)


@pytest.mark.parametrize("path", ["/", "/channels", "/docs", "/docs/use/tutorial"])
def test_general_pages_have_a_canonical_url(browser: HttpBrowser, path: str) -> None:
    html = browser.get(f"{path}?utm_source=x").text
    assert [f"{SITE}{path}"] == canonical(html)
    assert len(described(html)) <= 160


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("a\n b", "a b"),
        ("x" * 160, "x" * 160),
        ("x" * 161, "x" * 159 + "…"),
        ("y" * 150 + " " + "z" * 20, "y" * 150 + "…"),
    ],
)
def test_description_is_one_line_of_limited_length(text: str, shown: str) -> None:
    assert shown == formats.meta_description(text)
