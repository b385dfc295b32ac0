"""Dependencies of the account functions, built in `server.wiring` and passed to the API, pages and CLI."""

from dataclasses import dataclass

from seaway.accounts.passwords import Hasher
from seaway.accounts.policy import Policy
from seaway.accounts.sealing import Sealer
from seaway.clock import Clock
from seaway.database.engine import Database
from seaway.mail.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Accounts:
    """Dependencies of sign-up, sign-in and account management."""

    database: Database
    clock: Clock
    hasher: Hasher
    sealer: Sealer
    outbox: Outbox
    policy: Policy
    site_url: str
