"""
Changes to the email addresses of an account, made by its user in a recently confirmed session.

1. An added address counts once its verification link was used; until then it is only a claim.
2. A change of where emails go is notified to every verified address, including a removed one.
"""

from seaway import audit
from seaway.audit import Event
from seaway.callers import rate_limits
from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.sign_in import account_security, sign_up
from seaway.sign_in.parts import AccountParts
from seaway.users import email_links, emails, users
from seaway.users.email_links import Purpose


def add(accounts: AccountParts, by: Caller, address: str) -> None:
    """Add an unverified email address to the caller's account and send a verification email to it."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    normalized = emails.normalize(address)
    accounts.policy.require_domain(normalized)
    rate_limits.count_all(
        accounts.site.database,
        now_ms,
        (Rate.EMAILS_TO_ADDRESS, (emails.case_folded(normalized),)),
        (Rate.EMAIL_ADD, (str(by.user_id),)),
    )
    with accounts.site.database.write_user(by.user_id) as tx:
        emails.add(tx, now_ms, by.user_id, normalized, verified=False)
        audit.write(tx, now_ms, by.actor, Event.EMAIL_ADDED, target=by.name, address=normalized)
        sign_up.send_verification(accounts, tx, now_ms, users.by_id(tx, by.user_id), normalized)


def remove(accounts: AccountParts, by: Caller, address: str) -> None:
    """Remove an email address from the caller's account."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    normalized = emails.normalize(address)
    with accounts.site.database.write_user(by.user_id) as tx:
        was_verified = emails.owner_of(tx, normalized) == by.user_id
        if was_verified:
            account_security.end_sessions_and_notify(
                accounts, tx, now_ms, by.user_id, f"The email address {normalized} was removed.", keep=by.session_id
            )
        emails.remove(tx, by.user_id, normalized)
        for purpose in (Purpose.VERIFY, Purpose.RESET):
            email_links.delete_pending(tx, purpose, by.user_id, address=normalized)
        audit.write(tx, now_ms, by.actor, Event.EMAIL_REMOVED, target=by.name, address=normalized)


def make_primary(accounts: AccountParts, by: Caller, address: str) -> bool:
    """Make this the primary address, which receives emails about channels and keys; return whether it is a new one."""
    require_site(by, SiteAction.OPEN_ACCOUNT)
    assert by.user_id is not None
    now_ms = accounts.site.clock.now_ms()
    normalized = emails.normalize(address)
    with accounts.site.database.write_user(by.user_id) as tx:
        if not emails.make_primary(tx, by.user_id, normalized):
            return False
        audit.write(tx, now_ms, by.actor, Event.EMAIL_PRIMARY, target=by.name, address=normalized)
        what = f"The primary email address is now {normalized}."
        account_security.end_sessions_and_notify(accounts, tx, now_ms, by.user_id, what, keep=by.session_id)
        return True
