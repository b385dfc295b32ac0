"""A server that examines packages in this process, so that no test waits for examiner processes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seaway.server.wiring import Seaway
from tests.indexing.channel import Channel, fill_with_all_states, with_in_process_examiners
from tests.support import sites, state
from tests.support.clock import ManualClock
from tests.support.sites import Factory


@pytest.fixture
def seaway(seaway: Seaway) -> Seaway:
    return with_in_process_examiners(seaway)


@pytest.fixture
def channel(seaway: Seaway) -> Channel:
    return Channel(seaway, Factory(seaway).channel("demo"))


@pytest.fixture
def channel_with(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., Channel]]:
    """Return a function that creates a channel on a server with other settings."""
    built: list[Seaway] = []

    def make(**settings: Any) -> Channel:
        built.append(sites.build(tmp_path / str(len(built)), clock, **settings))
        seaway = with_in_process_examiners(built[-1])
        return Channel(seaway, Factory(seaway).channel("demo"))

    yield make
    for seaway in built:
        seaway.close()


@pytest.fixture(scope="session")
def filled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of a server whose channel has files in all states; copied for each test that damages it."""
    folder = tmp_path_factory.mktemp("filled")
    built = sites.build(folder, ManualClock())
    fill_with_all_states(Channel(with_in_process_examiners(built), Factory(built).channel("demo")))
    built.close()
    return folder


@pytest.fixture
def filled(filled_folder: Path, tmp_path: Path) -> Iterator[Channel]:
    """A channel with listed, yanked and deleted files, v3 and legacy records, a replaced shard and all documents."""
    state.copy(filled_folder, tmp_path / "filled")
    built = sites.build(tmp_path / "filled", ManualClock())
    yield Channel(with_in_process_examiners(built), "demo")
    built.close()
