"""Every measurement of bench/ runs, on sizes that say nothing, and writes what it found."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# Two lots run side by side, each in one process, since most of the time goes into loading modules.
LOTS = (
    {
        "load": ["--sizes", "40", "--count", "40", "--clients", "4", "--workers", "2"],
        "visible": ["--sizes", "40"],
        "fairness": ["--count", "4", "--members", "2000"],
        "channels": ["--sizes", "400"],
        "choices": ["--sizes", "20"],
    },
    {
        "uploads": ["--sizes", "0,40", "--count", "8"],
        "documents": ["--sizes", "40", "--quiet", "0.3"],
        "import": ["--sizes", "10"],
        "reads": ["--sizes", "60,20", "--seconds", "0.1", "--megabytes", "1"],
        "large": ["--megabytes", "2"],
        "pages": ["--sizes", "40", "--rounds", "1"],
        "memory": ["--sizes", "40", "--count", "96", "--fill", "1"],
    },
)
RUN = "import json, sys; from bench.__main__ import main; sys.exit(max(map(main, json.load(sys.stdin))))"


@dataclass(frozen=True)
class Ran:
    """What the runs left."""

    results: Path
    work: Path
    output: str

    def of(self, command: str) -> Any:
        return json.loads((self.results / f"{command}.json").read_text())


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    results, work, bytecode = (tmp_path_factory.mktemp(name) for name in ("results", "work", "bytecode"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)  # a dozen processes load what the first one has compiled
    processes = [started(lot, results, work, environment) for lot in LOTS]
    try:
        outputs = [process.communicate(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()
    failed = [errors for process, (_, errors) in zip(processes, outputs, strict=True) if process.returncode]
    assert not failed, "\n".join(failed)
    return Ran(results, work, "".join(output for output, _ in outputs))


def started(lot: dict[str, list[str]], results: Path, work: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    shared = ["--rounds", "1", "--set", "examiners=1", "--folder", str(work)]
    orders = [[command, *own, *shared, "--json", str(results / f"{command}.json")] for command, own in lot.items()]
    process = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(orders))
    process.stdin.close()
    process.stdin = None
    return process


@pytest.mark.parametrize("command", [command for lot in LOTS for command in lot])
def test_a_command_shows_and_writes_its_results(command: str, ran: Ran) -> None:
    """Each has rows with a median, on standard output and as JSON."""
    found = ran.of(command)

    assert found["bench"] == command
    assert found["rows"]
    assert all(row["summary"]["median"] >= 0 for row in found["rows"])
    assert f"bench {command}: " in ran.output
    assert found["rows"][0]["what"] in ran.output


def test_made_channels_are_what_uploads_would_make(ran: Ran) -> None:
    """A made channel has the index that its file rows make."""
    assert ran.of("channels")["notes"][0].endswith("differences: none.")


def test_nothing_stays_behind(ran: Ran) -> None:
    """What was made to be measured is removed."""
    assert [] == list(ran.work.iterdir())
