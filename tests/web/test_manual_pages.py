"""The manual at /docs: every page, its links and pictures, and the site URL in its examples."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from anyio.from_thread import BlockingPortal

from seaway.users import reserved_names
from tests.support import sites
from tests.web.http_browser import HttpBrowser

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md"))
SITE = "https://packages.acme.test:8443"
Read = Callable[[str], httpx.Response]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, portal: BlockingPortal) -> Iterator[HttpBrowser]:
    """A browser that is not signed in, on a site with a URL that the manual does not contain."""
    seaway = sites.build(tmp_path_factory.mktemp("manual"), public_url=SITE)
    yield HttpBrowser(seaway, portal, "2001:db8::1")
    seaway.close()


@pytest.fixture(scope="module")
def read(browser: HttpBrowser) -> Read:
    """Return a function that requests each URL once."""
    return cache(browser.get)


def url_of(file: str) -> str:
    return "/docs/" + file.removesuffix(".md") if file != "README.md" else "/docs"


def article(response: httpx.Response) -> str:
    return response.text.partition("<article")[2].partition("</article>")[0]


@pytest.mark.parametrize("file", PAGES)
def test_every_page_is_shown_with_its_title(read: Read, file: str) -> None:
    """The title is the first heading; the policy is that of all pages, and nothing on the page breaks it."""
    response = read(url_of(file))
    heading = re.sub("[`*]", "", (DOCS / file).read_text().partition("\n")[0].removeprefix("# "))

    assert 200 == response.status_code
    assert f"<title>{heading} – Seaway documentation</title>" in unescape(response.text)
    assert response.headers["content-security-policy"] == read("/").headers["content-security-policy"]
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script>|<!-- raw HTML", article(response))


def test_wide_table_is_folded_on_a_phone(read: Read) -> None:
    """Each cell but the first has the name of its column; tables of two columns stay tables."""
    settings = article(read("/docs/operate/settings"))
    head = [unescape(name) for name in re.findall(r"<th[^>]*>(.*?)</th>", settings.partition("</thead>")[0])]
    assert head[1:] == re.findall(
        r'<td data-name="([^"]*)"', settings.partition("</tr>\n<tr>")[2].partition("</tr>")[0]
    )
    assert '<table class="list folds">' in settings
    assert '<table class="list">' in article(read("/docs"))
    assert "folds" not in article(read("/docs"))


@pytest.mark.parametrize("file", PAGES)
def test_every_link_and_picture_leads_somewhere(read: Read, file: str) -> None:
    """Also the anchors, and the links of the side navigation; links to other sites are not followed."""
    response = read(url_of(file))
    urls = {urljoin(url_of(file), unescape(url)) for url in re.findall(r'(?:href|src)="([^"]*)"', response.text)}
    broken = {url for url in urls if url.startswith("/") and not leads_somewhere(read, url)}

    assert set() == broken
    assert 'href=""' not in response.text
    assert all(url.startswith(("/", "https://")) for url in urls)


def leads_somewhere(read: Read, url: str) -> bool:
    path, _, anchor = url.partition("#")
    response = read(path)
    return response.status_code == 200 and (not anchor or f'id="{anchor}"' in response.text)


@pytest.mark.parametrize("file", PAGES)
def test_code_of_the_page_equals_its_source(read: Read, file: str) -> None:
    """Nothing is lost when code blocks become lines to copy, and ids are unique."""
    text = read(url_of(file)).text
    shown = [unescape(block) for block in re.findall(r'<code id="code-block-\d+">(.*?)</code>', text, re.DOTALL)]
    written = re.findall(r"^```\w*\n(.*?)\n```$", (DOCS / file).read_text(), re.DOTALL | re.MULTILINE)
    ids = re.findall(r'\sid="([^"]*)"', text)

    assert len(written) == len(shown)
    assert [block.count("\n") for block in written] == [block.count("\n") for block in shown]
    assert len(ids) == len(set(ids))


def test_headings_have_the_ids_of_github(read: Read) -> None:
    text = read("/docs/operate/commands").text

    assert 'id="seaway-channel-add"' in text
    assert '<h1 id="commands"' in text


def test_links_to_other_files_of_the_repository_are_text(read: Read) -> None:
    """A server has no CONTRIBUTING.md."""
    text = article(read("/docs"))

    assert "<td>Contributing</td>" in text
    assert "CONTRIBUTING.md" not in text


def test_pictures_are_part_of_the_manual(read: Read) -> None:
    picture = read("/docs/pictures/settings-publishers.png")

    assert 'src="/docs/pictures/settings-publishers.png" alt="The page' in read("/docs/use/trusted-publishing").text
    assert (DOCS / "pictures/settings-publishers.png").read_bytes() == picture.content
    assert "image/png" == picture.headers["content-type"]
    assert "public, max-age=86400" == picture.headers["cache-control"]


def test_navigation_lists_the_index_and_marks_the_page(read: Read) -> None:
    """Its entries are the pages that docs/README.md lists."""
    text = read("/docs/use/keys").text
    side = text.partition('<nav class="side manual-side"')[2].partition("</nav>")[0]
    listed = re.findall(
        r"^\| \[[^]]+\]\(([^.)]+)(?:\.md|/README\.md)\)", (DOCS / "README.md").read_text(), re.MULTILINE
    )

    assert [f"/docs/{name.removesuffix('/README')}" for name in listed] == re.findall(r'href="([^"]*)"', side)
    assert ['href="/docs/use/keys" aria-current="page"'] == re.findall(r'href="[^"]*" aria-current="page"', side)
    assert ["Publish and install packages", "Operate a server", "Change the code"] == re.findall("<h2>(.*)</h2>", side)


@pytest.mark.parametrize(
    "path", ["/docs/README", "/docs/README.md", "/docs/decisions/README", "/docs/use/tutorial.md", "/docs/use/keys/"]
)
def test_names_of_the_files_lead_to_their_pages(browser: HttpBrowser, path: str) -> None:
    assert 200 == browser.get(path, follow_redirects=True).status_code


@pytest.mark.parametrize(
    "path",
    ["/docs/nothing", "/docs/use", "/docs/pictures", "/docs/..%2fREADME", "/docs/%2e%2e/pyproject", "/docs//etc"],
)
def test_unknown_page_returns_404(read: Read, path: str) -> None:
    response = read(path)

    assert 404 == response.status_code
    assert "<h1>Not found</h1>" in response.text


@pytest.mark.parametrize("path", ["/docs", "/docs/pictures/front.png"])
def test_head_has_no_body(browser: HttpBrowser, path: str) -> None:
    response = browser.request("HEAD", path)

    assert (200, b"") == (response.status_code, response.content)


def test_every_page_of_the_site_links_the_manual(read: Read) -> None:
    assert all('<a href="/docs">Documentation</a>' in read(path).text for path in ("/", "/signin", "/docs/nothing"))
    assert reserved_names.is_reserved("docs")


@pytest.mark.parametrize("file", PAGES)
def test_no_placeholder_is_left(read: Read, file: str) -> None:
    """Names of variables such as SEAWAY_HOST are no placeholders."""
    assert not re.search(r"\bHOST\b|HOST_ID_TOKEN", article(read(url_of(file))))


@pytest.mark.parametrize(
    ("page", "example"),
    [
        ("use/conda", f"conda install -c {SITE}/CHANNEL PACKAGE"),
        ("use/conda", "machine packages.acme.test\n"),
        ("use/pixi", "<code>pixi publish --to prefix://packages.acme.test:8443/CHANNEL</code>"),
        ("use/trusted-publishing", "PACKAGES_ACME_TEST_ID_TOKEN:\n      aud: packages.acme.test\n"),
        ("operate/containers", "SEAWAY_SERVICE_HOST"),
    ],
)
def test_examples_name_this_site(read: Read, page: str, example: str) -> None:
    """The site URL, the host name, the host with its port, and the variable of a GitLab job are each in their place."""
    assert example in article(read(f"/docs/{page}"))


@pytest.mark.parametrize("host", ["conda.acme.test", "a..b", "[::::]", "<b>"])
def test_examples_name_the_host_of_the_request_without_public_url(
    tmp_path: Path, portal: BlockingPortal, host: str
) -> None:
    """As other pages do; an unusual host is shown or ignored, and never fails."""
    seaway = sites.build(tmp_path, host="0.0.0.0")
    response = HttpBrowser(seaway, portal, "2001:db8::1").get("/docs/use/trusted-publishing", headers={"Host": host})
    seaway.close()

    assert 200 == response.status_code
    assert (f"https://{host}/api" in response.text) == (host != "<b>")
