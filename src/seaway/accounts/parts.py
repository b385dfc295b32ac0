"""The parts that accounts work with, put together in `server.wiring` and handed to every face."""

from dataclasses import dataclass

from seaway.accounts.passwords import Hasher
from seaway.accounts.policy import Policy
from seaway.accounts.sealing import Sealer
from seaway.clock import Clock
from seaway.database.engine import Database
from seaway.mail.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Accounts:
    """Everything that signing up, signing in and looking after an account need."""

    database: Database
    clock: Clock
    hasher: Hasher
    sealer: Sealer
    outbox: Outbox
    policy: Policy
    site_url: str
