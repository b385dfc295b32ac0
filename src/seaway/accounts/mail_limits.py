"""
Limits on the emails that one person causes to be sent to another.

1. One sender causes at most 60 an hour and 10 a day to one recipient; one recipient gets at most 30 a day, whoever the
   senders are. The limit between two people is the lowest, so that one sender cannot use up what others may send.
2. A second email of the same kind, about the same channel or group, to the same recipient within a day is collapsed
   into the first.
3. An email that is dropped or collapsed is no error: the action succeeds. Only where the email is the purpose of the
   action, as with an invitation, is the action refused; that email may repeat.
"""

from seaway.accounts import throttle
from seaway.accounts.throttle import Rate
from seaway.database.engine import Tx
from seaway.errors import TooMany
from seaway.mail.outbox import Cause


def refusal(tx: Tx, now_ms: int, to: str, cause: Cause) -> TooMany | None:
    """Count an email in the transaction of what causes it; return why it is not sent, or None."""
    recipient = to.casefold()
    tries = [
        (Rate.MAIL_FROM, (cause.sender,)),
        (Rate.MAIL_TO, (recipient,)),
        (Rate.MAIL_BETWEEN, (cause.sender, recipient)),
    ]
    if not cause.is_required:
        tries.append((Rate.MAIL_REPEATED, (cause.kind, cause.about, recipient)))
    return throttle.take_all_within(tx, now_ms, *tries)
