"""Caches in memory: they are bounded, and never change what a reader gets."""

import gc
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import httpx
import pytest

from seaway.api import channel_files
from seaway.http.channel_responses import _make_headers
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.serving.blob_cache import SMALL_BYTES, BlobCache
from seaway.serving.caller_identification import Secrets
from seaway.serving.channel_response import CachePolicy, ChannelResponse
from seaway.serving.response_cache import CachedResponse, CacheKey, ResponseCache
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import sites
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.requests import bearer
from tests.support.sites import Factory

pytestmark = pytest.mark.anyio

SMALL = conda(index_json("small"))
OTHER = conda(index_json("small"), files={"share/other": b"other"})
LARGE = conda(index_json("large"), files={"share/noise": random.Random(1).randbytes(SMALL_BYTES)})


@pytest.fixture
def seaway(tmp_path: Path, clock: ManualClock) -> Iterator[Seaway]:
    """A server that sends every package file itself, whatever the store."""
    with closing(sites.build(tmp_path, clock, downloads="direct")) as built:
        yield built


@pytest.fixture
def channel(seaway: Seaway, factory: Factory) -> Channel:
    return Channel(with_in_process_examiners(seaway), factory.channel("chan"))


def client(seaway: Seaway) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=create_app(seaway)), base_url="http://seaway.test")


class Reads:
    """Counts how often blobs are opened."""

    def __init__(self, seaway: Seaway, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        opened = seaway.site.blobs.open

        def count(key: str, start: int = 0) -> object:
            self.count += 1
            return opened(key, start)

        monkeypatch.setattr(seaway.site.blobs, "open", count)


async def test_small_package_is_read_once(seaway: Seaway, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after an unrelated commit, and for ranges; a large file is read each time."""
    await anyio.to_thread.run_sync(channel.put, SMALL)
    await anyio.to_thread.run_sync(channel.put, LARGE)
    reads = Reads(seaway, monkeypatch)
    async with client(seaway) as http:
        for file, expected in ((SMALL, 1), (LARGE, 3)):
            before = reads.count
            url = f"/chan/noarch/{file.name}"
            assert file.content == (await http.get(url)).content
            Factory(seaway).channel(f"beside-{file.name[:5]}")
            assert file.content == (await http.get(url)).content
            assert file.content[5:9] == (await http.get(url, headers={"Range": "bytes=5-8"})).content
            assert expected == reads.count - before


async def test_cached_blob_is_not_sent_without_permission(seaway: Seaway, factory: Factory, channel: Channel) -> None:
    """The database decides before the cache is used: callers without access, deleted files, other channels."""
    key = factory.key("owner")
    factory.channel("closed", public=False)
    closed = Channel(with_in_process_examiners(seaway), "closed")
    await anyio.to_thread.run_sync(closed.put, SMALL)
    url = f"/closed/noarch/{SMALL.name}"
    async with client(seaway) as http:
        assert SMALL.content == (await http.get(url, headers=bearer(key))).content
        assert [401, 401] == [(await http.get(path)).status_code for path in (url, f"/t/no-key{url}")]
        assert 404 == (await http.get(f"/chan/noarch/{SMALL.name}")).status_code
        nonmember = bearer(factory.key("nonmember"))
        assert 404 == (await http.get(url, headers=nonmember)).status_code
        response = await http.delete(f"/api/v1/delete{url}", headers=bearer(key))
        assert 200 == response.status_code
        assert 404 == (await http.get(url, headers=bearer(key))).status_code


async def test_overwritten_file_is_served_with_new_content(seaway: Seaway, factory: Factory, channel: Channel) -> None:
    """The cache does not return the old content after an overwrite."""
    url = f"/chan/noarch/{SMALL.name}"
    upload = {"headers": {**bearer(factory.key("owner")), "X-File-Name": SMALL.name}, "params": {"force": "true"}}
    async with client(seaway) as http:
        for file in (SMALL, OTHER):
            assert (await http.post("/api/v1/upload/chan", content=file.content, **upload)).status_code < 300
            response = await http.get(url)
            assert (file.content, f'"{file.sha256}"') == (response.content, response.headers["etag"])


@pytest.mark.on_disk
async def test_truncated_blob_is_not_sent(seaway: Seaway, channel: Channel, tmp_path: Path) -> None:
    """A blob shorter than its row states fails before the first byte, on each request."""
    await anyio.to_thread.run_sync(channel.put, SMALL)
    blob = next(path for path in (tmp_path / "data" / "store").rglob(SMALL.sha256))
    content = blob.read_bytes()
    blob.write_bytes(content[:-1])
    async with client(seaway) as http:
        url = f"/chan/noarch/{SMALL.name}"
        assert [503, 503] == [(await http.get(url)).status_code for _ in range(2)]
        blob.write_bytes(content)
        assert SMALL.content == (await http.get(url)).content


@pytest.mark.parametrize("first", ["get", "head", "304", "range"])
async def test_first_response_does_not_affect_later_ones(seaway: Seaway, channel: Channel, first: str) -> None:
    """Whatever the first request was, GET, HEAD, 304 and ranges are correct afterwards."""
    await anyio.to_thread.run_sync(channel.put, SMALL)
    url, etag = f"/chan/noarch/{SMALL.name}", f'"{SMALL.sha256}"'
    requests = {
        "get": ("GET", {}, 200, SMALL.content),
        "head": ("HEAD", {}, 200, b""),
        "304": ("GET", {"If-None-Match": etag}, 304, b""),
        "range": ("GET", {"Range": "bytes=0-3"}, 206, SMALL.content[:4]),
    }
    async with client(seaway) as http:
        for form in (first, *requests, first):
            method, headers, status, content = requests[form]
            response = await http.request(method, url, headers=headers)
            assert (status, content, etag) == (response.status_code, response.content, response.headers["etag"])
            length = {200: str(len(SMALL.content)), 206: "4", 304: None}[status]
            assert length == response.headers.get("content-length")


def test_least_recently_used_blobs_are_evicted() -> None:
    """The cached bytes are bounded, and recently used blobs stay."""
    contents = BlobCache(max_bytes=30)
    for key in ("a", "b", "c"):
        contents[key] = bytes(10)
    assert contents.get("a") is not None
    contents["d"] = bytes(10)
    assert {"a", "c", "d"} == set(contents)


async def test_long_cache_keys_count_towards_the_limit(seaway: Seaway) -> None:
    """Callers choose the text of their requests, so keys count like responses."""
    cache = ResponseCache(seaway.site.database)
    mark = await cache.mark()
    response = ChannelResponse("tag", 1, "text/plain", CachePolicy.REVALIDATE, is_public=True, content=b"x")
    for number in range(100):
        cache.put(
            mark, CacheKey(Secrets((f"{number}" * 1_000_000,)), "chan", ("x",), ()), CachedResponse(response, None)
        )
    assert 16 <= len(cache._responses) < 32
    cache.put(mark, CacheKey(Secrets(("x" * 40_000_000,)), "chan", ("x",), ()), CachedResponse(response, None))
    assert 16 <= len(cache._responses) < 32
    before = channel_files._parse_cached.cache_info().currsize
    async with client(seaway) as http:
        await http.get(f"/t/{'x' * 10_000}/chan/noarch/repodata.json")
    assert before == channel_files._parse_cached.cache_info().currsize


async def test_size_of_small_responses_includes_key_and_headers(seaway: Seaway) -> None:
    """A response of one byte takes two kilobytes with its key and headers, and counts as that."""
    cache = ResponseCache(seaway.site.database)
    mark = await cache.mark()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(1_000):
        response = ChannelResponse(
            f"{number:064}", 1, "text/plain", CachePolicy.IMMUTABLE, is_public=False, content=b"x"
        )
        cached = CachedResponse(response, None, rendered=_make_headers(response, 0))
        cache.put(
            mark,
            CacheKey(Secrets((f"{number:040}",)), "chan", ("noarch", "shards", f"{number:064}"), ("gzip",)),
            cached,
        )
    measured = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.6 * measured < cache._responses.currsize < 1.5 * measured
