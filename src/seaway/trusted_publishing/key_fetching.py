"""
Fetch the keys of an issuer from the URL in its discovery document.

1. A caller cannot choose what is fetched: the issuer is registered, its keys are on its own origin or on the one
   pinned for it, and redirects are not followed.
2. All requests go through `seaway.outbound`; private networks are allowed only for issuers that an admin registered.
3. A fetch takes at most 5 seconds in total, and each response has at most 1 MiB.
"""

from typing import Any
from urllib.parse import urlsplit

import anyio

from seaway import strict_json
from seaway.outbound import DEFAULT_PORTS, OutboundRequest, OutboundRequestFailed
from seaway.trusted_publishing.issuers import Issuer, is_loopback
from seaway.trusted_publishing.jwks import MAX_BYTES, FetchFailed, read_keys

TOTAL_SECONDS = 5.0
_DISCOVERY = "/.well-known/openid-configuration"


def fetch_keys(issuer: Issuer) -> str:
    """Return the issuer's key set after checking it; call this in a thread."""
    return anyio.run(_fetch_keys, issuer)


async def _fetch_keys(issuer: Issuer) -> str:
    try:
        with anyio.fail_after(TOTAL_SECONDS):
            discovered = _object(await _get(issuer.issuer.rstrip("/") + _DISCOVERY, issuer))
            if discovered.get("issuer") != issuer.issuer:
                raise FetchFailed("its discovery document is for another issuer")
            content = await _get(_keys_address(discovered.get("jwks_uri"), issuer), issuer)
        text = content.decode("utf-8")
        read_keys(text)
        return text
    except TimeoutError:
        raise FetchFailed(f"it did not respond within {TOTAL_SECONDS:.0f} seconds") from None
    except (OutboundRequestFailed, ValueError) as error:
        raise FetchFailed(str(error) or type(error).__name__) from None


def _object(content: bytes) -> dict[str, Any]:
    value = strict_json.decode(content)
    if not isinstance(value, dict):
        raise FetchFailed("its response is not a JSON object")
    return value


def _keys_address(url: object, issuer: Issuer) -> str:
    """Return the URL of the keys; raise `FetchFailed` if its origin is not allowed."""
    allowed = issuer.keys_origin or issuer.issuer
    if not isinstance(url, str) or "@" in url or "\\" in url or _origin(url) != _origin(allowed):
        raise FetchFailed("its keys are on another host than allowed")
    return url


async def _get(url: str, issuer: Issuer) -> bytes:
    """Return the body of a 200 response; raise `FetchFailed` for any other status."""
    is_trusted = not issuer.is_builtin
    request = OutboundRequest(
        url,
        accept="application/json",
        most_bytes=MAX_BYTES,
        is_trusted=is_trusted,
        may_be_plain=is_trusted and is_loopback(urlsplit(url)),
        seconds=TOTAL_SECONDS,
    )
    reply = await request.send()
    if reply.status != 200:
        raise FetchFailed(f"it returned {reply.status}")
    return reply.content


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or DEFAULT_PORTS.get(scheme, 0)
