"""Parts available to request handlers."""

from dataclasses import dataclass

from anyio import CapacityLimiter

from seaway.http.channel_responses import Delivery
from seaway.http.request_limits import ListLimit
from seaway.keys.account_keys import KeyRules
from seaway.metric_events import Counts
from seaway.oauth.provider import OpenId
from seaway.packages.file_listings import Contents
from seaway.packages.overview import Overviews
from seaway.packages.removal import Removing
from seaway.publishing.logos import Logos
from seaway.publishing.publish import Publishing
from seaway.secret_scanning.leaked_secrets import Leaks
from seaway.serving.readiness import Readiness
from seaway.serving.resolve import Reading
from seaway.serving.usage_counter import Tally
from seaway.sign_in.external_login import Outside
from seaway.sign_in.parts import Accounts
from seaway.trusted_publishing.exchange import Exchanging


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
