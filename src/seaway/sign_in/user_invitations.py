"""
Invitations of site admins to people who have no account yet.

1. The account exists at once, without a password and with an unverified email address, so that it can be a member of
   channels; its user can sign in only after they have accepted. Invitations work even if sign-up is closed.
2. The link in the email sets the password and verifies the address it was sent to. It works once, expires in a week, and
   a new invitation replaces it.
3. Opening the link changes nothing: mail scanners open every link.
"""

from functools import partial

from anyio import to_thread
from sqlalchemy import exists, func, select

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller, CredentialKind
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.database.engine import Tx, lock_user
from seaway.database.tables import emails as email_rows
from seaway.database.tables import identities, mailed_links
from seaway.database.tables import users as user_rows
from seaway.errors import Malformed, NameTaken, NotAllowed, NotFound, check_all
from seaway.mail import messages
from seaway.mail.outbox import Cause
from seaway.sign_in import user_access
from seaway.sign_in.parts import AccountParts
from seaway.site import Site
from seaway.users import email_links, emails, users
from seaway.users.email_links import Link, Purpose
from seaway.users.users import User


class AlreadyAccepted(NotFound):
    """The link was used before, so its user has an account to sign in to."""


def invite(
    accounts: AccountParts, tx: Tx, now_ms: int, by: Caller, name: str, address: str, *, is_admin: bool = False
) -> User:
    """Create an account and send an invitation to its email address; raise the errors of both fields at once."""
    require_site(by, SiteAction.CHANGE_SITE)
    check_all(partial(users.require_free_name, tx, now_ms, name), partial(_require_free_address, tx, address))
    user = users.add(
        tx, now_ms, by, name, email=address, password_hash=None, is_admin=is_admin, is_verified=False
    )  # fmt: skip
    _send(accounts, tx, now_ms, by, user)
    return user


def send_again(accounts: AccountParts, tx: Tx, now_ms: int, by: Caller, name: str) -> User:
    """Send a new invitation, which replaces the earlier one, to a user who has not accepted yet."""
    require_site(by, SiteAction.CHANGE_SITE)
    user = users.get(tx, name)
    if not is_open(tx, user.id):
        raise NotAllowed(
            f"{name} needs no invitation: this account can already sign in, or has no email address.",
            "Users who forgot their password can reset it.",
        )
    if user.disabled_at_ms is not None:
        raise NotAllowed(f"The account {name} is disabled.", "Enable it first.")
    email_links.delete_pending(tx, Purpose.INVITATION, user.id)
    _send(accounts, tx, now_ms, by, user)
    return user


def is_open(tx: Tx, user_id: int) -> bool:
    """Return whether an invitation is the only way for this user to sign in: no password, login or verified address."""
    has = partial(select, email_rows.c.id)
    addresses = has().where(email_rows.c.user_id == user_rows.c.id)
    query = select(user_rows.c.id).where(
        user_rows.c.id == user_id,
        user_rows.c.password_hash.is_(None),
        ~exists().where(identities.c.user_id == user_rows.c.id),
        addresses.exists(),
        ~addresses.where(email_rows.c.verified_at.is_not(None)).exists(),
    )
    return tx.execute(query).first() is not None


def expires_at(tx: Tx, user_id: int) -> int | None:
    """Return when the invitation of a user expires or expired (ms since the epoch); None if there is none."""
    found: int | None = tx.execute(
        select(func.max(mailed_links.c.expires_at)).where(mailed_links.c.user_id == user_id, *_UNUSED)
    ).scalar()
    return found


def count(tx: Tx, now_ms: int) -> int:
    """Return the number of invitations that can be accepted now."""
    found: int = tx.execute(select(func.count()).where(mailed_links.c.expires_at > now_ms, *_UNUSED)).scalar_one()
    return found


def find(site: Site, secret: str) -> tuple[Link, User]:
    """Return a valid link and its user; raise `NotFound` if it is no longer valid."""
    with site.database.read() as tx:
        link = email_links.find(tx, site.clock.now_ms(), Purpose.INVITATION, secret)
        if link is None or link.user_id is None:
            raise _invalid_link(was_used=email_links.was_used(tx, Purpose.INVITATION, secret))
        return link, users.by_id(tx, link.user_id)


async def accept(accounts: AccountParts, secret: str, password: str, *, client: str) -> User:
    """Set the password of an invited user and verify the email address; raise `NotFound` for an invalid link."""
    link, user = await to_thread.run_sync(find, accounts.site, secret)
    password_hash = await accounts.hasher.hash_new(password, about=[user.name, link.address])
    return await to_thread.run_sync(partial(_accept, accounts, secret, link, password_hash, client))


_UNUSED = (mailed_links.c.purpose == Purpose.INVITATION.value, mailed_links.c.used_at.is_(None))


def _accept(accounts: AccountParts, secret: str, found: Link, password_hash: str, client: str) -> User:
    database, now_ms = accounts.site.database, accounts.site.clock.now_ms()
    with database.write_unlocked() as tx:
        database.lock(tx, f"address/{emails.case_folded(found.address)}")  # another account may have added it
        lock_user(database, tx, found.user_id or 0)
        link = email_links.use(tx, now_ms, Purpose.INVITATION, secret)
        if link is None or link.user_id is None:
            raise _invalid_link(was_used=True)
        user = users.by_id(tx, link.user_id)
        if user.disabled_at_ms is not None or not emails.verify(tx, now_ms, user.id, link.address):
            raise _invalid_link()
        by = Caller(user.name, user.id, CredentialKind.PERSON, address=client)
        audit.write(tx, now_ms, by.actor, Event.EMAIL_VERIFIED, target=user.name, address=link.address)
        user_access.set_password(tx, now_ms, by, user.name, password_hash)
        return user


def _send(accounts: AccountParts, tx: Tx, now_ms: int, by: Caller, user: User) -> None:
    assert user.email is not None
    secret = email_links.make(tx, now_ms, Purpose.INVITATION, user_id=user.id, address=user.email)
    link = email_links.url(accounts.site.url, Purpose.INVITATION, secret)
    inviter = "The operator" if by.is_operator else by.name
    email = messages.account_invitation(user.email, site_url=accounts.site.url, name=user.name, by=inviter, link=link)
    cause = None if by.is_operator else Cause(by.name, "account-invitation", user.name, is_required=True)
    accounts.outbox.send(tx, now_ms, email, cause=cause)
    audit.write(tx, now_ms, by.actor, Event.USER_INVITED, target=user.name, address=user.email)


def _require_free_address(tx: Tx, address: str) -> None:
    try:
        owner = emails.owner_of(tx, address)
    except Malformed as error:
        raise Malformed(error.message, error.hint, field="email") from None
    if owner is not None:
        raise NameTaken(
            f"The email address {emails.normalize(address)} already belongs to the account {users.by_id(tx, owner).name}.",
            "Use another one.",
            field="email",
        )


def _invalid_link(*, was_used: bool = False) -> NotFound:
    if was_used:
        return AlreadyAccepted(
            "This invitation was already accepted.", "Sign in, or reset your password if you forgot it."
        )
    return NotFound("This invitation has expired or was withdrawn.", "Ask a site admin to send it again.")
