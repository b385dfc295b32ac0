"""Samples and what they say: medians, spreads, and ratios of things that were measured in turns."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Summary:
    """What many samples of one thing come to."""

    count: int
    median: float
    p10: float
    p90: float
    p99: float
    most: float


def summarize(samples: Sequence[float]) -> Summary:
    """The summary of at least one sample."""
    ordered = sorted(samples)
    return Summary(
        len(ordered),
        median(ordered),
        quantile(ordered, 0.10),
        quantile(ordered, 0.90),
        quantile(ordered, 0.99),
        ordered[-1],
    )


def quantile(ordered: Sequence[float], part: float) -> float:
    """The value below which this part of the ordered samples lies, between neighbours in proportion."""
    place = (len(ordered) - 1) * part
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def ratio(ours: Sequence[float], theirs: Sequence[float], *, in_turns: bool) -> float | None:
    """
    How many times theirs ours is; None where theirs is nothing, as the memory of something small may be.

    Of samples taken in turns each is compared with its neighbour in time, so that what else the machine did then
    cancels out; else the medians are compared.
    """
    if in_turns and len(ours) == len(theirs):
        each = [one / other for one, other in zip(ours, theirs, strict=True) if other]
        return median(each) if each else None
    return median(ours) / median(theirs) if median(theirs) else None


class Samples(defaultdict[str, list[float]]):
    """Lists of samples by what was measured, in the order in which they were first taken."""

    def __init__(self) -> None:
        super().__init__(list)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Take the seconds that the block lasts."""
        started = time.perf_counter()
        yield
        self[what].append(time.perf_counter() - started)
