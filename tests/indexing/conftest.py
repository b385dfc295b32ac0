"""A house that examines packages in this process: the index does not know the difference, and no test waits for a start."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seaway.server.wiring import Seaway
from tests.indexing.channel import Channel, examining_here, fill_with_everything
from tests.support import house, state
from tests.support.clock import TurnedClock
from tests.support.house import People


@pytest.fixture
def seaway(seaway: Seaway) -> Seaway:
    return examining_here(seaway)


@pytest.fixture
def channel(seaway: Seaway) -> Channel:
    return Channel(seaway, People(seaway).channel("demo"))


@pytest.fixture
def channel_with(tmp_path: Path, clock: TurnedClock) -> Iterator[Callable[..., Channel]]:
    """Makes a channel of a house with other settings."""
    built: list[Seaway] = []

    def make(**settings: Any) -> Channel:
        built.append(house.build(tmp_path / str(len(built)), clock, **settings))
        seaway = examining_here(built[-1])
        return Channel(seaway, People(seaway).channel("demo"))

    yield make
    for seaway in built:
        seaway.close()


@pytest.fixture(scope="session")
def filled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a house whose channel has some of everything; copied for each test that damages it."""
    folder = tmp_path_factory.mktemp("filled")
    built = house.build(folder, TurnedClock())
    fill_with_everything(Channel(examining_here(built), People(built).channel("demo")))
    built.close()
    return folder


@pytest.fixture
def filled(filled_folder: Path, tmp_path: Path) -> Iterator[Channel]:
    """A channel with listed, yanked and deleted files, v3 and legacy, a replaced shard and all documents."""
    state.copy(filled_folder, tmp_path / "filled")
    built = house.build(tmp_path / "filled", TurnedClock())
    yield Channel(examining_here(built), "demo")
    built.close()
