"""
The command-line tools that can be logged in: what they are called, what they may ask for, and where a code may go.

They are public clients (RFC 6749, 2.1): whoever asks in a tool's name needs no secret, so what protects the person is
that they see on a page what they agree to, that PKCE binds a code to who asked for it (RFC 7636), and that a code goes
to the loopback of the person's own machine only (RFC 8252, 7.3).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from seaway.accounts.principal import Mode


@dataclass(frozen=True, slots=True)
class Client:
    """A tool: the name that it sends, and what people know it as."""

    id: str
    title: str


CLIENTS: Mapping[str, Client] = {"rattler": Client("rattler", "pixi, rattler or rattler-build")}

# What a channel scope opens; each includes those before it.
MODES: Mapping[str, Mode] = {
    "channel:read": Mode.READ,
    "channel:upload": Mode.READ_WRITE,
    "channel:delete": Mode.READ_WRITE_DELETE,
}
OPENID, PROFILE, OFFLINE = "openid", "profile", "offline_access"
SCOPES = (OPENID, PROFILE, OFFLINE, *MODES)

# `pixi auth login --oauth` asks every host but prefix.dev for the generic scopes alone; a login that may do nothing
# would be of no use to anybody.
_USUAL = ("channel:read", "channel:upload")

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def granted(asked: str) -> str | None:
    """
    The scope that these words come to, in a fixed order; None when a channel scope among them does not exist.

    Words of others are passed over (OpenID Connect Core, 3.1.2.1), but a misspelt `channel:` would silently open
    something else than was meant.
    """
    words = set(asked.split())
    if any(word.startswith("channel:") and word not in MODES for word in words):
        return None
    if not words & set(MODES):
        words.update(_USUAL)
    return " ".join(scope for scope in SCOPES if scope in words)


def mode_of(scope: str) -> Mode:
    """How far a granted scope goes."""
    return max(MODES[word] for word in scope.split() if word in MODES)


def is_loopback(redirect_uri: str) -> bool:
    """Whether a code sent there stays on the person's machine: http, a loopback address, any port (RFC 8252, 7.3)."""
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
    """Whether this can be the SHA-256 of a verifier (RFC 7636, 4.2)."""
    return _CHALLENGE.fullmatch(text) is not None


def is_verifier(text: str) -> bool:
    """Whether this can be a verifier (RFC 7636, 4.1)."""
    return _VERIFIER.fullmatch(text) is not None
