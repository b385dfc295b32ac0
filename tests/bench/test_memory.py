"""A worker's memory stops growing under mixed load, within the bound that docs/operate/scaling.md states."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # 40 seconds on two cores without other work

ROOT = Path(__file__).parents[2]

_BOUND_MIB = 155  # above an idle worker; with larger caches and heaps for each thread it was more
_LATER_MIB = 25
_FILES = 320  # twice what fills the caches of package files and of lists of paths, 32 MiB each
_REQUESTS = 500  # in each of two rounds


def test_a_worker_stops_growing(tmp_path: Path) -> None:
    """With full caches a second round of as many requests adds nothing, and all that is held is bounded."""
    results = tmp_path / "memory.json"
    amount = ["--sizes", "1000", "--rounds", "2", "--count", str(_REQUESTS), "--fill", str(_FILES), "--workers", "1"]
    command = [sys.executable, "-m", "bench", "memory", *amount, "--folder", str(tmp_path), "--json", str(results)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = {row["what"]: row["summary"] for row in json.loads(results.read_text())["rows"]}
    held = rows["largest worker, after each round"]["most"] - rows["idle worker"]["median"]
    assert held < _BOUND_MIB
    assert rows["growth in the second half"]["median"] < _LATER_MIB
