"""Parts available to request handlers."""

from dataclasses import dataclass

from anyio import CapacityLimiter
from starlette.requests import Request

from seaway.http.channel_responses import FileDelivery
from seaway.http.request_limits import RateLimiter
from seaway.keys.account_keys import KeyPolicy
from seaway.metric_events import EventCounter
from seaway.oauth.provider import OAuthProvider
from seaway.packages.file_listings import ListingCache
from seaway.packages.overview import PackageOverviews
from seaway.packages.removal import RemovalParts
from seaway.publishing.logos import Logos
from seaway.publishing.publish import PublishingParts
from seaway.secret_scanning.leaked_secrets import SecretScanning
from seaway.serving.readiness import Readiness
from seaway.serving.resolve import ReadingParts
from seaway.serving.usage_counter import UsageCounter
from seaway.sign_in.external_login import ExternalLogin
from seaway.sign_in.parts import AccountParts
from seaway.trusted_publishing.exchange import TokenExchange


@dataclass(frozen=True, slots=True)
class RequestParts:
    """Parts available to request handlers."""

    accounts: AccountParts
    openid: OAuthProvider
    external_login: ExternalLogin
    publishing: PublishingParts
    reading: ReadingParts
    removing: RemovalParts
    overviews: PackageOverviews
    contents: ListingCache
    exchanging: TokenExchange
    logos: Logos
    secret_scanning: SecretScanning
    delivery: FileDelivery
    readiness: Readiness
    key_rules: KeyPolicy
    counts: EventCounter
    usage_counter: UsageCounter
    search_slots: CapacityLimiter  # a search scans every package: a burst must leave threads for reads
    list_rate_limit: RateLimiter
    file_list_limit: RateLimiter
    site_url: str
    uses_request_host: bool  # whether the site URL is taken from the request's Host header


def parts_of(request: Request) -> RequestParts:
    """Return the parts available to the handler of a request."""
    parts: RequestParts = request.app.state.parts
    return parts
