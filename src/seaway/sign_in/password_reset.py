"""
Password reset by email, and password change in a session.

1. A reset request reveals nothing: the response and its time are the same for an unknown email address, since a job
   looks it up.
2. A link sets one password within an hour, and stops working if the password or the email address changes meanwhile.
3. A new password signs out every other browser and is notified to every verified address. A second factor stays
   required.
"""

from functools import partial
from typing import ClassVar

from anyio import to_thread

from seaway.callers import rate_limits
from seaway.callers.caller import Caller, CredentialKind
from seaway.callers.rate_limits import Rate
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.errors import NotFound
from seaway.jobs import queue
from seaway.jobs.queue import JobArgs
from seaway.mail import messages
from seaway.sign_in import account_security, user_access
from seaway.sign_in.parts import AccountParts
from seaway.site import Site
from seaway.users import email_links, emails, users
from seaway.users.email_links import Link, Purpose

_PURPOSE = "reset"
_NOTICE = "The password was changed."


class SendResetEmail(JobArgs, frozen=True):
    """Send a reset email to an address, in case it belongs to an account."""

    kind: ClassVar = "send-reset-email"
    is_unique: ClassVar = False
    encrypted_address: bytes


def request(accounts: AccountParts, address: str, *, client: str) -> None:
    """Queue a password reset email to this address, in case it belongs to an account."""
    normalized = emails.normalize(address)
    now_ms = accounts.site.clock.now_ms()
    rate_limits.count_all(
        accounts.site.database,
        now_ms,
        (Rate.EMAILS_FROM_ADDRESS, (client,)),
        (Rate.RESET_USER, (emails.case_folded(normalized),)),
    )
    encrypted = accounts.encryption.encrypt(normalized.encode(), _PURPOSE)
    with accounts.site.database.write_unlocked() as tx:
        queue.enqueue(tx, now_ms, SendResetEmail(encrypted))


def send_email(accounts: AccountParts, job: SendResetEmail) -> None:
    """Send the reset email (job handler), unless the address has no owner or the account is disabled."""
    address = accounts.encryption.decrypt(job.encrypted_address, _PURPOSE).decode()
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.write_unlocked() as tx:
        owner = emails.owner_of(tx, address)
        if owner is None:
            return
        user = users.by_id(tx, owner)
        if user.disabled_at_ms is not None:
            return
        secret = email_links.make(tx, now_ms, Purpose.RESET, user_id=owner, address=address)
        link = email_links.url(accounts.site.url, Purpose.RESET, secret)
        accounts.outbox.send(
            tx, now_ms, messages.reset(address, site_url=accounts.site.url, name=user.name, link=link), cause=None
        )


async def reset(accounts: AccountParts, secret: str, password: str, *, client: str) -> None:
    """Set the password with a reset link; raise `NotFound` if the link is no longer valid."""
    link, user = await to_thread.run_sync(partial(_valid_link, accounts.site, secret))
    password_hash = await accounts.hasher.hash_new(password, about=[user.name, link.address])
    await to_thread.run_sync(partial(_reset, accounts, secret, password_hash, client))


async def change(accounts: AccountParts, by: Caller, password: str) -> None:
    """Change the caller's password; requires a recently confirmed session."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    assert by.user_id is not None
    password_hash = await accounts.hasher.hash_new(password, about=[by.name])
    await to_thread.run_sync(partial(_set_password, accounts, by, password_hash))


def _valid_link(site: Site, secret: str) -> tuple[Link, users.User]:
    with site.database.read() as tx:
        link = email_links.find(tx, site.clock.now_ms(), Purpose.RESET, secret)
        if link is None or link.user_id is None:
            raise _invalid_link()
        return link, users.by_id(tx, link.user_id)


def _reset(accounts: AccountParts, secret: str, password_hash: str, client: str) -> None:
    now_ms = accounts.site.clock.now_ms()
    found, _ = _valid_link(accounts.site, secret)
    with accounts.site.database.write_user(found.user_id or 0) as tx:
        link = email_links.use(tx, now_ms, Purpose.RESET, secret)
        if link is None or link.user_id is None or emails.owner_of(tx, link.address) != link.user_id:
            raise _invalid_link()
        user = users.by_id(tx, link.user_id)
        if user.disabled_at_ms is not None:
            raise _invalid_link()
        by = Caller(user.name, user.id, CredentialKind.PERSON, address=client)
        user_access.set_password(tx, now_ms, by, user.name, password_hash)
        account_security.end_sessions_and_notify(accounts, tx, now_ms, user.id, _NOTICE, keep=None)


def _set_password(accounts: AccountParts, by: Caller, password_hash: str) -> None:
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.write_user(by.user_id) as tx:
        user_access.set_password(tx, now_ms, by, by.name, password_hash)
        account_security.end_sessions_and_notify(accounts, tx, now_ms, by.user_id, _NOTICE, keep=by.session_id)


def _invalid_link() -> NotFound:
    return NotFound("This link is no longer valid.", "Request a new password reset email.")
