"""A sample site, and empty sites to copy it to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seaway.backup.repository import BackupRepository
from seaway.server.wiring import Seaway
from tests.backup.helpers import add_sample_data, open_site, responses
from tests.support import state
from tests.support.clock import ManualClock
from tests.support.state import folder_store


@dataclass(frozen=True)
class SampleSite:
    """Folder of a site with data of every kind, and an API key that can read its private channel."""

    folder: Path
    key: str


@pytest.fixture(scope="session")
def sample_site(tmp_path_factory: pytest.TempPathFactory) -> SampleSite:
    """Build the sample site once; tests must not change it."""
    folder = tmp_path_factory.mktemp("sample")
    seaway = open_site(folder)
    key = add_sample_data(seaway)
    seaway.close()
    return SampleSite(folder, key)


@pytest.fixture(scope="session")
def sample_responses(sample_site: SampleSite) -> dict[str, bytes]:
    """Response bodies of the sample site, by path."""
    seaway = open_site(sample_site.folder)
    bodies = responses(seaway, sample_site.key)
    seaway.close()
    return bodies


@pytest.fixture
def source(sample_site: SampleSite, tmp_path: Path, clock: ManualClock) -> Iterator[Seaway]:
    """A copy of the sample site."""
    state.copy(sample_site.folder, tmp_path / "source")
    seaway = open_site(tmp_path / "source", clock)
    yield seaway
    seaway.close()


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an empty site; copying it is faster than building a new site."""
    folder = tmp_path_factory.mktemp("empty")
    open_site(folder).close()
    return folder


@pytest.fixture
def new_site(tmp_path: Path, empty_folder: Path) -> Iterator[Callable[..., Seaway]]:
    """Create an empty site with the chosen kind of state, or with another kind."""
    made: list[Seaway] = []

    def make(kind: str | None = None) -> Seaway:
        folder = tmp_path / f"site {len(made)}"
        if kind in (None, state.chosen_state()):
            state.copy(empty_folder, folder)
            made.append(open_site(folder))
        else:
            with state.choose(kind):
                made.append(open_site(folder))
        return made[-1]

    yield make
    for seaway in made:
        seaway.close()
    state.forget(tmp_path)


@pytest.fixture
def empty(new_site: Callable[..., Seaway]) -> Seaway:
    return new_site()


@pytest.fixture
def repository(tmp_path: Path) -> BackupRepository:
    """A backup repository in a folder."""
    folder = tmp_path / "repository"
    return BackupRepository(folder_store(folder), folder_store(folder / "backups"), "the repository")
