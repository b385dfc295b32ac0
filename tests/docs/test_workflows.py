"""The GitHub Actions workflows, which cannot run in a test: their structure, and that their commands exist."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").iterdir()}
STEPS = [
    (f"{name}: {job_name}", step)
    for name, workflow in WORKFLOWS.items()
    for job_name, job in workflow["jobs"].items()
    for step in job["steps"]
]
ON_EVERY_RUNNER = {"gh", "uv"}  # uv comes from setup-uv


def test_both_workflows_exist() -> None:
    assert {"ci.yml", "release.yml"} == set(WORKFLOWS)


@pytest.mark.parametrize("command", sorted({step["run"] for _, step in STEPS if "run" in step}))
def test_every_command_exists(command: str) -> None:
    """Each `run:` starts an executable script of the repository or a known program."""
    words = shlex.split(command)
    if words[:2] == ["uv", "run"]:
        assert (Path(sys.executable).parent / words[2]).exists()
    elif "/" in words[0]:
        assert (ROOT / words[0]).stat().st_mode & 0o111
    else:
        assert words[0] in ON_EVERY_RUNNER


@pytest.mark.parametrize(("job", "step"), [(job, step) for job, step in STEPS if "uses" in step])
def test_actions_are_pinned_by_version(job: str, step: dict[str, Any]) -> None:
    """A branch could change at any time."""
    name, version = step["uses"].split("@")
    assert name.count("/") == 1, job
    assert version.startswith("v"), job
    assert version[1:].replace(".", "").isdigit(), job


def test_jobs_have_minimal_permissions() -> None:
    """Only the publishing job can get an identity token, and only the release job can write."""
    granted = {
        job_name: job.get("permissions", workflow["permissions"])
        for workflow in WORKFLOWS.values()
        for job_name, job in workflow["jobs"].items()
    }
    read = {"contents": "read"}
    assert {
        "checks": read,
        "tests": read,
        "wheel": read,
        "build": read,
        "publish": {"id-token": "write"},
        "github-release": {"contents": "write"},
    } == granted
    assert "pypi" == WORKFLOWS["release.yml"]["jobs"]["publish"]["environment"]


def test_supported_python_versions_are_tested() -> None:
    """The matrix begins with the oldest version that pyproject.toml allows."""
    versions = WORKFLOWS["ci.yml"]["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert ["3.11", "3.12", "3.13", "3.14"] == versions
    assert f'requires-python = ">={versions[0]}"' in (ROOT / "pyproject.toml").read_text()


def release_notes(folder: Path, tag: str) -> subprocess.CompletedProcess[str]:
    (folder / ".ci").mkdir(exist_ok=True)
    script = folder / ".ci" / "release-notes"
    script.write_bytes((ROOT / ".ci" / "release-notes").read_bytes())
    return subprocess.run(["bash", script, tag], capture_output=True, text=True, check=False)


def test_release_notes_are_the_section_of_the_changelog(tmp_path: Path) -> None:
    """Only a tag of the declared version with a dated section has release notes."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n')
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## 0.2.0 (unreleased)\n\n- New.\n\n## 0.1.0 (2026-12-01)\n\n- Old.\n")
    assert 1 == release_notes(tmp_path, "v0.2.0").returncode

    changelog.write_text(changelog.read_text().replace("unreleased", "2026-12-24"))
    assert "\n- New.\n\n" == release_notes(tmp_path, "v0.2.0").stdout
    assert 1 == release_notes(tmp_path, "v0.1.0").returncode


def test_newest_changelog_section_is_the_declared_version() -> None:
    version = next(
        line.split('"')[1]
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if line.startswith('version = "')
    )
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0].split()[1] == version


def test_pre_commit_hooks_run_the_checks_of_ci() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    checks = {
        step["run"].removesuffix(" .") for step in WORKFLOWS["ci.yml"]["jobs"]["checks"]["steps"] if "run" in step
    }
    assert {hook["entry"] for hook in hooks} == checks - {"uv sync"}
