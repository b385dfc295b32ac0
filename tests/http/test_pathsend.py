"""Servers that support `http.response.pathsend` get whole large files by path, and everything else as bytes."""

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
from tests.support.packages import conda, index_json
from tests.support.sites import Factory

pytestmark = [pytest.mark.anyio, pytest.mark.on_disk]

LARGE = conda(index_json("large"), files={"share/noise": random.Random(1).randbytes(SMALL_BYTES)})
SMALL = conda(index_json("small"))
WHOLE = str(len(LARGE.content))


async def messages(seaway: Seaway, path: str, method: str = "GET", **headers: str) -> list[dict[str, Any]]:
    """Return the ASGI messages for a server that supports pathsend."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

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
    return sent


def head(sent: list[dict[str, Any]]) -> tuple[int, str | None]:
    start = sent[0]
    length = dict(start["headers"]).get(b"content-length")
    return start["status"], None if length is None else length.decode()


def body(sent: list[dict[str, Any]]) -> bytes:
    assert {"http.response.body"} == {message["type"] for message in sent[1:]}
    return b"".join(message["body"] for message in sent[1:])


@pytest.fixture
def channel(seaway: Seaway, factory: Factory) -> Channel:
    channel = Channel(with_in_process_examiners(seaway), factory.channel("chan"))
    for file in (LARGE, SMALL):
        channel.put(file)
    return channel


@pytest.mark.usefixtures("channel")
async def test_whole_large_file_is_sent_by_path(seaway: Seaway) -> None:
    """One message with the path of the blob follows the usual start of a response."""
    sent = await messages(seaway, f"/chan/noarch/{LARGE.name}")
    assert (200, WHOLE) == head(sent)
    assert ["http.response.start", "http.response.pathsend"] == [message["type"] for message in sent]
    assert LARGE.content == Path(sent[1]["path"]).read_bytes()
    assert f'"{LARGE.sha256}"'.encode() == dict(sent[0]["headers"])[b"etag"]


@pytest.mark.usefixtures("channel")
@pytest.mark.parametrize(("byte_range", "part"), [("bytes=10-19", slice(10, 20)), ("bytes=7-", slice(7, None))])
async def test_range_is_sent_as_bytes(seaway: Seaway, byte_range: str, part: slice) -> None:
    """The extension does not support ranges."""
    sent = await messages(seaway, f"/chan/noarch/{LARGE.name}", Range=byte_range)
    assert (206, str(len(LARGE.content[part]))) == head(sent)
    assert LARGE.content[part] == body(sent)


@pytest.mark.usefixtures("channel")
async def test_range_of_whole_file_is_sent_by_path(seaway: Seaway) -> None:
    """`bytes=0-` is the whole file with status 206."""
    sent = await messages(seaway, f"/chan/noarch/{LARGE.name}", Range="bytes=0-")
    assert (206, WHOLE) == head(sent)
    assert LARGE.content == Path(sent[1]["path"]).read_bytes()


@pytest.mark.usefixtures("channel")
async def test_head_304_and_small_files_are_not_sent_by_path(seaway: Seaway) -> None:
    url = f"/chan/noarch/{LARGE.name}"
    assert ((200, WHOLE), b"") == (head(sent := await messages(seaway, url, "HEAD")), body(sent))
    assert (304, None) == head(await messages(seaway, url, If_None_Match=f'"{LARGE.sha256}"'))
    assert SMALL.content == body(await messages(seaway, f"/chan/noarch/{SMALL.name}"))


@pytest.mark.parametrize("encoding", ["identity", "zstd"])
async def test_large_document_is_sent_by_path(
    seaway: Seaway, channel: Channel, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """An index document that is too large for memory is sent like a package, with its own headers."""
    monkeypatch.setattr(resolve, "_SMALL_DOCUMENT_BYTES", 0)
    monkeypatch.setattr("seaway.http.channel_responses.SMALL_BYTES", 0)
    expected = await anyio.to_thread.run_sync(lambda: channel.read("noarch", "repodata.json", encodings=(encoding,)))
    sent = await messages(seaway, "/chan/noarch/repodata.json", Accept_Encoding=encoding)
    assert (200, str(len(expected))) == head(sent)
    assert expected == Path(sent[1]["path"]).read_bytes()
    assert (b"zstd" if encoding == "zstd" else None) == dict(sent[0]["headers"]).get(b"content-encoding")
