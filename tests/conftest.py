"""Fixtures for all test folders."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import ManualClock
from tests.support.state_names import NAMES, POSTGRES_S3, SQLITE_DISK

# Importing Seaway takes longer than most single test files, so only the fixtures that need it import it.
if TYPE_CHECKING:
    import httpx

    from seaway.server.wiring import Seaway
    from tests.support.server import Server
    from tests.support.sites import Factory

_numbers = count(1)

# Without bytecode files, each of the hundreds of processes that tests start would compile all its imports (seconds).
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--state", choices=NAMES, default=SQLITE_DISK, help="Database and store of the test servers.")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return 0 if only one file is run: `--dist loadfile` runs it in one process, and workers start slowly."""
    files = {argument.partition("::")[0] for argument in config.args}
    return 0 if len(files) == 1 and files.pop().endswith(".py") else None


@pytest.fixture(scope="session", autouse=True)
def usual_state(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use the database and store of the --state option, unless a test chooses others."""
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
    Run a test of a main workflow on each state, whatever the option is.

    PostgreSQL with S3 runs as a slow test, unless the test is marked `both_states`.
    """
    from tests.support import state

    with state.choose(request.param):
        yield request.param
        state.forget(tmp_path)


# Tests that use no server state, or choose the state themselves.
_STATELESS = ("tests/bench/", "tests/conda/", "tests/contracts/", "tests/docs/", "tests/crash/test_faults.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL and S3, deselect tests that run the same on both states."""
    if config.getoption("--state") == SQLITE_DISK:
        return
    skipped = [item for item in items if _same_on_both(item)]
    config.hook.pytest_deselected(items=skipped)
    items[:] = [item for item in items if item not in skipped]


def _same_on_both(item: pytest.Item) -> bool:
    chooses_state = "on_both" in item.fixturenames or item.get_closest_marker("on_disk")  # type: ignore[attr-defined]
    return bool(chooses_state) or item.nodeid.startswith(_STATELESS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "on_both" in metafunc.fixturenames:
        is_fast = metafunc.definition.get_closest_marker("both_states")
        postgres = pytest.param(POSTGRES_S3, marks=() if is_fast else pytest.mark.slow)
        metafunc.parametrize("on_both", [SQLITE_DISK, postgres], indirect=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def seaway(tmp_path: Path, clock: ManualClock) -> "Iterator[Seaway]":
    """The parts of a server in this process, on a clock that tests can move."""
    from tests.support import sites

    parts = sites.build(tmp_path, clock)
    yield parts
    parts.close()


@pytest.fixture
def factory(seaway: "Seaway") -> "Factory":
    from tests.support.sites import Factory

    return Factory(seaway)


@dataclass(frozen=True)
class Site:
    """A running server shared by many tests, and a second Seaway on its state; every test uses new names."""

    server: "Server"
    factory: "Factory"

    def new_name(self, prefix: str = "channel") -> str:
        return f"{prefix}-{next(_numbers)}"

    def new_channel(self, *, public: bool = True, owner: str | None = None) -> str:
        return self.factory.channel(
            self.new_name(), owner=owner or self.factory.user(self.new_name("owner")), public=public
        )

    def client(self, key: str | None = None) -> "httpx.Client":
        return self.server.client(key)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from tests.support import sites
    from tests.support.server import serving
    from tests.support.sites import Factory
    from tests.support.stored_secrets import dump, secrets_in, secrets_of_log

    folder = tmp_path_factory.mktemp("site")
    with serving(folder, examiners=2, downloads="direct") as server:  # redirects have their own tests
        second_seaway = sites.build(folder)
        yield Site(server, Factory(second_seaway))
        # Case 35: after all requests of a test run, neither log nor database contains a secret, except the link for the
        # first account, which is for the reader of the log.
        assert [] == [line for line in server.log if "/first-account/swy-ln-" not in line and secrets_of_log(line)]
        assert [] == secrets_in(dump(second_seaway))
        second_seaway.close()
