"""
Channel logos: uploaded or fetched, re-encoded by an examiner, stored as a blob and named by a row.

1. For callers who cannot manage the channel, nothing is fetched or decoded.
2. The blob is stored first, as with packages; the sweep removes blobs that no row names.
3. The work for logos is limited per user and per process, so that it never delays packages. A user cannot have two
   logos processed at once, so that other users get a slot too.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate, count_attempt
from seaway.channels import channels, logos
from seaway.channels.roles import Action
from seaway.database.engine import Tx, lock_channel
from seaway.errors import Invalid, TooLarge, TooManyRequests, Unavailable
from seaway.fair_slots import FairSlots
from seaway.indexing.blob_references import referencing
from seaway.publishing.examiners import Examiners
from seaway.publishing.upload_rates import sender_of
from seaway.site import Site
from seaway.storage import keys

MAX_LOGO_BYTES = 512 * 1024
_AT_ONCE = 2  # so that one can be re-encoded while one is fetched
_PUTS = 3  # fails only if a sweep deletes the blob each time


@dataclass(frozen=True, slots=True)
class NewLogo:
    """A logo from a request: the bytes of a picture, or its URL."""

    content: bytes = b""
    url: str = ""

    def __bool__(self) -> bool:
        return bool(self.content or self.url)


def _fetch(address: str) -> bytes:
    # Imported at the first fetch: the HTTP client takes 100 ms to load.
    from seaway.publishing.avatars import Avatars

    return Avatars().fetch(address)


@dataclass(frozen=True, slots=True)
class Logos:
    """The parts that logos work with; every method blocks and is called in a thread."""

    site: Site
    examiners: Examiners
    can_fetch: bool  # whether the operator allows fetching from GitHub
    fetch: Callable[[str], bytes] = _fetch
    slots: FairSlots = field(default_factory=lambda: FairSlots(_AT_ONCE, share=1))

    def put(self, by: Caller, channel: str, given: NewLogo, **more: Callable[[Tx], object]) -> None:
        """Set the logo of the channel; `more` as in `store`."""
        with self.site.database.read() as tx:
            channels.require(tx, by, Action.MANAGE, channel)
        self.store(by, channel, self.encode(by, given), **more)

    def encode(self, by: Caller, given: NewLogo) -> bytes:
        """Return the picture re-encoded as a PNG."""
        if by.user_id is not None:
            count_attempt(self.site.database, self.site.clock.now_ms(), Rate.LOGO, str(by.user_id))
        with self._slot(by):
            content = given.content or self._fetched(given.url)
            if len(content) > MAX_LOGO_BYTES:
                raise TooLarge(
                    f"The picture is larger than {MAX_LOGO_BYTES // 1024} KiB.", "Use a smaller one, or a JPEG."
                )
            with self._spooled(content) as path, self.examiners.slots.acquire_in_thread(sender_of(by)):
                return self.examiners.encode_picture(path)

    def store(
        self,
        by: Caller,
        channel: str,
        png: bytes,
        *,
        also: Callable[[Tx], object] = lambda _tx: None,
        lock: Callable[[Tx], object] = lambda _tx: None,
    ) -> None:
        """
        Store a re-encoded picture as the logo of the channel.

        `also` makes further changes in the same transaction; `lock` takes what these lock before the channel.
        """
        sha256 = hashlib.sha256(png).digest()
        with self._spooled(png) as path:
            for _ in range(_PUTS):
                self.site.blobs.put_file(keys.blob(sha256), path)
                with referencing(self.site, [sha256]) as (tx, missing):
                    if missing:  # a sweep deleted a blob that existed before
                        continue
                    lock(tx)
                    lock_channel(self.site.database, tx, channel)
                    logos.put(tx, self.site.clock.now_ms(), by, channel, sha256, len(png))
                    also(tx)
                    return
        raise Unavailable("The picture could not be stored because of a running sweep.", "Try again in a moment.")

    def _fetched(self, address: str) -> bytes:
        if not self.can_fetch:
            raise Invalid("This server does not fetch pictures.", "Upload the picture instead.")
        return self.fetch(address)

    @contextmanager
    def _slot(self, by: Caller) -> Iterator[None]:
        slot = self.slots.try_acquire(sender_of(by))
        if slot is None:
            raise TooManyRequests("Other logos are being processed.", "Try again in a moment.", retry_after_seconds=5)
        with slot:
            yield

    @contextmanager
    def _spooled(self, content: bytes) -> Iterator[Path]:
        with self.site.spool.file() as file:
            file.write(content)
            file.flush()
            yield Path(file.name)
