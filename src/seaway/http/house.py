"""The parts that every face hands on."""

from dataclasses import dataclass

from anyio import CapacityLimiter

from seaway.accounts.openid import OpenId
from seaway.accounts.outside import Outside
from seaway.accounts.parts import Accounts
from seaway.channels.own_keys import KeyRules
from seaway.counts import Counts
from seaway.http.files import Delivery
from seaway.http.limits import ListLimit
from seaway.packages.contents import Contents
from seaway.packages.overview import Overviews
from seaway.packages.removal import Removing
from seaway.publishing.logos import Logos
from seaway.publishing.publish import Publishing
from seaway.serving.readiness import Readiness
from seaway.serving.resolve import Reading
from seaway.serving.tally import Tally
from seaway.trust.exchange import Exchanging
from seaway.trust.leaks import Leaks


@dataclass(frozen=True, slots=True)
class House:
    """Everything that a request can set in motion."""

    accounts: Accounts
    openid: OpenId
    outside: Outside
    publishing: Publishing
    reading: Reading
    removing: Removing
    overviews: Overviews
    contents: Contents
    exchanging: Exchanging
    logos: Logos
    leaks: Leaks
    delivery: Delivery
    readiness: Readiness
    key_rules: KeyRules
    counts: Counts
    tally: Tally
    searching_turns: CapacityLimiter  # a search walks every package: a crowd of them must leave threads to readers
    list_limit: ListLimit
    file_list_limit: ListLimit
    site_url: str
    is_at_request_host: bool  # whether callers know the site by other addresses than `site_url`
