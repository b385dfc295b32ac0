"""
Keys of issuers: stored in the database for all workers, refreshed in the background, never replaced by an unusable set.

1. A key is used only for its own issuer.
2. Keys are fresh for an hour; then one worker fetches them again while requests continue. After a day without a
   successful fetch no key is used, and tokens of the issuer cannot be verified for now.
3. An unknown key ID makes one worker fetch once; there is no other fetch for a minute.
4. A fetched set replaces the stored one as a whole: a removed key is invalid from then on. An empty, invalid, late or
   oversized response replaces nothing.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog
from joserfc.jwk import Key
from sqlalchemy import insert, select, update

from seaway.clock import CLOCK_TOLERANCE_MS, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Clock
from seaway.database.engine import Database
from seaway.database.tables import issuer_keys as rows
from seaway.oidc.fetching import FetchFailed, KeySource
from seaway.oidc.jwks import BadKeySet, read_keys, select_key
from seaway.oidc.jwt import InvalidToken, ParsedToken

log = structlog.get_logger()

FRESH_MS = HOUR_MS
USABLE_MS = DAY_MS
PAUSE_MS = MINUTE_MS
_PAUSE_WITHOUT_KEYS_MS = 10 * SECOND_MS  # shorter, because workflows are waiting


class KeysUnavailable(Exception):
    """There are no usable keys of the issuer, and none can be fetched now; the text is the reason, for the operator."""


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The stored keys of an issuer."""

    keys: Sequence[Key]
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


_NO_KEYS = StoredKeys((), 0, -DAY_MS)


class KeySets:
    """Finds the key for a token; called in threads."""

    def __init__(self, database: Database, clock: Clock, fetch: Callable[[KeySource], str]) -> None:
        self._database = database
        self._clock = clock
        self._fetch = fetch
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="keys")
        self._refreshing: set[str] = set()

    def key(self, source: KeySource, token: ParsedToken) -> Key:
        """Return the key that a token names; raise `InvalidToken` if it is unknown, `KeysUnavailable` without keys."""
        key = select_key(self._usable_keys(source, token), token.algorithm, token.kid)
        if key is None:
            raise InvalidToken("is signed with a key that is not among the keys of its issuer")
        return key

    def _usable_keys(self, source: KeySource, token: ParsedToken) -> Sequence[Key]:
        if source.static_keys is not None:
            return read_keys(source.static_keys, source.rules)
        now_ms = self._clock.now_ms()
        stored = self.stored(source)
        if not stored.is_usable(now_ms) or select_key(stored.keys, token.algorithm, token.kid) is None:
            stored = self._fetch_once(source)
        elif not stored.is_fresh(now_ms):
            self._refresh_in_background(source)
        if not stored.is_usable(now_ms):
            raise KeysUnavailable(stored.error)
        return stored.keys

    def stored(self, source: KeySource) -> StoredKeys:
        """Return the stored keys of the issuer."""
        with self._database.read() as tx:
            row = tx.execute(select(rows).where(rows.c.issuer == source.name)).one_or_none()
        if row is None:
            return _NO_KEYS
        return StoredKeys(_readable(row.keys, source), row.fetched_at, row.tried_at, row.error)

    def refresh(self, source: KeySource) -> StoredKeys:
        """Fetch now, regardless of the last fetch: for an operator who knows that keys were revoked."""
        with self._locks[source.name], self._lock_of(source):
            return self._fetch_and_store(source, self.stored(source))

    def close(self) -> None:
        """Stop the background fetches."""
        self._background.shutdown(cancel_futures=True)

    def _fetch_once(self, source: KeySource) -> StoredKeys:
        """Fetch the keys in one of all threads and workers, unless another one has just done it."""
        with self._locks[source.name]:
            stored = self.stored(source)
            if not stored.can_fetch(self._clock.now_ms()):
                return stored
            with self._lock_of(source):
                stored = self.stored(source)
                return self._fetch_and_store(source, stored) if stored.can_fetch(self._clock.now_ms()) else stored

    def _refresh_in_background(self, source: KeySource) -> None:
        if source.name in self._refreshing or not self.stored(source).can_fetch(self._clock.now_ms()):
            return
        self._refreshing.add(source.name)
        self._background.submit(self._refresh_and_log, source)

    def _refresh_and_log(self, source: KeySource) -> None:
        try:
            self._fetch_once(source)
        except Exception:
            log.exception("issuer.refresh_failed", issuer=source.name)
        finally:
            self._refreshing.discard(source.name)

    def _lock_of(self, source: KeySource) -> AbstractContextManager[bool]:
        return self._database.exclusive(f"issuer-keys/{source.name}")

    def _fetch_and_store(self, source: KeySource, stored: StoredKeys) -> StoredKeys:
        now_ms = self._clock.now_ms()
        try:
            text = self._fetch(source)
        except FetchFailed as error:
            log.warning("issuer.keys_not_fetched", issuer=source.name, reason=str(error))
            self._write(source, tried_at=now_ms, error=str(error)[:500])
            return StoredKeys(stored.keys, stored.fetched_at_ms, now_ms, str(error))
        self._write(source, keys=text, fetched_at=now_ms, tried_at=now_ms, error="")
        return StoredKeys(read_keys(text, source.rules), now_ms, now_ms)

    def _write(self, source: KeySource, **values: str | int) -> None:
        with self._database.write_unlocked() as tx:
            self._database.lock(tx, f"issuer/{source.name}")
            changed = tx.execute(update(rows).where(rows.c.issuer == source.name).values(values)).rowcount
            if not changed:
                tx.execute(insert(rows).values({"issuer": source.name, "keys": "", "fetched_at": 0, **values}))


def _readable(text: str, source: KeySource) -> Sequence[Key]:
    """Return the keys; empty if there are none, as after a provider has changed its algorithms."""
    try:
        return read_keys(text, source.rules)
    except BadKeySet:
        return ()
