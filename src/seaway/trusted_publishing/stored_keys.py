"""
Keys of issuers: stored in the database for all workers, refreshed in the background, never replaced by an unusable set.

1. A key is used only for its own issuer.
2. Keys are fresh for an hour; then one worker fetches them again while requests continue. After a day without a
   successful fetch no key is used, and the exchange returns 503 (try again) for tokens of the issuer.
3. An unknown key ID makes one worker fetch once; there is no other fetch for a minute.
4. A fetched set replaces the stored one as a whole: a removed key is invalid from then on. An empty, invalid, late or
   oversized response replaces nothing.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog
from joserfc.jwk import RSAKey
from sqlalchemy import insert, select, update

from seaway.clock import CLOCK_TOLERANCE_MS, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Clock
from seaway.database.engine import Database
from seaway.database.tables import issuer_keys as rows
from seaway.trusted_publishing.issuers import Issuer
from seaway.trusted_publishing.jwks import FetchFailed, read_keys
from seaway.trusted_publishing.refusals import Code, TokenRefused

log = structlog.get_logger()

FRESH_MS = HOUR_MS
USABLE_MS = DAY_MS
PAUSE_MS = MINUTE_MS
_PAUSE_WITHOUT_KEYS_MS = 10 * SECOND_MS  # shorter, because workflows are waiting


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The stored keys of an issuer."""

    keys: Mapping[str, RSAKey]
    fetched_at_ms: int
    tried_at_ms: int
    error: str = ""

    def is_fresh(self, now_ms: int) -> bool:
        """Return whether the keys are new enough not to be fetched again."""
        return 0 <= now_ms - self.fetched_at_ms < FRESH_MS

    def is_usable(self, now_ms: int) -> bool:
        """Return whether the keys can still be used."""
        return bool(self.keys) and -CLOCK_TOLERANCE_MS <= now_ms - self.fetched_at_ms < USABLE_MS

    def can_fetch(self, now_ms: int) -> bool:
        """Return whether the pause since the last fetch has passed, or the clock was set back."""
        pause = PAUSE_MS if self.is_usable(now_ms) else _PAUSE_WITHOUT_KEYS_MS
        return not 0 <= now_ms - self.tried_at_ms < pause


_NO_KEYS = StoredKeys({}, 0, -DAY_MS)


class KeySets:
    """Finds the key for a token; called in threads."""

    def __init__(self, database: Database, clock: Clock, fetch: Callable[[Issuer], str]) -> None:
        self._database = database
        self._clock = clock
        self._fetch = fetch
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="keys")
        self._refreshing: set[str] = set()

    def key(self, issuer: Issuer, kid: str) -> RSAKey:
        """Return the key with this ID; `invalid-token` if it is unknown, `issuer-unavailable` without usable keys."""
        if issuer.static_keys is not None:
            return _key_by_id(read_keys(issuer.static_keys), kid)
        now_ms = self._clock.now_ms()
        stored = self.stored(issuer)
        if not stored.is_usable(now_ms) or kid not in stored.keys:
            stored = self._fetch_once(issuer)
        elif not stored.is_fresh(now_ms):
            self._refresh_in_background(issuer)
        if not stored.is_usable(now_ms):
            raise TokenRefused(
                Code.ISSUER_UNAVAILABLE, f"The keys of {issuer.issuer} cannot be fetched now. Try again in a moment."
            )
        return _key_by_id(stored.keys, kid)

    def stored(self, issuer: Issuer) -> StoredKeys:
        """Return the stored keys of the issuer."""
        with self._database.read() as tx:
            row = tx.execute(select(rows).where(rows.c.issuer == issuer.issuer)).one_or_none()
        if row is None:
            return _NO_KEYS
        return StoredKeys(read_keys(row.keys) if row.keys else {}, row.fetched_at, row.tried_at, row.error)

    def refresh(self, issuer: Issuer) -> StoredKeys:
        """Fetch now, regardless of the last fetch: for an operator who knows that keys were revoked."""
        with self._locks[issuer.issuer], self._lock_of(issuer):
            return self._fetch_and_store(issuer, self.stored(issuer))

    def close(self) -> None:
        """Stop the background fetches."""
        self._background.shutdown(cancel_futures=True)

    def _fetch_once(self, issuer: Issuer) -> StoredKeys:
        """Fetch the keys in one of all threads and workers, unless another one has just done it."""
        with self._locks[issuer.issuer]:
            stored = self.stored(issuer)
            if not stored.can_fetch(self._clock.now_ms()):
                return stored
            with self._lock_of(issuer):
                stored = self.stored(issuer)
                return self._fetch_and_store(issuer, stored) if stored.can_fetch(self._clock.now_ms()) else stored

    def _refresh_in_background(self, issuer: Issuer) -> None:
        if issuer.issuer in self._refreshing or not self.stored(issuer).can_fetch(self._clock.now_ms()):
            return
        self._refreshing.add(issuer.issuer)
        self._background.submit(self._refresh_and_log, issuer)

    def _refresh_and_log(self, issuer: Issuer) -> None:
        try:
            self._fetch_once(issuer)
        except Exception:
            log.exception("issuer.refresh_failed", issuer=issuer.issuer)
        finally:
            self._refreshing.discard(issuer.issuer)

    def _lock_of(self, issuer: Issuer) -> AbstractContextManager[bool]:
        return self._database.exclusive(f"issuer-keys/{issuer.issuer}")

    def _fetch_and_store(self, issuer: Issuer, stored: StoredKeys) -> StoredKeys:
        now_ms = self._clock.now_ms()
        try:
            text = self._fetch(issuer)
        except FetchFailed as error:
            log.warning("issuer.keys_not_fetched", issuer=issuer.issuer, reason=str(error))
            self._write(issuer, tried_at=now_ms, error=str(error)[:500])
            return StoredKeys(stored.keys, stored.fetched_at_ms, now_ms, str(error))
        self._write(issuer, keys=text, fetched_at=now_ms, tried_at=now_ms, error="")
        return StoredKeys(read_keys(text), now_ms, now_ms)

    def _write(self, issuer: Issuer, **values: str | int) -> None:
        with self._database.write_part() as tx:
            self._database.lock(tx, f"issuer/{issuer.issuer}")
            changed = tx.execute(update(rows).where(rows.c.issuer == issuer.issuer).values(values)).rowcount
            if not changed:
                tx.execute(insert(rows).values({"issuer": issuer.issuer, "keys": "", "fetched_at": 0, **values}))


def _key_by_id(keys: Mapping[str, RSAKey], kid: str) -> RSAKey:
    if kid not in keys:
        raise TokenRefused(
            Code.INVALID_TOKEN, "The token is signed with a key that is not among the keys of its issuer."
        )
    return keys[kid]
