"""
Who else may say who somebody is: GitHub, Google, and whatever OpenID provider the operator names.

1. An account there is known by its issuer and its number there (`subject`), and by nothing else: names and addresses
   change hands.
2. An address counts only where the provider says that it has verified it.
3. Providers are told apart by our own callback address, each its own, so that an answer of one is never taken for an
   answer of another (RFC 9700, 4.4.2).
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from seaway.errors import NotFound

NEVER_MS = 0
GITHUB = "github"
GOOGLE = "google"

# What an ID token may be signed with. Never `none`, and no HS*: a secret that we share with the provider would let
# whoever has our settings sign anybody in.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
USUAL_ALGORITHMS = ("RS256", "ES256")
USUAL_SCOPES = ("openid", "profile", "email")


class Dialect(Enum):
    """How one speaks with a provider."""

    GITHUB = "github"  # OAuth with an API of its own
    OPENID = "openid"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as the operator has set it up."""

    name: str  # in our addresses
    title: str  # on our buttons
    dialect: Dialect
    issuer: str
    client_id: str
    client_secret: str
    api_url: str = ""  # of GitHub
    algorithms: tuple[str, ...] = USUAL_ALGORITHMS
    scopes: tuple[str, ...] = USUAL_SCOPES
    only_verified: bool = False  # nobody comes in with an address that was not verified there

    def __repr__(self) -> str:
        """Without the secret: this is shown in tracebacks."""
        return f"Provider({self.name!r}, {self.issuer!r})"


@dataclass(frozen=True, slots=True)
class Outsider:
    """Somebody as a provider knows them."""

    provider: str
    issuer: str
    subject: str
    login: str  # for people to recognize
    title: str  # their name
    address: str | None  # only one that the provider has verified
    authenticated_at_ms: int = NEVER_MS  # when they typed or touched something there, if the provider says so


class Providers(Collection[Provider]):
    """Those that the operator has set up, in their order on the page."""

    def __init__(self, providers: Collection[Provider] = ()) -> None:
        self._by_name = {provider.name: provider for provider in providers}

    def get(self, name: str) -> Provider:
        """The provider of this name; `NotFound` when there is none."""
        found = self._by_name.get(name)
        if found is None:
            raise NotFound("Nobody can sign in this way here.", "The sign-in page shows the ways that there are.")
        return found

    def title_of(self, name: str) -> str:
        """What people know it as, also after the operator took it away."""
        found = self._by_name.get(name)
        return name if found is None else found.title

    def __contains__(self, provider: object) -> bool:
        return provider in self._by_name.values()

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


def callback(site_url: str, provider: Provider) -> str:
    """Where the provider sends people back to, as it was registered there; never taken from a request."""
    return f"{site_url}/signin/{provider.name}/callback"


def is_safe_address(url: str, *, issuer: str) -> bool:
    """Whether what a provider named may be asked: https, or like its issuer a loopback address, for trials."""
    if not url.isascii() or not url.isprintable():
        return False
    try:
        parts, own = urlsplit(url), urlsplit(issuer)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == own.scheme == "http" and parts.hostname == own.hostname)


def suggested_name(login: str) -> str:
    """A user name that looks like the name there; it may be taken, or empty."""
    return re.sub(r"[^a-z0-9]+", "-", login.partition("@")[0].casefold())[:39].strip("-")
