"""Every page of a site on which everybody chose names that would be programs (case 33)."""

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
from tests.browser.conftest import Watched
from tests.browser.stage import HOSTILE, Stand, new_user
from tests.support.packages import conda, index_json, paths_json
from tests.support.requests import upload

pytestmark = pytest.mark.slow

SHORT = "<img src=//evil.example/x onerror=alert(1)><script>alert(2)</script>"
MARKDOWN = f"[x](javascript:alert(3)) ![y](//evil.example/z) <svg onload=alert(4)> {HOSTILE}\n\n<a href='javascript:alert(5)'>z</a>"
MARK = "onerror=alert(1)"
CHANNEL = "crossbones"
_MOST_OF_A_PATH = 4  # queries of one path: sorts, filters and pages of lists

_WATCH = """
addEventListener('securitypolicyviolation', event => console.error('refused by the policy: ' + event.blockedURI));
"""
# What a page must not have become: a script of its own text, an element that runs or loads what a stranger wrote.
_MADE = """() => [...document.querySelectorAll('*')].filter(one =>
    (one.tagName === 'SCRIPT' && !one.src)
    || [...one.attributes].some(attribute => attribute.name.startsWith('on'))
    || /^\\s*(javascript|data|vbscript):/i.test(one.getAttribute('href') || one.getAttribute('src') || '')
    || (one.tagName === 'IMG' && new URL(one.src, location).host !== location.host)
).map(one => one.outerHTML.slice(0, 200))"""


@dataclass
class Crawl:
    """One browser that follows every link of the site."""

    page: Page
    host: str
    seen: dict[str, int] = field(default_factory=dict)
    showing: set[str] = field(default_factory=set)
    made: list[str] = field(default_factory=list)

    def all_from(self, *paths: str) -> None:
        waiting, known = list(paths), set(paths)
        while waiting:
            for address in self._open(waiting.pop()):
                if address not in known:
                    known.add(address)
                    waiting.append(address)

    def _open(self, address: str) -> list[str]:
        path = urlsplit(address).path
        self.seen[path] = self.seen.get(path, 0) + 1
        if self.seen[path] > _MOST_OF_A_PATH:
            return []
        answer = self.page.goto(address)
        assert answer is not None
        assert answer.status < 500, address
        self.made += [f"{address}: {found}" for found in self.page.evaluate(_MADE)]
        if MARK in self.page.locator("body").inner_text() or MARK in self._typed():
            self.showing.add(path)
        links: list[str] = self.page.evaluate("[...document.querySelectorAll('a[href]')].map(one => one.href)")
        return [inner for link in links if (inner := self._inner(link))]

    def _typed(self) -> str:
        """What stands in fields."""
        return str(self.page.evaluate("[...document.querySelectorAll('input, textarea')].map(one => one.value).join()"))

    def _inner(self, link: str) -> str | None:
        """The address if it is another page of the site, and no file of a channel."""
        parts = urlsplit(link)
        words = parts.path.split("/")[1]
        is_page = words in ("", "channels", "account", "search", "device", "invitations", "signin", "signup", "reset")
        if parts.netloc != self.host or not is_page or parts.path.endswith(".atom"):
            return None
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


def furnish(stand: Stand, captain: str, mate: str) -> tuple[str, str]:
    """Every text that a stranger may choose, in every place where one may; a session of each of the two."""
    beside, now_ms = stand.beside, stand.beside.clock.now_ms()
    with beside.database.write_site() as tx:
        for name in (captain, mate):
            users.set_display_name(tx, now_ms, OPERATOR, name, SHORT)
        owner = users.get(tx, captain)
        channels.add(tx, now_ms, OPERATOR, CHANNEL, owner, description=MARKDOWN, is_public=True)
        key = api_keys.add(
            tx, now_ms, OPERATOR, owner, SHORT, mode=Mode.MANAGE, channel_ids=None, expires_at_ms=now_ms + DAY_MS
        )[1]
        members.put(tx, now_ms, OPERATOR, CHANNEL, mate, Role.CONTRIBUTOR, notifier=None)
        groups.add(tx, now_ms, OPERATOR, f"{CHANNEL}-crew", owner, description=SHORT)
        groups.put_member(tx, now_ms, OPERATOR, f"{CHANNEL}-crew", mate, notifier=None)
        members.put_group(tx, now_ms, OPERATOR, CHANNEL, f"{CHANNEL}-crew", Role.VIEWER)
        notices.add(tx, now_ms, OPERATOR, CHANNEL, Level.WARNING, HOSTILE, expires_at_ms=now_ms + DAY_MS)
        invitations.invite(tx, now_ms, OPERATOR, CHANNEL, "o'{{7*7}}@example.com", Role.VIEWER, notifier=None)
        link(
            tx,
            now_ms,
            OPERATOR,
            owner.id,
            ExternalAccount("github", "https://github.com", f"1-{captain}", SHORT, SHORT, None),
        )
        tx.execute(
            insert(passkeys).values(
                user_id=owner.id, credential_id=captain.encode(), public_key=b"x", sign_count=0, transports="[]",
                name=SHORT, created_at=now_ms,
            )
        )  # fmt: skip
    carried = _people(stand, captain, mate)
    about = {
        "summary": SHORT,
        "description": MARKDOWN,
        "home": "javascript:alert(6)",
        "doc_url": HOSTILE,
        "license": SHORT,
    }
    files = {f"share/{HOSTILE}".replace("/", "_"): b""}
    with stand.server.client() as client:
        for version in ("1.0", "2.0"):
            index = index_json("plank", version, license=SHORT, depends=["demo >=1"], track_features=SHORT)
            file = conda(index, about=about, files=files, paths=paths_json(files), run_exports={"weak": ["plank >=1"]})
            answer = upload(client, CHANNEL, file, key)
            assert answer.status_code == 201, answer.text
    return carried


def _people(stand: Stand, captain: str, mate: str) -> tuple[str, str]:
    """Their sessions, from browsers that call themselves what they like; the one offers the channel to the other."""
    beside, now_ms = stand.beside, stand.beside.clock.now_ms()
    with beside.database.write_site() as tx:
        secrets = [
            sessions.start(tx, now_ms, users.get(tx, name).id, address=SHORT, agent=HOSTILE) for name in (captain, mate)
        ]
        by = sessions.caller_of(tx, secrets[0], now_ms)
        assert by is not None
        transfers.offer(tx, now_ms, by, CHANNEL, mate)
    return secrets[0], secrets[1]


def carrying(stand: Stand, context: BrowserContext, secret: str | None) -> Page:
    context.add_init_script(_WATCH)
    if secret is not None:
        context.add_cookies([{"name": "seaway_session", "value": secret, "url": stand.address}])
    page = context.new_page()
    page.on("dialog", lambda _dialog: pytest.fail("a script ran"))
    return page


def test_no_page_runs_what_somebody_wrote(stand: Stand) -> None:
    """Every link as its owner, as a member and as nobody: no script runs, the policy refuses nothing, no other host is asked."""
    captain, mate = new_user(stand.beside, "captain", admin=True), new_user(stand.beside, "first-mate")
    carried = furnish(stand, captain, mate)
    host = stand.address.split("/")[2]
    showing: set[str] = set()
    for secret in (*carried, None):
        with stand.context() as context:
            watched = Watched(context)
            crawl = Crawl(carrying(stand, context, secret), host)
            crawl.all_from(
                "/",
                "/account",
                "/account/identities",
                f"/channels/{CHANNEL}",
                f"/search?q={SHORT}",
                f"/channels?q={SHORT}",
            )
            assert ([], [], {host}) == (crawl.made, watched.complaints, watched.hosts)
            assert len(crawl.seen) > (30 if secret else 10), sorted(crawl.seen)
            showing |= crawl.showing
    package = f"/channels/{CHANNEL}/packages/plank"
    shown = {
        "/search", "/account", "/account/keys", "/account/security", "/account/sessions", "/account/identities",
        "/account/groups", f"/channels/{CHANNEL}", f"/channels/{CHANNEL}/settings", f"/channels/{CHANNEL}/settings/log",
        package, f"{package}/files/noarch/plank-1.0-h1_0.conda",
    }  # fmt: skip
    assert set() == shown - showing, "the crawl must have met what was written"
