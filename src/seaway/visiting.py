"""
One request to a host that somebody else named, made so that it leads nowhere else.

1. The name is resolved once and that address is connected to: a name that changes its address meanwhile gains nothing.
   Addresses of private networks are for hosts that an admin chose, those of the local link for nobody: that is where
   clouds keep the credentials of machines.
2. No redirect is followed: who asked is told where it leads, and looks at that as at any other address.
3. The answer is counted as it comes and cut at a limit, and must not be packed, since what unpacks may grow.
4. How long all of it takes is bounded by who asks (`anyio.fail_after`).
"""

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import httpx
from anyio import to_thread

DEFAULT_PORTS = {"https": 443, "http": 80}
_REDIRECTS = (301, 302, 303, 307, 308)
_AGENT = "Seaway"  # GitHub answers nobody without a name


class VisitFailed(Exception):
    """The host did not answer, or not in a way that is taken; the words say why, and nothing that was sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; the content only of a plain 200."""

    status: int
    content: bytes
    location: str  # where a redirect leads; empty for any other answer


@dataclass(frozen=True, slots=True)
class Visit:
    """What is asked for, and of whom."""

    url: str
    accept: str
    most_bytes: int
    is_trusted: bool = False  # whether an admin chose the host, so that it may be in a private network
    may_be_plain: bool = False  # whether http will do, as it does within one machine
    seconds: float = 5.0

    async def make(self) -> Reply:
        """Ask once."""
        try:
            return await self._ask()
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise VisitFailed(str(error) or type(error).__name__) from None

    async def _ask(self) -> Reply:
        parts = urlsplit(self.url)
        if not (parts.scheme == "https" or (parts.scheme == "http" and self.may_be_plain)):
            raise VisitFailed("its address is not https")
        address = await self._resolved(parts)
        url = httpx.URL(self.url)
        headers = {
            "Host": url.netloc.decode(),
            "Accept": self.accept,
            "Accept-Encoding": "identity",
            "User-Agent": _AGENT,
        }
        async with (
            httpx.AsyncClient(verify=httpx.create_ssl_context(), trust_env=False, follow_redirects=False) as client,
            client.stream(
                "GET",
                url.copy_with(host=address),
                headers=headers,
                extensions={"sni_hostname": url.raw_host.decode()},
                timeout=self.seconds,
            ) as response,
        ):
            location = response.headers.get("location", "") if response.status_code in _REDIRECTS else ""
            content = await self._body_of(response) if response.status_code == 200 else b""
            return Reply(response.status_code, content, location)

    async def _resolved(self, parts: SplitResult) -> str:
        """The one address that is connected to."""
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        found = await to_thread.run_sync(
            lambda: socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM), abandon_on_cancel=True
        )
        addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
        refused = [address for address in addresses if not self._may_be_at(address)]
        if refused or not addresses:
            raise VisitFailed("its name leads to an address that is not allowed")
        return addresses[0]

    def _may_be_at(self, address: str) -> bool:
        ip = ip_address(address)
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
            return False
        return self.is_trusted or ip.is_global

    async def _body_of(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise VisitFailed("its answer is packed")
        content = b""
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > self.most_bytes:
                raise VisitFailed(f"its answer is larger than {self.most_bytes:,} bytes")
        return content
