"""Servers that send files by their path (`http.response.pathsend`) get whole large files so, and everything else as bytes."""

import random
from pathlib import Path
from typing import Any

import anyio
import pytest

from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.serving import resolve
from seaway.serving.blob_cache import SMALL_BYTES
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support.house import People
from tests.support.packages import conda, index_json

pytestmark = [pytest.mark.anyio, pytest.mark.on_disk]

LARGE = conda(index_json("large"), files={"share/noise": random.Random(1).randbytes(SMALL_BYTES)})
SMALL = conda(index_json("small"))
WHOLE = str(len(LARGE.content))


async def messages(seaway: Seaway, path: str, method: str = "GET", **headers: str) -> list[dict[str, Any]]:
    """What a server that sends paths is told."""
    told: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    async def receive() -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    raw = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": raw,
        "extensions": {"http.response.pathsend": {}},
    }
    await create_app(seaway)(scope, receive, send)
    return told


def head(told: list[dict[str, Any]]) -> tuple[int, str | None]:
    start = told[0]
    length = dict(start["headers"]).get(b"content-length")
    return start["status"], None if length is None else length.decode()


def body(told: list[dict[str, Any]]) -> bytes:
    assert {"http.response.body"} == {message["type"] for message in told[1:]}
    return b"".join(message["body"] for message in told[1:])


@pytest.fixture
def channel(seaway: Seaway, people: People) -> Channel:
    made = Channel(with_in_process_examiners(seaway), people.channel("chan"))
    for file in (LARGE, SMALL):
        made.put(file)
    return made


@pytest.mark.usefixtures("channel")
async def test_a_whole_large_file_goes_by_its_path(seaway: Seaway) -> None:
    """One message with the path of the blob, and the head of any answer before it."""
    told = await messages(seaway, f"/chan/noarch/{LARGE.name}")
    assert (200, WHOLE) == head(told)
    assert ["http.response.start", "http.response.pathsend"] == [message["type"] for message in told]
    assert LARGE.content == Path(told[1]["path"]).read_bytes()
    assert f'"{LARGE.sha256}"'.encode() == dict(told[0]["headers"])[b"etag"]


@pytest.mark.usefixtures("channel")
@pytest.mark.parametrize(("asked", "part"), [("bytes=10-19", slice(10, 20)), ("bytes=7-", slice(7, None))])
async def test_a_part_is_read_by_us(seaway: Seaway, asked: str, part: slice) -> None:
    """The extension knows no parts."""
    told = await messages(seaway, f"/chan/noarch/{LARGE.name}", Range=asked)
    assert (206, str(len(LARGE.content[part]))) == head(told)
    assert LARGE.content[part] == body(told)


@pytest.mark.usefixtures("channel")
async def test_everything_as_a_range_goes_by_path_too(seaway: Seaway) -> None:
    """`bytes=0-` is the whole file with the status of a part."""
    told = await messages(seaway, f"/chan/noarch/{LARGE.name}", Range="bytes=0-")
    assert (206, WHOLE) == head(told)
    assert LARGE.content == Path(told[1]["path"]).read_bytes()


@pytest.mark.usefixtures("channel")
async def test_what_needs_no_file_opens_none(seaway: Seaway) -> None:
    """HEAD, 304 and small files have their bytes, or none."""
    url = f"/chan/noarch/{LARGE.name}"
    assert ((200, WHOLE), b"") == (head(told := await messages(seaway, url, "HEAD")), body(told))
    assert (304, None) == head(await messages(seaway, url, If_None_Match=f'"{LARGE.sha256}"'))
    assert SMALL.content == body(await messages(seaway, f"/chan/noarch/{SMALL.name}"))


@pytest.mark.parametrize("encoding", ["identity", "zstd"])
async def test_a_large_document_goes_by_its_path(
    seaway: Seaway, channel: Channel, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """An index document that is too large to be kept in memory goes as a package does, with its own head."""
    monkeypatch.setattr(resolve, "_SMALL_DOCUMENT_BYTES", 0)
    monkeypatch.setattr("seaway.http.channel_responses.SMALL_BYTES", 0)
    expected = await anyio.to_thread.run_sync(lambda: channel.read("noarch", "repodata.json", encodings=(encoding,)))
    told = await messages(seaway, "/chan/noarch/repodata.json", Accept_Encoding=encoding)
    assert (200, str(len(expected))) == head(told)
    assert expected == Path(told[1]["path"]).read_bytes()
    assert (b"zstd" if encoding == "zstd" else None) == dict(told[0]["headers"]).get(b"content-encoding")
