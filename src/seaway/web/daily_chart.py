"""
Charts of numbers per day, drawn on the server as SVG for browsers without scripts and for print.

Where scripts run, uPlot draws the same numbers from the table below the chart (`ui/src/chart.js`).

Rows and titles of days are written here, not in the template, which takes 40 ms for a year. They contain only dates and
numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from seaway.clock import format_day
from seaway.packages.client_families import ClientFamily
from seaway.packages.download_history import MAX_SERIES, DownloadHistory
from seaway.packages.downloads import Split
from seaway.packages.storage_usage import StorageSample
from seaway.web import formats

WIDTH, HEIGHT = 600, 120
_BAR = 0.76  # of the width of a day
_REST = MAX_SERIES  # color of everything that is not in a series of its own

CLIENT_NAMES = {
    ClientFamily.RATTLER.value: "pixi and rattler",
    ClientFamily.CONDA.value: "conda",
    ClientFamily.MAMBA.value: "mamba and micromamba",
    ClientFamily.BROWSER.value: "Browsers",
    ClientFamily.OTHER.value: "Mirrors and other",
}
# A family has the same color on every page and in every period.
_COLOR_OF_CLIENT = {name: color for color, name in enumerate(CLIENT_NAMES)} | {ClientFamily.OTHER.value: _REST}


@dataclass(frozen=True, slots=True)
class Band:
    """One color of a chart: the outline of its bars or of its area, and its entry in the legend."""

    name: str
    color: int  # 0 to 5, or 6 for the rest
    total: int
    path: str


@dataclass(frozen=True, slots=True)
class Day:
    """A row of the table: a day, its total, and the number of each band."""

    day: str
    total: int
    counts: tuple[int, ...]
    x: float  # position in the drawing


@dataclass(frozen=True, slots=True)
class DownloadChart:
    """Stacked bars of downloads. Days without downloads have no row."""

    days: int
    first: str
    last: str
    split: Split | None
    bands: tuple[Band, ...]
    rows: tuple[Day, ...]  # oldest first
    highest: int
    total: int
    day_width: float

    @property
    def titles(self) -> Markup:
        """Return a title for each day of the drawing."""
        return _titles(((row.x, row.day, f"{row.total:,}") for row in self.rows), self.day_width)

    @property
    def table_rows(self) -> Markup:
        """Return the rows of the table, newest first; without a split, each has only its total."""
        return _table_rows(
            (row.day, row.counts, [f"{count:,}" for count in (row.total, *(row.counts if self.split else ()))])
            for row in reversed(self.rows)
        )


@dataclass(frozen=True, slots=True)
class StorageRow:
    """The size of a channel on a day."""

    day: str
    sample: StorageSample
    x: float


@dataclass(frozen=True, slots=True)
class StorageChart:
    """The size of a channel over time, as an area and its upper edge."""

    days: int
    first: str
    last: str
    area: str
    edge: str
    rows: tuple[StorageRow, ...]  # oldest first
    highest: int
    day_width: float

    @property
    def titles(self) -> Markup:
        """Return a title for each day of the drawing."""
        return _titles(((row.x, row.day, formats.size(row.sample.size)) for row in self.rows), self.day_width)

    @property
    def table_rows(self) -> Markup:
        """Return the rows of the table, newest first."""
        return _table_rows(
            (
                row.day,
                (row.sample.size,),
                [formats.size(row.sample.size), f"{row.sample.files:,}", f"{row.sample.packages:,}"],
            )
            for row in reversed(self.rows)
        )


def draw_downloads(history: DownloadHistory) -> DownloadChart:
    """Draw downloads by day, each bar split into the series of the history and the rest."""
    first = history.today - history.days + 1
    step = WIDTH / history.days
    highest = max(history.by_day.values(), default=0)
    series = _series(history)
    below: dict[int, int] = dict.fromkeys(history.by_day, 0)
    bands = []
    for name, color, counts in series:
        bars = []
        for day, count in sorted(counts.items()):
            lower, upper = _y(below[day], highest), _y(below[day] + count, highest)
            below[day] += count
            x = (day - first) * step + step * (1 - _BAR) / 2
            bars.append(f"M{x:.1f} {lower:.1f}V{min(upper, lower - 0.8):.1f}h{step * _BAR:.1f}V{lower:.1f}z")
        bands.append(Band(name, color, sum(counts.values()), "".join(bars)))
    rows = [
        Day(
            format_day(day),
            total,
            tuple(counts.get(day, 0) for _, _, counts in series),
            round((day - first) * step, 1),
        )
        for day, total in sorted(history.by_day.items())
    ]
    return DownloadChart(
        days=history.days,
        first=format_day(first),
        last=format_day(history.today),
        split=history.split,
        bands=tuple(bands),
        rows=tuple(rows),
        highest=highest,
        total=history.total,
        day_width=round(step, 2),
    )


def draw_storage(samples: Sequence[StorageSample], today: int, days: int) -> StorageChart:
    """Draw the size of a channel over the last days; between two samples it is the earlier one."""
    first = today - days + 1
    step = WIDTH / days
    highest = max((one.size for one in samples), default=0)
    points = [(round((one.day - first + 0.5) * step, 1), round(_y(one.size, highest), 1)) for one in samples]
    edge = "".join(f"{'H' if index else 'M'}{x}{'V' if index else ' '}{y}" for index, (x, y) in enumerate(points))
    area = f"{edge}V{HEIGHT}H{points[0][0]}z" if points else ""
    rows = tuple(StorageRow(format_day(one.day), one, round((one.day - first) * step, 1)) for one in samples)
    return StorageChart(days, format_day(first), format_day(today), area, edge, rows, highest, day_width=round(step, 2))


def _series(history: DownloadHistory) -> list[tuple[str, int, Mapping[int, int]]]:
    """Return the name, the color and the counts of each band, lowest first."""
    if history.split is None:
        return [("Downloads", 0, history.by_day)] if history.by_day else []
    names = CLIENT_NAMES if history.split is Split.CLIENT else {}
    colors = _COLOR_OF_CLIENT if history.split is Split.CLIENT else {}
    found = [
        (names.get(one.name, one.name), colors.get(one.name, index), one.by_day)
        for index, one in enumerate(history.series)
    ]
    rest = {day: total - sum(one.by_day.get(day, 0) for one in history.series) for day, total in history.by_day.items()}
    rest = {day: count for day, count in rest.items() if count > 0}
    return [*found, ("Other", _REST, rest)] if rest else found


def _titles(days: Iterable[tuple[float, str, str]], width: float) -> Markup:
    """Return an invisible rectangle with a title for each day: its position, date and number."""
    rects = [
        f'<rect x="{x}" y="0" width="{width}" height="{HEIGHT}"><title>{day}: {text}</title></rect>'
        for x, day, text in days
    ]
    return Markup("".join(rects))  # noqa: S704


def _table_rows(days: Iterable[tuple[str, Sequence[int], Sequence[str]]]) -> Markup:
    """Return a row of a table for each day: its date, the values for the script, and its cells."""
    rows = []
    for day, values, cells in days:
        numbers = "".join([f'<td class="number">{cell}</td>' for cell in cells])
        exact = " ".join(map(str, values))
        rows.append(f'<tr data-day="{day}" data-values="{exact}"><td class="nobreak">{day}</td>{numbers}</tr>')
    return Markup("".join(rows))  # noqa: S704


def _y(value: float, highest: int) -> float:
    """Return the position of a value; the highest one is at the upper edge, and 0 at the lower one."""
    return HEIGHT - HEIGHT * value / max(highest, 1)
