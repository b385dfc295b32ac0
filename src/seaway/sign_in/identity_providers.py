"""
Identity providers for external login: GitHub, Google, and any OpenID provider that the operator configures.

1. An external account is identified only by its issuer and `subject`: names and email addresses change hands.
2. An email address counts only if the provider reports it as verified.
3. Each provider has its own callback URL here, so that a response of one provider is never taken for one of another
   (RFC 9700, 4.4.2).
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
GOOGLE_ISSUER = "https://accounts.google.com"

# Accepted signature algorithms of ID tokens. Never `none`, and no HS*: with a secret shared with the provider, anyone
# with our settings could sign in as any user.
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"})
USUAL_SCOPES = ("openid", "profile", "email")


class LoginProtocol(Enum):
    """Protocol of an identity provider."""

    GITHUB = "github"  # OAuth with GitHub's own API
    OPENID = "openid"


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider as configured by the operator."""

    name: str  # in our URLs
    title: str  # on our buttons
    dialect: LoginProtocol
    issuer: str
    client_id: str
    client_secret: str
    algorithms: Collection[str] = ("RS256",)  # of its ID tokens; from its discovery document
    scopes: tuple[str, ...] = USUAL_SCOPES
    requires_verified_email: bool = False  # whether sign-in requires an email address verified by the provider

    def __repr__(self) -> str:
        """Return a text without the client secret, since tracebacks show it."""
        return f"Provider({self.name!r}, {self.issuer!r})"


@dataclass(frozen=True, slots=True)
class ExternalAccount:
    """An external account as its provider describes it."""

    provider: str
    issuer: str
    subject: str
    login: str  # for display
    full_name: str
    address: str | None  # email address, only if the provider verified it
    authenticated_at_ms: int = NEVER_MS  # last authentication at the provider (`auth_time`), if it reports that


class Providers(Collection[Provider]):
    """The configured identity providers, in the order shown on pages."""

    def __init__(self, providers: Collection[Provider] = ()) -> None:
        self._by_name = {provider.name: provider for provider in providers}

    def get(self, name: str) -> Provider:
        """Return the provider of this name; raise `NotFound` if there is none."""
        found = self._by_name.get(name)
        if found is None:
            raise NotFound("This sign-in method is not available.", "The sign-in page shows the available ones.")
        return found

    def title_of(self, name: str) -> str:
        """Return the display name of a provider, or `name` if it is no longer configured."""
        found = self._by_name.get(name)
        return name if found is None else found.title

    def __contains__(self, provider: object) -> bool:
        return provider in self._by_name.values()

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


def callback(site_url: str, provider: Provider) -> str:
    """Return the redirect URI that is registered at the provider; it is never taken from a request."""
    return f"{site_url}/signin/{provider.name}/callback"


def is_safe_url(url: str, *, issuer: str) -> bool:
    """Return whether a provider's endpoint can be used: https, or for tests http if the issuer is http at this host."""
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
    """Return a user name derived from the login at the provider; it may be empty or already taken."""
    return re.sub(r"[^a-z0-9]+", "-", login.partition("@")[0].casefold())[:39].strip("-")
