"""
The avatar that somebody has at GitHub, fetched once when they name it.

1. Only GitHub's two places for avatars are asked, and by the whole of an address: no port, no name of a user in it, no
   way to spell another host. Where a redirect leads is looked at in the same way, three times at most.
2. Each host is visited as `seaway.visiting` does it: never one of this machine or of a private network.
3. All of it takes at most 5 seconds and 512 KiB. Nothing of the answer is told but its status.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

import anyio

from seaway.errors import Invalid, Unavailable
from seaway.publishing.logos import MOST_BYTES
from seaway.visiting import Visit, VisitFailed

_SECONDS = 5.0
_MOST_VISITS = 4
_GITHUB = (
    re.compile(r"https://github\.com/[A-Za-z0-9][A-Za-z0-9-]{0,38}\.png(\?size=[0-9]{1,4})?"),
    re.compile(r"https://avatars\.githubusercontent\.com/[A-Za-z0-9/_-]{1,100}(\?[A-Za-z0-9=&_-]{0,100})?"),
)
_OTHERWISE = "Upload the picture instead."


@dataclass(frozen=True, slots=True)
class Avatars:
    """Where avatars are fetched from."""

    places: Sequence[re.Pattern[str]] = _GITHUB
    is_trusted: bool = False  # whether they may be on this machine

    def fetch(self, address: str) -> bytes:
        """What is at the address; to be called in a thread."""
        return anyio.run(self._fetch, address)

    async def _fetch(self, address: str) -> bytes:
        try:
            with anyio.fail_after(_SECONDS):
                return await self._follow(address)
        except TimeoutError:
            raise Unavailable(f"GitHub did not answer within {_SECONDS:.0f} seconds.", _OTHERWISE) from None
        except VisitFailed as error:
            raise Unavailable("The avatar could not be fetched.", _OTHERWISE, cause=str(error)) from None

    async def _follow(self, address: str) -> bytes:
        for _ in range(_MOST_VISITS):
            self._require_known(address)
            visit = Visit(
                address,
                accept="image/png, image/jpeg, image/webp, image/gif",
                most_bytes=MOST_BYTES,
                is_trusted=self.is_trusted,
                may_be_plain=self.is_trusted,
                seconds=_SECONDS,
            )
            reply = await visit.make()
            if reply.status == 200:
                return reply.content
            if not reply.location:
                raise Invalid(f"There is no avatar at this address: GitHub answered {reply.status}.", _OTHERWISE)
            address = urljoin(address, reply.location)
        raise Invalid("The address leads from one to the next, and to no avatar.", _OTHERWISE)

    def _require_known(self, address: str) -> None:
        if not any(place.fullmatch(address) for place in self.places):
            raise Invalid(
                "A logo is fetched from GitHub's avatars only.",
                "Give https://github.com/NAME.png or an address at avatars.githubusercontent.com, or upload the picture.",
            )
