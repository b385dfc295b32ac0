"""A single test file runs without worker processes, and without loading Seaway unless it needs it."""

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
def test_a_single_file_needs_no_workers(arguments: list[str], workers: int | None) -> None:
    """0 is no worker; None leaves the number to xdist."""
    assert workers == pytest_xdist_auto_num_workers(SimpleNamespace(args=arguments))  # type: ignore[arg-type]


def test_the_fixtures_of_all_tests_load_no_server() -> None:
    """Importing it takes longer than the tests of most files."""
    code = "import sys, tests.conftest; print('seaway.server.wiring' in sys.modules, 'httpx' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "False False\n" == ran.stdout
