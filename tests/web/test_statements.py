"""How often each page asks the database: as often for fifty of everything as for two."""

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
from tests.support import house
from tests.support.house import People, publish_file
from tests.support.packages import conda, index_json
from tests.support.statements import counted
from tests.trust.conftest import GITLAB, Trust
from tests.web.conftest import new_user
from tests.web.visitor import SITE, Visitor

FEW, MANY = 2, 50
MOST_STATEMENTS = 25
HERE, FILE = "/channels/robots", "/channels/robots/packages/lib/files/noarch/lib-1.0-h1_0.conda"
PAGES = (
    "/", "/search?q=lib", "/channels", "/channels?q=c", "/channels/new", HERE, f"{HERE}?q=lib", f"{HERE}?sort=updated",
    f"{HERE}?sort=downloads&subdir=noarch", f"{HERE}/feed.atom", f"{HERE}/packages/lib",
    f"{HERE}/packages/lib?version=1.0&of=1.0&days=365&versions=all", FILE, f"{FILE}?against=noarch/lib-2.0-h1_0.conda",
    f"{FILE}/correction",
    f"{HERE}/settings", f"{HERE}/settings/members", f"{HERE}/settings/publishers", f"{HERE}/settings/upload",
    f"{HERE}/settings/log",
    f"{HERE}/settings/keys", f"{HERE}/settings/danger", "/account", "/account/user-names?who=u", "/account/offers",
    "/account/groups", "/account/groups/crew", "/account/emails", "/account/security", "/account/keys",
    "/account/sessions", "/account/identities", "/account/tools", "/admin/users", "/admin/users/u-1",
    "/admin/channels", "/admin/channels/robots", "/admin/storage", "/admin/jobs", "/admin/issuers",
    "/admin/issuers/gitlab", "/admin/log",
)  # fmt: skip
# They show no list, or belong to somebody who is not signed in.
ELSEWHERE = r"/(signin|signup|verify|first-account|reset|confirm|device|authorize|invitations|static)\b.*|/robots\.txt|/favicon\.ico|/apple-touch-icon.*|/channels/new/free|/channels/x/logo/x"


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaway]:
    built = house.build(tmp_path_factory.mktemp("crowded"), public_url=SITE)
    yield built
    built.close()


def crowd(seaway: Seaway, portal: BlockingPortal, ada: str, start: int, end: int) -> None:
    """So many more of everything that a page lists."""
    people = People(seaway)
    for number in range(start, end):
        people.channel(f"mine-{number}", owner=ada)
        people.channel(f"other-{number}", owner=f"u-{number}")
        people.member(f"other-{number}", ada, Role.VIEWER)
        people.key(ada, only=["robots", f"mine-{number}"])
        Trust(seaway).trust("robots", "gitlab", {**GITLAB, "project": f"tools-{number}"})
        for file in (
            conda(index_json("lib", f"{number}.0", depends=[f"dep-{number}"])),
            conda(index_json(f"dep-{number}")),
        ):
            portal.call(publish_file, seaway, "robots", file)
        owner = people.person(f"u-{number}")
        with seaway.database.write_site() as tx:
            _more(tx, seaway.clock.now_ms(), ada, number)
            grants.add(
                tx, seaway.clock.now_ms(), users.get(tx, ada).id, "rattler", clients.SCOPES[-1], address="127.0.0.1"
            )
            transfers.offer(tx, seaway.clock.now_ms(), owner, f"other-{number}", ada)


def _more(tx: Tx, now_ms: int, ada: str, number: int) -> None:
    user, other = users.get(tx, ada), users.get(tx, f"u-{number}")
    members.put(tx, now_ms, OPERATOR, "robots", other.name, Role.VIEWER)
    invitations.invite(tx, now_ms, OPERATOR, "robots", f"i{number}@example.com", Role.VIEWER, notifier=None)
    if number <= 20:
        notices.add(tx, now_ms, OPERATOR, "robots", Level.INFO, f"No. {number}", expires_at_ms=now_ms + DAY_MS)
    groups.add(tx, now_ms, OPERATOR, f"group-{number}", user)
    groups.put_member(tx, now_ms, OPERATOR, "crew", other.name)
    members.put_group(tx, now_ms, OPERATOR, "robots", f"group-{number}", Role.VIEWER)
    sessions.start(tx, now_ms, user.id, address="127.0.0.1", agent=f"Browser {number}")
    if number <= 8:
        emails.add(tx, now_ms, user.id, f"ada{number}@example.com", verified=True)


@pytest.mark.slow
def test_a_page_asks_as_often_for_many_as_for_few(crowded: Seaway, portal: BlockingPortal) -> None:
    """Every page that shows a list, asked through the whole application by who owns what it lists."""
    ada = new_user(crowded)
    People(crowded).channel("robots", owner=ada)
    with crowded.database.write_site() as tx:
        groups.add(tx, crowded.clock.now_ms(), OPERATOR, "crew", users.get(tx, ada))
        users.set_admin(tx, crowded.clock.now_ms(), OPERATOR, ada, is_admin=True)
    visitor = Visitor(crowded, portal, "2001:db8::1")
    visitor.sign_in(ada)

    def asked() -> dict[str, int]:
        found = {}
        for page in PAGES:
            assert 200 == visitor.get(page).status_code, page
            with counted(crowded.database) as statements:
                visitor.get(page)
            found[page] = len(statements)
        return found

    crowd(crowded, portal, ada, 1, FEW + 1)
    few = asked()
    crowd(crowded, portal, ada, FEW + 1, MANY + 1)
    assert few == asked()
    assert {} == {page: number for page, number in few.items() if number > MOST_STATEMENTS}


def test_no_page_is_left_out() -> None:
    """Whoever adds a page adds it above, or says why not."""
    forms = [route.path for route in PAGE_ROUTES if "GET" in (route.methods or ())]
    shown = [page.partition("?")[0] for page in PAGES]

    def is_asked(form: str) -> bool:
        return any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", form), path) for path in shown)

    left = [form for form in forms if not is_asked(form)]
    assert [] == [form for form in left if not re.fullmatch(ELSEWHERE, re.sub(r"{\w+}", "x", form))]
