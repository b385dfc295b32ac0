"""
Outbound requests to URLs that users chose, protected against server-side request forgery (SSRF).

1. The host name is resolved once and that IP address is connected to, so changing the name's address in between (DNS
   rebinding) achieves nothing. Private networks are allowed only for hosts that an admin chose. Link-local addresses
   are never allowed: clouds serve the credentials of machines there.
2. No redirect is followed: the caller gets the location and must check it like any other URL.
3. The response is counted as it arrives and limited in size. Compressed responses are refused, since unpacking could
   exceed the limit.
4. The caller limits the total time (`anyio.fail_after`).
5. `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are respected. A proxy connects by name, so it must refuse
   private networks for names that only it can resolve; IP addresses and names that resolve here are checked as without
   a proxy. Names of this machine never go to a proxy, where they would mean the proxy's machine.
6. The description of a failure contains nothing that was sent, since that includes codes and tokens.
"""

import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx
from anyio import move_on_after, to_thread

from seaway import strict_json
from seaway.errors import Unavailable

DEFAULT_PORTS = {"https": 443, "http": 80}
_REDIRECTS = (301, 302, 303, 307, 308)
_RESOLVE_SECONDS = 1.0  # behind a proxy; the resolver of a closed network may not respond at all
_USER_AGENT = "Seaway"  # GitHub refuses requests without a User-Agent
_FETCH_SECONDS = 10.0
_FETCH_MAX_BYTES = 512 * 1024


@lru_cache(maxsize=4)
def _tls(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """Create the context, cached by the variables that httpx reads; reading the root certificates takes 17 ms."""
    return httpx.create_ssl_context()


class OutboundRequestFailed(Exception):
    """An outbound request failed or its response was refused; the message says why, without anything that was sent."""


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """Response to an outbound request; `content` is empty unless the status is 200."""

    status: int
    content: bytes
    location: str  # target of a redirect; empty for other responses

    @property
    def json(self) -> Any:
        """Content as JSON; None if it is not strict JSON."""
        try:
            return strict_json.decode(self.content)
        except strict_json.NotStrict:
            return None

    def json_object(self) -> Mapping[str, Any]:
        """Return the content as a JSON object; empty if it is something else."""
        value = self.json
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """Outbound request."""

    url: str
    accept: str
    max_bytes: int
    is_trusted: bool = False  # whether an admin chose the host, so that it may be in a private network
    allows_http: bool = False  # whether http is allowed, as within one machine
    seconds: float = 5.0
    headers: Mapping[str, str] = field(default_factory=dict)  # besides those of every request
    form: Mapping[str, str] | None = None  # sent with POST; None means GET

    async def send(self) -> OutboundResponse:
        """Send the request once."""
        try:
            return await self._send()
        except httpx.LocalProtocolError as error:  # its text quotes the header
            raise OutboundRequestFailed(type(error).__name__) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise OutboundRequestFailed(str(error) or type(error).__name__) from None

    async def _send(self) -> OutboundResponse:
        parts = urlsplit(self.url)
        if not (parts.scheme == "https" or (parts.scheme == "http" and self.allows_http)):
            raise OutboundRequestFailed("its URL is not https")
        proxy = proxy_for(self.url)
        url = httpx.URL(self.url)
        if proxy is None:
            target = url.copy_with(host=await self._resolved(parts))
        else:
            await self._check_before_proxy(parts)
            target = url
        headers = {
            "Host": url.netloc.decode(),
            "Accept": self.accept,
            "Accept-Encoding": "identity",
            "User-Agent": _USER_AGENT,
            **self.headers,
        }
        async with (
            httpx.AsyncClient(
                verify=tls_context(),
                trust_env=False,
                follow_redirects=False,
                proxy=proxy,
            ) as client,
            client.stream(
                "GET" if self.form is None else "POST",
                target,
                headers=headers,
                data=self.form,
                extensions={"sni_hostname": url.raw_host.decode()},
                timeout=self.seconds,
            ) as response,
        ):
            location = response.headers.get("location", "") if response.status_code in _REDIRECTS else ""
            content = await self._body_of(response) if response.status_code == 200 else b""
            return OutboundResponse(response.status_code, content, location)

    async def _resolved(self, parts: SplitResult) -> str:
        """Return the IP address to connect to."""
        addresses = await _addresses_of(parts)
        self._check(addresses)
        return addresses[0]

    async def _check_before_proxy(self, parts: SplitResult) -> None:
        """Check the host before the proxy gets it; a name that does not resolve here is left to the proxy (5)."""
        with move_on_after(_RESOLVE_SECONDS):
            try:
                addresses = await _addresses_of(parts)
            except socket.gaierror:
                return
            self._check(addresses)

    def _check(self, addresses: Sequence[str]) -> None:
        forbidden = [address for address in addresses if not self._is_allowed(address)]
        if forbidden or not addresses:
            raise OutboundRequestFailed("its name resolves to an IP address that is not allowed")

    def _is_allowed(self, address: str) -> bool:
        ip = ip_address(address)
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
            return False
        return self.is_trusted or ip.is_global

    async def _body_of(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise OutboundRequestFailed("its response is compressed")
        content = b""
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > self.max_bytes:
                raise OutboundRequestFailed(f"its response is larger than {self.max_bytes:,} bytes")
        return content


class JsonClient:
    """Client for JSON from hosts that the operator chose; for calls from threads."""

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> OutboundResponse:
        """Send a GET request."""
        return self._fetch(url, headers, None)

    def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> OutboundResponse:
        """Send a form with POST."""
        return self._fetch(url, headers, form)

    def _fetch(self, url: str, headers: Mapping[str, str] | None, form: Mapping[str, str] | None) -> OutboundResponse:
        request = OutboundRequest(
            url,
            accept="application/json",
            max_bytes=_FETCH_MAX_BYTES,
            is_trusted=True,
            allows_http=True,
            headers=headers or {},
            form=form,
        )
        try:
            return anyio.run(_send_within, request, _FETCH_SECONDS)
        except (OutboundRequestFailed, TimeoutError) as error:
            host = urlsplit(url).hostname or ""
            cause = f"{host}: {error or type(error).__name__}"
            raise Unavailable(f"{host} does not respond.", "Try again in a moment.", cause=cause) from None


async def _send_within(request: OutboundRequest, seconds: float) -> OutboundResponse:
    with anyio.fail_after(seconds):
        return await request.send()


def proxy_for(url: str) -> str | None:
    """
    Return the address of the proxy that the environment names for this URL, or None to connect directly.

    Raise `OutboundRequestFailed` if it is not an HTTP proxy: other kinds would need another library.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    netloc = parts.netloc.rpartition("@")[2]
    if _is_this_machine(host) or proxy_bypass(netloc) or _is_in_networks(host, proxies.get("no", "")):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    scheme, is_url, _ = proxy.partition("://")
    if not is_url:
        return f"http://{proxy}"
    if scheme.lower() not in DEFAULT_PORTS:
        raise OutboundRequestFailed(
            f"the proxy in the environment is {scheme[:20]!a}, but only HTTP proxies are supported"
        )
    return proxy


def tls_context() -> ssl.SSLContext:
    """Return the TLS context of outbound connections; respects `SSL_CERT_FILE` and `SSL_CERT_DIR`."""
    return _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_in_networks(host: str, no_proxy: str) -> bool:
    """Return whether the host is in a network of `NO_PROXY` such as 10.0.0.0/8, which `urllib` compares as a name."""
    for part in no_proxy.replace(",", " ").split():
        with suppress(ValueError):
            if ip_address(host) in ip_network(part, strict=False):
                return True
    return False


async def _addresses_of(parts: SplitResult) -> list[str]:
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    found = await to_thread.run_sync(
        lambda: socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM), abandon_on_cancel=True
    )
    return [str(entry[4][0]).partition("%")[0] for entry in found]
