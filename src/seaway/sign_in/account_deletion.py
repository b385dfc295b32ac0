"""
Deletion of an account.

1. A user must transfer or delete their channels first.
2. Sessions, keys, OAuth grants and memberships of the account end with it, on the next request.
3. Its name is reserved for a year, so that another user cannot take it and be trusted as the previous one.
"""

from sqlalchemy import delete, insert, select

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.database.engine import Tx
from seaway.database.tables import channels, members, released_user_names, users
from seaway.errors import NotAllowed
from seaway.sign_in import account_security, site_admin
from seaway.sign_in.parts import AccountParts
from seaway.users.users import User


def remove(accounts: AccountParts, by: Caller, user: User) -> None:
    """Delete the caller's account or, as an admin, another user's; requires a recently confirmed session."""
    is_own = by.user_id == user.id
    require_site(by, SiteAction.REMOVE_ACCOUNT if is_own else SiteAction.CHANGE_SITE)
    with accounts.site.database.read() as tx:  # before the lock of the site
        _require_no_channels(tx, user)
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.write_site() as tx:
        if not is_own:
            site_admin.require_for(tx, by, user.name)
        _require_no_channels(tx, user)
        account_security.notify(accounts, tx, now_ms, user.id, "The account and its keys were deleted.")
        tx.execute(delete(users).where(users.c.id == user.id))
        tx.execute(delete(released_user_names).where(released_user_names.c.name == user.name))
        tx.execute(insert(released_user_names).values(name=user.name, released_at=now_ms))
        audit.write(tx, now_ms, by.actor, Event.USER_REMOVED, target=user.name)


def _require_no_channels(tx: Tx, user: User) -> None:
    owned = list(
        tx.execute(
            select(channels.c.name)
            .join(members, members.c.channel_id == channels.c.id)
            .where(members.c.user_id == user.id, members.c.role == "owner")
            .order_by(channels.c.name)
            .limit(6)
        ).scalars()
    )
    if owned:
        names = ", ".join(owned[:5]) + (" and more" if len(owned) > 5 else "")
        raise NotAllowed(f"{user.name} owns channels: {names}.", "Transfer or delete them first.")
