"""Pages of channels, packages and files, in a browser without scripts."""

import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from seaway.callers.caller import OPERATOR
from seaway.channels import channels, notices
from seaway.channels.channel import ChannelSettings
from seaway.channels.notices import Level
from seaway.channels.roles import Role
from seaway.conda.corrections import FIELDS
from seaway.http.cookies import Cookies
from seaway.packages import metadata_corrections, removal, search, versions
from seaway.packages.removal import FileAction, Selection
from seaway.packages.search import PackageQuery
from seaway.sign_in import sessions
from seaway.web import formats, install_lines
from tests.conftest import Site
from tests.support.packages import PackageFile, conda, index_json, paths_json
from tests.support.requests import upload
from tests.support.statements import record_statements

BROWSER = {"Accept": "text/html"}
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>{{7*7}}"
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(scope="module")
def http(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.server.address, headers=BROWSER) as client:
        yield client


class Tags(HTMLParser):
    """Collect the tags, attribute names and script sources of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "script":
            self.sources.append(dict(attrs).get("src") or "")


def signed_in(site: Site, user: str) -> httpx.Client:
    """Return a browser in which this user is signed in."""
    seaway = site.factory.seaway
    with seaway.site.database.write_site() as tx:
        user_id = tx.exec_driver_sql(f"SELECT id FROM users WHERE name = '{user}'").scalar_one()
        secret = sessions.start(tx, seaway.site.clock.now_ms(), user_id, address="127.0.0.1", agent="a test")
    name = Cookies.of_site(site.server.address).session_name
    headers = {**BROWSER, "Origin": site.server.address, "Sec-Fetch-Site": "same-origin"}
    return httpx.Client(base_url=site.server.address, headers=headers, cookies={name: secret})


def publish(site: Site, http: httpx.Client, channel: str, *files: PackageFile) -> None:
    with site.factory.seaway.site.database.read() as tx:
        owner = channels.get(tx, channel).owner
    for file in files:
        assert 201 == upload(http, channel, file, site.factory.key(owner)).status_code


def shown(http: httpx.Client, path: str, status: int = 200) -> str:
    """Return the HTML of a page."""
    response = http.get(path)
    assert status == response.status_code, response.text[:500]
    return response.text


def test_channel_page_shows_packages_and_install_lines(site: Site, http: httpx.Client) -> None:
    """Newest version, platforms, install lines, notices, Markdown; search, filter and sort through the URL."""
    channel = site.new_channel()
    publish(
        site,
        http,
        channel,
        conda(index_json("alpha", "1.0"), about={"summary": "The first letter"}),
        conda(index_json("alpha", "10.0"), about={"summary": "The first letter"}),
        conda(index_json("beta", "2.0", subdir="linux-64", noarch=...)),
    )
    seaway = site.factory.seaway
    now_ms = seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        channels.change(tx, now_ms, OPERATOR, channel, ChannelSettings(description="All **letters**."))
        notices.add(tx, now_ms, OPERATOR, channel, Level.WARNING, "It moves <b>.", expires_at_ms=now_ms + 1_000_000)
    page = shown(http, f"/channels/{channel}")
    assert "10.0" in page
    assert "<strong>letters</strong>" in page
    assert "It moves &lt;b&gt;." in page
    with seaway.site.database.read() as tx:
        owner = channels.get(tx, channel).owner
    for line in install_lines.of_channel(site.server.address, channel):
        assert line.text in unescape(page)
    for line in install_lines.to_publish(site.server.address, channel):
        assert line.text not in unescape(page)
        with signed_in(site, owner) as browser:
            assert line.text in unescape(shown(browser, f"/channels/{channel}"))

    def packages(query: str) -> list[str]:
        return re.findall(rf'/channels/{channel}/packages/([a-z]+)"', shown(http, f"/channels/{channel}?{query}"))

    assert packages("") == ["alpha", "beta"]
    assert packages("q=first") == ["alpha"]
    assert packages("subdir=linux-64") == ["beta"]
    assert packages("sort=updated") == ["beta", "alpha"]
    assert packages("sort=downloads") == ["alpha", "beta"]
    assert packages("license=MIT") == ["alpha", "beta"]
    assert packages("license=Zlib") == packages("q=nothing-like-it") == []
    assert packages("q=alpha+%3E%3D2") == ["alpha"]
    assert packages("from=99999&sort=&subdir=") == ["alpha", "beta"]


def test_empty_channel_shows_the_owner_what_to_do(site: Site, http: httpx.Client) -> None:
    """Others only see that there are no packages."""
    channel = site.new_channel()
    with site.factory.seaway.site.database.read() as tx:
        owner = channels.get(tx, channel).owner
    assert "No packages yet" in shown(http, f"/channels/{channel}")
    with signed_in(site, owner) as browser:
        page = unescape(shown(browser, f"/channels/{channel}"))
    assert "Publish your first package" in page
    for path in ("upload", "keys", "publishers"):
        assert f'href="/channels/{channel}/settings/{path}"' in page


def test_search_page_filters_and_counts(site: Site, http: httpx.Client) -> None:
    """Filters that are set are in the links of the page; an unfinished or too long query is no error page."""
    channel, word = site.new_channel(), f"zebra-{site.new_channel()}"
    files = [conda(index_json(f"{word}-{number:02}", license="Zlib" if number else "ISC")) for number in range(32)]
    publish(site, http, channel, *files)
    page = unescape(shown(http, f"/search?q={word}&channel={channel}"))
    assert "1 to 30 of 32 packages" in page
    (link,) = re.findall(r'<a href="([^"]+)" rel="next">', page)
    assert f"q={word}&channel={channel}&after=" in link
    following = shown(http, link)
    assert "31 to 32 of 32 packages" in following
    assert f"{word}-31" in following
    assert "1 package<" in shown(http, f"/search?q={word}&license=ISC")
    assert "Search without filters" in shown(http, f"/search?q={word}&license=MIT")
    assert f"{word}-00" in shown(http, f"/search?q={word}-00+%3E%3D")
    assert "Use fewer words." in shown(http, "/search?q=a+b+c+d+e+f+g+h+i")
    shown(http, f"/search?q={word}&after=nonsense&from=-1&sort=nonsense")


def test_package_page_shows_its_metadata(site: Site, http: httpx.Client) -> None:
    """Versions, linked dependencies and dependents, run exports, http links only, and the selected version."""
    channel = site.new_channel()
    about = {
        "summary": "A library",
        "description": "It *works*.",
        "home": "https://example.org/lib",
        "dev_url": "javascript:alert(1)",
    }
    lib = conda(
        index_json("lib", "1.0", depends=["tool >=1", "elsewhere"]), about=about, run_exports={"weak": ["lib >=1,<2"]}
    )
    publish(site, http, channel, conda(index_json("tool")), lib, conda(index_json("lib", "0.9")))
    page = shown(http, f"/channels/{channel}/packages/lib")
    assert f'href="/channels/{channel}/packages/tool"' in page
    assert f'href="/channels/{channel}/packages/elsewhere"' not in page
    assert "lib &gt;=1,&lt;2" in page
    assert 'href="https://example.org/lib" rel="nofollow noopener noreferrer ugc"' in page
    assert "javascript:" not in page
    assert f"pixi workspace channel add {site.server.address}/{channel} && pixi add lib" in unescape(page)
    selected = unescape(shown(http, f"/channels/{channel}/packages/lib?version=0.9"))
    assert "pixi add lib==0.9" in selected
    assert "conda install -c" in selected
    assert "lib=0.9" in selected
    # Dependents are read on their own page first: that reads the dependencies of every package of the channel.
    path = f"/channels/{channel}/packages/tool"
    assert f'data-part="{path}/dependents"' in shown(http, path)
    for tool in (shown(http, f"{path}/dependents"), shown(http, path)):
        assert "1 package in this channel depends on tool in its latest files." in tool
        assert f'href="/channels/{channel}/packages/lib"' in tool
    shown(http, f"/channels/{channel}/packages/nothing", 404)


def test_package_page_links_each_build_for_download(site: Site, http: httpx.Client) -> None:
    """With the URL of the file page, whose requests are counted. Builds of one platform have no heading."""
    channel = site.new_channel()
    epoch = conda(index_json("lib", "1!2.0", depends=["tool"]))
    publish(site, http, channel, epoch, conda(index_json("lib", "1.0", subdir="linux-64", noarch=...)))
    path = f"/channels/{channel}/packages/lib"

    def downloads(page: str) -> list[str]:
        return [url for url in re.findall(r'href="([^"]+)"[^>]* download>', page) if url.endswith(".conda")]

    page = shown(http, path)
    assert f"Download {epoch.name}" in page
    assert downloads(page)[:1] == downloads(shown(http, f"{path}/files/noarch/{epoch.name}"))
    assert [200, 200] == [http.get(url, follow_redirects=True).status_code for url in downloads(page)]
    assert "build-group" not in page
    assert "1 dependency" in page
    publish(site, http, channel, conda(index_json("lib", "1.0")))
    assert 2 == shown(http, path).count("build-group")


def test_yanked_package_has_no_size_in_the_list(site: Site, http: httpx.Client) -> None:
    """It has no files to offer."""
    channel = site.new_channel()
    publish(site, http, channel, conda(index_json("old")))
    seaway = site.factory.seaway
    removal.change(seaway.site, OPERATOR, channel, FileAction.YANK, Selection(package="old"))
    page = shown(http, f"/channels/{channel}")
    assert "0 B" not in page.partition("<table")[2]
    assert "all yanked" in page


def test_upload_warnings_are_shown_with_the_file(site: Site, http: httpx.Client) -> None:
    """Exactly the warnings of the upload are on the file page, in the recent uploads and in the API."""
    channel = site.new_channel()
    odd = index_json("my_pkg", depends=["lib (>=1)"], timestamp=1_700_000_000)
    publish(site, http, channel, conda(index_json("my-pkg")), conda(odd))
    details = http.get(f"/api/v1/channels/{channel}/files/noarch/my_pkg-1.0-h1_0.conda").json()
    parts = ["'lib (>=1)' in depends", "1700000000 of index.json is in seconds", "my_pkg looks like my-pkg"]
    assert [True] * 3 == [part in warning for part, warning in zip(parts, details["warnings"], strict=True)]
    assert "warnings" not in details["about"]
    (listed,) = http.get(f"/api/v1/channels/{channel}/packages/my_pkg/files").json()["items"]
    assert details["warnings"] == listed["warnings"]
    page = unescape(shown(http, f"/channels/{channel}/packages/my_pkg/files/noarch/my_pkg-1.0-h1_0.conda"))
    with site.factory.seaway.site.database.read() as tx:
        owner = channels.get(tx, channel).owner
    with signed_in(site, owner) as browser:
        recent = unescape(shown(browser, f"/channels/{channel}/settings/upload"))
    for warning in details["warnings"]:
        assert warning in page
        assert warning in recent
    assert "2023-11-14T22:13:20Z (1700000000)" in page
    plain = shown(http, f"/channels/{channel}/packages/my-pkg/files/noarch/my-pkg-1.0-h1_0.conda")
    assert "notice warn" not in plain


def test_file_page_shows_hashes_paths_and_differences(site: Site, http: httpx.Client) -> None:
    """Paths can be searched, and the file can be compared with another build."""
    channel = site.new_channel()

    before, after = (
        dict.fromkeys(names, b"content") for names in (("lib/old.so", "lib/same.so"), ("lib/new.so", "lib/same.so"))
    )
    old = conda(index_json("lib", "1.0", depends=["tool >=1"]), files=before, paths=paths_json(before))
    new = conda(index_json("lib", "2.0", depends=["tool >=2"]), files=after, paths=paths_json(after))
    publish(site, http, channel, old, new)
    page_path = f"/channels/{channel}/packages/lib/files/noarch/{new.name}"
    page = shown(http, page_path)
    for text in (
        new.sha256,
        "lib/new.so",
        "lib/same.so",
        "generic",
        f"{site.server.address}/{channel}/noarch/{new.name}",
    ):
        assert text in page
    found = shown(http, f"{page_path}?q=NEW")
    assert "lib/new.so" in found
    assert "lib/same.so" not in found
    compared = shown(http, f"{page_path}?against=noarch/{old.name}")
    for text in ("<del>tool &gt;=1</del>", "<ins>tool &gt;=2</ins>", "lib/old.so"):
        assert text in compared
    shown(http, f"{page_path}?against=noarch/none-1-0.conda", 404)
    shown(http, page_path.replace("/packages/lib/", "/packages/tool/"), 404)


def test_untrusted_text_is_escaped_on_every_page(site: Site, http: httpx.Client) -> None:
    """Summaries, licenses, descriptions, paths, links and search terms."""
    channel = site.new_channel()
    files = {f"share/{EVIL}".replace("/", "_"): b""}
    evil = conda(
        index_json("evil", license=EVIL, license_family=EVIL),
        about={"summary": EVIL + "\u202e", "description": EVIL, "home": f'https://e.example/"{EVIL}', "license": EVIL},
        files=files,
        paths=paths_json(files),
    )
    publish(site, http, channel, evil)
    with site.factory.seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, channel, ChannelSettings(description=EVIL))
    page_path = f"/channels/{channel}"
    for path in (
        "/", "/channels", f"/search?q={channel}", "/search?q=evil", f"/search?q={EVIL}", page_path, f"{page_path}?q={EVIL}",
        f"{page_path}/packages/evil", f"{page_path}/packages/evil/files/noarch/{evil.name}",
        f"{page_path}/packages/evil/files/noarch/{evil.name}?q={EVIL}",
    ):  # fmt: skip
        page = shown(http, path)
        assert "\u202e" not in page
        tags = Tags()
        tags.feed(page)
        assert not {"img", "iframe", "object", "embed", "style", "base"} & tags.tags
        assert not {name for name in tags.attributes if name.startswith("on") or name in ("style", "srcdoc")}
        assert all(source.startswith("/static/") for source in tags.sources)
    with site.factory.seaway.site.database.write_site() as tx:
        channels.remove(
            tx, site.factory.seaway.site.clock.now_ms(), OPERATOR, channel
        )  # other tests read the home page


def test_match_spec_without_a_match_leads_to_the_newest_version(site: Site, http: httpx.Client) -> None:
    """On the search page and the channel page; the hint to shorten the name would be wrong."""
    channel = site.new_channel()
    name = site.new_name("gripper")
    publish(site, http, channel, conda(index_json(name, "1.5")))
    for path in ("/search", f"/channels/{channel}"):
        page = shown(http, f"{path}?q={name} >=99")
        assert f'<a href="/channels/{channel}/packages/{name}">{name}</a> in {channel} matches' in page
        assert "the newest is 1.5." in page
        assert "try fewer letters" not in page


def test_channel_without_a_match_leads_to_the_search_of_all_channels(site: Site, http: httpx.Client) -> None:
    channel = site.new_channel()
    publish(site, http, channel, conda(index_json("demo")))
    page = unescape(shown(http, f"/channels/{channel}?q=not <here>"))
    assert '<a href="/search?q=not%20%3Chere%3E">Search all channels for "not <here>"</a>' in page


def test_search_finds_packages_and_channels(site: Site, http: httpx.Client) -> None:
    """By a part of the name or by a match spec; an empty query shows help, and odd queries do not fail."""
    channel = site.new_channel()
    name = site.new_name("needle")
    publish(site, http, channel, conda(index_json(name, "1.5")))
    address = f"/channels/{channel}/packages/{name}"
    assert address in shown(http, f"/search?q={name[2:]}")
    assert address in shown(http, f"/search?q={name} >=1,<2")
    assert address in shown(http, f"/search?q={channel}::{name}")
    assert f'href="/channels/{channel}"' in shown(http, f"/search?q={channel}")
    assert "Search syntax" in shown(http, "/search")
    for odd in ("<", "a b c d e f g h i j", "%", "x" * 5_000, "numpy >=", "[]", "*"):
        response = http.get("/search", params={"q": odd})
        assert 200 == response.status_code


def test_feed_lists_uploaded_files(site: Site, http: httpx.Client) -> None:
    """Atom: one entry per file, with an absolute id."""
    channel = site.new_channel()
    files = [conda(index_json("lib", version), about={"summary": "x\u0001<y>"}) for version in ("1.0", "2.0")]
    publish(site, http, channel, *files)
    response = http.get(f"/channels/{channel}/feed.atom")
    assert response.headers["content-type"].startswith("application/atom+xml")
    feed = ElementTree.fromstring(response.content)
    entries = feed.findall(f"{ATOM}entry")
    assert {"lib 2.0 h1_0 for noarch", "lib 1.0 h1_0 for noarch"} == {
        entry.findtext(f"{ATOM}title") for entry in entries
    }
    assert all((entry.findtext(f"{ATOM}id") or "").startswith(site.server.address) for entry in entries)
    assert {"x<y>"} == {entry.findtext(f"{ATOM}summary") for entry in entries}


def test_private_channel_is_on_no_page(site: Site, http: httpx.Client) -> None:
    """Lists, search and feeds show its name and packages only to members (P4)."""
    channel = site.new_channel(public=False)
    name = site.new_name("hush")
    publish(site, http, channel, conda(index_json(name)))
    member = site.factory.member(channel, site.new_name("member"), Role.VIEWER)
    paths = ("/", "/channels", f"/channels?q={channel}", f"/search?q={channel}", f"/search?q={name} >=0")
    with (
        signed_in(site, site.factory.user(site.new_name("nonmember"))) as nonmember,
        signed_in(site, member) as member_browser,
    ):
        for path in paths:
            for anyone_else in (http, nonmember):
                page = shown(anyone_else, path)
                assert f"/channels/{channel}" not in page
                assert f"/packages/{name}" not in page
            page = shown(member_browser, path)
            assert f"/channels/{channel}" in page or f"/packages/{name}" in page
        for path in (
            f"/channels/{channel}",
            f"/channels/{channel}/feed.atom",
            f"/channels/{channel}/statistics",
            f"/channels/{channel}/packages/{name}",
        ):
            hidden, unknown = nonmember.get(path), nonmember.get(path.replace(channel, "no-such-channel"))
            assert 404 == hidden.status_code == unknown.status_code
            assert re.sub(channel, "", hidden.text) == re.sub("no-such-channel", "", unknown.text)
            shown(member_browser, path)


def test_file_is_yanked_and_deleted_on_its_page(site: Site, http: httpx.Client) -> None:
    """Each button asks for confirmation, the form needs its token, and only users with permission see buttons."""
    channel = site.new_channel()
    file = conda(index_json("lib"))
    publish(site, http, channel, file)
    package = f"/channels/{channel}/packages/lib"
    page_path = f"{package}/files/noarch/{file.name}"
    assert f"{package}/yank" not in shown(http, page_path) + shown(http, package)
    with signed_in(site, owner_of(site, channel)) as browser:
        fields = {**token_of(shown(browser, page_path)), "file": f"noarch/{file.name}"}
        assert 403 == browser.post(f"{package}/yank", data={"confirmed": "yes", "file": fields["file"]}).status_code
        assert "Yank this file?" in browser.post(f"{package}/yank", data=fields).text
        too_long = browser.post(f"{package}/yank", data={**fields, "confirmed": "yes", "reason": "x" * 501})
        assert (400, True) == (too_long.status_code, "longer than 500 characters" in too_long.text)
        response = browser.post(f"{package}/yank", data={**fields, "confirmed": "yes", "reason": "<b>leak</b>"})
        assert (303, page_path) == (response.status_code, response.headers["location"])
        assert f"{file.name} was yanked." in shown(browser, response.headers["location"])
        assert "was yanked" not in shown(http, response.headers["location"])
        assert f"{package}/unyank" in shown(browser, page_path)
        assert "Reason: &lt;b&gt;leak&lt;/b&gt;" in shown(http, page_path)
        assert "all yanked" in shown(http, f"/channels/{channel}")
        response = browser.post(f"{package}/delete", data={**fields, "confirmed": "yes"})
        assert f"/channels/{channel}" == response.headers["location"]
        assert f"{file.name} was deleted." in shown(browser, response.headers["location"])
        assert 404 == browser.post(f"{package}/burn", data=fields).status_code
    shown(http, page_path, 404)


def test_package_page_changes_files_versions_and_the_package(site: Site, http: httpx.Client) -> None:
    """The confirmation page lists every file, and the next page says how many changed."""
    channel = site.new_channel()
    builds = [conda(index_json("lib", "1.0", build=f"h1_{number}", build_number=number)) for number in range(3)]
    publish(site, http, channel, *builds, conda(index_json("lib", "2.0")))
    package = f"/channels/{channel}/packages/lib"
    paths = [f"noarch/{file.name}" for file in builds]
    with signed_in(site, owner_of(site, channel)) as browser:
        fields = token_of(shown(browser, package))

        def listed_files(action: str, **selection: Any) -> list[str]:
            text = browser.post(f"{package}/{action}", data={**fields, **selection}).text
            return sorted(set(re.findall(r"noarch/lib-[\w.-]+\.conda", text)))

        def confirmation_fields(action: str, **selection: Any) -> dict[str, Any]:
            """Return the fields of the confirmation form."""
            page = browser.post(f"{package}/{action}", data={**fields, **selection}).text
            expected = re.search(r'name="expected" value="(\w+)"', page)
            return {**fields, **selection, "confirmed": "yes", **({"expected": expected[1]} if expected else {})}

        def notice_after(action: str, **selection: Any) -> str:
            response = browser.post(f"{package}/{action}", data=confirmation_fields(action, **selection))
            found = re.search(
                r'class="message(?: good)?" role="status".*?<p>([^<]+)',
                shown(browser, response.headers["location"]),
                re.DOTALL,
            )
            assert found
            return found[1]

        nothing = browser.post(f"{package}/yank", data={**fields, "what": "files"})
        assert 400 == nothing.status_code
        assert "No file is selected." in nothing.text
        assert 'formaction="' in nothing.text  # the page of the package, where the selection is made
        assert paths[:2] == listed_files("yank", what="files", file=paths[:2])
        assert paths == listed_files("yank", version="1.0")
        assert [*paths, "noarch/lib-2.0-h1_0.conda"] == listed_files("delete", what="package")
        assert "2 files of lib were yanked." == notice_after("yank", what="files", file=paths[:2])
        assert f"{builds[2].name} was yanked." == notice_after("yank", version="1.0")
        assert "Nothing changed: the files were already yanked." == notice_after("yank", version="1.0")
        assert "lib 1.0 was unyanked: 3 files." == notice_after("unyank", version="1.0")
        assert 400 == browser.post(f"{package}/delete", data={**fields, "version": ""}).status_code
        stale = confirmation_fields("delete", what="package")
        publish(site, http, channel, conda(index_json("lib", "3.0")))
        for form in (stale, {**stale, "expected": ""}):
            refused = browser.post(f"{package}/delete", data=form)
            assert 409 == refused.status_code
            for text in ("The selected files have changed.", "Delete lib?", "noarch/lib-3.0-h1_0.conda"):
                assert text in refused.text
        assert "lib was deleted: 5 files." == notice_after("delete", what="package")
        log = shown(browser, f"/channels/{channel}/settings/log")
        for file in builds:
            assert f"<dt>noarch/{file.name}</dt><dd><code>{file.sha256}</code></dd>" in log
    shown(http, package, 404)


def test_yank_of_a_version_is_undone_by_the_button_of_its_message(site: Site, http: httpx.Client) -> None:
    """The version page is shown again; files yanked before have their reason again; a second undo is refused."""
    channel = site.new_channel()
    files = [conda(index_json("lib", "1.0", build=f"h1_{number}", build_number=number)) for number in range(3)]
    publish(site, http, channel, *files, conda(index_json("lib", "2.0")))
    package = f"/channels/{channel}/packages/lib"
    with signed_in(site, owner_of(site, channel)) as browser:
        token = token_of(shown(browser, package))
        first = {"file": f"noarch/{files[0].name}", "confirmed": "yes", "reason": "It crashes."}
        assert 303 == browser.post(f"{package}/yank", data={**token, **first}).status_code
        confirmation = browser.post(f"{package}/yank", data={**token, "version": "1.0"}).text
        assert "Yank lib 1.0?" in confirmation
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', confirmation))
        yanked = browser.post(f"{package}/yank", data={**fields, "reason": "It leaks."})
        assert f"{package}?version=1.0" == yanked.headers["location"]
        page = shown(browser, yanked.headers["location"])
        assert "lib 1.0 was yanked: 3 files." in page
        assert "Version 1.0 is yanked." in page
        assert "Reason: It leaks." in page
        assert "pixi add" not in page
        undo = re.search(r'action="([^"]+/undo-yank)".*?name="yank" value="(\d+)"', page, re.DOTALL)
        assert undo
        undone = browser.post(undo[1], data={**token, "yank": undo[2]})
        page = shown(browser, undone.headers["location"])
        assert "The yank was undone: solvers can choose 2 files again, and 1 file is yanked as before." in page
        assert "partly yanked" in page
        assert "It leaks." not in page
        assert "Reason: It crashes." in shown(browser, f"{package}/files/noarch/{files[0].name}")
        for old in (undo[2], "1"):
            refused = browser.post(undo[1], data={**token, "yank": old})
            assert 409 == refused.status_code
            assert "This yank can no longer be undone." in refused.text
        assert 400 == browser.post(undo[1], data={**token, "yank": "x"}).status_code


def test_deleting_the_last_file_of_a_version_shows_the_package(site: Site, http: httpx.Client) -> None:
    """After the last file of the package, the channel is shown."""
    channel = site.new_channel()
    old, new = conda(index_json("lib", "1.0")), conda(index_json("lib", "2.0"))
    publish(site, http, channel, old, new)
    above = f"/channels/{channel}"
    with signed_in(site, owner_of(site, channel)) as browser:
        token = token_of(shown(browser, f"{above}/packages/lib"))
        for file, after in ((old, f"{above}/packages/lib"), (new, above)):
            form = {**token, "file": f"noarch/{file.name}", "confirmed": "yes"}
            response = browser.post(f"{above}/packages/lib/delete", data=form)
            assert after == response.headers["location"]
            assert f"{file.name} was deleted." in shown(browser, after)


def test_package_page_changes_only_files_of_its_package(site: Site, http: httpx.Client) -> None:
    """A file of another package returns 404, before and after the confirmation; more than 200 files are refused."""
    channel = site.new_channel()
    own, foreign = conda(index_json("lib")), conda(index_json("zzz"))
    publish(site, http, channel, own, foreign)
    package = f"/channels/{channel}/packages/lib"
    paths = [f"noarch/{own.name}", f"noarch/{foreign.name}"]
    with signed_in(site, owner_of(site, channel)) as browser:
        fields = {**token_of(shown(browser, package)), "what": "files"}
        for selection in (paths, paths[1:]):
            for step in ({}, {"confirmed": "yes"}):
                response = browser.post(f"{package}/delete", data={**fields, **step, "file": selection})
                assert 404 == response.status_code
                assert f"The package lib has no file {paths[1]}." in response.text
        too_many = browser.post(f"{package}/delete", data={**fields, "file": [f"noarch/{n}" for n in range(250)]})
        assert 400 == too_many.status_code
        assert "Select at most 200 files, or use the buttons next to a version." in too_many.text
        at_limit = browser.post(f"{package}/delete", data={**fields, "file": [f"noarch/{n:0243}" for n in range(200)]})
        assert 404 == at_limit.status_code
    for name in ("lib", "zzz"):
        shown(http, f"/channels/{channel}/packages/{name}")


def test_metadata_is_corrected_and_restored_on_the_file_page(site: Site, http: httpx.Client) -> None:
    """A refused value stays in the form; the file page shows the original, the correction and the reason."""
    channel = site.new_channel()
    file = conda(index_json("lib", depends=["a", "b >=1"]))
    publish(site, http, channel, file)
    page_path = f"/channels/{channel}/packages/lib/files/noarch/{file.name}"
    assert f"{page_path}/correction" not in shown(http, page_path)
    with signed_in(site, owner_of(site, channel)) as browser:
        form = shown(browser, f"{page_path}/correction")
        assert ">a\nb &gt;=1</textarea>" in form
        fields = {
            **token_of(form),
            **fingerprints_of(form),
            "depends": "a <2\r\nb >=1\r\n",
            "constrains": "",
            "license": "MIT",
            "track_features": "",
        }
        refused = browser.post(f"{page_path}/correction", data={**fields, "depends": "a >=>", "reason": "pin"})
        assert (422, True) == (refused.status_code, "a &gt;=&gt;</textarea>" in refused.text)
        assert fingerprints_of(form) == fingerprints_of(refused.text)
        assert 400 == browser.post(f"{page_path}/correction", data=fields).status_code
        unprintable = browser.post(f"{page_path}/correction", data={**fields, "reason": "pin\x07"})
        assert (400, True) == (unprintable.status_code, 'id="reason-error"' in unprintable.text)
        response = browser.post(f"{page_path}/correction", data={**fields, "reason": "<b>pin</b>"})
        assert (303, page_path) == (response.status_code, response.headers["location"])
        page = shown(browser, response.headers["location"])
        assert f"The metadata of {file.name} was corrected." in page
        assert "<del>a, b &gt;=1</del><br><ins>a &lt;2, b &gt;=1</ins>" in page
        assert "&lt;b&gt;pin&lt;/b&gt;" in shown(http, page_path)
        assert "correction/remove" not in shown(http, page_path)
        assert 303 == browser.post(f"{page_path}/correction/remove", data=fields).status_code
        assert "The metadata was corrected" not in shown(browser, page_path)


def test_correction_form_changes_only_edited_fields(site: Site, http: httpx.Client) -> None:
    """Concurrent corrections by another user are kept, and white space that a form does not preserve is no change."""
    channel = site.new_channel()
    depends = ["a ", "b  >=1"]
    file = conda(index_json("lib", depends=depends, license="MIT  OR BSD-3-Clause", track_features="x  y"))
    publish(site, http, channel, file)
    page_path = f"/channels/{channel}/packages/lib/files/noarch/{file.name}/correction"
    data = f"/api/v1/channels/{channel}/files/noarch/{file.name}"
    removing = site.factory.seaway.site
    with signed_in(site, owner_of(site, channel)) as browser:
        form = shown(browser, page_path)
        fields = {
            **token_of(form),
            **fingerprints_of(form),
            "depends": "\r\n".join(depends),
            "constrains": "",
            "license": "MIT  OR BSD-3-Clause",
            "track_features": "x  y",
            "reason": "features",
        }
        assert 400 == browser.post(page_path, data=fields).status_code  # no field was edited
        changes = {"depends": ["a <2"], "constrains": ["c"], "license": "ISC"}
        metadata_corrections.correct(removing, OPERATOR, channel, "noarch", file.name, changes, "meanwhile")
        assert 303 == browser.post(page_path, data={**fields, "track_features": ""}).status_code
    found = http.get(data).json()
    assert changes == found["correction"]["fields"]
    assert {"depends": depends, "license": "MIT  OR BSD-3-Clause", "track_features": "x  y"} == found["correction"][
        "original"
    ]
    assert "track_features" not in found["record"]


def test_correction_form_returns_404_for_a_file_of_another_package(site: Site, http: httpx.Client) -> None:
    channel = site.new_channel()
    file = conda(index_json("lib"))
    publish(site, http, channel, file)
    wrong = f"/channels/{channel}/packages/nonsense/files/noarch/{file.name}/correction"
    with signed_in(site, owner_of(site, channel)) as browser:
        right = wrong.replace("nonsense", "lib")
        fields = {**token_of(shown(browser, right)), "license": "ISC", "reason": "wrong"}
        assert 404 == browser.get(wrong).status_code
        assert 404 == browser.post(wrong, data=fields).status_code
        assert 303 == browser.post(right, data=fields).status_code
        assert 404 == browser.post(f"{wrong}/remove", data=fields).status_code
        assert 303 == browser.post(f"{right}/remove", data=fields).status_code


def owner_of(site: Site, channel: str) -> str:
    with site.factory.seaway.site.database.read() as tx:
        return channels.get(tx, channel).owner


def token_of(page: str) -> dict[str, str]:
    """Return the CSRF token field of a page."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token
    return {"csrf_token": token[1]}


def fingerprints_of(page: str) -> dict[str, str]:
    """Return the hidden fields with the values that a correction form showed."""
    found = dict(re.findall(r'name="(shown_\w+)" value="([^"]+)"', page))
    assert len(FIELDS) == len(found)
    return found


def test_statements_do_not_grow_with_the_number_of_packages(site: Site, http: httpx.Client) -> None:
    """The functions that the pages use send the same number of statements for few and many packages."""
    seaway = site.factory.seaway
    channel = site.new_channel()
    publish(site, http, channel, conda(index_json("a")), conda(index_json("b", depends=["a"])))
    with seaway.site.database.read() as tx:
        channel_id = channels.get(tx, channel).id
        with record_statements(seaway.site.database) as few:
            search.search(tx, OPERATOR, PackageQuery(channel=channel), limit=50)
            versions.of_package(tx, channel_id, "a")
    publish(site, http, channel, *(conda(index_json(f"c-{number}")) for number in range(5)))
    publish(site, http, channel, *(conda(index_json("a", f"{number}.0")) for number in range(2, 6)))
    with seaway.site.database.read() as tx, record_statements(seaway.site.database) as many:
        search.search(tx, OPERATOR, PackageQuery(channel=channel), limit=50)
        versions.of_package(tx, channel_id, "a")
    assert len(few) == len(many)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (99_960, "100 kB"), (1_500_000, "1.5 MB")]
)
def test_sizes_have_at_most_three_digits_and_a_unit(count: int, text: str) -> None:
    assert formats.size(count) == text
    assert formats.size_difference(count) == (f"+{text}" if count else "unchanged")
