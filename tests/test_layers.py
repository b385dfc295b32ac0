"""Imports follow the layers declared in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_imports_follow_the_declared_layers() -> None:
    """All contracts of import-linter hold."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout


def test_no_tracked_file_contains_a_registry_url() -> None:
    """A lock file would contain the URL of the package registry of the machine that wrote it."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    texts = [ROOT / name for name in tracked if Path(name).suffix in (".toml", ".txt", ".cfg", ".json")]

    assert "uv.lock" not in tracked
    assert [str(path) for path in texts if "/simple/" in path.read_text(errors="replace")] == []
