"""
Bar chart of counts per day, drawn on the server as SVG for browsers without scripts and for print.

Where scripts run, uPlot draws the same numbers from the table below the chart (`ui/src/chart.js`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

_EPOCH = date(1970, 1, 1)
WIDTH, HEIGHT = 600, 120
RANGES = (30, 90, 365)  # days


@dataclass(frozen=True, slots=True)
class Bar:
    """One day: the position of its bar, and its row in the table."""

    day: str
    count: int
    x: float
    width: float
    height: float

    @property
    def y(self) -> float:
        """Upper edge."""
        return HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars and their numbers."""

    days: int
    bars: tuple[Bar, ...]
    highest: int
    total: int


def draw(counts: Sequence[tuple[int, int]], today: int, days: int) -> Chart:
    """
    Draw the last `days` days, including today.

    `today` and the first number of each pair in `counts` are days since 1970; days that are missing count as 0.
    """
    by_day = dict(counts)
    most = max([*by_day.values(), 1])
    step = WIDTH / days
    bars = []
    for index, day in enumerate(range(today - days + 1, today + 1)):
        count = by_day.get(day, 0)
        height = max(2.0, round(HEIGHT * count / most, 1)) if count else 0.0
        label = (_EPOCH + timedelta(day)).isoformat()
        bars.append(Bar(label, count, round(index * step + step * 0.12, 1), round(step * 0.76, 1), height))
    return Chart(days, tuple(bars), max(by_day.values(), default=0), sum(by_day.values()))
