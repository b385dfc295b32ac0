"""Benchmark results as a table and as JSON."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measure import Summary, ratio, summarize

_ROOT = Path(__file__).parents[1]
_HEAD = ("case", "what", "median", "unit", "p10..p90", "p99", "max", "n", "ratio", "to")


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement and its ratio to a baseline."""

    case: str
    what: str
    unit: str
    summary: Summary
    ratio: float | None
    to: str
    with_tail: bool

    @property
    def cells(self) -> tuple[str, ...]:
        summary = self.summary
        tail = (format_number(summary.p99), format_number(summary.maximum)) if self.with_tail else ("", "")
        spread = f"{format_number(summary.p10)}..{format_number(summary.p90)}" if summary.count > 1 else ""
        ratio_text = "" if self.ratio is None else f"{format_number(self.ratio)}x"
        return (
            self.case, self.what, format_number(summary.median), self.unit, spread, *tail, str(summary.count), ratio_text, self.to
        )  # fmt: skip


@dataclass
class Report:
    """Results of one run so far."""

    command: str
    options: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    load_before: tuple[float, float, float] = field(default_factory=os.getloadavg)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def add(
        self,
        case: str,
        what: str,
        samples: Sequence[float],
        unit: str,
        *,
        baseline: Sequence[float] = (),
        baseline_name: str = "",
        with_tail: bool = False,
    ) -> None:
        """
        Add a row; `baseline` has the samples of the case named `baseline_name`, in the same unit.

        A row with a tail has samples of single requests, in any number and order; other rows have one sample per round.
        """
        if samples:
            compared = ratio(samples, baseline, in_turns=not with_tail) if baseline else None
            self.rows.append(
                Row(case, what, unit, summarize(samples), compared, baseline_name if baseline else "", with_tail)
            )

    def add_ms(
        self,
        case: str,
        what: str,
        seconds: Sequence[float],
        *,
        baseline: Sequence[float] = (),
        baseline_name: str = "",
        with_tail: bool = False,
    ) -> None:
        """Add a row of durations, given in seconds and shown in milliseconds."""
        shown, compared = ([value * 1000 for value in each] for each in (seconds, baseline))
        self.add(case, what, shown, "ms", baseline=compared, baseline_name=baseline_name, with_tail=with_tail)

    def note(self, text: str) -> None:
        """Add a sentence below the table."""
        self.notes.append(text)

    def show(self) -> str:
        """Return the table, the notes and the environment as text."""
        lines = [_HEAD, *(row.cells for row in self.rows)]
        used = [number for number in range(len(_HEAD)) if any(line[number] for line in lines[1:])]
        widths = {number: max(len(line[number]) for line in lines) for number in used}
        table = ["  ".join(_padded(line[number], widths[number], number) for number in used).rstrip() for line in lines]
        return "\n".join([self._title(), "", *table, "", *self.notes, self._environment()])

    def write(self, path: Path) -> None:
        """Write the results as JSON."""
        content = {
            "bench": self.command,
            "started": self.started.isoformat(timespec="seconds"),
            "options": self.options,
            "machine": machine(),
            "load": {"before": self.load_before, "after": os.getloadavg()},
            "rows": [asdict(row) for row in self.rows],
            "notes": self.notes,
        }
        path.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")

    def _title(self) -> str:
        options = " ".join(f"{name}={value}" for name, value in self.options.items() if value not in (None, False, []))
        return f"bench {self.command}: {options}"

    def _environment(self) -> str:
        description = machine()
        return (
            f"{self.started:%Y-%m-%d %H:%M} UTC, Seaway {description['seaway']}, Python {description['python']},"
            f" {description['cpus']} CPUs,"
            f" load {self.load_before[0]:.1f} before and {os.getloadavg()[0]:.1f} after."
        )


def machine() -> dict[str, Any]:
    """Return the measured revision and the machine."""
    return {
        "seaway": _revision(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
    }


def progress(text: str) -> None:
    """Print progress to standard error."""
    print(f"  {text}", file=sys.stderr, flush=True)


def format_number(value: float) -> str:
    """Format a number with about three significant digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def _padded(text: str, width: int, number: int) -> str:
    return text.ljust(width) if _HEAD[number] in {"case", "what", "unit", "to"} else text.rjust(width)


def _revision() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"
