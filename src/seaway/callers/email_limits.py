"""
Limits on emails that one user causes to be sent to another.

1. A sender causes at most 60 emails an hour, and at most 10 a day to one recipient; a recipient gets at most 30 a day
   from all senders. The limit per pair is the lowest, so that one sender cannot use up a recipient's limit.
2. A second email of the same kind, about the same channel or group, to the same recipient within a day is collapsed
   into the first.
3. Dropping or collapsing an email is not an error: the action succeeds. Only if the email is the purpose of the action,
   as with an invitation, is the action refused; such an email may repeat.
"""

from seaway.callers import rate_limits
from seaway.callers.rate_limits import Rate
from seaway.database.engine import Tx
from seaway.errors import TooManyRequests
from seaway.mail.outbox import Cause


def refusal(tx: Tx, now_ms: int, to: str, cause: Cause) -> TooManyRequests | None:
    """Count an email in the transaction that causes it; return the reason not to send it, or None."""
    recipient = to.casefold()
    tries = [
        (Rate.MAIL_FROM, (cause.sender,)),
        (Rate.MAIL_TO, (recipient,)),
        (Rate.MAIL_BETWEEN, (cause.sender, recipient)),
    ]
    if not cause.is_required:
        tries.append((Rate.MAIL_REPEATED, (cause.kind, cause.about, recipient)))
    return rate_limits.count_all_in(tx, now_ms, *tries)
