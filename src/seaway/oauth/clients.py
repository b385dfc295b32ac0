"""
The OAuth clients (command-line tools) that users can log in: names, scopes and redirect URIs.

They are public clients (RFC 6749, 2.1): a request in a tool's name needs no secret. Users are protected by the consent
page, which shows what they grant; by PKCE, which binds a code to its requester (RFC 7636); and because a code is sent
only to the loopback interface of the user's machine (RFC 8252, 7.3).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from seaway.callers.caller import Mode


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A command-line tool: its OAuth client id, and its title on pages."""

    id: str
    title: str


CLIENTS: Mapping[str, OAuthClient] = {"rattler": OAuthClient("rattler", "pixi, rattler or rattler-build")}

# The access mode of each channel scope; each includes the previous ones.
MODES: Mapping[str, Mode] = {
    "channel:read": Mode.READ,
    "channel:upload": Mode.READ_WRITE,
    "channel:delete": Mode.READ_WRITE_DELETE,
}
OPENID, PROFILE, OFFLINE = "openid", "profile", "offline_access"
SCOPES = (OPENID, PROFILE, OFFLINE, *MODES)

# `pixi auth login --oauth` requests only the generic scopes from every host but prefix.dev; a grant without any access
# would be useless.
_DEFAULT_CHANNEL_SCOPES = ("channel:read", "channel:upload")

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def granted(requested: str) -> str | None:
    """
    Return the granted scope in a fixed order, or None if the request names an unknown channel scope.

    Unknown scopes are ignored (OpenID Connect Core, 3.1.2.1), except for `channel:`: a misspelled one would silently
    grant something else than requested.
    """
    requested_scopes = set(requested.split())
    if any(word.startswith("channel:") and word not in MODES for word in requested_scopes):
        return None
    if not requested_scopes & set(MODES):
        requested_scopes.update(_DEFAULT_CHANNEL_SCOPES)
    return " ".join(scope for scope in SCOPES if scope in requested_scopes)


def mode_of(scope: str) -> Mode:
    """Return the access mode of a granted scope."""
    return max(MODES[word] for word in scope.split() if word in MODES)


def is_loopback(redirect_uri: str) -> bool:
    """Return whether a redirect URI is http at a loopback IP address with any port (RFC 8252, 7.3)."""
    if not redirect_uri.isascii() or not redirect_uri.isprintable() or "\\" in redirect_uri:
        return False
    try:
        parts = urlsplit(redirect_uri)
        host, _ = ip_address(parts.hostname or ""), parts.port
    except ValueError:
        return False
    is_plain = not (parts.query or parts.fragment or "@" in parts.netloc or "%" in parts.netloc)
    return parts.scheme == "http" and host.is_loopback and is_plain


def is_challenge(text: str) -> bool:
    """Return whether the text has the form of an S256 code challenge (RFC 7636, 4.2)."""
    return _CHALLENGE.fullmatch(text) is not None


def is_verifier(text: str) -> bool:
    """Return whether the text has the form of a code verifier (RFC 7636, 4.1)."""
    return _VERIFIER.fullmatch(text) is not None
