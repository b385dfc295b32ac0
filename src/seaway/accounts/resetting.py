"""
Password reset by email, and password change in a session.

1. A reset request reveals nothing: the response and its time are the same for an unknown email address, since a job
   looks it up.
2. A link sets one password within an hour, and stops working if the password or the email address changes meanwhile.
3. A new password signs out every other browser and is notified to every verified address. A second factor stays
   required.
"""

import base64
from functools import partial
from typing import Any

from anyio import to_thread

from seaway.accounts import emails, links, security, throttle, users
from seaway.accounts.links import Link, Purpose
from seaway.accounts.parts import Accounts
from seaway.accounts.permissions import SiteAction, require_site
from seaway.accounts.principal import Carrier, Principal
from seaway.accounts.throttle import Rate
from seaway.errors import NotFound
from seaway.jobs import queue
from seaway.mail import letters

WRITE_RESET = "write-reset"
_PURPOSE = "reset"
_WHAT = "The password was changed."


def ask(house: Accounts, address: str, *, client: str) -> None:
    """Queue a password reset email to this address, in case it belongs to an account."""
    written = emails.checked(address)
    now_ms = house.clock.now_ms()
    throttle.take_all(
        house.database, now_ms, (Rate.LETTERS_FROM, (client,)), (Rate.RESET_USER, (emails.folded(written),))
    )
    sealed = house.sealer.seal(written.encode(), _PURPOSE)
    with house.database.write_part() as tx:
        queue.enqueue(tx, now_ms, WRITE_RESET, {"address": base64.b64encode(sealed).decode()})


def write(house: Accounts, args: dict[str, Any]) -> None:
    """Send the reset email (job handler), unless the address has no owner or the account is disabled."""
    address = house.sealer.open(base64.b64decode(args["address"]), _PURPOSE).decode()
    now_ms = house.clock.now_ms()
    with house.database.write_part() as tx:
        owner = emails.owner_of(tx, address)
        if owner is None:
            return
        user = users.by_id(tx, owner)
        if user.disabled_at_ms is not None:
            return
        secret = links.make(tx, now_ms, Purpose.RESET, user_id=owner, address=address)
        link = links.url(house.site_url, Purpose.RESET, secret)
        house.outbox.send(
            tx, now_ms, letters.reset(address, site_url=house.site_url, name=user.name, link=link), cause=None
        )


async def reset(house: Accounts, secret: str, password: str, *, client: str) -> None:
    """Set the password with a reset link; raise `NotFound` if the link is no longer valid."""
    link, user = await to_thread.run_sync(partial(_look, house, secret))
    password_hash = await house.hasher.hash_new(password, about=[user.name, link.address])
    await to_thread.run_sync(partial(_reset, house, secret, password_hash, client))


async def change(house: Accounts, by: Principal, password: str) -> None:
    """Change the caller's password; requires a recently confirmed session."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    assert by.user_id is not None
    password_hash = await house.hasher.hash_new(password, about=[by.name])
    await to_thread.run_sync(partial(_set, house, by, password_hash))


def _look(house: Accounts, secret: str) -> tuple[Link, users.User]:
    with house.database.read() as tx:
        link = links.look(tx, house.clock.now_ms(), Purpose.RESET, secret)
        if link is None or link.user_id is None:
            raise _not_good()
        return link, users.by_id(tx, link.user_id)


def _reset(house: Accounts, secret: str, password_hash: str, client: str) -> None:
    now_ms = house.clock.now_ms()
    found, _ = _look(house, secret)
    with house.database.write_user(found.user_id or 0) as tx:
        link = links.use(tx, now_ms, Purpose.RESET, secret)
        if link is None or link.user_id is None or emails.owner_of(tx, link.address) != link.user_id:
            raise _not_good()
        user = users.by_id(tx, link.user_id)
        if user.disabled_at_ms is not None:
            raise _not_good()
        by = Principal(user.name, user.id, Carrier.PERSON, address=client)
        users.set_password(tx, now_ms, by, user.name, password_hash)
        security.changed(house, tx, now_ms, user.id, _WHAT, keep=None)


def _set(house: Accounts, by: Principal, password_hash: str) -> None:
    assert by.user_id is not None
    now_ms = house.clock.now_ms()
    with house.database.write_user(by.user_id) as tx:
        users.set_password(tx, now_ms, by, by.name, password_hash)
        security.changed(house, tx, now_ms, by.user_id, _WHAT, keep=by.session_id)


def _not_good() -> NotFound:
    return NotFound("This link is no longer valid.", "Request a new password reset email.")
