"""Dependencies of the account functions, built in `server.wiring` and passed to the API, pages and CLI."""

from dataclasses import dataclass

from seaway.encryption.cipher import Encryption
from seaway.mail.outbox import Outbox
from seaway.sign_in.passwords import Hasher
from seaway.sign_in.policy_settings import AccountPolicy
from seaway.site import Site


@dataclass(frozen=True, slots=True)
class AccountParts:
    """Dependencies of sign-up, sign-in and account management."""

    site: Site
    hasher: Hasher
    encryption: Encryption
    outbox: Outbox
    policy: AccountPolicy
