"""Every subcommand of bench/ runs with tiny sizes and writes its results."""

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

# Two groups run in parallel, each in one process, because most of the time is spent loading modules.
GROUPS = (
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
class Runs:
    """Results, temporary folder and output of the runs."""

    results: Path
    work: Path
    output: str

    def of(self, command: str) -> Any:
        return json.loads((self.results / f"{command}.json").read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    results, work, bytecode = (tmp_path_factory.mktemp(name) for name in ("results", "work", "bytecode"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)  # a dozen processes share the bytecode of the first one
    processes = [start(group, results, work, environment) for group in GROUPS]
    try:
        outputs = [process.communicate(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.terminate()  # the benchmarks stop their servers
        for process in processes:
            process.wait(60)
    failures = [errors for process, (_, errors) in zip(processes, outputs, strict=True) if process.returncode]
    assert not failures, "\n".join(failures)
    return Runs(results, work, "".join(output for output, _ in outputs))


def start(group: dict[str, list[str]], results: Path, work: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    shared = ["--rounds", "1", "--set", "examiners=1", "--folder", str(work)]
    commands = [
        [command, *options, *shared, "--json", str(results / f"{command}.json")] for command, options in group.items()
    ]
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
    process.stdin.write(json.dumps(commands))
    process.stdin.close()
    process.stdin = None
    return process


@pytest.mark.parametrize("command", [command for group in GROUPS for command in group])
def test_subcommand_prints_and_writes_its_results(command: str, runs: Runs) -> None:
    """The rows with their medians are on standard output and in the JSON."""
    results = runs.of(command)

    assert results["bench"] == command
    assert results["rows"]
    assert all(row["summary"]["median"] >= 0 for row in results["rows"])
    assert f"bench {command}: " in runs.output
    assert results["rows"][0]["what"] in runs.output


def test_generated_channels_are_like_uploaded_ones(runs: Runs) -> None:
    """The index of a generated channel agrees with its file rows."""
    assert runs.of("channels")["notes"][0].endswith("differences: none.")


def test_temporary_data_is_removed(runs: Runs) -> None:
    """The folder of the runs is empty."""
    assert [] == list(runs.work.iterdir())
