"""The newest file of a package: lists and the package page describe the package by the same file."""

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select, update

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.database.tables import packages
from seaway.maintenance.check import check
from seaway.maintenance.reindex import reindex
from seaway.packages import files, metadata_corrections, removal, search, versions
from seaway.packages.removal import FileAction, select_files
from seaway.packages.search import PackageQuery
from seaway.server.wiring import Seaway
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json, tar_bz2
from tests.support.sites import Factory, publish_file
from tests.support.statements import record_statements

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Shown:
    """What a list shows of the package."""

    version: str
    license: str
    summary: str
    updated_at_ms: int


async def upload(seaway: Seaway, version: str, license_: str, **fields: Any) -> str:
    """Upload a file of the package whose summary is its version; return its name."""
    file = conda(index_json("demo", version, license=license_, **fields), about={"summary": f"Demo {version}"})
    await publish_file(seaway, "chan", file, force=True)
    return file.name


def shown(seaway: Seaway) -> Shown:
    """Return what a list shows, after comparing it with the page and the API of the package, and with `check`."""
    with seaway.site.database.read() as tx:
        channel_id = channels.get(tx, "chan").id
        query = PackageQuery("demo", "chan", with_yanked=True)
        (hit,) = search.search(tx, OPERATOR, query, limit=2).hits
        described = files.describe(tx, channel_id, "demo")
        on_page = versions.newest(versions.of_package(tx, channel_id, "demo"))
        assert on_page is not None
        file = files.get(tx, channel_id, on_page.newest.subdir, on_page.newest.file_name)
        licenses = search.licenses_of(tx, channel_id)
    assert hit.version == on_page.version
    assert hit.license == described.license == file.record["license"]
    assert hit.summary == described.about["summary"] == file.about["summary"]
    assert [hit.license] == licenses
    assert [] == list(check(seaway, quick=True))
    return Shown(hit.version, hit.license, hit.summary, hit.updated_at_ms)


async def test_lists_describe_a_package_by_its_newest_file(
    seaway: Seaway, factory: Factory, clock: ManualClock
) -> None:
    """Invariants 1 and 2: after each upload, yank, deletion and correction."""
    factory.channel("chan")
    first_ms = clock.now_ms()
    old = await upload(seaway, "1.0", "MIT")
    clock.move(1)
    new = await upload(seaway, "2.0", "GPL-3.0")
    assert Shown("2.0", "GPL-3.0", "Demo 2.0", first_ms + 1) == shown(seaway)
    clock.move(1)
    await upload(seaway, "1.5", "Zlib")  # a later upload of an older version
    assert Shown("2.0", "GPL-3.0", "Demo 2.0", first_ms + 2) == shown(seaway)
    removal.delete(seaway.site, OPERATOR, "chan", "noarch", new)
    assert Shown("1.5", "Zlib", "Demo 1.5", first_ms + 2) == shown(seaway)
    removal.change(seaway.site, OPERATOR, "chan", FileAction.YANK, select_files(package="demo", version="1.5"))
    assert Shown("1.0", "MIT", "Demo 1.0", first_ms) == shown(seaway)
    metadata_corrections.correct(seaway.site, OPERATOR, "chan", "noarch", old, {"license": "ISC"}, "It was wrong.")
    assert "ISC" == shown(seaway).license
    metadata_corrections.restore(seaway.site, OPERATOR, "chan", "noarch", old)
    assert "MIT" == shown(seaway).license
    removal.change(seaway.site, OPERATOR, "chan", FileAction.UNYANK, select_files(package="demo", version="1.5"))
    assert "Zlib" == shown(seaway).license
    removal.change(seaway.site, OPERATOR, "chan", FileAction.YANK, select_files(package="demo"))
    assert Shown("1.5", "Zlib", "Demo 1.5", first_ms + 2) == shown(seaway)
    clock.move(1)
    await upload(seaway, "0.9", "BSD-3-Clause")  # the only listed file
    assert Shown("0.9", "BSD-3-Clause", "Demo 0.9", first_ms + 3) == shown(seaway)
    clock.move(1)
    await upload(seaway, "0.9", "0BSD")  # other bytes under the same name
    assert Shown("0.9", "0BSD", "Demo 0.9", first_ms + 4) == shown(seaway)


async def test_conda_file_represents_a_version(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """Invariant 1: whichever format is uploaded last."""
    factory.channel("chan")
    for clock_step in (1, 1):
        await upload(seaway, "1.0", "MIT")
        clock.move(clock_step)
        legacy = tar_bz2(index_json("demo", "1.0", license="GPL-3.0"), about={"summary": "Legacy"})
        await publish_file(seaway, "chan", legacy, force=True)
        assert "MIT" == shown(seaway).license


async def test_clock_that_steps_back_does_not_matter(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """Invariant 2: the file with the latest time stays the newest of its version."""
    factory.channel("chan")
    await upload(seaway, "1.0", "MIT", build="h2_0")
    clock.move(-1000)
    await upload(seaway, "1.0", "GPL-3.0", build="h1_0")
    assert "MIT" == shown(seaway).license


async def test_package_without_files_has_no_license(seaway: Seaway, factory: Factory) -> None:
    """It is no choice of the filter, and is described again by its next file."""
    factory.channel("chan")
    name = await upload(seaway, "1.0", "MIT")
    removal.delete(seaway.site, OPERATOR, "chan", "noarch", name)
    with seaway.site.database.read() as tx:
        assert [] == search.licenses_of(tx, channels.get(tx, "chan").id)
    await upload(seaway, "1.0", "Zlib")
    assert "Zlib" == shown(seaway).license


async def test_wrong_row_is_reported_and_corrected(seaway: Seaway, factory: Factory) -> None:
    """Invariant 2, by `seaway check` and `seaway reindex`."""
    factory.channel("chan")
    await upload(seaway, "1.0", "MIT")
    with seaway.site.database.write_site() as tx:
        tx.execute(update(packages).values(license="GPL-3.0"))
    assert ["is not described by its newest file"] == [found.what for found in check(seaway, quick=True)]
    reindex(seaway, "chan", from_blobs=False)
    assert "MIT" == shown(seaway).license


async def test_license_of_any_length_is_listed_and_found(seaway: Seaway, factory: Factory) -> None:
    """Invariant 4: 1,000 characters can be more bytes than an index of PostgreSQL holds."""
    factory.channel("chan")
    long = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(1000))
    await upload(seaway, "1.0", long)
    with seaway.site.database.read() as tx:
        (hit,) = search.search(tx, OPERATOR, PackageQuery("", license=long), limit=2).hits
        assert hit.license == tx.execute(select(packages.c.license)).scalar_one() == long[:200]
        (same,) = search.search(tx, OPERATOR, PackageQuery("", license=hit.license), limit=2).hits
    assert same == hit


async def test_upload_reads_one_file_of_its_package(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """Invariant 3: as many statements, and none over the files of the package, however many builds there are."""
    factory.channel("chan")
    statements = []
    for number in range(4):
        clock.move(1)
        with record_statements(seaway.site.database) as recorded:
            await upload(seaway, "1.0", "MIT", build=f"h{number}_0")
        statements.append([text for text in recorded if "newest_file_id" in text or "files.package_id" in text])
    assert statements[1] == statements[2] == statements[3]
    assert 2 == len(statements[3])
