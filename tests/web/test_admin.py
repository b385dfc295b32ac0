"""The pages of site admins: what they show and do, how much they ask of the database, and that they are theirs alone."""

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

from seaway.audit import log
from seaway.callers.caller import OPERATOR
from seaway.channels import channels, quotas
from seaway.clock import HOUR_MS
from seaway.database.tables import damaged_blobs, jobs
from seaway.errors import Malformed
from seaway.packages.sweep import sweep
from seaway.server.wiring import Seaway
from seaway.sign_in import second_factors
from seaway.trusted_publishing import issuers
from seaway.users import users
from seaway.web.admin.byte_sizes import format_quota, parse_quota
from tests.support.clock import TurnedClock
from tests.support.house import People, publish_file
from tests.support.packages import conda, index_json
from tests.support.statements import counted
from tests.web.conftest import new_user
from tests.web.visitor import Visitor

_numbers = count(1)


class Admin(Visitor):
    """Whoever sends a form has a page with a fresh token open."""

    name = ""

    def fill(self, path: str, **fields: str) -> httpx.Response:
        """Send the form of a page."""
        self.get("/account")
        return self.send(path, **fields)


@pytest.fixture
def admin(shared: Seaway, portal: BlockingPortal) -> Admin:
    """An admin with a browser."""
    visitor = Admin(shared, portal, f"2001:db8:ad::{next(_numbers):x}")
    visitor.name = new_user(shared)
    with shared.database.write_site() as tx:
        users.set_admin(tx, shared.clock.now_ms(), OPERATOR, visitor.name, is_admin=True)
    visitor.sign_in(visitor.name)
    return visitor


@pytest.fixture
def dead_jobs(shared: Seaway) -> Iterator[list[int]]:
    """Two that failed for good."""
    with shared.database.write_site() as tx:
        tx.execute(delete(jobs))
        given = {"kind": "send-email", "args": "{}", "state": "failed", "attempt": 10, "run_at": 1, "created_at": 1}
        numbers = [
            tx.execute(insert(jobs).values(**given, error=f"no server {number}").returning(jobs.c.id)).scalar_one()
            for number in range(2)
        ]
    yield numbers
    with shared.database.write_site() as tx:
        tx.execute(delete(jobs))


def last_actions(seaway: Seaway, number: int) -> list[str]:
    with seaway.database.read() as tx:
        return [line.action for line in log.of_all(tx, limit=number)]


def test_only_admins_see_the_way(visit: Callable[[], Visitor], admin: Admin, shared: Seaway) -> None:
    """The menu of others has no link, and what it leads to is not there for them."""
    somebody = visit()
    somebody.sign_in(new_user(shared))
    assert ('href="/admin/users"' in admin.get("/").text, 'href="/admin/users"' in somebody.get("/").text) == (
        True,
        False,
    )
    unknown, hidden = somebody.get("/admin/users/nobody"), somebody.get("/admin/users")
    assert (404, unknown.text) == (hidden.status_code, hidden.text)
    assert 404 == visit().get("/admin/users").status_code


def test_a_user_is_found_shut_and_opened(admin: Admin, visit: Callable[[], Visitor], shared: Seaway) -> None:
    """By a part of the address; their browser is out at once, and each step leaves a line."""
    name = new_user(shared)
    theirs = visit()
    theirs.sign_in(name)
    found = admin.get(f"/admin/users?q={name}@EXAMPLE").text
    assert (True, False) == (f'href="/admin/users/{name}"' in found, 'href="/admin/users/operator-of-it"' in found)
    assert f"/admin/users/{name}" == admin.fill(f"/admin/users/{name}/disable").headers["location"]
    assert 303 == theirs.get("/account").status_code
    assert "Disabled" in admin.get(f"/admin/users/{name}").text
    for act in ("enable", "promote", "demote"):
        assert 303 == admin.fill(f"/admin/users/{name}/{act}").status_code
    assert ["user.demoted", "user.promoted", "user.enabled", "user.disabled"] == last_actions(shared, 4)
    assert 404 == admin.fill(f"/admin/users/{name}/vanish").status_code
    assert 404 == admin.fill("/admin/users/nobody-at-all/disable").status_code


def test_nobody_does_it_to_themselves(admin: Admin, shared: Seaway) -> None:
    """The last admin would be locked out; the page says why, and has no button for it."""
    assert "/demote" not in admin.get(f"/admin/users/{admin.name}").text
    refused = admin.fill(f"/admin/users/{admin.name}/demote")
    assert (400, True) == (refused.status_code, "Ask another admin." in refused.text)
    with shared.database.read() as tx:
        assert users.get(tx, admin.name).is_admin


def test_lost_second_factors_go_later_or_stay(admin: Admin, shared: Seaway) -> None:
    """The page tells when, and how to stop it."""
    name = new_user(shared)
    with shared.database.read() as tx:
        user_id = users.get(tx, name).id
    admin.fill(f"/admin/users/{name}/reset")
    assert "The second factors of this account will be removed" in admin.get(f"/admin/users/{name}").text
    with shared.database.read() as tx:
        assert shared.clock.now_ms() + second_factors.RESET_AFTER_MS == second_factors.ends_at(tx, user_id)
    admin.fill(f"/admin/users/{name}/cancel-reset")
    with shared.database.read() as tx:
        assert second_factors.ends_at(tx, user_id) is None


def test_quotas_are_set_and_shown(admin: Admin, shared: Seaway) -> None:
    """In the unit that somebody thinks in; what cannot be read is said, and changes nothing."""
    name, channel = new_user(shared), f"limited-{next(_numbers)}"
    People(shared).channel(channel, owner=name)
    admin.fill(f"/admin/users/{name}/quota", quota="20 GB")
    admin.fill(f"/admin/channels/{channel}/quota", quota="1.5 TB")
    with shared.database.read() as tx:
        found = quotas.of_user(tx, users.get(tx, name).id, None), quotas.of_channel(tx, channels.get(tx, channel).id)
    assert [20 * 10**9, 1_500 * 10**9] == [usage.quota for usage in found]
    assert 'value="1500 GB"' in admin.get(f"/admin/channels/{channel}").text
    refused = admin.fill(f"/admin/channels/{channel}/quota", quota="a lot")
    assert (400, True) == (refused.status_code, "such as 20 GB" in refused.text)
    admin.fill(f"/admin/channels/{channel}/quota", quota="")
    with shared.database.read() as tx:
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
def test_sizes_are_read(text: str, size: int | None) -> None:
    """With a unit or without, and written back to the byte."""
    assert (size, size) == (parse_quota(text), parse_quota(format_quota(size)))


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "20 GiB",
        "x",
        "1e9",
        "٣ GB",
        "99999999999999999",
        "9999999 TB",
        "1.2.3",
        "1,5 TB",
        "1500,000",
        ",5 TB",
        "1,0000",
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    """With a sentence that shows one."""
    with pytest.raises(Malformed, match="such as 20 GB"):
        parse_quota(text)


def test_a_change_needs_a_proof(admin: Admin, turned: TurnedClock, shared: Seaway, dead_jobs: list[int]) -> None:
    """After half an hour each form leads to it, whatever is in the form; looking does not."""
    name = new_user(shared)
    turned.move(HOUR_MS)
    sent = [
        admin.fill(f"/admin/users/{name}/disable"),
        admin.fill(f"/admin/users/{name}/quota", quota="nonsense"),
        admin.fill("/admin/channels/nothing/quota", quota="1"),
        admin.fill("/admin/jobs/retry"),
        admin.fill("/admin/issuers", name="x", address="x", kind="x"),
        admin.fill("/admin/issuers/github/disable"),
    ]
    assert [303] * len(sent) == [answer.status_code for answer in sent]
    assert all(answer.headers["location"].startswith("/confirm?") for answer in sent)
    assert 200 == admin.get("/admin/users").status_code
    with shared.database.read() as tx:
        assert users.get(tx, name).disabled_at_ms is None
        assert 2 == tx.execute(select(func.count()).where(jobs.c.state == "failed")).scalar()


def test_dead_jobs_are_retried(admin: Admin, shared: Seaway, dead_jobs: list[int]) -> None:
    """One, then all; the error is there to read, and the retry leaves a line."""
    shown = admin.get("/admin/jobs").text
    assert all(f"no server {number}" in shown for number in range(2))
    assert "/admin/jobs" == admin.fill("/admin/jobs/retry", job=str(dead_jobs[0])).headers["location"]
    assert 404 == admin.fill("/admin/jobs/retry", job=str(dead_jobs[0])).status_code
    assert ("no server 0" in admin.get("/admin/jobs").text, "no server 1" in admin.shown) == (False, True)
    assert "no server 0" in admin.get("/admin/jobs?state=ready").text
    admin.fill("/admin/jobs/retry")
    assert "No jobs." in admin.get("/admin/jobs").text
    assert ["jobs.retried", "jobs.retried"] == last_actions(shared, 2)


def test_an_issuer_is_registered_switched_and_forgotten(admin: Admin, shared: Seaway) -> None:
    """With keys that were given; what cannot be is said above the form, which keeps what was typed."""
    name = f"forge-{next(_numbers)}"
    refused = admin.fill("/admin/issuers", name=name, address="http://forge.example.com", kind="gitlab")
    assert (400, True) == (refused.status_code, 'value="http://forge.example.com"' in refused.text)
    made = admin.fill("/admin/issuers", name=name, address=f"https://{name}.example.com", kind="gitlab")
    assert f"/admin/issuers/{name}" == made.headers["location"]
    assert "The key set cannot be used" in admin.fill(f"/admin/issuers/{name}/keys", keys="[]").text
    key = RSAKey.generate_key(2048, {"kid": "harbour"}, private=False)
    given = json.dumps({"keys": [key.as_dict(private=False) | {"kid": "harbour"}]})
    assert 303 == admin.fill(f"/admin/issuers/{name}/keys", keys=given).status_code
    assert "harbour" in admin.get(f"/admin/issuers/{name}").text
    admin.fill(f"/admin/issuers/{name}/disable")
    with shared.database.read() as tx:
        assert not issuers.get(tx, name).is_enabled
    assert "/admin/issuers" == admin.fill(f"/admin/issuers/{name}/remove").headers["location"]
    assert 404 == admin.get(f"/admin/issuers/{name}").status_code
    builtin = admin.fill("/admin/issuers/github/remove")
    assert (400, True) == (builtin.status_code, "Disable it instead." in builtin.text)


def test_storage_tells_what_is_held(admin: Admin, shared: Seaway, portal: BlockingPortal) -> None:
    """Of each channel, and what the last sweep did; before the first one it says how to have one."""
    channel, file = f"held-{next(_numbers)}", conda(index_json("held"))
    People(shared).channel(channel)
    portal.call(publish_file, shared, channel, file)
    sweep(shared.sweeping)
    shown = admin.get("/admin/storage").text
    assert f'href="/admin/channels/{channel}"' in shown
    assert ("Kept" in shown, "has not run yet" in shown) == (True, False)


def test_storage_names_damaged_files(admin: Admin, shared: Seaway, portal: BlockingPortal) -> None:
    """Each file whose stored copy is damaged or missing, with what is wrong; nothing of it when all are whole."""
    channel, file = People(shared).channel(f"damaged-{next(_numbers)}"), conda(index_json(f"lost{next(_numbers)}"))
    portal.call(partial(publish_file, shared, channel, file))
    assert "Damaged files" not in admin.get("/admin/storage").text
    sha256 = bytes.fromhex(file.sha256)
    with shared.database.write_site() as tx:
        tx.execute(insert(damaged_blobs).values(sha256=sha256, found_at=shared.clock.now_ms(), problem="missing"))
    shown = admin.get("/admin/storage").text
    assert (True, True) == ("Damaged files" in shown, f"{channel}/noarch/{file.name}" in shown)
    with shared.database.write_site() as tx:
        tx.execute(delete(damaged_blobs))


def test_a_longer_list_asks_no_more(admin: Admin, shared: Seaway, dead_jobs: list[int]) -> None:
    """The number of statements of each page is the same with a few entries and with many, and a page has its end."""
    owner = new_user(shared)
    People(shared).channel(f"first-{next(_numbers)}", owner=owner)
    paths = ["users", f"users/{owner}", "channels", "storage", "jobs", "issuers", "log"]
    before = {path: statements(admin, shared, path) for path in paths}
    with shared.database.write_site() as tx:
        now_ms, user = shared.clock.now_ms(), users.get(tx, owner)
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
    assert max(before.values()) <= 12, before
    for path in ("users", "channels", "jobs", "storage"):
        assert 'rel="next"' in admin.get(f"/admin/{path}").text
    more = re.search(r'href="([^"]+)" rel="next"', admin.get("/admin/users?q=many").text)
    assert more is not None
    assert "First page" in admin.get(unescape(more[1])).text


def statements(admin: Admin, shared: Seaway, path: str) -> int:
    """How many a page sends, with those that tell who asks."""
    with counted(shared.database) as seen:
        assert 200 == admin.get(f"/admin/{path}").status_code
    return len(seen)
