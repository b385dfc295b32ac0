"""Fixtures that every folder of tests uses."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import TurnedClock
from tests.support.state_names import NAMES, POSTGRES_S3, SQLITE_DISK

# Loading Seaway takes longer than most tests of a single file, so the fixtures that need it import it.
if TYPE_CHECKING:
    import httpx

    from seaway.server.wiring import Seaway
    from tests.support.house import People
    from tests.support.server import Server

_numbers = count(1)

# Each of hundreds of processes that tests start would compile everything that it imports, in seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--state", choices=NAMES, default=SQLITE_DISK, help="Where servers keep their state.")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return 0 if only one file is run: `--dist loadfile` runs it in one process, and workers start slowly."""
    files = {argument.partition("::")[0] for argument in config.args}
    return 0 if len(files) == 1 and files.pop().endswith(".py") else None


@pytest.fixture(scope="session", autouse=True)
def usual_state(request: pytest.FixtureRequest) -> Iterator[None]:
    """Servers keep their state where the option says, unless a test says otherwise."""
    option = request.config.getoption("--state")
    if option == SQLITE_DISK:  # the default of `tests.support.state`
        yield
        return
    from tests.support import state

    with state.choose(option):
        yield


@pytest.fixture
def on_both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """
    For a main story: it runs on each of the states, whatever the option says.

    PostgreSQL and S3 are left to the slow tests, unless the test is marked `both_states`.
    """
    from tests.support import state

    with state.choose(request.param):
        yield request.param
        state.forget(tmp_path)


# What keeps no state in houses, or chooses the state for itself.
_STATELESS = ("tests/bench/", "tests/conda/", "tests/contracts/", "tests/docs/", "tests/crash/test_faults.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On the other state, leave out what runs the same on both and was run already."""
    if config.getoption("--state") == SQLITE_DISK:
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
        other = pytest.param(POSTGRES_S3, marks=() if usual else pytest.mark.slow)
        metafunc.parametrize("on_both", [SQLITE_DISK, other], indirect=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def seaway(tmp_path: Path, clock: TurnedClock) -> "Iterator[Seaway]":
    """The parts of a server in this process, on a clock that tests move."""
    from tests.support import house

    built = house.build(tmp_path, clock)
    yield built
    built.close()


@pytest.fixture
def people(seaway: "Seaway") -> "People":
    from tests.support.house import People

    return People(seaway)


@dataclass(frozen=True)
class Site:
    """A running server that many tests share, and its store opened beside it; every test takes names of its own."""

    server: "Server"
    people: "People"

    def new_name(self, prefix: str = "channel") -> str:
        return f"{prefix}-{next(_numbers)}"

    def new_channel(self, *, public: bool = True, owner: str | None = None) -> str:
        return self.people.channel(
            self.new_name(), owner=owner or self.people.user(self.new_name("owner")), public=public
        )

    def client(self, key: str | None = None) -> "httpx.Client":
        return self.server.client(key)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from tests.support import house
    from tests.support.house import People
    from tests.support.kept import dump, secrets_in, secrets_of_log
    from tests.support.server import serving

    folder = tmp_path_factory.mktemp("site")
    with serving(folder, examiners=2, downloads="direct") as server:  # redirects have tests of their own
        beside = house.build(folder)
        yield Site(server, People(beside))
        # Case 35: whatever the tests of a whole run sent it, no secret of any kind is in what it wrote, but for the link
        # of the first account, which is for whoever reads the log.
        assert [] == [line for line in server.log if "/first-account/swy-ln-" not in line and secrets_of_log(line)]
        assert [] == secrets_in(dump(beside))
        beside.close()
