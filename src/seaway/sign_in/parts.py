"""Dependencies of the account functions, built in `server.wiring` and passed to the API, pages and CLI."""

from dataclasses import dataclass

from seaway.clock import Clock
from seaway.database.engine import Database
from seaway.encryption.cipher import Sealer
from seaway.mail.outbox import Outbox
from seaway.sign_in.passwords import Hasher
from seaway.sign_in.policy_settings import Policy


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
