"""Parts of the benchmarks that a run with tiny sizes does not test."""

import os

import pytest

from bench import building, fairness, load
from seaway.errors import SeawayError
from seaway.server.wiring import Seaway
from tests.support.packages import conda
from tests.support.postgres import free_ports
from tests.support.sites import Factory, publish_file


@pytest.mark.parametrize(
    ("ours", "others", "sentence"),
    [(0.9, 0.1, "is the CPUs."), (0.3, 0.6, "is the CPUs, which other processes use as well.")],
)
def test_bottleneck_mentions_other_processes(ours: float, others: float, sentence: str) -> None:
    """The sentence distinguishes a busy benchmark from a busy machine."""
    cpus = os.cpu_count() or 1
    assert sentence in load._bottleneck(load._Results(cores=[ours * cpus], cores_of_others=[others * cpus]))


def test_failing_sender_fails_the_benchmark() -> None:
    """Otherwise both cases would be measured on an idle server."""
    (port,) = free_ports(1)
    with pytest.raises(ConnectionRefusedError), fairness._slow_uploads(("127.0.0.1", port), b"", []):
        pass


@pytest.mark.anyio
async def test_slow_file_is_refused(seaway: Seaway, factory: Factory) -> None:
    """An accepted file would be examined only once, so it could not be sent repeatedly."""
    factory.channel("chan")
    with pytest.raises(SeawayError, match="share/missing"):
        await publish_file(seaway, "chan", fairness._slow_file(3))


@pytest.mark.anyio
async def test_documents_are_read_without_a_server(seaway: Seaway, factory: Factory) -> None:
    """`bench.building` reads the index like a request without credentials."""
    factory.channel("chan")
    await publish_file(seaway, "chan", conda())
    assert building._read(seaway, "chan", building._INDEX)
