"""Parts of the benchmarks that a run with tiny sizes cannot show."""

import os

import pytest

from bench import building, fairness, load
from seaway.errors import SeawayError
from seaway.server.wiring import Seaway
from tests.support.packages import conda
from tests.support.postgres import free_ports
from tests.support.sites import Factory, publish_file


@pytest.mark.parametrize(
    ("ours", "others", "says"),
    [(0.9, 0.1, "is the CPUs."), (0.3, 0.6, "is the CPUs, which other processes use as well.")],
)
def test_the_bottleneck_mentions_other_processes(ours: float, others: float, says: str) -> None:
    """The sentence tells a busy benchmark from a busy machine."""
    cpus = os.cpu_count() or 1
    assert says in load._bottleneck(load._Results(cores=[ours * cpus], cores_of_others=[others * cpus]))


def test_a_dead_sender_fails_the_benchmark() -> None:
    """Without its senders it would compare an idle server with an idle server."""
    (port,) = free_ports(1)
    with pytest.raises(ConnectionRefusedError), fairness._slow_uploads(("127.0.0.1", port), b"", []):
        pass


@pytest.mark.anyio
async def test_a_slow_file_is_refused(seaway: Seaway, factory: Factory) -> None:
    """An accepted file would be examined only once."""
    factory.channel("chan")
    with pytest.raises(SeawayError, match="share/missing"):
        await publish_file(seaway, "chan", fairness._slow_file(3))


@pytest.mark.anyio
async def test_documents_are_read_without_a_server(seaway: Seaway, factory: Factory) -> None:
    """The process that builds documents reads the index like a request without credentials."""
    factory.channel("chan")
    await publish_file(seaway, "chan", conda())
    assert building._read(seaway, "chan", building._INDEX)
