"""
Fetch a GitHub avatar for a logo, once, when a user enters its URL.

1. Only GitHub's two URLs for avatars are fetched, and the whole URL must match: no port, no user name before the host,
   no way to name another host. Redirect targets are checked in the same way, at most three.
2. Requests go through `seaway.outbound`, so never to this machine or to a private network.
3. Everything together is limited to 5 seconds and 512 KiB. Only the status of a response is reported.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

import anyio

from seaway.errors import Invalid, Unavailable
from seaway.outbound import OutboundRequest, OutboundRequestFailed
from seaway.publishing.logos import MAX_LOGO_BYTES

_SECONDS = 5.0
_MAX_REQUESTS = 4  # the first and three redirects
_GITHUB = (
    re.compile(r"https://github\.com/[A-Za-z0-9][A-Za-z0-9-]{0,38}\.png(\?size=[0-9]{1,4})?"),
    re.compile(r"https://avatars\.githubusercontent\.com/[A-Za-z0-9/_-]{1,100}(\?[A-Za-z0-9=&_-]{0,100})?"),
)
_HINT = "Upload the picture instead."


@dataclass(frozen=True, slots=True)
class Avatars:
    """Fetches avatars from known URLs."""

    url_patterns: Sequence[re.Pattern[str]] = _GITHUB
    is_trusted: bool = False  # whether the URLs may lead to this machine

    def fetch(self, address: str) -> bytes:
        """Return the content at the URL; call it in a thread."""
        return anyio.run(self._fetch, address)

    async def _fetch(self, address: str) -> bytes:
        try:
            with anyio.fail_after(_SECONDS):
                return await self._follow(address)
        except TimeoutError:
            raise Unavailable(f"GitHub did not respond within {_SECONDS:.0f} seconds.", _HINT) from None
        except OutboundRequestFailed as error:
            raise Unavailable("The avatar could not be fetched.", _HINT, cause=str(error)) from None

    async def _follow(self, address: str) -> bytes:
        for _ in range(_MAX_REQUESTS):
            self._require_known(address)
            request = OutboundRequest(
                address,
                accept="image/png, image/jpeg, image/webp, image/gif",
                max_bytes=MAX_LOGO_BYTES,
                is_trusted=self.is_trusted,
                allows_http=self.is_trusted,
                seconds=_SECONDS,
            )
            response = await request.send()
            if response.status == 200:
                return response.content
            if not response.location:
                raise Invalid(f"There is no avatar at this URL: GitHub returned {response.status}.", _HINT)
            address = urljoin(address, response.location)
        raise Invalid("The URL of the avatar has too many redirects.", _HINT)

    def _require_known(self, address: str) -> None:
        if not any(pattern.fullmatch(address) for pattern in self.url_patterns):
            raise Invalid(
                "Only GitHub avatars can be fetched as logos.",
                "Use https://github.com/NAME.png or a URL at avatars.githubusercontent.com, or upload the picture.",
            )
