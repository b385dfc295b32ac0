"""
Actions of site admins on accounts and background jobs.

1. They require a site admin with a fresh sign-in, or the operator at the command line.
2. Admins cannot do this to their own account: if the last admin stepped down by mistake, no admin could undo it.
3. The entry in the audit log is written in the transaction of the change.
"""

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.database.engine import Tx
from seaway.errors import Malformed, NotAllowed, NotFound
from seaway.jobs import queue
from seaway.sign_in import second_factors, user_access
from seaway.sign_in.parts import AccountParts
from seaway.users import users
from seaway.users.users import User


def set_disabled(tx: Tx, now_ms: int, by: Caller, user: str, *, disabled: bool) -> User:
    """Disable or enable an account."""
    require_for(tx, by, user)
    return user_access.set_disabled(tx, now_ms, by, user, disabled=disabled)


def set_admin(tx: Tx, now_ms: int, by: Caller, user: str, *, is_admin: bool) -> User:
    """Grant or revoke site admin rights."""
    require_for(tx, by, user)
    return users.set_admin(tx, now_ms, by, user, is_admin=is_admin)


def schedule_factor_reset(parts: AccountParts, tx: Tx, now_ms: int, by: Caller, user: str) -> int:
    """Schedule the removal of a user's second factors in 72 hours; return when it is due (ms since the epoch)."""
    require_for(tx, by, user)
    return second_factors.request_reset(parts, tx, now_ms, by, users.get(tx, user).id)


def cancel_factor_reset(parts: AccountParts, tx: Tx, now_ms: int, by: Caller, user: str) -> None:
    """Cancel a pending second-factor reset."""
    require_site(by, SiteAction.CHANGE_SITE)
    second_factors.cancel_reset(parts, tx, now_ms, by, users.get(tx, user).id)


def retry_jobs(tx: Tx, now_ms: int, by: Caller, job: int | None = None, *, kind: str = "") -> int:
    """
    Retry one failed job, or all of a kind, or all, from the first attempt; return the count.

    `NotFound` if that one has not failed.
    """
    require_site(by, SiteAction.CHANGE_SITE)
    count = queue.retry(tx, now_ms, job, kind=kind)
    if job is not None and not count:
        raise NotFound(f"There is no failed job {job}.", "Check the list of failed jobs: it may be running again.")
    if count:
        audit.write(tx, now_ms, by.actor, Event.JOBS_RETRIED, target=kind if job is None else str(job), jobs=count)
    return count


def require_for(tx: Tx, by: Caller, user: str) -> None:
    """Require that the caller can change another user's account."""
    require_site(by, SiteAction.CHANGE_SITE)
    if by.is_operator:
        return
    if user == by.name:
        raise Malformed("You cannot do this to your own account.", "Ask another admin.")
    # Read again in this transaction: two admins who demote each other at the same moment would leave none.
    admin = users.get(tx, by.name)
    if not admin.is_admin or admin.disabled_at_ms is not None:
        raise NotAllowed(f"{by.name} is no longer a site admin.", "Ask a site admin.")
