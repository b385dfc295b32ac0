"""Download counts: the sums that pages show agree with the counts of files, and stay right over time."""

import pytest
from sqlalchemy import func, select

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.clock import DAY_MS, HOUR_MS
from seaway.database import tables
from seaway.packages import download_history, downloads, removal, storage_usage, versions
from seaway.packages import files as package_files
from seaway.packages.client_families import ClientFamily
from seaway.packages.download_history import DownloadHistory
from seaway.packages.downloads import RECENT_DAYS, DownloadKey, Split
from seaway.packages.storage_usage import StorageSample
from seaway.server.wiring import Seaway
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio

TODAY = 20_000
PIXI, CONDA, MIRROR = ClientFamily.RATTLER, ClientFamily.CONDA, ClientFamily.OTHER
COUNTED = (
    tables.downloads, tables.file_downloads, tables.package_downloads, tables.daily_package_downloads,
    tables.daily_channel_downloads, tables.daily_storage,
)  # fmt: skip


async def publish(seaway: Seaway, factory: Factory) -> dict[str, int]:
    """Publish two versions of a package, one of them for two platforms, and another package; return ids by file."""
    factory.channel("boats")
    files = {
        "lib 1.0": conda(index_json("lib", "1.0")),
        "lib 2.0": conda(index_json("lib", "2.0")),
        "lib 2.0 linux": conda(index_json("lib", "2.0", subdir="linux-64", noarch=...)),
        "tool 1.0": conda(index_json("tool", "1.0")),
    }
    for file in files.values():
        await publish_file(seaway, "boats", file)
    with seaway.site.database.read() as tx:
        query = select(tables.files.c.id, tables.files.c.file_name, tables.subdirs.c.name).join(tables.subdirs)
        ids = {(row.file_name, row.name): row.id for row in tx.execute(query)}
    return {name: ids[file.name, "linux-64" if name.endswith("linux") else "noarch"] for name, file in files.items()}


def add(seaway: Seaway, *counted: tuple[int, int, ClientFamily, int], today: int = TODAY) -> None:
    with seaway.site.database.write_unlocked() as tx:
        downloads.add(
            tx, {DownloadKey(file_id, day, client): count for file_id, day, client, count in counted}, today=today
        )


def totals(history: DownloadHistory) -> dict[str, int]:
    return {one.name: one.total for one in history.series}


async def test_downloads_are_divided_by_version_platform_client_and_package(
    on_both: str, seaway: Seaway, factory: Factory
) -> None:
    """Each split adds up to the same total, however the counts arrive."""
    file = await publish(seaway, factory)
    add(seaway, (file["lib 1.0"], TODAY, PIXI, 1), (file["lib 2.0"], TODAY, PIXI, 2))
    add(seaway, (file["lib 2.0"], TODAY, PIXI, 4), (file["lib 2.0 linux"], TODAY - 1, CONDA, 8))
    add(seaway, (file["tool 1.0"], TODAY - 40, MIRROR, 16), (file["tool 1.0"], TODAY, MIRROR, 32))
    with seaway.site.database.read() as tx:
        channel_id = channels.get(tx, "boats").id

        def of_lib(split: Split | None, version: str | None = None) -> DownloadHistory:
            return download_history.of_package(
                tx, channel_id, "lib", today=TODAY, days=30, split=split, version=version
            )

        def of_channel(split: Split | None, days: int = 30) -> DownloadHistory:
            return download_history.of_channel(tx, channel_id, today=TODAY, days=days, split=split)

        assert {TODAY - 1: 8, TODAY: 7} == of_lib(None).by_day
        assert {"2.0": 14, "1.0": 1} == totals(of_lib(Split.VERSION))
        assert {"linux-64": 8, "noarch": 7} == totals(of_lib(Split.SUBDIR))
        assert {"conda": 8, "rattler": 7} == totals(of_lib(Split.CLIENT))
        assert {TODAY - 1: 8, TODAY: 6} == of_lib(None, "2.0").by_day
        assert {"linux-64": 8, "noarch": 6} == totals(of_lib(Split.SUBDIR, "2.0"))
        assert {"conda": 8, "rattler": 6} == totals(of_lib(Split.CLIENT, "2.0"))
        assert {"tool": 32, "lib": 15} == totals(of_channel(Split.PACKAGE))
        assert {"noarch": 39, "linux-64": 8} == totals(of_channel(Split.SUBDIR))
        assert {"other": 32, "conda": 8, "rattler": 7} == totals(of_channel(Split.CLIENT))
        assert [47, 63] == [of_channel(split, days).total for split, days in ((None, 30), (Split.SUBDIR, 90))]
        assert (63, 47) == download_history.totals_of_channel(tx, channel_id, TODAY)
        assert {"2.0": 14, "1.0": 1} == {
            version.version: sum(build.downloads for build in version.builds)
            for version in versions.of_package(tx, channel_id, "lib")
        }


async def test_recent_downloads_end_after_30_days(seaway: Seaway, factory: Factory) -> None:
    """A count leaves the sum when its day is over 30 days ago; a clock that was wrong does not empty it."""
    file = await publish(seaway, factory)
    add(seaway, (file["lib 1.0"], TODAY, PIXI, 5), (file["tool 1.0"], TODAY - 29, PIXI, 9))

    def recent_on(day: int) -> list[tuple[str, int]]:
        with seaway.site.database.write_unlocked() as tx:
            assert not downloads.add_up_recent(tx, day)
        with seaway.site.database.read() as tx:
            found = download_history.most_downloaded(tx, channels.get(tx, "boats").id, 5)
        return [(one.package, one.downloads) for one in found]

    assert [("tool", 9), ("lib", 5)] == recent_on(TODAY)
    assert [("lib", 5)] == recent_on(TODAY + 1)
    add(seaway, (file["lib 2.0"], TODAY + 1, PIXI, 1), today=TODAY + 1)
    assert [("lib", 6)] == recent_on(TODAY + RECENT_DAYS - 1)
    for wrong in (TODAY + 9_000, TODAY - 9_000):
        assert [] == recent_on(wrong)
        assert [("lib", 6)] == recent_on(TODAY + 1)


async def test_counts_of_a_later_day_wait_until_it_comes(on_both: str, seaway: Seaway, factory: Factory) -> None:
    """A clock that was ahead counted them; every sum leaves them out until then."""
    file = await publish(seaway, factory)
    add(seaway, (file["lib 1.0"], TODAY, PIXI, 5), (file["lib 1.0"], TODAY + 3, PIXI, 9))

    def sums_on(today: int) -> set[int]:
        with seaway.site.database.write_unlocked() as tx:
            downloads.add_up_recent(tx, today)
            channel_id = channels.get(tx, "boats").id
            of_lib = [
                download_history.of_package(
                    tx, channel_id, "lib", today=today, days=30, split=split, version=version
                ).total
                for split in (None, Split.VERSION, Split.SUBDIR, Split.CLIENT)
                for version in (None, "1.0")
            ]
            (most,) = download_history.most_downloaded(tx, channel_id, 5)
            return {*of_lib, most.downloads, download_history.totals_of_channel(tx, channel_id, today)[1]}

    assert {5} == sums_on(TODAY)
    assert {14} == sums_on(TODAY + 3)


async def test_downloads_of_a_deleted_version_still_count(seaway: Seaway, factory: Factory) -> None:
    """The total of a package is never less than its downloads of the last days."""
    file = await publish(seaway, factory)
    add(seaway, (file["lib 1.0"], TODAY, PIXI, 5), (file["lib 2.0"], TODAY, PIXI, 9))
    removal.delete(seaway.site, OPERATOR, "boats", "noarch", conda(index_json("lib", "2.0")).name)
    with seaway.site.database.read() as tx:
        channel_id = channels.get(tx, "boats").id
        assert 14 == download_history.of_package(tx, channel_id, "lib", today=TODAY, days=30).total
        assert 14 == package_files.total_downloads(tx, channel_id, "lib")


async def test_deleted_packages_are_not_among_the_most_downloaded(seaway: Seaway, factory: Factory) -> None:
    """Their downloads still count in the totals, since they happened."""
    file = await publish(seaway, factory)
    add(seaway, (file["tool 1.0"], TODAY, PIXI, 9))
    removal.delete(seaway.site, OPERATOR, "boats", "noarch", conda(index_json("tool", "1.0")).name)
    with seaway.site.database.read() as tx:
        channel_id = channels.get(tx, "boats").id
        assert [] == download_history.most_downloaded(tx, channel_id, 5)
        assert (9, 9) == download_history.totals_of_channel(tx, channel_id, TODAY)


async def test_deleted_channel_leaves_no_counts(on_both: str, seaway: Seaway, factory: Factory) -> None:
    """Counts of its files that arrive later are dropped."""
    file = await publish(seaway, factory)
    add(seaway, (file["lib 1.0"], TODAY, PIXI, 1))
    with seaway.site.database.write_site() as tx:
        storage_usage.sample(tx, 2 * TODAY)
        assert tx.execute(select(tables.daily_storage)).one()
        channels.remove(tx, seaway.site.clock.now_ms(), OPERATOR, "boats")
    add(seaway, (file["lib 1.0"], TODAY, PIXI, 1))
    with seaway.site.database.read() as tx:
        assert [0] * len(COUNTED) == [tx.execute(select(func.count()).select_from(one)).scalar() for one in COUNTED]


async def test_size_of_each_channel_is_sampled_once_a_day(
    on_both: str, seaway: Seaway, factory: Factory, clock: ManualClock
) -> None:
    """The scheduled job runs every hour: a channel that was created since gets its first sample then."""
    await publish(seaway, factory)

    def samples(channel: str) -> list[StorageSample]:
        seaway.runner.run_due()
        today = downloads.day_of(clock.now_ms())
        with seaway.site.database.read() as tx:
            return storage_usage.samples(tx, channels.get(tx, channel).id, today=today, days=30)

    (first,) = samples("boats")
    assert (downloads.day_of(clock.now_ms()), 4, 2) == (first.day, first.files, first.packages)
    more = conda(index_json("more"))
    await publish_file(seaway, "boats", more)
    factory.channel("empty")
    clock.move(HOUR_MS)
    assert [0] == [one.size for one in samples("empty")]
    assert [first] == samples("boats")
    clock.move(DAY_MS)
    assert [first, StorageSample(first.day + 1, first.size + len(more.content), 5, 3)] == samples("boats")
