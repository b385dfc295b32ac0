"""Turns at a scarce resource: each sender has its share, whatever the others ask for."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from seaway.fair_slots import FairSlots, Sender, Slot

pytestmark = pytest.mark.anyio


class Line:
    """Requests that wait for turns, in the order in which they were granted."""

    def __init__(self, turns: FairSlots) -> None:
        self._turns = turns
        self.granted: list[Sender] = []
        self._held: list[Slot] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def request(self, *senders: Sender) -> None:
        for sender in senders:
            self._tasks.append(asyncio.create_task(self._wait(sender)))
            await settled()

    async def _wait(self, sender: Sender) -> None:
        self._held.append(await self._turns.acquire(sender))
        self.granted.append(sender)

    async def end_one(self) -> None:
        """The turn that is held longest ends."""
        self._held.pop(0).release()
        await settled()

    async def cancel(self, number: int) -> None:
        self._tasks[number].cancel()
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_sender_leaves_a_turn_to_others() -> None:
    """Invariant 1: however many it asks for, a sender holds its share; another one has a turn at once."""
    line = Line(FairSlots(3, share=2))
    await line.request("a", "a", "a", "a")
    assert ["a", "a"] == line.granted
    await line.request("b")
    assert ["a", "a", "b"] == line.granted


async def test_the_operator_has_no_share() -> None:
    """Invariant 1: a command that imports a channel uses every process."""
    line = Line(FairSlots(3, share=2))
    await line.request(None, None, None)
    assert [None] * 3 == line.granted


async def test_senders_take_turns() -> None:
    """Invariant 2: with a single turn, a sender of many waits for each of the others, and none for all of its many."""
    line = Line(FairSlots(1, share=1))
    await line.request("a", "a", "a", "a", "b", "b", "c")
    for _ in range(6):
        await line.end_one()
    assert ["a", "b", "c", "a", "b", "a", "a"] == line.granted


async def test_who_holds_the_fewest_is_next() -> None:
    """Invariant 2: the turn that ends goes to the sender that has none."""
    line = Line(FairSlots(3, share=3))
    await line.request("a", "a", "b", "b", "a", "c")
    assert ["a", "a", "b"] == line.granted
    await line.end_one()
    assert ["a", "a", "b", "c"] == line.granted


async def test_a_cancelled_request_keeps_no_turn() -> None:
    """Invariant 3: while it waits, and when it was granted in the same moment."""
    turns = FairSlots(1, share=1)
    line = Line(turns)
    await line.request("a", "b", "c")
    await line.cancel(1)
    await line.end_one()
    assert ["a", "c"] == line.granted
    await line.request("d")
    line._held.pop(0).release()
    line._tasks[-1].cancel()
    await settled()
    assert turns.try_acquire("e") is not None


def test_a_turn_ends_once() -> None:
    turns = FairSlots(1, share=1)
    turn = turns.try_acquire("a")
    assert turn is not None
    assert turns.try_acquire("b") is None
    turn.release()
    turn.release()
    assert turns.try_acquire("b") is not None
    assert turns.try_acquire("c") is None


def test_threads_wait_too() -> None:
    """Of many threads of several senders no more are inside than there are turns, and all come through."""
    turns, lock = FairSlots(3, share=2), threading.Lock()
    inside: list[str] = []
    most: dict[str, int] = {}

    def work(sender: str) -> None:
        with turns.acquire_in_thread(sender):
            with lock:
                inside.append(sender)
                assert len(inside) <= 3
                most[sender] = max(most.get(sender, 0), inside.count(sender))
            threading.Event().wait(0.001)
            with lock:
                inside.remove(sender)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, "aaaaaaaabbcaaaaaaaabbcc" * 5))
    assert max(most.values()) <= 2
    assert {"a", "b", "c"} == most.keys()
