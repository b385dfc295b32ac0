"""All pages of a site whose users chose HTML and scripts as names and texts (case 33)."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page
from sqlalchemy import insert

from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import channels, groups, invitations, members, notices, transfers
from seaway.channels.notices import Level
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.database.tables import passkeys
from seaway.keys import api_keys
from seaway.sign_in import sessions
from seaway.sign_in.external_identities import ExternalAccount, link
from seaway.users import users
from tests.browser.conftest import BrowserLog
from tests.browser.demo_site import HOSTILE, DemoSite, new_user
from tests.support.packages import conda, index_json, paths_json
from tests.support.requests import upload

pytestmark = pytest.mark.slow

SHORT = "<img src=//evil.example/x onerror=alert(1)><script>alert(2)</script>"
MARKDOWN = f"[x](javascript:alert(3)) ![y](//evil.example/z) <svg onload=alert(4)> {HOSTILE}\n\n<a href='javascript:alert(5)'>z</a>"
MARK = "onerror=alert(1)"
CHANNEL = "crossbones"
_MAX_VISITS = 4  # queries of one path: sorts, filters and pages of lists

_WATCH = """
addEventListener('securitypolicyviolation', event => console.error('blocked by the policy: ' + event.blockedURI));
"""
# Inline scripts, and elements that run a script or load an image from another host.
_INJECTED = """() => [...document.querySelectorAll('*')].filter(element =>
    (element.tagName === 'SCRIPT' && !element.src)
    || [...element.attributes].some(attribute => attribute.name.startsWith('on'))
    || /^\\s*(javascript|data|vbscript):/i.test(element.getAttribute('href') || element.getAttribute('src') || '')
    || (element.tagName === 'IMG' && new URL(element.src, location).host !== location.host)
).map(element => element.outerHTML.slice(0, 200))"""


@dataclass
class Crawl:
    """One browser that follows every link of the site."""

    page: Page
    host: str
    visits: dict[str, int] = field(default_factory=dict)  # by path
    paths_with_text: set[str] = field(default_factory=set)
    injected: list[str] = field(default_factory=list)

    def run(self, *paths: str) -> None:
        waiting, known = list(paths), set(paths)
        while waiting:
            for found in self._open(waiting.pop()):
                if found not in known:
                    known.add(found)
                    waiting.append(found)

    def _open(self, url: str) -> list[str]:
        path = urlsplit(url).path
        self.visits[path] = self.visits.get(path, 0) + 1
        if self.visits[path] > _MAX_VISITS:
            return []
        response = self.page.goto(url)
        assert response is not None
        assert response.status < 500, url
        self.injected += [f"{url}: {element}" for element in self.page.evaluate(_INJECTED)]
        if MARK in self.page.locator("body").inner_text() or MARK in self._field_values():
            self.paths_with_text.add(path)
        links: list[str] = self.page.evaluate("[...document.querySelectorAll('a[href]')].map(link => link.href)")
        return [inner for link in links if (inner := self._page_path(link))]

    def _field_values(self) -> str:
        fields = "[...document.querySelectorAll('input, textarea')]"
        return str(self.page.evaluate(f"{fields}.map(field => field.value).join()"))

    def _page_path(self, link: str) -> str | None:
        """Path and query of a link if it is another page of the site, not a file or a page of another channel."""
        parts = urlsplit(link)
        first, second = [*parts.path.split("/"), ""][1:3]
        pages = ("", "home", "channels", "account", "search", "device", "invitations", "signin", "signup", "reset")
        is_other_channel = first == "channels" and second not in ("", "new", CHANNEL)
        if parts.netloc != self.host or first not in pages or is_other_channel or parts.path.endswith(".atom"):
            return None
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


def add_hostile_texts(demo: DemoSite, owner_name: str, member_name: str) -> tuple[str, str]:
    """Put hostile text in every place where users can; return session secrets of the owner and the member."""
    seaway, now_ms = demo.seaway, demo.seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        for name in (owner_name, member_name):
            users.set_display_name(tx, now_ms, OPERATOR, name, SHORT)
        owner = users.get(tx, owner_name)
        channels.add(tx, now_ms, OPERATOR, CHANNEL, owner, description=MARKDOWN, is_public=True)
        key = api_keys.add(
            tx, now_ms, OPERATOR, owner, SHORT, mode=Mode.MANAGE, channel_ids=None, expires_at_ms=now_ms + DAY_MS
        )[1]
        members.put(tx, now_ms, OPERATOR, CHANNEL, member_name, Role.CONTRIBUTOR, outbox=None)
        groups.add(tx, now_ms, OPERATOR, f"{CHANNEL}-crew", owner, description=SHORT)
        groups.put_member(tx, now_ms, OPERATOR, f"{CHANNEL}-crew", member_name, outbox=None)
        members.put_group(tx, now_ms, OPERATOR, CHANNEL, f"{CHANNEL}-crew", Role.VIEWER)
        notices.add(tx, now_ms, OPERATOR, CHANNEL, Level.WARNING, HOSTILE, expires_at_ms=now_ms + DAY_MS)
        invitations.invite(tx, now_ms, OPERATOR, CHANNEL, "o'{{7*7}}@example.com", Role.VIEWER, outbox=None)
        link(
            tx,
            now_ms,
            OPERATOR,
            owner.id,
            ExternalAccount("github", "https://github.com", f"1-{owner_name}", SHORT, SHORT, None),
        )
        tx.execute(
            insert(passkeys).values(
                user_id=owner.id, credential_id=owner_name.encode(), public_key=b"x", sign_count=0, transports="[]",
                name=SHORT, created_at=now_ms,
            )
        )  # fmt: skip
    session_secrets = _start_sessions(demo, owner_name, member_name)
    about = {
        "summary": SHORT,
        "description": MARKDOWN,
        "home": "javascript:alert(6)",
        "doc_url": HOSTILE,
        "license": SHORT,
    }
    files = {f"share/{HOSTILE}".replace("/", "_"): b""}
    with demo.server.client() as client:
        for version in ("1.0", "2.0"):
            index = index_json("plank", version, license=SHORT, depends=["demo >=1"], track_features=SHORT)
            file = conda(index, about=about, files=files, paths=paths_json(files), run_exports={"weak": ["plank >=1"]})
            response = upload(client, CHANNEL, file, key)
            assert response.status_code == 201, response.text
    return session_secrets


def _start_sessions(demo: DemoSite, owner_name: str, member_name: str) -> tuple[str, str]:
    """Sign both users in with hostile user agents; the owner offers the channel to the member."""
    seaway, now_ms = demo.seaway, demo.seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        secrets = [
            sessions.start(tx, now_ms, users.get(tx, name).id, address=SHORT, agent=HOSTILE)
            for name in (owner_name, member_name)
        ]
        owner = sessions.caller_of(tx, secrets[0], now_ms)
        assert owner is not None
        transfers.offer(tx, now_ms, owner, CHANNEL, member_name)
    return secrets[0], secrets[1]


def open_page(demo: DemoSite, context: BrowserContext, secret: str | None) -> Page:
    context.add_init_script(_WATCH)
    if secret is not None:
        context.add_cookies([{"name": "seaway_session", "value": secret, "url": demo.address}])
    page = context.new_page()
    page.on("dialog", lambda _dialog: pytest.fail("a script ran"))
    return page


def test_no_page_runs_user_text(demo: DemoSite) -> None:
    """Follow every link as owner, member and anonymous: no script runs, nothing is blocked, no other host is requested."""
    owner_name, member_name = new_user(demo.seaway, "captain", admin=True), new_user(demo.seaway, "first-mate")
    session_secrets = add_hostile_texts(demo, owner_name, member_name)
    host = demo.address.split("/")[2]
    paths_with_text: set[str] = set()
    for secret in (*session_secrets, None):
        with demo.context() as context:
            log = BrowserLog(context)
            crawl = Crawl(open_page(demo, context, secret), host)
            crawl.run(
                "/",
                "/home",
                "/account",
                "/account/identities",
                f"/channels/{CHANNEL}",
                f"/search?q={SHORT}",
                f"/channels?q={SHORT}",
            )
            assert ([], [], {host}) == (crawl.injected, log.errors, log.hosts)
            assert len(crawl.visits) > (20 if secret else 6), sorted(crawl.visits)
            paths_with_text |= crawl.paths_with_text
    package = f"/channels/{CHANNEL}/packages/plank"
    expected = {
        "/search", "/account", "/account/keys", "/account/security", "/account/sessions", "/account/identities",
        "/account/groups", f"/channels/{CHANNEL}", f"/channels/{CHANNEL}/settings", f"/channels/{CHANNEL}/settings/log",
        package, f"{package}/files/noarch/plank-1.0-h1_0.conda",
    }  # fmt: skip
    assert set() == expected - paths_with_text, "the crawl must find the hostile texts"
