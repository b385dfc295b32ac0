"""A house that is copied, and empty ones to copy it into."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seaway.backup.repository import BackupRepository
from seaway.server.wiring import Seaway
from tests.backup.sites import furnish, open_house, served
from tests.support import state
from tests.support.clock import ManualClock
from tests.support.state import folder_store


@dataclass(frozen=True)
class Source:
    """A house with one of everything, and a key of it that reads the private channel."""

    folder: Path
    key: str


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Not to be changed."""
    folder = tmp_path_factory.mktemp("moving")
    seaway = open_house(folder)
    key = furnish(seaway)
    seaway.close()
    return Source(folder, key)


@pytest.fixture(scope="session")
def served_there(furnished: Source) -> dict[str, bytes]:
    """What the readers of the furnished house get."""
    seaway = open_house(furnished.folder)
    found = served(seaway, furnished.key)
    seaway.close()
    return found


@pytest.fixture
def source(furnished: Source, tmp_path: Path, clock: ManualClock) -> Iterator[Seaway]:
    """A copy of the furnished house."""
    state.copy(furnished.folder, tmp_path / "source")
    seaway = open_house(tmp_path / "source", clock)
    yield seaway
    seaway.close()


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an empty house, to be copied, since that takes less time than to make one."""
    folder = tmp_path_factory.mktemp("untouched")
    open_house(folder).close()
    return folder


@pytest.fixture
def new_house(tmp_path: Path, untouched: Path) -> Iterator[Callable[..., Seaway]]:
    """Makes empty houses, of the usual state or of another."""
    made: list[Seaway] = []

    def make(kind: str | None = None) -> Seaway:
        folder = tmp_path / f"house {len(made)}"
        if kind in (None, state.chosen_state()):
            state.copy(untouched, folder)
            made.append(open_house(folder))
        else:
            with state.choose(kind):
                made.append(open_house(folder))
        return made[-1]

    yield make
    for seaway in made:
        seaway.close()
    state.forget(tmp_path)


@pytest.fixture
def empty(new_house: Callable[..., Seaway]) -> Seaway:
    return new_house()


@pytest.fixture
def shelf(tmp_path: Path) -> BackupRepository:
    """A folder for backups."""
    return BackupRepository(folder_store(tmp_path / "shelf"), folder_store(tmp_path / "shelf" / "backups"), "the shelf")
