"""File listings: the paths that a package installs, read from its archive on request."""

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import httpx
import pytest

from seaway.channels import channels
from seaway.packages import build_differences, versions
from seaway.packages import file_listings as listings
from seaway.packages.file_listings import ListedPath, ListingCache
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.storage.blobs import BlobStore
from tests.support.packages import PackageFile, conda, index_json, info_files, paths_json, real_packages, tar_bz2
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio

PATHS = {
    "paths": [
        {"_path": "share/b.txt", "path_type": "hardlink", "size_in_bytes": 5, "sha256": "ab" * 32},
        {"_path": "bin/a", "path_type": "softlink", "size_in_bytes": 2, "sha256": "cd" * 32, "unknown": 1},
    ],
    "paths_version": 1,
}
FILES = {"share/b.txt": b"12345", "bin/a": b"12"}


async def listing(seaway: Seaway, factory: Factory, file: PackageFile) -> listings.Listing:
    factory.channel("chan")
    await publish_file(seaway, "chan", file)
    return ListingCache(seaway.site.blobs).read_blocking(bytes.fromhex(file.sha256), len(file.content), file.name)


@pytest.mark.both_states
@pytest.mark.parametrize("make", [conda, tar_bz2])
async def test_paths_are_read_from_the_store(seaway: Seaway, factory: Factory, on_both: str, make: object) -> None:
    """From disk and from a bucket, for both archive formats, sorted by path and searchable by words."""
    paths = await listing(seaway, factory, make(index_json(), files=FILES, paths=PATHS))  # type: ignore[operator]
    assert [entry.path for entry in paths.entries] == ["bin/a", "share/b.txt"]
    assert paths.size == 7
    assert [entry.path for entry in paths.search("SHARE txt")] == ["share/b.txt"]
    assert not paths.problem


async def test_packages_without_paths_json_use_info_files(seaway: Seaway, factory: Factory) -> None:
    info = info_files(index_json(), paths=...) | {"info/files": b"share/demo.txt\n"}
    found = await listing(seaway, factory, tar_bz2(index_json(), info=info))
    assert found.entries == (ListedPath("share/demo.txt"),)


async def test_paths_json_above_the_byte_limit_is_reported_as_a_problem(seaway: Seaway, factory: Factory) -> None:
    """The listing reports the problem instead of failing."""
    long = paths_json(FILES, note="x" * 9_000_000)
    found = await listing(seaway, factory, conda(index_json(), files=FILES, paths=long))
    assert (found.entries, found.problem) == ((), "The file list is too long to show.")


async def test_listing_with_too_many_paths_is_reported_as_a_problem() -> None:
    """Short paths too: the limits at upload are larger, and a search would take seconds."""
    many = [{"_path": f"{number:x}"} for number in range(listings.MAX_ENTRIES + 1)]
    found, _ = listings._listing({"info/paths.json": json.dumps({"paths": many}).encode()})
    assert (found.entries, found.problem) == ((), "The file list is too long to show.")


def test_search_ignores_words_after_the_eighth() -> None:
    found = listings.Listing((ListedPath("bin/a"), ListedPath("share/b"))).search("b i n / a bin in bi nothing")
    assert [entry.path for entry in found] == ["bin/a"]


class ThreadRecordingEntries(tuple[ListedPath, ...]):
    """Entries that record the threads that iterate over them."""

    walked: ClassVar[list[threading.Thread]] = []

    def __iter__(self) -> Iterator[ListedPath]:
        self.walked.append(threading.current_thread())
        return super().__iter__()


class ThreadRecordingListings(ListingCache):
    """A listing cache that returns the same recording listing for every package."""

    def read_blocking(self, sha256: bytes, size: int, file_name: str) -> listings.Listing:
        return listings.Listing(ThreadRecordingEntries([ListedPath("bin/a")]))


async def test_long_listings_are_processed_in_threads(seaway: Seaway, factory: Factory) -> None:
    """Searching and comparing on the event loop would delay all other requests."""
    factory.channel("chan")
    first, second = (conda(index_json("demo", build_number=number, build=f"h1_{number}")) for number in (1, 2))
    for file in (first, second):
        await publish_file(seaway, "chan", file)
    recording = replace(
        seaway, request_parts=replace(seaway.request_parts, contents=ThreadRecordingListings(seaway.site.blobs))
    )
    api, against = f"/api/v1/channels/chan/files/noarch/{second.name}", f"against=noarch/{first.name}"
    urls = [
        f"{api}/paths?q=a",
        f"{api}/difference?{against}",
        f"/channels/chan/packages/demo/files/noarch/{second.name}?q=a&{against}",
    ]
    transport = httpx.ASGITransport(create_app(recording))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        for url in urls:
            ThreadRecordingEntries.walked.clear()
            assert 200 == (await http.get(url)).status_code, url
            assert ThreadRecordingEntries.walked, url
            assert threading.current_thread() not in ThreadRecordingEntries.walked, url


class BlockedListings(ListingCache):
    """A listing cache that blocks reads of `slow-` archives until the gate opens."""

    def __init__(self, blobs: BlobStore) -> None:
        super().__init__(blobs)
        self.gate = threading.Event()
        self.began = threading.Event()

    def read_blocking(self, sha256: bytes, size: int, file_name: str) -> listings.Listing:
        if file_name.startswith("slow-"):
            self.hold()
        return super().read_blocking(sha256, size, file_name)

    def hold(self) -> None:
        self.began.set()
        assert self.gate.wait(60)


async def test_many_requests_of_one_caller_do_not_block_others(seaway: Seaway, factory: Factory) -> None:
    """Invariant 4: one caller's comparisons and reads leave slots for others; a cached listing needs no slot."""
    factory.channel("chan")
    slow, small = (
        conda(index_json("slow-a"), files=FILES, paths=PATHS),
        conda(index_json("small"), files=FILES, paths=PATHS),
    )
    for file in (slow, small):
        await publish_file(seaway, "chan", file)
    listing_cache = BlockedListings(seaway.site.blobs)
    first, second = ((bytes.fromhex(file.sha256), len(file.content), file.name) for file in (slow, small))
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(listing_cache.run, "a", listing_cache.hold)
            group.start_soon(listing_cache.read, "a", *first)
        await anyio.to_thread.run_sync(listing_cache.began.wait, 60)
        with anyio.fail_after(60):
            assert 2 == len((await listing_cache.read("b", *second)).entries)
            assert 1 == len(await listing_cache.run("b", (await listing_cache.read("b", *second)).search, "bin"))
            assert 2 == len((await listing_cache.read("a", *second)).entries)
        assert not listing_cache.gate.is_set()
        listing_cache.gate.set()


async def test_listing_cache_is_bounded(seaway: Seaway, factory: Factory) -> None:
    """A second read returns the cached listing; the oldest listings are evicted at the size limit."""
    factory.channel("chan")
    package_files = [conda(index_json(name), files=FILES, paths=PATHS) for name in ("a", "b")]
    for file in package_files:
        await publish_file(seaway, "chan", file)
    listing_cache = ListingCache(seaway.site.blobs, max_bytes=2_500)
    first, second = ((bytes.fromhex(file.sha256), len(file.content), file.name) for file in package_files)
    assert listing_cache.read_blocking(*first) is listing_cache.read_blocking(*first)
    listing_cache.read_blocking(*second)
    assert list(listing_cache._listings) == [second[0]]


def test_real_packages_are_listed(seaway: Seaway) -> None:
    """The listings of packages built by other tools match their paths.json."""
    checked = 0
    for package in real_packages():
        if package.path.name.endswith(".conda") and "clobber" in package.path.name:
            file = io.BytesIO(package.path.read_bytes())
            info = listings.archive.read_info(
                file, len(file.getvalue()), listings.filename.parse(package.path.name), listings._LIMITS,
                until=listings.archive.PATHS_JSON,
            ).info  # fmt: skip
            expected = sorted(entry["_path"] for entry in json.loads(info["info/paths.json"])["paths"])
            assert [entry.path for entry in listings._listing(info)[0].entries] == expected
            checked += 1
    assert checked


async def test_comparison_of_builds_lists_dependencies_paths_and_fields(seaway: Seaway, factory: Factory) -> None:
    """Hashes and times are not differences."""
    before = {"name": "a", "depends": ["python >=3.9", "zlib", "gone"], "size": 100, "sha256": "00", "license": "MIT"}
    after = {"name": "a", "depends": ["python >=3.10", "zlib", "new"], "size": 150, "sha256": "11", "license": "BSD"}
    old = listings.Listing(
        (ListedPath("a", sha256="1", size_in_bytes=4), ListedPath("b", sha256="2"), ListedPath("c", sha256="3"))
    )
    new = listings.Listing((ListedPath("a", sha256="9", size_in_bytes=9), ListedPath("b", sha256="2"), ListedPath("d")))
    differences = build_differences.compare(before, after, old, new)
    assert [(change.name, change.kind) for change in differences.depends] == [
        ("gone", "removed"), ("new", "added"), ("python", "changed"),
    ]  # fmt: skip
    assert [(change.name, change.kind) for change in differences.paths] == [
        ("a", "changed"), ("c", "removed"), ("d", "added"),
    ]  # fmt: skip
    assert [(change.name, change.before, change.after) for change in differences.fields] == [("license", "MIT", "BSD")]
    assert (differences.size_change, differences.installed_size_change) == (50, 5)


async def test_comparison_is_bounded() -> None:
    """It has the first 1,000 paths by name and the total count; longer listings are not compared."""
    empty: dict[str, Any] = {}
    too_many = [ListedPath(f"{number:06}", sha256="1") for number in range(build_differences.MAX_COMPARED + 1)]
    old, new = listings.Listing(tuple(too_many[:-1])), listings.Listing(())
    found = build_differences.compare(empty, empty, old, new)
    assert (build_differences.MAX_CHANGES, build_differences.MAX_COMPARED) == (len(found.paths), found.path_count)
    assert [f"{number:06}" for number in range(build_differences.MAX_CHANGES)] == [
        change.name for change in found.paths
    ]
    for before, after in ((listings.Listing(tuple(too_many)), new), (new, listings.Listing(tuple(too_many)))):
        found = build_differences.compare(empty, empty, before, after)
        assert ((), 0) == (found.paths, found.path_count)
        assert "One of the packages has more than 50,000 files, too many to compare here." == found.problem
    unread = build_differences.compare(empty, empty, listings.Listing(problem="It is too long."), old)
    assert ((), "It is too long.") == (unread.paths, unread.problem)


async def test_versions_are_ordered_as_clients_order_them(seaway: Seaway, factory: Factory, on_both: str) -> None:
    """10 follows 9, and a release follows its candidates; each version has its builds."""
    factory.channel("chan")
    for version in ("9.0", "10.0", "10.0rc1"):
        await publish_file(seaway, "chan", conda(index_json(version=version)))
    await publish_file(seaway, "chan", conda(index_json(version="9.0", subdir="linux-64", noarch=...)))
    with seaway.site.database.read() as tx:
        channel_id = channels.get(tx, "chan").id
        found = versions.of_package(tx, channel_id, "demo")
        assert versions.names_among(tx, channel_id, {"demo", "other"}) == {"demo"}
    assert [(version.version, version.subdirs) for version in found] == [
        ("10.0", ("noarch",)), ("10.0rc1", ("noarch",)), ("9.0", ("linux-64", "noarch")),
    ]  # fmt: skip
    newest = versions.newest(found)
    assert newest is not None
    assert newest.newest.file_name == "demo-10.0-h1_0.conda"
