"""Storage usage of channels, and the space saved by storing equal files once."""

import httpx
import pytest

from seaway.callers.caller import OPERATOR
from seaway.packages import removal, storage_usage
from seaway.packages.storage_usage import ChannelUsage
from seaway.server.wiring import Seaway
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio


async def test_file_in_two_channels_counts_in_each_and_is_stored_once(
    seaway: Seaway, factory: Factory, http: httpx.AsyncClient
) -> None:
    """A deleted file does not count; documents count separately."""
    shared, other, gone = (conda(index_json(name)) for name in ("shared", "other", "gone"))
    for channel, files in (("one", [shared, other, gone]), ("two", [shared]), ("three", [])):
        factory.channel(channel)
        for file in files:
            await publish_file(seaway, channel, file)
    removal.delete(seaway.site, OPERATOR, "one", "noarch", gone.name)
    assert 200 == (await http.get("/two/noarch/repodata.json")).status_code
    stored, size = len(shared.content) + len(other.content), len(shared.content)
    with seaway.site.database.read() as tx:
        usage = storage_usage.of_site(tx, 1)
        assert (2, stored, stored + size) == (usage.packages.blobs, usage.packages.size, usage.named_bytes)
        assert (size, 2) == (usage.saved_bytes, usage.package_count - 1)
        by_channel = storage_usage.by_channel(tx, limit=10)
        assert [by_channel[1]] == storage_usage.by_channel(tx, skip=1, limit=1)
    assert [("one", 2, stored), ("two", 1, size), ("three", 0, 0)] == [
        (usage.channel, usage.files, usage.size) for usage in by_channel
    ]
    assert usage.documents.size == sum(usage.documents_size for usage in by_channel)
    assert ChannelUsage("three", 0, 0, 0, 0) == by_channel[2]
    assert by_channel[1].documents > 0


async def test_large_site_shows_the_usage_that_was_noted(seaway: Seaway, factory: Factory) -> None:
    """A small one, and one without a note, are counted now."""
    factory.channel("one")
    await publish_file(seaway, "one", conda(index_json("first")))
    with seaway.site.database.write_site() as tx:
        assert 1 == storage_usage.of_site(tx, 5, counted_files=0).package_count
        storage_usage.note(tx, storage_usage.count(tx, 5))
    await publish_file(seaway, "one", conda(index_json("second")))
    with seaway.site.database.read() as tx:
        large, small = (storage_usage.of_site(tx, 9, counted_files=limit) for limit in (1, 2))
    assert (5, 1, 1) == (large.at_ms, large.package_count, large.packages.blobs)
    assert (9, 2, 2) == (small.at_ms, small.package_count, small.packages.blobs)
