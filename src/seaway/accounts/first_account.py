"""
The first account of a fresh site, made in a browser by whoever reads what `serve` prints.

1. Its link is good while nobody has an account, for a week, and once; each start makes a new one and ends the old.
2. Who holds it has started the site, so the account is its admin, and its address needs no proof: letters may not
   be set up yet.
"""

from functools import partial

from anyio import to_thread

from seaway.accounts import emails, links, users
from seaway.accounts.links import Purpose
from seaway.accounts.parts import Accounts
from seaway.accounts.principal import OPERATOR
from seaway.accounts.users import User
from seaway.database.engine import Database
from seaway.errors import NotFound

_LOCK = "first-account"


def offer(database: Database, now_ms: int, site_url: str) -> str | None:
    """A fresh link; None when somebody has an account."""
    with database.write_part() as tx:
        database.hold(tx, _LOCK)
        if users.exist(tx):
            return None
        links.forget(tx, Purpose.FIRST_ACCOUNT, None)
        secret = links.make(tx, now_ms, Purpose.FIRST_ACCOUNT, user_id=None, address="")
    return links.url(site_url, Purpose.FIRST_ACCOUNT, secret)


def look(house: Accounts, secret: str) -> None:
    """Return if the link is good; `NotFound` otherwise."""
    with house.database.read() as tx:
        if users.exist(tx) or links.look(tx, house.clock.now_ms(), Purpose.FIRST_ACCOUNT, secret) is None:
            raise _not_good()


async def make(house: Accounts, secret: str, name: str, address: str, password: str, *, client: str) -> User:
    """Make the account, a site admin's."""
    await to_thread.run_sync(partial(look, house, secret))
    written = emails.checked(address)
    password_hash = await house.hasher.hash_new(password, about=[name, written])
    return await to_thread.run_sync(partial(_make, house, secret, name, written, password_hash, client))


def _make(house: Accounts, secret: str, name: str, address: str, password_hash: str, client: str) -> User:
    now_ms = house.clock.now_ms()
    with house.database.write_part() as tx:
        house.database.hold(tx, _LOCK)
        if users.exist(tx) or links.use(tx, now_ms, Purpose.FIRST_ACCOUNT, secret) is None:
            raise _not_good()
        by = OPERATOR.seen_from(client)
        return users.add(tx, now_ms, by, name, email=address, password_hash=password_hash, is_admin=True)


def _not_good() -> NotFound:
    return NotFound(
        "This link is not good any more.", "`serve` prints a new one at its start, while nobody has an account."
    )
