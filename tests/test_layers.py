"""The house is built in the order that pyproject.toml declares."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_imports_run_one_way() -> None:
    """Every contract of import-linter is kept."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout


def test_nothing_registers_a_registry_or_a_lock_with_addresses() -> None:
    """No tracked file names the host of a package registry."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    texts = [ROOT / name for name in tracked if Path(name).suffix in (".toml", ".txt", ".cfg", ".json")]

    assert "uv.lock" not in tracked
    assert [str(path) for path in texts if "/simple/" in path.read_text(errors="replace")] == []
