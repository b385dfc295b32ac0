"""
Fetch the discovery documents and keys of issuers.

1. A caller cannot choose what is fetched: an admin chose the issuer, its keys are at a URL that was checked or on the
   allowed origin, and redirects are not followed.
2. All requests go through `seaway.outbound`; private networks are allowed only for issuers that an admin chose.
3. A fetch takes at most 5 seconds in total, and each response has at most 1 MiB.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio

from seaway import strict_json
from seaway.oidc.jwks import MAX_BYTES, read_keys
from seaway.oidc.jwt import TokenRules
from seaway.outbound import DEFAULT_PORTS, OutboundRequest, OutboundRequestFailed
from seaway.urls import is_loopback

TOTAL_SECONDS = 5.0
_T = TypeVar("_T")
_DISCOVERY = "/.well-known/openid-configuration"


class FetchFailed(Exception):
    """The discovery document or the keys could not be fetched; the text is the reason, for the operator."""


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the keys of an issuer come from."""

    name: str  # of the stored keys
    issuer: str
    rules: TokenRules
    is_trusted: bool  # whether an admin chose the host, so that it may be in a private network
    keys_url: str = ""  # already checked; empty: from the discovery document, on `keys_origin`
    keys_origin: str = ""  # empty: the issuer's
    static_keys: str | None = None  # used instead of fetching keys


def fetch_discovery(source: KeySource) -> dict[str, Any]:
    """Return the issuer's discovery document, unchecked; call this in a thread."""
    return anyio.run(_within_time, _discovery, source)


def fetch_keys(source: KeySource) -> str:
    """Return the issuer's key set after checking it; call this in a thread."""
    return anyio.run(_within_time, _keys, source)


async def _within_time(fetch: Callable[[KeySource], Awaitable[_T]], source: KeySource) -> _T:
    try:
        with anyio.fail_after(TOTAL_SECONDS):
            return await fetch(source)
    except TimeoutError:
        raise FetchFailed(f"it did not respond within {TOTAL_SECONDS:.0f} seconds") from None
    except (OutboundRequestFailed, ValueError) as error:
        raise FetchFailed(str(error) or type(error).__name__) from None


async def _discovery(source: KeySource) -> dict[str, Any]:
    value = strict_json.decode(await _get(source.issuer.rstrip("/") + _DISCOVERY, source))
    if not isinstance(value, dict):
        raise FetchFailed("its response is not a JSON object")
    return value


async def _keys(source: KeySource) -> str:
    text = (await _get(source.keys_url or await _discovered_keys_url(source), source)).decode("utf-8")
    read_keys(text, source.rules)
    return text


async def _discovered_keys_url(source: KeySource) -> str:
    """Return the URL of the keys; raise `FetchFailed` if its origin is not allowed."""
    discovered = await _discovery(source)
    if discovered.get("issuer") != source.issuer:
        raise FetchFailed("its discovery document is for another issuer")
    url, allowed = discovered.get("jwks_uri"), source.keys_origin or source.issuer
    if not isinstance(url, str) or "@" in url or "\\" in url or _origin(url) != _origin(allowed):
        raise FetchFailed("its keys are on another host than allowed")
    return url


async def _get(url: str, source: KeySource) -> bytes:
    """Return the body of a 200 response; raise `FetchFailed` for any other status."""
    request = OutboundRequest(
        url,
        accept="application/json",
        max_bytes=MAX_BYTES,
        is_trusted=source.is_trusted,
        allows_http=source.is_trusted and is_loopback(urlsplit(url)),
        seconds=TOTAL_SECONDS,
    )
    response = await request.send()
    if response.status != 200:
        raise FetchFailed(f"it returned {response.status}")
    return response.content


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or DEFAULT_PORTS.get(scheme, 0)
