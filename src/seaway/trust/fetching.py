"""
Fetch the keys of an issuer from where it says that they are.

1. Nothing is fetched that a stranger names: the issuer is registered, its keys are on its own origin or on the one that
   is pinned for it, and no redirect is followed.
2. The name is resolved once and that address is connected to: a name that changes its address meanwhile gains nothing.
   Addresses of private networks are for issuers that an admin registered, those of the local link for nobody: that is
   where clouds keep the credentials of machines.
3. All of it takes at most 5 seconds, and each answer has at most 1 MiB, whatever the other side does.
"""

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

import anyio
import httpx
from anyio import to_thread

from seaway.conda import strict_json
from seaway.trust.issuers import Issuer, is_loopback
from seaway.trust.key_set import MAX_BYTES, FetchFailed, read_keys

TOTAL_SECONDS = 5.0
_DISCOVERY = "/.well-known/openid-configuration"
_DEFAULT_PORTS = {"https": 443, "http": 80}


def fetch_keys(issuer: Issuer) -> str:
    """The key set of the issuer, checked; to be called in a thread."""
    return anyio.run(_fetch_keys, issuer)


async def _fetch_keys(issuer: Issuer) -> str:
    try:
        with anyio.fail_after(TOTAL_SECONDS):
            discovered = _object(await _get(issuer.issuer.rstrip("/") + _DISCOVERY, issuer))
            if discovered.get("issuer") != issuer.issuer:
                raise FetchFailed("its discovery document is of another issuer")
            content = await _get(_keys_address(discovered.get("jwks_uri"), issuer), issuer)
        text = content.decode("utf-8")
        read_keys(text)
        return text
    except TimeoutError:
        raise FetchFailed(f"it did not answer within {TOTAL_SECONDS:.0f} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise FetchFailed(str(error) or type(error).__name__) from None


def _object(content: bytes) -> dict[str, Any]:
    value = strict_json.decode(content)
    if not isinstance(value, dict):
        raise FetchFailed("its answer is not a JSON object")
    return value


def _keys_address(found: object, issuer: Issuer) -> str:
    """Where the keys are, if they may be there."""
    allowed = issuer.keys_origin or issuer.issuer
    if not isinstance(found, str) or "@" in found or "\\" in found or _origin(found) != _origin(allowed):
        raise FetchFailed("its keys are not where they may be")
    return found


async def _get(url: str, issuer: Issuer) -> bytes:
    return await _Visit(url, is_trusted=not issuer.is_builtin).get()


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request to an address whose host an admin, or Seaway itself, has chosen."""

    url: str
    is_trusted: bool  # whether it may be in a private network

    async def get(self) -> bytes:
        """The body of a plain 200."""
        parts = urlsplit(self.url)
        if not (parts.scheme == "https" or (self.is_trusted and is_loopback(parts))):
            raise FetchFailed("its address is not https")
        address = await self._resolved(parts)
        url = httpx.URL(self.url)
        async with (
            httpx.AsyncClient(verify=httpx.create_ssl_context(), trust_env=False, follow_redirects=False) as client,
            client.stream(
                "GET",
                url.copy_with(host=address),
                headers={"Host": url.netloc.decode(), "Accept": "application/json", "Accept-Encoding": "identity"},
                extensions={"sni_hostname": url.raw_host.decode()},
                timeout=TOTAL_SECONDS,
            ) as response,
        ):
            if response.status_code != 200:
                raise FetchFailed(f"it answered {response.status_code}")
            return await _body_of(response)

    async def _resolved(self, parts: SplitResult) -> str:
        """The one address that is connected to."""
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        found = await to_thread.run_sync(
            lambda: socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM), abandon_on_cancel=True
        )
        addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
        refused = [address for address in addresses if not self._may_be_at(address)]
        if refused or not addresses:
            raise FetchFailed("its name leads to an address that is not allowed")
        return addresses[0]

    def _may_be_at(self, address: str) -> bool:
        ip = ip_address(address)
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
            return False
        return self.is_trusted or ip.is_global


async def _body_of(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchFailed("its answer is packed")
    content = b""
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_BYTES:
            raise FetchFailed(f"its answer is larger than {MAX_BYTES:,} bytes")
    return content


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _DEFAULT_PORTS.get(scheme, 0)
