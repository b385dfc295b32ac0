"""
Consequences of a security change of an account.

1. Every verified email address of the account is notified, in the transaction of the change.
2. Every other browser is signed out, and every pending sign-in ends.
"""

from seaway.database.engine import Tx
from seaway.mail import messages
from seaway.sign_in import pending_sign_ins, sessions
from seaway.sign_in.parts import AccountParts
from seaway.users import emails, users


def notify(accounts: AccountParts, tx: Tx, now_ms: int, user_id: int, what: str) -> None:
    """Send an email to every verified address of the user; `what` is a complete sentence."""
    name = users.by_id(tx, user_id).name
    for email in emails.of_user(tx, user_id):
        if email.verified_at_ms is not None:
            message = messages.security_changed(email.address, site_url=accounts.site.url, name=name, what=what)
            accounts.outbox.send(tx, now_ms, message, cause=None)


def end_sessions_and_notify(
    accounts: AccountParts, tx: Tx, now_ms: int, user_id: int, what: str, *, keep: int | None
) -> None:
    """Notify a user of a security change and end all their sessions except `keep`."""
    sessions.end_others(tx, user_id, keep)
    pending_sign_ins.delete_of_user(tx, user_id)
    notify(accounts, tx, now_ms, user_id, what)
