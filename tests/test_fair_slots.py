"""Fair slots of a scarce resource: each sender keeps its share, however many slots the others request."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from seaway.fair_slots import FairSlots, Sender, Slot

pytestmark = pytest.mark.anyio


class Queue:
    """Requests that wait for slots, in the order in which they were granted."""

    def __init__(self, slots: FairSlots) -> None:
        self._slots = slots
        self.granted: list[Sender] = []
        self._held: list[Slot] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def request(self, *senders: Sender) -> None:
        for sender in senders:
            self._tasks.append(asyncio.create_task(self._wait(sender)))
            await settled()

    async def _wait(self, sender: Sender) -> None:
        self._held.append(await self._slots.acquire(sender))
        self.granted.append(sender)

    async def release_oldest(self) -> None:
        """Release the slot that is held longest."""
        self._held.pop(0).release()
        await settled()

    async def cancel(self, number: int) -> None:
        self._tasks[number].cancel()
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_sender_cannot_take_more_than_its_share() -> None:
    """Invariant 1: a sender never holds more than its share, so another sender gets a slot at once."""
    queue = Queue(FairSlots(3, share=2))
    await queue.request("a", "a", "a", "a")
    assert ["a", "a"] == queue.granted
    await queue.request("b")
    assert ["a", "a", "b"] == queue.granted


async def test_operator_is_not_limited_to_a_share() -> None:
    """Invariant 1: a command that imports a channel can use every process."""
    queue = Queue(FairSlots(3, share=2))
    await queue.request(None, None, None)
    assert [None] * 3 == queue.granted


async def test_slots_are_granted_round_robin() -> None:
    """Invariant 2: with one slot, a sender of many requests alternates with the others."""
    queue = Queue(FairSlots(1, share=1))
    await queue.request("a", "a", "a", "a", "b", "b", "c")
    for _ in range(6):
        await queue.release_oldest()
    assert ["a", "b", "c", "a", "b", "a", "a"] == queue.granted


async def test_sender_with_fewest_slots_is_next() -> None:
    """Invariant 2: a released slot goes to the sender that has none."""
    queue = Queue(FairSlots(3, share=3))
    await queue.request("a", "a", "b", "b", "a", "c")
    assert ["a", "a", "b"] == queue.granted
    await queue.release_oldest()
    assert ["a", "a", "b", "c"] == queue.granted


async def test_canceled_request_holds_no_slot() -> None:
    """Invariant 3: canceled while waiting, and canceled in the moment in which it was granted."""
    slots = FairSlots(1, share=1)
    queue = Queue(slots)
    await queue.request("a", "b", "c")
    await queue.cancel(1)
    await queue.release_oldest()
    assert ["a", "c"] == queue.granted
    await queue.request("d")
    queue._held.pop(0).release()
    queue._tasks[-1].cancel()
    await settled()
    assert slots.try_acquire("e") is not None


def test_second_release_of_a_slot_does_nothing() -> None:
    slots = FairSlots(1, share=1)
    slot = slots.try_acquire("a")
    assert slot is not None
    assert slots.try_acquire("b") is None
    slot.release()
    slot.release()
    assert slots.try_acquire("b") is not None
    assert slots.try_acquire("c") is None


def test_threads_share_the_same_slots() -> None:
    """Never more threads run than there are slots, and all of them finish."""
    slots, lock = FairSlots(3, share=2), threading.Lock()
    inside: list[str] = []
    maximum: dict[str, int] = {}

    def work(sender: str) -> None:
        with slots.acquire_in_thread(sender):
            with lock:
                inside.append(sender)
                assert len(inside) <= 3
                maximum[sender] = max(maximum.get(sender, 0), inside.count(sender))
            threading.Event().wait(0.001)
            with lock:
                inside.remove(sender)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, "aaaaaaaabbcaaaaaaaabbcc" * 5))
    assert max(maximum.values()) <= 2
    assert {"a", "b", "c"} == maximum.keys()
