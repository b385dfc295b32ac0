"""
Concurrency slots of a scarce resource, shared fairly between senders.

1. At most `slots` slots are held at once, and at most `share` of them by one sender. The sender None (the operator)
   is not limited to a share.
2. A released slot goes to the waiting sender that holds the fewest slots; among equals, to the one that was served
   least recently. The requests of one sender are served in order.
3. A request that is canceled while it waits holds no slot.
"""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType

Sender = Hashable | None


@dataclass(eq=False, slots=True)
class _Waiter:
    """Request for a slot; `wake` is called when the slot is granted after a wait."""

    sender: Sender
    wake: Callable[[], object]
    is_granted: bool = False


class Slot:
    """Slot that is held until `release` or the end of a `with` block; releasing it again does nothing."""

    def __init__(self, release: Callable[[], None], *, waited: bool) -> None:
        self._release: Callable[[], None] | None = release
        self.has_waited = waited

    def release(self) -> None:
        """Release the slot for the next sender."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __enter__(self) -> "Slot":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class FairSlots:
    """Slots of one resource in this process; can be used by threads and event loops."""

    def __init__(self, slots: int, share: int) -> None:
        self._free, self._share = slots, share
        self._lock = threading.Lock()
        self._held: Counter[Sender] = Counter()
        self._waiting: dict[Sender, deque[_Waiter]] = {}  # ordered by when each was last served, most recent last

    async def acquire(self, sender: Sender) -> Slot:
        """Wait for a slot without blocking a thread."""
        loop = asyncio.get_running_loop()
        granted: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            loop.call_soon_threadsafe(_finish, granted)

        waiter = _Waiter(sender, wake)
        if self._enter(waiter):
            return self._slot(sender, waited=False)
        try:
            await granted
        except BaseException:  # canceled
            self._give_up(waiter)
            raise
        return self._slot(sender, waited=True)

    def acquire_in_thread(self, sender: Sender) -> Slot:
        """Block the calling thread until it gets a slot."""
        granted = threading.Event()
        waiter = _Waiter(sender, granted.set)
        if self._enter(waiter):
            return self._slot(sender, waited=False)
        try:
            granted.wait()
        except BaseException:  # Ctrl-C in a command
            self._give_up(waiter)
            raise
        return self._slot(sender, waited=True)

    def try_acquire(self, sender: Sender) -> Slot | None:
        """Return a slot, or None if none is available now."""
        waiter = _Waiter(sender, lambda: None)
        if self._enter(waiter):
            return self._slot(sender, waited=False)
        self._give_up(waiter)
        return None

    def _slot(self, sender: Sender, *, waited: bool) -> Slot:
        return Slot(lambda: self._leave(sender), waited=waited)

    def _enter(self, waiter: _Waiter) -> bool:
        with self._lock:
            self._waiting.setdefault(waiter.sender, deque()).append(waiter)
            self._grant(waiter)
            return waiter.is_granted

    def _leave(self, sender: Sender) -> None:
        with self._lock:
            self._free += 1
            self._held[sender] -= 1
            if not self._held[sender]:
                del self._held[sender]
            if sender in self._waiting:  # behind the senders that were not served meanwhile
                self._waiting[sender] = self._waiting.pop(sender)
            self._grant(None)

    def _give_up(self, waiter: _Waiter) -> None:
        with self._lock:
            if not waiter.is_granted:
                self._waiting[waiter.sender].remove(waiter)
                if not self._waiting[waiter.sender]:
                    del self._waiting[waiter.sender]
                return
        self._leave(waiter.sender)

    def _grant(self, entering: _Waiter | None) -> None:
        while self._free and (sender := self._next()) is not _NO_SENDER:
            queue = self._waiting.pop(sender)
            waiter = queue.popleft()
            if queue:
                self._waiting[sender] = queue
            self._free -= 1
            self._held[sender] += 1
            waiter.is_granted = True
            if waiter is not entering:
                waiter.wake()

    def _next(self) -> Sender:
        allowed = (sender for sender in self._waiting if sender is None or self._held[sender] < self._share)
        return min(allowed, key=lambda sender: self._held[sender], default=_NO_SENDER)


_NO_SENDER = object()


def _finish(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_result(None)
