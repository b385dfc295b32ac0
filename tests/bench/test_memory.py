"""The memory of a worker stops growing under mixed load, within the bound that docs/operate/scaling.md states."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # 40 seconds on two cores without other work

ROOT = Path(__file__).parents[2]

_BOUND_MIB = 155  # above an idle worker; larger caches, and a heap for each thread, exceeded it
_MAX_GROWTH_MIB = 25
_FILES = 320  # twice the number that fills the caches of package files and path lists, 32 MiB each
_REQUESTS = 500  # in each of two rounds


def test_memory_of_a_worker_is_bounded(tmp_path: Path) -> None:
    """With full caches, a second round of as many requests adds little, and the total is bounded."""
    results = tmp_path / "memory.json"
    options = ["--sizes", "1000", "--rounds", "2", "--count", str(_REQUESTS), "--fill", str(_FILES), "--workers", "1"]
    command = [sys.executable, "-m", "bench", "memory", *options, "--folder", str(tmp_path), "--json", str(results)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = {row["what"]: row["summary"] for row in json.loads(results.read_text())["rows"]}
    growth_mib = rows["largest worker, after each round"]["maximum"] - rows["idle worker"]["median"]
    assert growth_mib < _BOUND_MIB
    assert rows["growth in the second half"]["median"] < _MAX_GROWTH_MIB
