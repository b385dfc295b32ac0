"""Each change of an account, a group or the site writes one audit log entry, whichever route makes it (case 98)."""

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Table, func, select

from seaway.callers.caller import OPERATOR, Caller, Mode
from seaway.channels import groups, invitations, members, notices, quotas, transfers
from seaway.channels.notices import Level
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.database.engine import Database, Tx
from seaway.database.tables import audit, cli_grants
from seaway.database.tables import invitations as invitation_rows
from seaway.database.tables import notices as notice_rows
from seaway.keys import api_keys
from seaway.oauth import grants
from seaway.server.wiring import Seaway
from seaway.sign_in import sessions, user_access
from seaway.trusted_publishing import issuers
from seaway.users import users
from tests.support.sites import Factory

BY = OPERATOR.with_address("192.0.2.9")
# The transaction of a step locks the whole site.
SITE_LOCKED = cast("Database", SimpleNamespace(lock=lambda _tx, _thing: None))
Change = Callable[[Tx, int, Caller, Caller], Any]

# The order matters: later steps use what earlier ones create. `ada` owns the channel `boats`, `bob` is a member.
STEPS: list[tuple[str, Change]] = [
    ("user.display-name-set", lambda tx, now, by, ada: users.set_display_name(tx, now, by, "bob", "Bob")),
    ("user.password-set", lambda tx, now, by, ada: user_access.set_password(tx, now, by, "bob", "hash")),
    ("user.disabled", lambda tx, now, by, ada: user_access.set_disabled(tx, now, by, "bob", disabled=True)),
    ("user.enabled", lambda tx, now, by, ada: user_access.set_disabled(tx, now, by, "bob", disabled=False)),
    ("user.promoted", lambda tx, now, by, ada: users.set_admin(tx, now, by, "bob", is_admin=True)),
    ("user.demoted", lambda tx, now, by, ada: users.set_admin(tx, now, by, "bob", is_admin=False)),
    ("session.started", lambda tx, now, by, ada: sessions.start(tx, now, ada.user_id or 0, address=by.address, agent="")),
    ("key.added", lambda tx, now, by, ada: add_key(tx, now, by)),
    ("key.revoked", lambda tx, now, by, ada: api_keys.revoke(tx, now, by, users.get(tx, "bob"), "ci")),
    ("key.removed", lambda tx, now, by, ada: api_keys.remove(tx, now, by, users.get(tx, "bob"), "ci")),
    ("tool.logged-in", lambda tx, now, by, ada: grants.add(tx, now, ada.user_id or 0, "rattler", "openid channel:read", address=by.address)),
    ("tool.revoked", lambda tx, now, by, ada: grants.revoke(SITE_LOCKED, tx, now, by, ada.user_id or 0, last_id(tx, cli_grants))),
    ("group.added", lambda tx, now, by, ada: groups.add(tx, now, by, "crew", users.get(tx, "ada"))),
    ("group.changed", lambda tx, now, by, ada: groups.describe(tx, now, by, "crew", "hands")),
    ("group.member-added", lambda tx, now, by, ada: groups.put_member(tx, now, by, "crew", "bob", notifier=None)),
    ("group.member-changed", lambda tx, now, by, ada: groups.put_member(tx, now, by, "crew", "bob", is_manager=True, notifier=None)),
    ("group.member-removed", lambda tx, now, by, ada: groups.remove_member(tx, now, by, "crew", "bob")),
    ("member.added", lambda tx, now, by, ada: members.put_group(tx, now, by, "boats", "crew", Role.VIEWER)),
    ("member.changed", lambda tx, now, by, ada: members.put_group(tx, now, by, "boats", "crew", Role.CONTRIBUTOR)),
    ("member.removed", lambda tx, now, by, ada: members.remove_group(tx, now, by, "boats", "crew")),
    ("group.removed", lambda tx, now, by, ada: groups.remove(tx, now, by, "crew")),
    ("invitation.sent", lambda tx, now, by, ada: invite(tx, now, by)),
    ("invitation.withdrawn", lambda tx, now, by, ada: invitations.withdraw(tx, now, by, "boats", last_id(tx, invitation_rows))),
    ("notice.added", lambda tx, now, by, ada: notices.add(tx, now, by, "boats", Level.INFO, "hello", expires_at_ms=now + DAY_MS)),
    ("notice.removed", lambda tx, now, by, ada: notices.remove(tx, now, by, "boats", last_id(tx, notice_rows))),
    ("quota.changed", lambda tx, now, by, ada: quotas.set_of_channel(tx, now, by, "boats", 1_000)),
    ("transfer.offered", lambda tx, now, by, ada: transfers.offer(tx, now, ada, "boats", "bob")),
    ("transfer.canceled", lambda tx, now, by, ada: transfers.cancel(tx, now, ada, "boats")),
    ("channel.transferred", lambda tx, now, by, ada: transfers.transfer_now(tx, now, by, "boats", "bob")),
    ("issuer.added", lambda tx, now, by, ada: issuers.add(tx, now, by, "forge", kind="gitlab", issuer="https://gitlab.example.com")),
    ("issuer.removed", lambda tx, now, by, ada: issuers.remove(tx, now, by, "forge")),
]  # fmt: skip


def last_id(tx: Tx, table: Table) -> int:
    """Return the id of the newest row; ids of rolled back rows are skipped."""
    return int(tx.execute(select(func.max(table.c.id))).scalar_one())


def add_key(tx: Tx, now_ms: int, by: Caller) -> None:
    api_keys.add(tx, now_ms, by, users.get(tx, "bob"), "ci", mode=Mode.READ, channel_ids=None, expires_at_ms=None)


def invite(tx: Tx, now_ms: int, by: Caller) -> None:
    invitations.invite(tx, now_ms, by, "boats", "eve@example.com", Role.VIEWER, notifier=None)


def entries(seaway: Seaway) -> list[Any]:
    with seaway.database.read() as tx:
        return list(tx.execute(select(audit).order_by(audit.c.id)))


def test_each_change_writes_one_audit_log_entry(seaway: Seaway, factory: Factory) -> None:
    """The entry has actor, IP address, action and target; a rolled back change writes none."""
    factory.channel("boats", owner="ada")
    factory.member("boats", "bob", Role.CONTRIBUTOR)
    ada = factory.signed_in("ada").with_address(BY.address)
    assert len(STEPS) > 30
    for action, change in STEPS:
        before = entries(seaway)
        with suppress(ZeroDivisionError), seaway.database.write_site() as tx:
            change(tx, seaway.clock.now_ms(), BY, ada)
            raise ZeroDivisionError
        assert before == entries(seaway), action
        with seaway.database.write_site() as tx:
            change(tx, seaway.clock.now_ms(), BY, ada)
        (entry,) = entries(seaway)[len(before) :]
        assert action == entry.action
        assert (True, BY.address, seaway.clock.now_ms()) == (bool(entry.actor), entry.address, entry.at), action
        assert entry.target or entry.channel, action
