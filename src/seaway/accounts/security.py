"""
What follows when the security of an account changes.

1. Every verified address of the account is told, in the transaction of the change.
2. Every other browser is signed out, and every sign-in that was begun before ends.
"""

from seaway.accounts import emails, sessions, sign_ins, users
from seaway.accounts.parts import Accounts
from seaway.database.engine import Tx
from seaway.mail import letters


def announce(house: Accounts, tx: Tx, now_ms: int, user_id: int, what: str) -> None:
    """Write to every verified address of the user; `what` is a whole sentence."""
    name = users.by_id(tx, user_id).name
    for email in emails.of_user(tx, user_id):
        if email.verified_at_ms is not None:
            letter = letters.security_changed(email.address, site_url=house.site_url, name=name, what=what)
            house.outbox.send(tx, now_ms, letter, cause=None)


def changed(house: Accounts, tx: Tx, now_ms: int, user_id: int, what: str, *, keep: int | None) -> None:
    """Announce a change, and sign out every browser but the one in which it was made."""
    sessions.end_others(tx, user_id, keep)
    sign_ins.forget_of(tx, user_id)
    announce(house, tx, now_ms, user_id, what)
