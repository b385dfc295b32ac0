"""
The first account of a new site, created in a browser with the link that `serve` prints.

1. The link is valid once, for a week, while no account exists; each start creates a new link and revokes the old one.
2. Only the operator who started the site sees the link, so the account is a site admin and its email address counts as
   verified: email may not be configured yet.
"""

from functools import partial

from anyio import to_thread

from seaway.callers.caller import OPERATOR
from seaway.errors import NotFound
from seaway.sign_in import new_account
from seaway.sign_in.parts import AccountParts
from seaway.site import Site
from seaway.users import email_links, users
from seaway.users.email_links import Purpose
from seaway.users.users import User

_LOCK = "first-account"


def create_link(site: Site) -> str | None:
    """Return a new link, or None if any account exists."""
    with site.database.write_unlocked() as tx:
        site.database.lock(tx, _LOCK)
        if users.any_exist(tx):
            return None
        email_links.delete_pending(tx, Purpose.FIRST_ACCOUNT, None)
        secret = email_links.make(tx, site.clock.now_ms(), Purpose.FIRST_ACCOUNT, user_id=None, address="")
    return email_links.url(site.url, Purpose.FIRST_ACCOUNT, secret)


def require_valid(site: Site, secret: str) -> None:
    """Return if the link is valid; raise `NotFound` otherwise."""
    with site.database.read() as tx:
        if users.any_exist(tx) or email_links.find(tx, site.clock.now_ms(), Purpose.FIRST_ACCOUNT, secret) is None:
            raise _invalid_link()


async def make(accounts: AccountParts, secret: str, name: str, address: str, password: str, *, client: str) -> User:
    """Create the first account as a site admin."""
    await to_thread.run_sync(partial(require_valid, accounts.site, secret))
    normalized, password_hash = await new_account.check(accounts, name, address, password, any_domain=True)
    return await to_thread.run_sync(partial(_make, accounts.site, secret, name, normalized, password_hash, client))


def _make(site: Site, secret: str, name: str, address: str, password_hash: str, client: str) -> User:
    now_ms = site.clock.now_ms()
    with site.database.write_unlocked() as tx:
        site.database.lock(tx, _LOCK)
        if users.any_exist(tx) or email_links.use(tx, now_ms, Purpose.FIRST_ACCOUNT, secret) is None:
            raise _invalid_link()
        by = OPERATOR.with_address(client)
        return users.add(tx, now_ms, by, name, email=address, password_hash=password_hash, is_admin=True)


def _invalid_link() -> NotFound:
    return NotFound(
        "This link is no longer valid.", "Until the first account exists, `seaway serve` prints a new one at its start."
    )
