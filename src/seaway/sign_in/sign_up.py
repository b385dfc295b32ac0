"""
Sign-up, and verification of email addresses.

1. Sign-up does not reveal whether an email address already has an account: the response, its time and the new account
   are the same. Only the owner of the address learns of it, by email; the new account can never verify the address.
2. Opening the link of an email changes nothing. Pressing the button does, and only in a session of the account that
   added the address; otherwise an attacker could trick the reader of a mailbox into verifying the attacker's account.
3. An account without a verified address cannot do anything visible to other users (`require_verified`).
"""

from functools import partial

from anyio import to_thread

from seaway import audit
from seaway.audit import Event
from seaway.callers import rate_limits
from seaway.callers.caller import ANONYMOUS, Caller
from seaway.callers.rate_limits import Rate
from seaway.database.engine import Tx, lock_user
from seaway.errors import NameTaken, NotAllowed, NotFound
from seaway.mail import messages
from seaway.sign_in import account_security, new_account
from seaway.sign_in.parts import AccountParts
from seaway.site import Site
from seaway.users import email_links, emails, users
from seaway.users.email_links import Purpose
from seaway.users.users import User


async def sign_up(accounts: AccountParts, name: str, address: str, password: str, *, client: str) -> User:
    """Create an account and send a verification email; `client` is the IP address of the request."""
    accounts.policy.require_sign_up()
    await to_thread.run_sync(partial(_count_client, accounts.site, client))
    normalized, password_hash = await new_account.check(accounts, name, address, password)
    await to_thread.run_sync(partial(_count_address, accounts.site, normalized))
    return await to_thread.run_sync(partial(_make, accounts, name, normalized, password_hash, client))


def resend_verification(accounts: AccountParts, by: Caller, address: str, *, client: str) -> str:
    """
    Send the verification email again to an unverified address of the caller's account, and return the address.

    An `address` of "" means the first unverified one. If it is verified, nothing is sent and "" is returned; `NotFound`
    if it is not in the account.
    """
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.read() as tx:
        own = emails.of_user(tx, by.user_id)
    if address and all(email.address != address for email in own):
        raise NotFound("This email address is not in your account.", "See the list of your email addresses.")
    unverified = [email.address for email in own if email.verified_at_ms is None]
    recipient = next((known for known in unverified if address in ("", known)), "")
    if not recipient:
        return ""
    _count_client(accounts.site, client)
    _count_address(accounts.site, recipient)
    with accounts.site.database.write_user(by.user_id) as tx:
        send_verification(accounts, tx, now_ms, users.by_id(tx, by.user_id), recipient)
    return recipient


def send_verification(accounts: AccountParts, tx: Tx, now_ms: int, user: User, address: str) -> None:
    """Send a verification email to a new address, or inform the user who already verified that address (1)."""
    owner = emails.owner_of(tx, address)
    if owner is not None:
        owner_user = users.by_id(tx, owner)
        accounts.outbox.send(
            tx, now_ms, messages.address_known(address, site_url=accounts.site.url, name=owner_user.name), cause=None
        )
        return
    secret = email_links.make(tx, now_ms, Purpose.VERIFY, user_id=user.id, address=address)
    link = email_links.url(accounts.site.url, Purpose.VERIFY, secret)
    accounts.outbox.send(
        tx, now_ms, messages.verify(address, site_url=accounts.site.url, name=user.name, link=link), cause=None
    )


def verify(accounts: AccountParts, by: Caller, secret: str) -> str:
    """
    Verify the address of a link for the signed-in user and return it; `NotFound` if the link is no longer valid.

    A further address is a security change and signs out every other browser; the first one is not.
    """
    now_ms = accounts.site.clock.now_ms()
    with accounts.site.database.write_unlocked() as tx:
        link = email_links.find(tx, now_ms, Purpose.VERIFY, secret)
        if link is None or link.user_id is None:
            raise _invalid_link()
        if not by.is_person or by.user_id != link.user_id:
            raise NotAllowed(
                f"This link verifies an email address of the account {users.by_id(tx, link.user_id).name}.",
                "Sign in to that account, then open the link again.",
            )
        accounts.site.database.lock(tx, f"address/{emails.case_folded(link.address)}")  # two accounts may have added it
        lock_user(accounts.site.database, tx, link.user_id)
        if email_links.use(tx, now_ms, Purpose.VERIFY, secret) is None:
            raise _invalid_link()
        is_first = all(email.verified_at_ms is None for email in emails.of_user(tx, link.user_id))
        try:
            if not emails.verify(tx, now_ms, link.user_id, link.address):
                raise _invalid_link()
        except NameTaken:
            raise _invalid_link() from None
        audit.write(tx, now_ms, by.actor, Event.EMAIL_VERIFIED, target=by.name, address=link.address)
        if not is_first:
            what = f"The email address {link.address} was added."
            account_security.end_sessions_and_notify(accounts, tx, now_ms, link.user_id, what, keep=by.session_id)
        return link.address


def _count_client(site: Site, client: str) -> None:
    """Count an attempt to create an account before anything is checked: the answer tells whether a name is free."""
    rate_limits.count_attempt(site.database, site.clock.now_ms(), Rate.SIGN_UP_ADDRESS, client)


def _count_address(site: Site, address: str) -> None:
    """Count an email that is about to be sent; refused forms send none."""
    rate_limits.count_attempt(site.database, site.clock.now_ms(), Rate.EMAILS_TO_ADDRESS, emails.case_folded(address))


def _make(accounts: AccountParts, name: str, address: str, password_hash: str, client: str) -> User:
    now_ms = accounts.site.clock.now_ms()
    by = ANONYMOUS.with_address(client)
    with accounts.site.database.write_unlocked() as tx:
        user = users.add(
            tx, now_ms, by, name, email=address, password_hash=password_hash, is_admin=False, is_verified=False
        )
        send_verification(accounts, tx, now_ms, user, address)
        return user


def _invalid_link() -> NotFound:
    return NotFound("This link is no longer valid.", "Request a new verification email in your account.")
