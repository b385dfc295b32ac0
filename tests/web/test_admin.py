"""Pages of site admins: contents, actions, number of database statements, and access by admins only."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from html import unescape
from itertools import count

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from joserfc.jwk import RSAKey
from sqlalchemy import delete, func, insert, select

from seaway import __version__
from seaway.audit import log
from seaway.callers.caller import OPERATOR
from seaway.channels import channels, quotas
from seaway.clock import HOUR_MS
from seaway.database.tables import damaged_blobs, jobs
from seaway.errors import Invalid, Malformed
from seaway.packages.sweep import LastSweep, SweepResult, sweep
from seaway.server.wiring import Seaway
from seaway.sign_in import second_factors, user_access
from seaway.storage.disk_space import DiskSpace
from seaway.trusted_publishing import issuers
from seaway.users import users
from seaway.web.admin.byte_sizes import format_quota, parse_quota
from seaway.web.admin.overview import SiteState, concerns_of
from tests.support.clock import ManualClock
from tests.support.mail import emails_to, link_secret
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file
from tests.support.statements import record_statements
from tests.web.conftest import new_user
from tests.web.http_browser import PASSWORD, HttpBrowser

_numbers = count(1)


class Admin(HttpBrowser):
    """A browser of an admin, which opens a page with a form token before it submits a form."""

    name = ""

    def fill(self, path: str, **fields: str) -> httpx.Response:
        """Submit a form with a new token."""
        self.get("/account")
        return self.send(path, **fields)


@pytest.fixture
def admin(shared: Seaway, portal: BlockingPortal) -> Admin:
    """A browser with a signed-in admin."""
    browser = Admin(shared, portal, f"2001:db8:ad::{next(_numbers):x}")
    browser.name = new_user(shared)
    with shared.site.database.write_site() as tx:
        users.set_admin(tx, shared.site.clock.now_ms(), OPERATOR, browser.name, is_admin=True)
    browser.sign_in(browser.name)
    return browser


@pytest.fixture
def failed_jobs(shared: Seaway) -> Iterator[list[int]]:
    """Two jobs that failed permanently."""
    with shared.site.database.write_site() as tx:
        tx.execute(delete(jobs))
        values = {"kind": "send-email", "args": "{}", "state": "failed", "attempt": 10, "run_at": 1, "created_at": 1}
        numbers = [
            tx.execute(insert(jobs).values(**values, error=f"no server {number}").returning(jobs.c.id)).scalar_one()
            for number in range(2)
        ]
    yield numbers
    with shared.site.database.write_site() as tx:
        tx.execute(delete(jobs))


def last_actions(seaway: Seaway, number: int) -> list[str]:
    with seaway.site.database.read() as tx:
        return [line.action for line in log.of_all(tx, limit=number)]


def test_admin_pages_are_hidden_from_other_users(
    new_browser: Callable[[], HttpBrowser], admin: Admin, shared: Seaway
) -> None:
    """Their menu has no link, and the pages return 404 as for unknown paths."""
    user_browser = new_browser()
    user_browser.sign_in(new_user(shared))
    assert ('href="/admin"' in admin.get("/").text, 'href="/admin"' in user_browser.get("/").text) == (
        True,
        False,
    )
    unknown, hidden = user_browser.get("/admin/users/unknown"), user_browser.get("/admin")
    assert (404, unknown.text) == (hidden.status_code, hidden.text)
    assert 404 == new_browser().get("/admin/users").status_code


def test_user_is_found_disabled_and_enabled(
    admin: Admin, new_browser: Callable[[], HttpBrowser], shared: Seaway
) -> None:
    """Found by a part of the email address; disabling ends the session at once, and each step is in the audit log."""
    name = new_user(shared)
    user_browser = new_browser()
    user_browser.sign_in(name)
    found = admin.get(f"/admin/users?q={name}@EXAMPLE").text
    assert (True, False) == (f'href="/admin/users/{name}"' in found, 'href="/admin/users/operator-of-it"' in found)
    assert f"/admin/users/{name}" == admin.fill(f"/admin/users/{name}/disable").headers["location"]
    assert 303 == user_browser.get("/account").status_code
    assert "Disabled" in admin.get(f"/admin/users/{name}").text
    for action in ("enable", "promote", "demote"):
        assert 303 == admin.fill(f"/admin/users/{name}/{action}").status_code
    assert ["user.demoted", "user.promoted", "user.enabled", "user.disabled"] == last_actions(shared, 4)
    assert 404 == admin.fill(f"/admin/users/{name}/vanish").status_code
    assert 404 == admin.fill("/admin/users/unknown/disable").status_code


def test_users_are_filtered_and_sorted(admin: Admin, shared: Seaway) -> None:
    """By state; unknown values show everything; a list without a match says so and leads back."""
    word = f"crew{next(_numbers)}"
    active, disabled, unverified, second = (f"{word}-{name}" for name in ("active", "disabled", "unverified", "admin"))
    with shared.site.database.write_site() as tx:
        now_ms = shared.site.clock.now_ms()
        for name in (active, disabled, unverified, second):
            users.add(
                tx, now_ms, OPERATOR, name, email=f"{name}@example.com", password_hash=None, is_admin=name == second,
                is_verified=name != unverified,
            )  # fmt: skip
        user_access.set_disabled(tx, now_ms, OPERATOR, disabled, disabled=True)

    def shown(query: str) -> set[str]:
        text = admin.get(f"/admin/users?q={word}&{query}").text
        return set(re.findall(rf'href="/admin/users/({word}-[a-z]+)"><strong>', text))

    assert {active, unverified, second} == shown("state=active")
    assert {disabled} == shown("state=disabled")
    assert {unverified} == shown("state=unverified")
    assert {second} == shown("state=admin")
    assert {active, disabled, unverified, second} == shown("state=nonsense&sort=nonsense&page=nonsense")
    text = admin.get(f"/admin/users?q={active}&state=disabled").text
    assert ("No users match" in text, 'href="/admin/users">Clear filters' in text) == (True, True)
    names = re.findall(r'<a href="/admin/users/([a-z0-9-]+)"><strong>', admin.get("/admin/users?sort=signed-in").text)
    assert admin.name == names[0]


def test_channels_are_filtered_and_sorted(admin: Admin, shared: Seaway, portal: BlockingPortal) -> None:
    """By owner, visibility and quota; the page of a user links to the channels of that user."""
    owner, small, large = new_user(shared), f"small-{next(_numbers)}", f"large-{next(_numbers)}"
    Factory(shared).channel(small, owner=owner, public=False)
    Factory(shared).channel(large, owner=owner)
    portal.call(publish_file, shared, large, conda(index_json("heavy")))
    with shared.site.database.write_site() as tx:
        quotas.set_of_channel(tx, shared.site.clock.now_ms(), OPERATOR, large, 1)

    def shown(query: str) -> list[str]:
        text = admin.get(f"/admin/channels?owner={owner}&{query}").text
        return re.findall(r'<a href="/admin/channels/([a-z0-9-]+)"><strong>', text)

    assert [large, small] == shown("")
    assert [small] == shown("visibility=private")
    assert [large] == shown("over=1")
    assert [[large, small]] * 3 == [shown(f"sort={order}") for order in ("size", "packages", "changed")]
    assert [small] == shown("q=small")
    assert f'href="/admin/channels?owner={owner}"' in admin.get(f"/admin/users/{owner}").text
    assert f'href="/channels/{small}/settings"' in admin.get(f"/admin/channels?q={small}").text


def test_actions_are_confirmed_on_a_page(admin: Admin, shared: Seaway) -> None:
    """It says what will happen, with numbers, and changes nothing by itself; afterwards a message names the user."""
    name = new_user(shared)
    Factory(shared).channel(f"owned-{next(_numbers)}", owner=name)
    Factory(shared).key(name)
    asked = admin.get(f"/admin/users/{name}/disable").text
    assert all(
        part in asked for part in (f"Disable the account {name}?", "1 API key is refused", "1 owned channel stays")
    )
    with shared.site.database.read() as tx:
        assert users.get(tx, name).disabled_at_ms is None
    admin.send(f"/admin/users/{name}/disable")
    assert f"{name} is disabled." in admin.get(f"/admin/users/{name}").text
    assert 404 == admin.get(f"/admin/users/{name}/cancel-reset").status_code


def test_user_is_deleted_if_the_name_is_typed(admin: Admin, shared: Seaway) -> None:
    """The owner of a channel is not deleted; the page says so instead of showing a button."""
    name, owner = new_user(shared), new_user(shared)
    Factory(shared).channel(f"owned-{next(_numbers)}", owner=owner)
    refused = admin.get(f"/admin/users/{owner}/delete").text
    assert ("owns 1 channel. Transfer or delete them first." in refused, f"Type {owner}" in refused) == (True, False)
    mistyped = admin.fill(f"/admin/users/{name}/delete", name="someone")
    assert (400, True) == (mistyped.status_code, "The typed name does not match" in mistyped.text)
    assert "/admin/users" == admin.fill(f"/admin/users/{name}/delete", name=name).headers["location"]
    assert f"The account {name} was deleted." in admin.get("/admin/users").text
    with shared.site.database.read() as tx:
        assert users.find(tx, name) is None


def test_channel_is_deleted_by_an_admin(admin: Admin, shared: Seaway, portal: BlockingPortal) -> None:
    """The confirmation counts what is lost, and requires the name."""
    channel = Factory(shared).channel(f"doomed-{next(_numbers)}")
    portal.call(publish_file, shared, channel, conda(index_json("lost")))
    assert "1 package with 1 file" in unescape(admin.get(f"/admin/channels/{channel}/delete").text)
    mistyped = admin.fill(f"/admin/channels/{channel}/delete", name="")
    assert (400, True) == (mistyped.status_code, "The typed name does not match" in mistyped.text)
    admin.fill(f"/admin/channels/{channel}/delete", name=channel)
    assert f"The channel {channel} was deleted" in admin.get("/admin/channels").text
    assert 404 == admin.get(f"/admin/channels/{channel}").status_code


def test_quota_below_the_use_is_confirmed(admin: Admin, shared: Seaway, portal: BlockingPortal) -> None:
    """Of a channel and of a user; a larger quota is set at once."""
    owner, channel = new_user(shared), f"full-{next(_numbers)}"
    Factory(shared).channel(channel, owner=owner)
    portal.call(publish_file, shared, channel, conda(index_json("heavy")))
    for path in (f"/admin/channels/{channel}/quota", f"/admin/users/{owner}/quota"):
        asked = admin.fill(path, quota="1 B")
        assert (200, True) == (asked.status_code, "below the current use?" in asked.text)
        assert 303 == admin.send(path, quota=admin.hidden("quota"), confirmed=admin.hidden("confirmed")).status_code
        assert 303 == admin.fill(path, quota="1 TB").status_code


def test_user_is_invited_by_page_and_signs_in(
    admin: Admin, new_browser: Callable[[], HttpBrowser], shared: Seaway
) -> None:
    """Errors of both fields are shown together and keep what was typed; the link in the email signs the user in."""
    refused = admin.fill("/admin/users/invite", name="No Name", email="nowhere")
    assert 422 == refused.status_code
    assert all(part in refused.text for part in ("is not a valid user name", "is not an email address", "no name"))
    name = f"mate-{next(_numbers)}"
    address = f"{name}@example.com"
    sent = admin.fill("/admin/users/invite", name=name, email=address)
    assert f"/admin/users/{name}" == sent.headers["location"]
    assert "has not accepted the invitation yet" in admin.get(sent.headers["location"]).text
    admin.fill(f"/admin/users/{name}/invite")
    secret = link_secret(emails_to(shared, address)[-1])
    browser = new_browser()
    assert f"Welcome, {name}" in browser.get(f"/invite/{secret}").text
    short = browser.send(f"/invite/{secret}", password="short")
    assert (422, True) == (short.status_code, "12 to 256" in short.text)
    assert 303 == browser.send(f"/invite/{secret}", password=PASSWORD).status_code
    assert name in browser.get("/account").text
    used = new_browser().get(f"/invite/{secret}")
    assert (404, True, True) == (
        used.status_code,
        "already accepted" in used.text,
        'primary" href="/signin"' in used.text,
    )
    assert "Invited" not in admin.get(f"/admin/users/{name}").text


def test_log_of_the_site_is_filtered_by_channel(admin: Admin, shared: Seaway) -> None:
    """The filter stays in the form; every action of this site has a readable name."""
    channel, other = (Factory(shared).channel(f"logged-{next(_numbers)}") for _ in range(2))
    shown = admin.get(f"/admin/log?channel={channel}").text
    assert (True, False) == (f'href="/admin/channels/{channel}"' in shown, f'href="/admin/channels/{other}"' in shown)
    assert f'name="channel" value="{channel}"' in shown


def test_overview_shows_what_needs_attention(admin: Admin, failed_jobs: list[int]) -> None:
    """With a link to the page of each concern."""
    shown = admin.get("/admin").text
    assert all(
        part in shown for part in ("2 jobs failed ten times.", 'href="/admin/jobs"', "Storage used", __version__)
    )


def test_concerns_are_found() -> None:
    """The worst are first; a site without any has none."""
    fine = SiteState({}, {"disk": DiskSpace(100, 50)}, 0, 0, 0, 0, None, [])
    assert [] == concerns_of(fine)
    stopped = LastSweep(1, SweepResult(0, 0, 0, 0), "Half of the store would be deleted.")
    bad = SiteState(
        {"storage": "belongs to another database"}, {"disk": DiskSpace(100, 9)}, 1, HOUR_MS, 2, 1, stopped, []
    )
    assert [
        "The storage is not usable: belongs to another database.",
        "The disk is nearly full: 9 B of 100 B is free.",
        "2 stored files are damaged or missing.",
        "The last sweep deleted nothing: Half of the store would be deleted.",
        "1 job failed ten times.",
        "A job has waited for 60 minutes: no worker runs jobs.",
        "1 channel is over quota; uploads are refused.",
    ] == [concern.text for concern in concerns_of(bad)]


def test_jobs_are_filtered_by_kind_and_show_whole_errors(admin: Admin, shared: Seaway, failed_jobs: list[int]) -> None:
    """A long error is folded, not cut."""
    error = "ValueError: " + "x" * 5_000
    with shared.site.database.write_site() as tx:
        values = {"kind": "sweep", "args": "{}", "state": "failed", "attempt": 10, "run_at": 1, "created_at": 1}
        tx.execute(insert(jobs).values(**values, error=error))
    shown = admin.get("/admin/jobs?kind=sweep").text
    assert (True, False) == (error in shown, "no server 0" in shown)
    assert "Retry" not in shown.replace(">Retry<", "")  # one job has only its own button
    assert "Retry all 3 failed jobs" in admin.get("/admin/jobs").text
    assert "Retry 2 failed jobs of kind send-email" in admin.get("/admin/jobs?kind=send-email").text
    assert "failed jobs" not in admin.get("/admin/jobs?state=ready").text


def test_retry_of_filtered_jobs_leaves_the_others(admin: Admin, shared: Seaway, failed_jobs: list[int]) -> None:
    """The form names the kind of the filter; the audit log too."""
    with shared.site.database.write_site() as tx:
        values = {"kind": "sweep", "args": "{}", "state": "failed", "attempt": 10, "run_at": 1, "created_at": 1}
        tx.execute(insert(jobs).values(**values, error="no disk"))
    assert '<input type="hidden" name="kind" value="send-email">' in admin.get("/admin/jobs?kind=send-email").text
    admin.fill("/admin/jobs/retry", kind="send-email")
    assert "2 failed jobs run again now." in admin.get("/admin/jobs").text
    assert ("no disk" in admin.shown, "no server" in admin.shown) == (True, False)
    with shared.site.database.read() as tx:
        assert "send-email" == log.of_all(tx, limit=1)[0].target


def test_admin_cannot_demote_themselves(admin: Admin, shared: Seaway) -> None:
    """Otherwise the last admin could be locked out; the page has no button for it and the refusal says why."""
    assert "/demote" not in admin.get(f"/admin/users/{admin.name}").text
    refused = admin.fill(f"/admin/users/{admin.name}/demote")
    assert (400, True) == (refused.status_code, "Ask another admin." in refused.text)
    with shared.site.database.read() as tx:
        assert users.get(tx, admin.name).is_admin


def test_second_factor_reset_is_scheduled_and_can_be_canceled(admin: Admin, shared: Seaway) -> None:
    """The page shows when the factors will be removed."""
    name = new_user(shared)
    Factory(shared).second_factor(name)
    with shared.site.database.read() as tx:
        user_id = users.get(tx, name).id
    admin.fill(f"/admin/users/{name}/reset")
    assert "The second factors of this account will be removed" in admin.get(f"/admin/users/{name}").text
    with shared.site.database.read() as tx:
        assert shared.site.clock.now_ms() + second_factors.RESET_AFTER_MS == second_factors.ends_at(tx, user_id)
    admin.fill(f"/admin/users/{name}/cancel-reset")
    with shared.site.database.read() as tx:
        assert second_factors.ends_at(tx, user_id) is None
    again = admin.fill(f"/admin/users/{name}/cancel-reset")
    assert (404, True) == (again.status_code, "No removal of second factors is pending." in again.text)
    assert ["second-factor.reset-canceled", "second-factor.reset-requested"] == last_actions(shared, 2)


def test_reset_of_no_second_factors_is_refused(admin: Admin, shared: Seaway) -> None:
    """The confirmation has no button, and the form is refused."""
    name = new_user(shared)
    refusal = f"{name} has no second factor."
    asked = admin.get(f"/admin/users/{name}/reset")
    assert (True, False) == (refusal in asked.text, "Remove in 72 hours" in asked.text)
    refused = admin.fill(f"/admin/users/{name}/reset")
    assert (409, True) == (refused.status_code, refusal in refused.text)


def test_quotas_are_set_and_shown(admin: Admin, shared: Seaway) -> None:
    """With any unit; an unreadable size is refused with an example and changes nothing."""
    name, channel = new_user(shared), f"limited-{next(_numbers)}"
    Factory(shared).channel(channel, owner=name)
    admin.fill(f"/admin/users/{name}/quota", quota="20 GB")
    admin.fill(f"/admin/channels/{channel}/quota", quota="1.5 TB")
    with shared.site.database.read() as tx:
        usages = quotas.of_user(tx, users.get(tx, name).id, None), quotas.of_channel(tx, channels.get(tx, channel).id)
    assert [20 * 10**9, 1_500 * 10**9] == [usage.quota for usage in usages]
    assert 'value="1500 GB"' in admin.get(f"/admin/channels/{channel}").text
    refused = admin.fill(f"/admin/channels/{channel}/quota", quota="a lot")
    assert (400, True) == (refused.status_code, "such as 20 GB" in refused.text)
    admin.fill(f"/admin/channels/{channel}/quota", quota="")
    with shared.site.database.read() as tx:
        assert quotas.of_channel(tx, channels.get(tx, channel).id).quota is None
    assert "of 20.0 GB" in admin.get(f"/admin/users?q={name}").text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", None),
        ("0", 0),
        ("1000", 1000),
        ("1,000 b", 1000),
        ("20GB", 20 * 10**9),
        ("1.5 TB", 1_500 * 10**9),
        ("1,500 GB", 1_500 * 10**9),
        ("12,345,678.5 kB", 12_345_678_500),
    ],
)
def test_quota_is_parsed_and_formatted(text: str, size: int | None) -> None:
    """With or without a unit; formatting and parsing again gives the same number of bytes."""
    assert (size, size) == (parse_quota(text).quota, parse_quota(format_quota(size)).quota)


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "20 GiB",
        "x",
        "1e9",
        "٣ GB",
        "99999999999999999",
        "1.2.3",
        "1,5 TB",
        "1500,000",
        ",5 TB",
        "1,0000",
    ],
)
def test_invalid_quota_is_refused(text: str) -> None:
    """The message contains an example."""
    with pytest.raises(Malformed, match="such as 20 GB"):
        parse_quota(text)


def test_quota_above_the_limit_is_refused_as_by_the_api() -> None:
    with pytest.raises(Invalid, match="quota: Enter a number of at most"):
        parse_quota("9999999 TB")


def test_admin_changes_need_a_recent_confirmation(
    admin: Admin, shared_clock: ManualClock, shared: Seaway, failed_jobs: list[int]
) -> None:
    """After half an hour each form shows the confirmation, whatever its fields; reading does not."""
    name = new_user(shared)
    shared_clock.move(HOUR_MS)
    opened = [
        admin.get(path)
        for path in (f"/admin/users/{name}/delete", "/admin/channels/nothing/delete", "/admin/issuers/github/disable")
    ]
    assert all(response.headers["location"].startswith("/confirm?next=") for response in opened)
    sent = [
        admin.fill("/admin/users/invite", name="", email=""),
        admin.fill(f"/admin/users/{name}/disable"),
        admin.fill(f"/admin/users/{name}/quota", quota="nonsense"),
        admin.fill("/admin/channels/nothing/quota", quota="1"),
        admin.fill("/admin/jobs/retry"),
        admin.fill("/admin/issuers", name="x", issuer="x", kind="x"),
        admin.fill("/admin/issuers/github/disable"),
    ]
    assert [403] * len(sent) == [response.status_code for response in sent]
    assert all("Confirm access" in response.text for response in sent)
    assert 200 == admin.get("/admin/users").status_code
    with shared.site.database.read() as tx:
        assert users.get(tx, name).disabled_at_ms is None
        assert 2 == tx.execute(select(func.count()).where(jobs.c.state == "failed")).scalar()


def test_failed_jobs_are_retried(admin: Admin, shared: Seaway, failed_jobs: list[int]) -> None:
    """One job, then all; the page shows the errors, and each retry is in the audit log."""
    shown = admin.get("/admin/jobs").text
    assert all(f"no server {number}" in shown for number in range(2))
    assert "/admin/jobs" == admin.fill("/admin/jobs/retry", job=str(failed_jobs[0])).headers["location"]
    assert 404 == admin.fill("/admin/jobs/retry", job=str(failed_jobs[0])).status_code
    assert ("no server 0" in admin.get("/admin/jobs").text, "no server 1" in admin.shown) == (False, True)
    assert "no server 0" in admin.get("/admin/jobs?state=ready").text
    admin.fill("/admin/jobs/retry")
    assert "No failed jobs" in admin.get("/admin/jobs").text
    assert ["jobs.retried", "jobs.retried"] == last_actions(shared, 2)


def test_issuer_is_added_disabled_and_removed(admin: Admin, shared: Seaway) -> None:
    """With static keys; after a refusal the form keeps its values."""
    name = f"forge-{next(_numbers)}"
    refused = admin.fill("/admin/issuers", name=name, issuer="http://forge.example.com", kind="gitlab")
    assert (400, True) == (refused.status_code, 'value="http://forge.example.com"' in refused.text)
    created = admin.fill("/admin/issuers", name=name, issuer=f"https://{name}.example.com", kind="gitlab")
    assert f"/admin/issuers/{name}" == created.headers["location"]
    assert "The key set cannot be used" in admin.fill(f"/admin/issuers/{name}/keys", keys="[]").text
    key = RSAKey.generate_key(2048, {"kid": "harbour"}, private=False)
    key_set = json.dumps({"keys": [key.as_dict(private=False) | {"kid": "harbour"}]})
    assert 303 == admin.fill(f"/admin/issuers/{name}/keys", keys=key_set).status_code
    assert "harbour" in admin.get(f"/admin/issuers/{name}").text
    admin.fill(f"/admin/issuers/{name}/disable")
    with shared.site.database.read() as tx:
        assert not issuers.get(tx, name).is_enabled
    assert "/admin/issuers" == admin.fill(f"/admin/issuers/{name}/remove").headers["location"]
    assert 404 == admin.get(f"/admin/issuers/{name}").status_code
    builtin = admin.fill("/admin/issuers/github/remove")
    assert (400, True) == (builtin.status_code, "Disable it instead." in builtin.text)


def test_keys_that_cannot_be_fetched_are_reported_and_the_static_ones_stay(admin: Admin, shared: Seaway) -> None:
    """The message is no success, with or without static keys."""
    name = f"offline-{next(_numbers)}"
    admin.fill("/admin/issuers", name=name, issuer=f"http://127.0.0.1:9/{name}", kind="gitlab")
    fetched = admin.fill(f"/admin/issuers/{name}/fetch")
    assert f"The keys of {name} were not fetched: " in admin.get(fetched.headers["location"]).text
    key = RSAKey.generate_key(2048, {"kid": "harbour"}, private=False)
    key_set = json.dumps({"keys": [key.as_dict(private=False) | {"kid": "harbour"}]})
    admin.fill(f"/admin/issuers/{name}/keys", keys=key_set)
    before = last_actions(shared, 1)
    fetched = admin.fill(f"/admin/issuers/{name}/fetch")
    assert "The keys that an admin set are still used." in admin.get(fetched.headers["location"]).text
    with shared.site.database.read() as tx:
        assert issuers.get(tx, name).static_keys == key_set
    assert before == last_actions(shared, 1)


def test_storage_page_shows_channels_and_the_last_sweep(admin: Admin, shared: Seaway, portal: BlockingPortal) -> None:
    """The size of each channel and the result of the last sweep."""
    channel, file = f"held-{next(_numbers)}", conda(index_json("held"))
    Factory(shared).channel(channel)
    portal.call(publish_file, shared, channel, file)
    sweep(shared.site, shared.pairing, max_percent=100)
    shown = admin.get("/admin/storage").text
    assert f'href="/admin/channels/{channel}"' in shown
    assert ("Kept" in shown, "has not run yet" in shown) == (True, False)


def test_storage_page_lists_damaged_files(admin: Admin, shared: Seaway, portal: BlockingPortal) -> None:
    """The list is shown only if a stored file is damaged or missing."""
    channel, file = Factory(shared).channel(f"damaged-{next(_numbers)}"), conda(index_json(f"lost{next(_numbers)}"))
    portal.call(partial(publish_file, shared, channel, file))
    assert "Damaged files" not in admin.get("/admin/storage").text
    sha256 = bytes.fromhex(file.sha256)
    with shared.site.database.write_site() as tx:
        tx.execute(insert(damaged_blobs).values(sha256=sha256, found_at=shared.site.clock.now_ms(), problem="missing"))
    shown = admin.get("/admin/storage").text
    assert (True, True) == ("Damaged files" in shown, f"{channel}/noarch/{file.name}" in shown)
    with shared.site.database.write_site() as tx:
        tx.execute(delete(damaged_blobs))


def test_statements_do_not_grow_with_the_lists(admin: Admin, shared: Seaway, failed_jobs: list[int]) -> None:
    """Each page sends the same number of statements with few and many entries, and lists have pages."""
    owner = new_user(shared)
    Factory(shared).channel(f"first-{next(_numbers)}", owner=owner)
    paths = [
        "users", "users?q=many&state=active&sort=signed-in", f"users/{owner}", f"users/{owner}/disable", "channels",
        "channels?q=many&sort=packages", "storage?q=many&sort=files", "jobs?kind=k", "issuers?q=many", "log",
    ]  # fmt: skip
    before = {path: statements(admin, shared, path) for path in paths}
    with shared.site.database.write_site() as tx:
        now_ms, user = shared.site.clock.now_ms(), users.get(tx, owner)
        for number in range(60):
            name = f"many-{number}-{next(_numbers)}"
            channels.add(tx, now_ms, OPERATOR, name, user, description="", is_public=True)
            users.add(tx, now_ms, OPERATOR, name, email=None, password_hash=None, is_admin=False)
            address = f"https://{name}.example.com"
            issuers.add(tx, now_ms, OPERATOR, f"many-{next(_numbers)}", kind="gitlab", issuer=address)
            job = {
                "kind": "k",
                "args": "{}",
                "state": "failed",
                "attempt": 10,
                "run_at": 1,
                "created_at": 1,
                "error": "",
            }
            tx.execute(insert(jobs).values(job))
    assert before == {path: statements(admin, shared, path) for path in paths}
    assert max(before.values()) <= 22, before
    for path in ("users", "channels", "jobs", "storage"):
        assert 'rel="next"' in admin.get(f"/admin/{path}").text
    more = re.search(r'href="([^"]+)" rel="next"', admin.get("/admin/users?q=many&sort=created").text)
    assert more is not None
    assert "q=many&sort=created&page=2" in unescape(more[1])
    assert 'rel="prev"' in admin.get(unescape(more[1])).text


def statements(admin: Admin, shared: Seaway, path: str) -> int:
    """Count the statements of a page, including those that identify the caller."""
    with record_statements(shared.site.database) as seen:
        assert 200 == admin.get(f"/admin/{path}").status_code
    return len(seen)
