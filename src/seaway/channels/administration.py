"""
What site admins do with accounts and with the work in the background.

1. Only a site admin who is signed in, and proved it a short while ago, or the operator beside the data.
2. Nobody does it to their own account: the last admin who steps down by mistake would leave nobody to take it back.
3. Its line in the audit log is written in the transaction of the change.
"""

from seaway import audit
from seaway.accounts import second_factors, users
from seaway.accounts.parts import Accounts
from seaway.accounts.permissions import SiteAction, require_site
from seaway.accounts.principal import Principal
from seaway.accounts.users import User
from seaway.audit import Event
from seaway.database.engine import Tx
from seaway.errors import Malformed, NotAllowed, NotFound
from seaway.jobs import queue


def set_disabled(tx: Tx, now_ms: int, by: Principal, user: str, *, disabled: bool) -> User:
    """Shut an account, or open it again."""
    _require_for(tx, by, user)
    return users.set_disabled(tx, now_ms, by, user, disabled=disabled)


def set_admin(tx: Tx, now_ms: int, by: Principal, user: str, *, is_admin: bool) -> User:
    """Make a user site admin, or take that back."""
    _require_for(tx, by, user)
    return users.set_admin(tx, now_ms, by, user, is_admin=is_admin)


def ask_reset(house: Accounts, tx: Tx, now_ms: int, by: Principal, user: str) -> int:
    """Have the second factors of a user taken away in 72 hours; when that will be."""
    _require_for(tx, by, user)
    return second_factors.ask_reset(house, tx, now_ms, by, users.get(tx, user).id)


def stop_reset(house: Accounts, tx: Tx, now_ms: int, by: Principal, user: str) -> None:
    """Stop that."""
    require_site(by, SiteAction.CHANGE_SITE)
    second_factors.stop_reset(house, tx, now_ms, by, users.get(tx, user).id)


def retry_jobs(tx: Tx, now_ms: int, by: Principal, job: int | None = None) -> int:
    """Give all dead jobs, or one, all their attempts again; how many. `NotFound` when that one is not dead."""
    require_site(by, SiteAction.CHANGE_SITE)
    count = queue.retry(tx, now_ms, job)
    if job is not None and not count:
        raise NotFound(f"There is no dead job {job}.", "Look at the list of dead ones: it may run again already.")
    if count:
        audit.write(tx, now_ms, by.actor, Event.JOBS_RETRIED, target="" if job is None else str(job), jobs=count)
    return count


def _require_for(tx: Tx, by: Principal, user: str) -> None:
    require_site(by, SiteAction.CHANGE_SITE)
    if by.is_operator:
        return
    if user == by.name:
        raise Malformed("Nobody shuts their own account or takes their own rights away here.", "Ask another admin.")
    # Asked anew in the transaction: two who end each other at one moment would leave no admin.
    asker = users.get(tx, by.name)
    if not asker.is_admin or asker.disabled_at_ms is not None:
        raise NotAllowed(f"{by.name} is no site admin any more.", "Ask a site admin.")
