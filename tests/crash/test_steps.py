"""
A process killed with SIGKILL before every single step of every change, on both states.

After each kill every promise holds, readers see the state before or after the change, the spool is empty, and the
change can be made again.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from seaway.attestations.sidecars import FIELD
from seaway.errors import BadCredential, FileExists, NotFound
from seaway.maintenance.check import check
from seaway.server.wiring import Seaway
from tests.crash.stepper import CHANGES, CHANNEL, prepare
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import sites, state
from tests.support.sites import Factory

EVERY_STEP = 1
_AFTER_A_KILL = -9
_SOME = 16


@dataclass
class Stepper:
    """The program that makes changes in its forks."""

    process: subprocess.Popen[str]

    def run(self, folder: Path, change: str, kill_at: int | None = None) -> list[str]:
        """
        Return the steps of the change; none if it was killed.

        A change can end before the step to kill at: not every run takes equally many, for example to create folders.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        task = {"folder": str(folder), "settings": state.settings(folder), "change": change, "kill_at": kill_at}
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line.startswith("["):
            assert (True, _AFTER_A_KILL) == (kill_at is not None, int(line))
            return []
        steps: list[str] = json.loads(line)
        assert kill_at is None or kill_at >= len(steps)
        assert "0" == self.process.stdout.readline().strip()
        return steps


@pytest.fixture(scope="module")
def stepper() -> Iterator[Stepper]:
    command = [sys.executable, "-m", "tests.crash.stepper"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        yield Stepper(process)
        assert process.stdin is not None
        process.stdin.close()


@cache
def before(name: str, folder: Path) -> Path:
    """Create the folder of a site before any change, on this state; it is copied for each change."""
    assert name == state.chosen_state()
    with closing(sites.build(folder / "before")) as seaway:
        Factory(seaway).channel(CHANNEL)
        prepare(seaway)
    return folder / "before"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tmp_path_factory.mktemp(name) for name in state.NAMES}


@pytest.fixture
def source(on_both: str, sources: dict[str, Path]) -> Path:
    return before(on_both, sources[on_both])


def visible_state(seaway: Seaway) -> Any:
    """Return the file names and hashes that readers see; all documents must agree."""
    channel = Channel(seaway, CHANNEL)
    return [_of_subdir(channel, subdir) for subdir in ("noarch", "linux-64")]


def _of_subdir(channel: Channel, subdir: str) -> Any:
    try:
        repodata = channel.repodata(subdir)
        shards = [channel.shard(digest, subdir) for digest in channel.shard_index(subdir)["shards"].values()]
    except BadCredential:  # the response for every name that is not a public channel
        return "no channel"
    whole = {name: (record["sha256"], record.get(FIELD)) for name, record in repodata["packages.conda"].items()}
    sharded = {
        name: (record["sha256"].hex(), record.get(FIELD))
        for shard in shards
        for name, record in shard["packages.conda"].items()
    }
    assert whole == sharded
    for name, (_, attested) in whole.items():
        if attested is not None:
            assert attested == hashlib.sha256(channel.read(subdir, f"{name}.sigs")).hexdigest()
    removed = sorted(name for shard in shards for name in shard.get("removed", []))
    assert removed == sorted(repodata.get("removed", []))
    for name in [*whole, *removed]:
        channel.read(subdir, name)
    return whole, removed


def opened(folder: Path) -> Seaway:
    return with_in_process_examiners(sites.build(folder))


def read_state(folder: Path) -> Any:
    with closing(opened(folder)) as seaway:
        return visible_state(seaway)


def assert_consistent(folder: Path, change: str, allowed: list[Any]) -> None:
    """Assert consistency after a kill, and that the change can be made again."""
    with closing(opened(folder)) as seaway:
        assert [] == list(check(seaway))
        assert [] == list(seaway.settings.spool_folder.iterdir())
        assert visible_state(seaway) in allowed
        with suppress(FileExists, NotFound):  # the change was complete before the kill
            CHANGES[change](Channel(seaway, CHANNEL))
        assert allowed[-1] == visible_state(seaway)
        assert [] == list(check(seaway))


def kill_before(stepper: Stepper, source: Path, folder: Path, change: str, every: int) -> int:
    """Kill a process before every `every`-th step of a change; return the number of kills."""
    for name in ("untouched", "whole"):  # reading builds documents, so copies are read
        state.copy(source, folder / name)
    steps = stepper.run(folder / "whole", change)
    allowed = [read_state(folder / "untouched"), read_state(folder / "whole")]
    chosen = sorted({*range(0, len(steps), every), len(steps) - 1})
    kills = 0
    for number in chosen:
        case = folder / str(number)
        state.copy(source, case)
        kills += not stepper.run(case, change, number)
        assert_consistent(case, change, allowed)
        state.forget(case)
    return kills


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("change", CHANGES)
def test_a_kill_before_any_step_leaves_one_state_or_the_other(
    stepper: Stepper, source: Path, tmp_path: Path, change: str
) -> None:
    """S1, S4: after a kill at any line the channel is readable and usable."""
    assert kill_before(stepper, source, tmp_path, change, EVERY_STEP) > 3


@pytest.mark.parametrize("change", ["upload", pytest.param("overwrite", marks=pytest.mark.slow), "sweep"])
def test_a_kill_before_some_steps_leaves_one_state_or_the_other(
    stepper: Stepper, source: Path, tmp_path: Path, change: str
) -> None:
    """The same for a few steps of the most critical changes."""
    assert kill_before(stepper, source, tmp_path, change, _SOME) > 1


STEPS = {
    "attested overwrite": [
        "put blob",
        "UPDATE files SET",
        "UPDATE attestations SET",
        "INSERT INTO attestations",
        "COMMIT",
    ],
    "upload": ["put blob", "blob was put", "stat blob", "INSERT INTO files", "INSERT INTO shards", "COMMIT"],
    "overwrite": ["put blob", "UPDATE files SET", "INSERT INTO retired_shards", "UPDATE shards SET", "COMMIT"],
    "refused upload": ["put blob", "delete blob", "COMMIT"],
    "yank": ["INSERT INTO audit", "UPDATE files SET", "UPDATE subdirs SET", "UPDATE shards SET", "COMMIT"],
    "delete": ["INSERT INTO audit", "UPDATE files SET", "UPDATE subdirs SET", "COMMIT"],
    "delete of two files": ["INSERT INTO audit", "UPDATE files SET", "DELETE FROM attestations", "COMMIT"],
    "build": ["put blob", "INSERT INTO documents", "COMMIT", "delete blob", "blob was deleted"],
    "logo": ["put blob", "blob was put", "stat blob", "DELETE FROM logos", "INSERT INTO logos", "COMMIT"],
    "sweep": ["list blobs", "delete blob", "blob was deleted", "DELETE FROM retired_shards", "COMMIT"],
    "first read of the shard index": ["UPDATE subdirs SET", "COMMIT"],
    "job": ["INSERT INTO jobs", "UPDATE jobs SET", "INSERT INTO documents", "DELETE FROM jobs", "COMMIT"],
}


@pytest.mark.slow
@pytest.mark.parametrize("change", STEPS)
def test_the_critical_steps_are_among_the_kills(stepper: Stepper, source: Path, tmp_path: Path, change: str) -> None:
    """The steps are those of the real change, in order: bytes first, then the commit that names them."""
    state.copy(source, tmp_path / "whole")
    steps = iter(stepper.run(tmp_path / "whole", change))
    assert [] == [name for name in STEPS[change] if name not in steps]
