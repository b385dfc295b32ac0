"""
Every page with every kind of row: publishers of each issuer kind, keys in each state, entries of each action, ...

A template that reads what only some kinds have makes its page fail for good as soon as there is such a row.
"""

from collections.abc import Iterator

import pytest
from anyio.from_thread import BlockingPortal
from sqlalchemy import insert, update

from seaway import audit
from seaway.audit import Actor, Event
from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import channels, groups, invitations, members, notices, quotas, transfers
from seaway.channels.channel import ChannelSettings
from seaway.channels.notices import Level
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.database import tables
from seaway.database.engine import Tx
from seaway.keys import api_keys
from seaway.packages import removal
from seaway.server.wiring import Seaway
from seaway.sign_in import user_access
from seaway.trusted_publishing import issuers, publishers
from seaway.trusted_publishing.issuer_kinds import registry
from seaway.trusted_publishing.publisher import PublisherSettings
from seaway.users import emails, users
from tests.support import sites
from tests.support.packages import conda, index_json
from tests.support.publishing_app import GITHUB, GITLAB, GOOGLE
from tests.support.sites import Factory, publish_file
from tests.web.conftest import new_user
from tests.web.http_browser import SITE, HttpBrowser
from tests.web.test_statement_counts import PAGES

RULES = '{"match": ["team"], "match_optional": ["branch"], "pin": ["team_id"], "label": "Forge"}'
FIELDS = {
    "github": GITHUB,
    "gitlab": GITLAB,
    "google": GOOGLE,
    "buildkite": {"organization_slug": "acme", "pipeline_slug": "tools"},
    "circleci": {"oidc.circleci.com/project-id": "c4a7dd1e"},
    "generic": {"team": "crew, of night"},
}
CONDITIONS = {
    "github": {"allowed_refs": ["refs/tags/v*"], "require_hosted_runner": True},
    "gitlab": {"require_protected_ref": True},
}
DETAILS: dict[str, audit.Detail] = {
    "sha256": {"noarch/lib-1.0-h1_0.conda": "ab" * 32},
    "old_sha256": "ab" * 32,
    "reason": "a long text " * 40,
    "changed": True,
    "files": 3,
    "role": "viewer",
}


@pytest.fixture
def seaway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaway]:
    parts = sites.build(tmp_path_factory.mktemp("every-kind"), public_url=SITE)
    yield parts
    parts.close()


def add_publishers(tx: Tx, seaway: Seaway, now_ms: int) -> None:
    """Add publishers of every kind, of registered issuers, disabled, pinned, used, and of a removed issuer."""
    outbox = seaway.request_parts.accounts.outbox
    for kind in registry.NAMES:
        name = kind if kind in ("github", "gitlab", "google") else f"our-{kind}"
        if name != kind:
            rules = RULES if kind == "generic" else ""
            issuers.add(tx, now_ms, OPERATOR, name, kind=kind, issuer=f"https://{kind}.example.com", rules=rules)
        settings = PublisherSettings(fields=FIELDS[kind], conditions=CONDITIONS.get(kind, {}), packages=["lib-*"])
        publishers.add(tx, now_ms, OPERATOR, outbox, "robots", name, settings)
    issuers.add(tx, now_ms, OPERATOR, "gone", kind="gitlab", issuer="https://gone.example.com")
    last = publishers.add(
        tx, now_ms, OPERATOR, outbox, "robots", "gone", PublisherSettings(fields=GITLAB, enabled=False)
    )
    issuers.remove(tx, now_ms, OPERATOR, "gone")
    issuers.set_enabled(tx, now_ms, OPERATOR, "gitlab", enabled=False)
    pins = '{"namespace_id":"31","unseen":{"project_id":"32"}}'
    disabled = users.get(tx, "disabled").id
    tx.execute(
        update(tables.publishers)
        .where(tables.publishers.c.id == last.id)
        .values(pins=pins, used_at=now_ms, created_by=disabled)
    )


def add_keys(tx: Tx, now_ms: int, ada: str) -> None:
    """Add keys of each mode and in each state."""
    user, robots = users.get(tx, ada), channels.get(tx, "robots").id
    for mode in Mode:
        api_keys.add(
            tx, now_ms, OPERATOR, user, f"{mode.name} key", mode=mode, channel_ids=[robots], expires_at_ms=None
        )
    for name, expires_at_ms in (("soon", now_ms + DAY_MS), ("expired", now_ms - 1), ("revoked", now_ms + 90 * DAY_MS)):
        api_keys.add(
            tx, now_ms, OPERATOR, user, name, mode=Mode.READ, channel_ids=None, expires_at_ms=expires_at_ms,
            patterns=["lib-*"],
        )  # fmt: skip
    api_keys.revoke(tx, now_ms, OPERATOR, user, "revoked")


def add_people(tx: Tx, now_ms: int, ada: str) -> None:
    """Add members of each kind, invitations, a transfer, groups, addresses, quotas and a disabled user."""
    groups.add(tx, now_ms, OPERATOR, "crew", users.get(tx, ada), description="Night watch")
    groups.put_member(tx, now_ms, OPERATOR, "crew", "hopper", outbox=None)
    for group, role in (("crew", Role.VIEWER), ("foreign", Role.CONTRIBUTOR)):
        if group == "foreign":
            groups.add(tx, now_ms, OPERATOR, group, users.get(tx, "hopper"))
        members.put_group(tx, now_ms, OPERATOR, "robots", group, role)
    invitations.invite(tx, now_ms, OPERATOR, "robots", "new@example.com", Role.VIEWER, outbox=None)
    invitations.invite(tx, now_ms - 10 * DAY_MS, OPERATOR, "robots", "late@example.com", Role.VIEWER, outbox=None)
    emails.add(tx, now_ms, users.get(tx, ada).id, "second@example.com", verified=False)
    quotas.set_of_channel(tx, now_ms, OPERATOR, "robots", 10**9)
    user_access.set_disabled(tx, now_ms, OPERATOR, "disabled", disabled=True)


def add_rows(seaway: Seaway, portal: BlockingPortal, ada: str) -> None:
    factory = Factory(seaway)
    for name, role in (("hopper", Role.CONTRIBUTOR), ("turing", Role.VIEWER), ("disabled", Role.VIEWER)):
        factory.member("robots", name, role)
    factory.channel("under")
    factory.channel("offered", owner="hopper")
    factory.member("offered", ada, Role.VIEWER)
    for version in ("1.0", "2.0", "3.0"):
        portal.call(publish_file, seaway, "robots", conda(index_json("lib", version)))
    removal.yank(seaway.site, OPERATOR, "robots", "noarch", "lib-3.0-h1_0.conda", reason="broken")
    owner, hopper = factory.signed_in(ada), factory.signed_in("hopper")
    now_ms = seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        add_people(tx, now_ms, ada)
        add_keys(tx, now_ms, ada)
        add_publishers(tx, seaway, now_ms)
        channels.change(tx, now_ms, OPERATOR, "robots", ChannelSettings(description="# Robots", v3_message="Use pixi."))
        transfers.offer(tx, now_ms, owner, "robots", "hopper")
        transfers.offer(tx, now_ms, hopper, "offered", ada)
        for level in Level:
            notices.add(tx, now_ms, OPERATOR, "robots", level, f"A {level.value}", expires_at_ms=now_ms + DAY_MS)
        for event in Event:
            for actor in (Actor("ada (key ci)", 1, "192.0.2.1"), Actor("GitHub: acme/tools, release.yml")):
                audit.write(tx, now_ms, actor, event, channel="robots", target="noarch/lib-1.0-h1_0.conda", **DETAILS)
        for state in ("ready", "running", "failed"):
            job = {"kind": "send-email", "args": "{}", "state": state, "attempt": 2, "created_at": now_ms}
            tx.execute(insert(tables.jobs).values(**job, run_at=now_ms, error="refused" if state == "failed" else ""))


def test_every_page_shows_every_kind_of_row(seaway: Seaway, portal: BlockingPortal) -> None:
    ada = new_user(seaway)
    Factory(seaway).channel("robots", owner=ada)
    with seaway.site.database.write_site() as tx:
        users.set_admin(tx, seaway.site.clock.now_ms(), OPERATOR, ada, is_admin=True)
    add_rows(seaway, portal, ada)
    browser = HttpBrowser(seaway, portal, "2001:db8::1")
    browser.sign_in(ada)
    with seaway.site.database.read() as tx:
        by_issuer = [f"/channels/robots/settings/publishers?issuer={issuer.name}" for issuer in issuers.all_issuers(tx)]
        of_issuer = [f"/admin/issuers/{issuer.name}" for issuer in issuers.all_issuers(tx)]
    people = [f"/admin/users/{name}" for name in (ada, "hopper", "disabled")]
    jobs = [f"/admin/jobs?state={state}" for state in ("ready", "running", "failed")]
    pages = [page.replace("/admin/users/u-1", people[0]) for page in PAGES]
    statuses = {page: browser.get(page).status_code for page in [*pages, *by_issuer, *of_issuer, *people, *jobs]}
    assert {} == {page: status for page, status in statuses.items() if status != 200}
    shown = browser.get("/channels/robots/settings/publishers").text
    for name in ("acme/tools", "acme/team/tools", GOOGLE["email"], "crew, of night", "Issuer no longer registered"):
        assert name in shown


def test_every_event_is_shown_in_the_log(seaway: Seaway, portal: BlockingPortal) -> None:
    """With a filter by its action, in the log of the channel and of the site."""
    ada = new_user(seaway)
    Factory(seaway).channel("robots", owner=ada)
    with seaway.site.database.write_site() as tx:
        now_ms = seaway.site.clock.now_ms()
        users.set_admin(tx, now_ms, OPERATOR, ada, is_admin=True)
        for event in Event:
            audit.write(tx, now_ms, Actor("ada"), event, channel="robots", target=f"of {event.value}", **DETAILS)
    browser = HttpBrowser(seaway, portal, "2001:db8::1")
    browser.sign_in(ada)
    for page in ("/channels/robots/settings/log", "/admin/log"):
        text = browser.get(page).text
        assert [] == [event.value for event in Event if f">{event.value}</code>" not in text]
