"""Samples and their statistics: medians, spreads, and ratios of interleaved measurements."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of the samples of one measurement."""

    count: int
    median: float
    p10: float
    p90: float
    p99: float
    maximum: float


def summarize(samples: Sequence[float]) -> Summary:
    """Summarize at least one sample."""
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
    """Return a quantile of ordered samples, with linear interpolation; `part` is from 0 to 1."""
    position = (len(ordered) - 1) * part
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def ratio(ours: Sequence[float], theirs: Sequence[float], *, in_turns: bool) -> float | None:
    """
    Return the ratio of ours to theirs; None if theirs is zero, which memory growth can be.

    Samples taken alternately are compared pairwise, so that other load of the machine cancels out; otherwise the
    medians are compared.
    """
    if in_turns and len(ours) == len(theirs):
        each = [one / other for one, other in zip(ours, theirs, strict=True) if other]
        return median(each) if each else None
    return median(ours) / median(theirs) if median(theirs) else None


class Samples(defaultdict[str, list[float]]):
    """Lists of samples by name of the measurement, in the order of their first sample."""

    def __init__(self) -> None:
        super().__init__(list)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the duration of the block in seconds."""
        started = time.perf_counter()
        yield
        self[what].append(time.perf_counter() - started)
