"""From a file and a folder to PostgreSQL and S3, as an operator does it when one machine is not enough."""

from collections.abc import Callable
from pathlib import Path

import pytest

from seaway.backup.locations import backup_source, backup_target, other_database, other_store
from seaway.backup.move_database import move_database
from seaway.backup.move_storage import move_storage
from seaway.maintenance.check import check
from seaway.server.wiring import Seaway
from seaway.storage.open_store import BucketAccess
from tests.backup.conftest import Source
from tests.backup.sites import PUBLIC, back_up, count, named_blobs, open_house, restore_into, rows, served
from tests.indexing.channel import Channel
from tests.support import postgres, s3, state
from tests.support.packages import conda, index_json


@pytest.fixture
def access() -> BucketAccess:
    server = s3.shared()
    return BucketAccess(server.endpoint, server.region, server.access_key, server.secret_key)


def test_a_house_moves_to_servers(
    source: Seaway, furnished: Source, served_there: dict[str, bytes], access: BucketAccess, tmp_path: Path
) -> None:
    """The store first, then the database, and the house goes on there: with the same rows, readers and promises."""
    database_url, storage_url = postgres.shared().new_database(), f"s3://{s3.shared().new_bucket()}/store"
    store = other_store(storage_url, source.settings.effective_storage_url, access)
    moved = [move_storage(source.site, store, verify=True).sent for _ in range(2)]
    target = other_database(database_url)
    move_database(source.site.database, target)
    target.close()
    here = open_house(
        tmp_path / "there",
        database_url=database_url,
        storage_url=storage_url,
        s3_endpoint=access.endpoint,
        s3_region=access.region,
        s3_access_key=access.access_key,
        s3_secret_key=access.secret_key,
    )

    assert [moved[0], 0] == moved
    assert moved[0] > len(named_blobs(source))
    assert rows(source.site.database) == rows(here.site.database)
    assert [] == list(check(here))
    assert served_there == served(here, furnished.key)
    Channel(here, PUBLIC).put(conda(index_json("later")))
    assert [] == list(check(here))
    here.close()
    postgres.shared().drop_database(database_url)


def test_backups_in_a_bucket(source: Seaway, access: BucketAccess, new_house: Callable[..., Seaway]) -> None:
    """A backup goes to a bucket and comes from it to other servers; the second one sends nothing that is there."""
    place = f"s3://{s3.shared().new_bucket()}/backups-of-tools/"
    store_url = source.settings.effective_storage_url
    first = back_up(source, backup_target(place, store_url, access))
    source.site.clock.move(1)  # type: ignore[attr-defined]
    second = back_up(source, backup_target(place, store_url, access))
    here = new_house(state.POSTGRES_S3)
    with backup_source(place, first.manifest.time, here.settings.effective_storage_url, access) as found:
        sent = restore_into(here, found)

    assert (first.manifest.blobs, 0) == (first.sent, second.sent)
    assert (first.manifest.blobs, first.manifest.rows) == (sent, count(here.site.database))
    assert [] == list(check(here))
