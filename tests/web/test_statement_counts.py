"""Database statements per page: the same number for fifty entries of each list as for two."""

import re
from collections.abc import Iterator

import pytest
from anyio.from_thread import BlockingPortal

from seaway.callers.caller import OPERATOR
from seaway.channels import groups, invitations, members, notices, transfers
from seaway.channels.notices import Level
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.database.engine import Tx
from seaway.oauth import clients, grants
from seaway.server.wiring import Seaway
from seaway.sign_in import sessions
from seaway.users import emails, users
from seaway.web.routes import PAGE_ROUTES
from tests.support import sites
from tests.support.packages import conda, index_json
from tests.support.publishing_app import GITLAB, Trust
from tests.support.sites import Factory, publish_file
from tests.support.statements import record_statements
from tests.web.conftest import new_user
from tests.web.http_browser import SITE, HttpBrowser

FEW, MANY = 2, 50
MAX_STATEMENTS = 25
CHANNEL, FILE = "/channels/robots", "/channels/robots/packages/lib/files/noarch/lib-1.0-h1_0.conda"
PAGES = (
    "/", "/home", "/search?q=lib", "/search?q=lib+%3E%3D1&sort=downloads", "/channels", "/channels?q=c", "/channels/new", CHANNEL, f"{CHANNEL}?q=lib", f"{CHANNEL}?sort=updated",
    f"{CHANNEL}?sort=downloads&subdir=noarch", f"{CHANNEL}/feed.atom",
    # Once dependents are in memory, the page of the package shows them.
    f"{CHANNEL}/packages/lib/dependents", f"{CHANNEL}/packages/lib",
    f"{CHANNEL}/statistics", f"{CHANNEL}/statistics?by=package&days=365", f"{CHANNEL}/packages/lib?by=client",
    f"{CHANNEL}/packages/lib?version=1.0&of=1.0&days=365", FILE, f"{FILE}?against=noarch/lib-2.0-h1_0.conda",
    f"{FILE}/correction",
    f"{CHANNEL}/settings", f"{CHANNEL}/settings/members", f"{CHANNEL}/settings/publishers", f"{CHANNEL}/settings/upload",
    f"{CHANNEL}/settings/log",
    f"{CHANNEL}/settings/keys", f"{CHANNEL}/settings/danger", "/account", "/account/user-names?q=u&groups=1", "/account/offers",
    "/account/groups", "/account/groups/crew", "/account/emails", "/account/security", "/account/keys",
    "/account/sessions", "/account/identities", "/account/tools", "/admin", "/admin/users", "/admin/users?q=u&state=active&sort=created", "/admin/users/invite", "/admin/users/u-1",
    "/admin/users/u-1/delete", "/admin/channels?owner=u-1&sort=packages", "/admin/channels/robots/delete",
    "/admin/issuers/gitlab/disable",
    "/admin/channels", "/admin/channels/robots", "/admin/storage", "/admin/jobs", "/admin/issuers",
    "/admin/issuers/gitlab", "/admin/log",
)  # fmt: skip
# These pages show no list, or are for callers without a session.
WITHOUT_LISTS = r"/(signin|signup|verify|first-account|reset|confirm|continue|device|authorize|invitations|invite|static|docs|style)\b.*|/robots\.txt|/favicon\.ico|/apple-touch-icon.*|/channels/new/free|/channels/x/logo/x"


@pytest.fixture(scope="module")
def seaway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaway]:
    parts = sites.build(tmp_path_factory.mktemp("crowded"), public_url=SITE)
    yield parts
    parts.close()


def add_entries(seaway: Seaway, portal: BlockingPortal, ada: str, start: int, end: int) -> None:
    """Add entries `start` to `end` to every list that a page shows."""
    factory = Factory(seaway)
    for number in range(start, end):
        factory.channel(f"mine-{number}", owner=ada)
        factory.channel(f"other-{number}", owner=f"u-{number}")
        factory.member(f"other-{number}", ada, Role.VIEWER)
        factory.key(ada, only=["robots", f"mine-{number}"])
        Trust(seaway).trust("robots", "gitlab", {**GITLAB, "project": f"tools-{number}"})
        for file in (
            conda(index_json("lib", f"{number}.0", depends=[f"dep-{number}"])),
            conda(index_json(f"dep-{number}")),
        ):
            portal.call(publish_file, seaway, "robots", file)
        owner = factory.signed_in(f"u-{number}")
        with seaway.site.database.write_site() as tx:
            _add_rows(tx, seaway.site.clock.now_ms(), ada, number)
            grants.add(
                tx,
                seaway.site.clock.now_ms(),
                users.get(tx, ada).id,
                "rattler",
                clients.SCOPES[-1],
                address="127.0.0.1",
            )
            transfers.offer(tx, seaway.site.clock.now_ms(), owner, f"other-{number}", ada)
            address = f"{ada}@example.com"
            invitations.invite(
                tx, seaway.site.clock.now_ms(), OPERATOR, f"other-{number}", address, Role.VIEWER, outbox=None
            )


def _add_rows(tx: Tx, now_ms: int, ada: str, number: int) -> None:
    user, other_user = users.get(tx, ada), users.get(tx, f"u-{number}")
    members.put(tx, now_ms, OPERATOR, "robots", other_user.name, Role.VIEWER, outbox=None)
    invitations.invite(tx, now_ms, OPERATOR, "robots", f"i{number}@example.com", Role.VIEWER, outbox=None)
    if number <= 20:
        notices.add(tx, now_ms, OPERATOR, "robots", Level.INFO, f"No. {number}", expires_at_ms=now_ms + DAY_MS)
    groups.add(tx, now_ms, OPERATOR, f"group-{number}", user)
    groups.put_member(tx, now_ms, OPERATOR, "crew", other_user.name, outbox=None)
    members.put_group(tx, now_ms, OPERATOR, "robots", f"group-{number}", Role.VIEWER)
    sessions.start(tx, now_ms, user.id, address="127.0.0.1", agent=f"Browser {number}")
    if number <= 8:
        emails.add(tx, now_ms, user.id, f"ada{number}@example.com", verified=True)


@pytest.mark.slow
def test_statements_of_a_page_do_not_grow_with_its_lists(seaway: Seaway, portal: BlockingPortal) -> None:
    """Every page with a list, requested through the whole application by the owner of the entries."""
    ada = new_user(seaway)
    Factory(seaway).channel("robots", owner=ada)
    with seaway.site.database.write_site() as tx:
        groups.add(tx, seaway.site.clock.now_ms(), OPERATOR, "crew", users.get(tx, ada))
        users.set_admin(tx, seaway.site.clock.now_ms(), OPERATOR, ada, is_admin=True)
    browser = HttpBrowser(seaway, portal, "2001:db8::1")
    browser.sign_in(ada)

    def statements_by_page() -> dict[str, int]:
        counts = {}
        for page in PAGES:
            assert 200 == browser.get(page).status_code, page
            with record_statements(seaway.site.database) as statements:
                browser.get(page)
            counts[page] = len(statements)
        return counts

    add_entries(seaway, portal, ada, 1, FEW + 1)
    few = statements_by_page()
    add_entries(seaway, portal, ada, FEW + 1, MANY + 1)
    assert few == statements_by_page()
    assert {} == {page: number for page, number in few.items() if number > MAX_STATEMENTS}


def test_every_page_is_covered() -> None:
    """A new page must be added to PAGES, or to WITHOUT_LISTS if it shows no list."""
    forms = [route.path for route in PAGE_ROUTES if "GET" in (route.methods or ())]
    shown = [page.partition("?")[0] for page in PAGES]

    def is_covered(form: str) -> bool:
        return any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", form), path) for path in shown)

    uncovered = [form for form in forms if not is_covered(form)]
    assert [] == [form for form in uncovered if not re.fullmatch(WITHOUT_LISTS, re.sub(r"{\w+}", "x", form))]
