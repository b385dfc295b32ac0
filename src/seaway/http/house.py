"""Parts available to request handlers."""

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
    """Parts available to request handlers."""

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
    searching_turns: CapacityLimiter  # a search scans every package: a burst must leave threads for reads
    list_limit: ListLimit
    file_list_limit: ListLimit
    site_url: str
    is_at_request_host: bool  # whether the site URL is taken from the request's Host header
