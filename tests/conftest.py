"""Fixtures that every folder of tests uses."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import pytest

from seaway.server.wiring import Seaway
from tests.support import house, state
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.kept import dump, secrets_in, secrets_of_log
from tests.support.server import Server, serving

_numbers = count(1)

# Each of hundreds of processes that tests start would compile everything that it imports, in seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--state", choices=state.NAMES, default=state.SQLITE_DISK, help="Where houses keep their state.")


@pytest.fixture(scope="session", autouse=True)
def usual_state(request: pytest.FixtureRequest) -> Iterator[None]:
    """Houses keep their state where the option says, unless a test says otherwise."""
    with state.choose(request.config.getoption("--state")):
        yield


@pytest.fixture
def on_both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """
    For a main story: it runs on each of the states, whatever the option says.

    PostgreSQL and S3 are left to the slow tests, unless the test is marked `both_states`.
    """
    with state.choose(request.param):
        yield request.param
        state.forget(tmp_path)


# What keeps no state in houses, or chooses the state for itself.
_STATELESS = ("tests/bench/", "tests/conda/", "tests/contracts/", "tests/docs/", "tests/crash/test_faults.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On the other state, leave out what runs the same on both and was run already."""
    if config.getoption("--state") == state.SQLITE_DISK:
        return
    done = [item for item in items if _same_on_both(item)]
    config.hook.pytest_deselected(items=done)
    items[:] = [item for item in items if item not in done]


def _same_on_both(item: pytest.Item) -> bool:
    chosen = "on_both" in item.fixturenames or item.get_closest_marker("on_disk")  # type: ignore[attr-defined]
    return bool(chosen) or item.nodeid.startswith(_STATELESS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "on_both" in metafunc.fixturenames:
        usual = metafunc.definition.get_closest_marker("both_states")
        other = pytest.param(state.POSTGRES_S3, marks=() if usual else pytest.mark.slow)
        metafunc.parametrize("on_both", [state.SQLITE_DISK, other], indirect=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def seaway(tmp_path: Path, clock: TurnedClock) -> Iterator[Seaway]:
    """A house in this process, on a clock that stands still."""
    built = house.build(tmp_path, clock)
    yield built
    built.close()


@pytest.fixture
def people(seaway: Seaway) -> People:
    return People(seaway)


@dataclass(frozen=True)
class Site:
    """A running server that many tests share, and its store opened beside it; every test takes names of its own."""

    server: Server
    people: People

    def new_name(self, prefix: str = "channel") -> str:
        return f"{prefix}-{next(_numbers)}"

    def new_channel(self, *, public: bool = True, owner: str | None = None) -> str:
        return self.people.channel(
            self.new_name(), owner=owner or self.people.user(self.new_name("owner")), public=public
        )

    def client(self, key: str | None = None) -> httpx.Client:
        return self.server.client(key)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with serving(folder, examiners=2, downloads="direct") as server:  # redirects have tests of their own
        beside = house.build(folder)
        yield Site(server, People(beside))
        # Case 35: whatever the tests of a whole run sent it, no secret of any kind is in what it wrote, but for the link
        # of the first account, which is for whoever reads the log.
        assert [] == [line for line in server.log if "/first-account/swy-ln-" not in line and secrets_of_log(line)]
        assert [] == secrets_in(dump(beside))
        beside.close()
