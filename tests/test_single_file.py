"""A single test file runs without worker processes, and imports Seaway only if needed."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import pytest_xdist_auto_num_workers

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("arguments", "workers"),
    [
        (["tests/conda/test_filename.py"], 0),
        (["tests/a.py::test_one", "tests/a.py::test_two"], 0),
        (["tests"], None),
        (["tests/http"], None),
        (["tests/a.py", "tests/b.py"], None),
    ],
)
def test_single_file_runs_without_workers(arguments: list[str], workers: int | None) -> None:
    """0 means no workers; None lets xdist choose the number."""
    assert workers == pytest_xdist_auto_num_workers(SimpleNamespace(args=arguments))  # type: ignore[arg-type]


def test_shared_fixtures_do_not_import_the_server() -> None:
    """Importing the server takes longer than the tests of most files."""
    code = "import sys, tests.conftest; print('seaway.server.wiring' in sys.modules, 'httpx' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "False False\n" == result.stdout
