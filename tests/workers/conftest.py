"""Fleets of servers shared by many tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support import state
from tests.workers.fleet import Fleet, fleet_of

_SERVERS = {state.SQLITE_DISK: 2, state.POSTGRES_S3: 3}


@pytest.fixture(scope="package")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Fleet]]:
    """Return a function that gives the fleet on a state, started at its first use."""
    made: dict[str, Fleet] = {}
    with ExitStack() as stack:

        def on(name: str) -> Fleet:
            if name not in made:
                with state.choose(name):
                    folder = tmp_path_factory.mktemp("fleet")
                    made[name] = stack.enter_context(fleet_of(folder, _SERVERS[name], examiners=1))
            return made[name]

        yield on


@pytest.fixture
def fleet(on_both: str, fleets: Callable[[str], Fleet]) -> Fleet:
    """Several servers: two processes on one folder, or three machines on PostgreSQL and S3."""
    return fleets(on_both)
