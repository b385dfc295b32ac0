"""What the store has to hold, told by rows, and how much is saved since equal contents are kept once."""

import httpx
import pytest

from seaway.callers.caller import OPERATOR
from seaway.packages import removal, storage_usage
from seaway.packages.storage_usage import ChannelUsage
from seaway.server.wiring import Seaway
from tests.support.house import People, publish_file
from tests.support.packages import conda, index_json

pytestmark = pytest.mark.anyio


async def test_what_channels_hold(seaway: Seaway, people: People, http: httpx.AsyncClient) -> None:
    """A file in two channels counts in each and is held once; a deleted one counts nowhere; documents count apart."""
    shared, other, gone = (conda(index_json(name)) for name in ("shared", "other", "gone"))
    for channel, files in (("one", [shared, other, gone]), ("two", [shared]), ("three", [])):
        people.channel(channel)
        for file in files:
            await publish_file(seaway, channel, file)
    removal.delete(seaway.request_parts.removing, OPERATOR, "one", "noarch", gone.name)
    assert 200 == (await http.get("/two/noarch/repodata.json")).status_code
    held, size = len(shared.content) + len(other.content), len(shared.content)
    with seaway.database.read() as tx:
        packages, documents = storage_usage.of_packages(tx), storage_usage.of_documents(tx)
        assert (2, held, held + size) == (packages.blobs, packages.size, storage_usage.bytes_of_packages(tx))
        by_channel = storage_usage.by_channel(tx, limit=10)
        assert [by_channel[1]] == storage_usage.by_channel(tx, skip=1, limit=1)
    assert [("one", 2, held), ("two", 1, size), ("three", 0, 0)] == [
        (one.channel, one.files, one.size) for one in by_channel
    ]
    assert documents.size == sum(one.documents_size for one in by_channel)
    assert ChannelUsage("three", 0, 0, 0, 0) == by_channel[2]
    assert by_channel[1].documents > 0
