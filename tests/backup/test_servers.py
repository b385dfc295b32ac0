"""Move a site from SQLite and a folder to PostgreSQL and S3."""

from collections.abc import Callable
from pathlib import Path

import pytest

from seaway.backup.locations import backup_source, backup_target, other_database, other_store
from seaway.backup.move_database import move_database
from seaway.backup.move_storage import move_storage
from seaway.maintenance.check import check
from seaway.server.wiring import Seaway
from seaway.storage.open_store import BucketAccess
from tests.backup.conftest import SampleSite
from tests.backup.helpers import PUBLIC, back_up, count_rows, open_site, referenced_blobs, responses, restore_into, rows
from tests.indexing.channel import Channel
from tests.support import postgres, s3, state
from tests.support.packages import conda, index_json


@pytest.fixture
def access() -> BucketAccess:
    server = s3.shared()
    return BucketAccess(server.endpoint, server.region, server.access_key, server.secret_key)


def test_site_moves_to_postgres_and_s3(
    source: Seaway, sample_site: SampleSite, sample_responses: dict[str, bytes], access: BucketAccess, tmp_path: Path
) -> None:
    """The store first, then the database: the moved site has the same rows and responses, and is consistent."""
    database_url, storage_url = postgres.shared().new_database(), f"s3://{s3.shared().new_bucket()}/store"
    store = other_store(storage_url, source.settings.effective_storage_url, access)
    sent = [move_storage(source.site, store, verify=True).sent for _ in range(2)]
    target = other_database(database_url)
    move_database(source.site.database, target)
    target.close()
    moved = open_site(
        tmp_path / "moved",
        database_url=database_url,
        storage_url=storage_url,
        s3_endpoint=access.endpoint,
        s3_region=access.region,
        s3_access_key=access.access_key,
        s3_secret_key=access.secret_key,
    )

    assert [sent[0], 0] == sent
    assert sent[0] > len(referenced_blobs(source))
    assert rows(source.site.database) == rows(moved.site.database)
    assert [] == list(check(moved))
    assert sample_responses == responses(moved, sample_site.key)
    Channel(moved, PUBLIC).put(conda(index_json("later")))
    assert [] == list(check(moved))
    moved.close()
    postgres.shared().drop_database(database_url)


def test_backup_in_bucket_restores_to_other_servers(
    source: Seaway, access: BucketAccess, new_site: Callable[..., Seaway]
) -> None:
    """The second backup sends no blob again."""
    location = f"s3://{s3.shared().new_bucket()}/backups-of-tools/"
    store_url = source.settings.effective_storage_url
    first = back_up(source, backup_target(location, store_url, access))
    source.site.clock.move(1)  # type: ignore[attr-defined]
    second = back_up(source, backup_target(location, store_url, access))
    restored = new_site(state.POSTGRES_S3)
    with backup_source(location, first.manifest.time, restored.settings.effective_storage_url, access) as backup:
        sent = restore_into(restored, backup)

    assert (first.manifest.blobs, 0) == (first.sent, second.sent)
    assert (first.manifest.blobs, first.manifest.rows) == (sent, count_rows(restored.site.database))
    assert [] == list(check(restored))
