"""Uploads in pieces over a real server, as tus clients and the pages send them."""

import base64
import os
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import Site
from tests.http.conftest import Channel
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import bearer, connected, head_bytes, nothing_left, sentence, until

FILE = conda(index_json("pieces"), files={"share/noise": os.urandom(300_000)})
TUS = {"Tus-Resumable": "1.0.0"}
BODY = {"Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> dict[str, str]:
    pairs = (f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())
    return {"Upload-Metadata": ",".join(pairs)}


def begin(http: httpx.Client, channel: str, key: str | None, file: PackageFile = FILE, **more: str) -> httpx.Response:
    headers = {**TUS, "Upload-Length": str(len(file.content)), **metadata(filename=file.name, **more)}
    return http.post(f"/api/v1/uploads/{channel}", headers={**headers, **bearer(key)})


def look(http: httpx.Client, location: str, key: str | None) -> httpx.Response:
    return http.head(location, headers={**TUS, **bearer(key)})


def send(http: httpx.Client, location: str, key: str | None, offset: int, content: bytes) -> httpx.Response:
    headers = {**TUS, **BODY, "Upload-Offset": str(offset), **bearer(key)}
    return http.patch(location, content=content, headers=headers)


def test_what_the_server_can_do(http: httpx.Client) -> None:
    """Anybody may ask, and learns nothing of channels."""
    answer = http.options("/api/v1/uploads")
    assert 204 == answer.status_code
    assert "1.0.0" == answer.headers["tus-version"]
    assert "creation,termination,expiration" == answer.headers["tus-extension"]
    assert answer.headers["tus-max-size"].isdigit()


def test_a_file_in_two_pieces(http: httpx.Client, private_channel: Channel) -> None:
    """It is published with the last byte, and the answer says where and at which revision."""
    key = private_channel.contributor
    begun = begin(http, private_channel.name, key, sha256=FILE.sha256)
    assert (201, "0") == (begun.status_code, begun.headers["upload-offset"])
    location = begun.headers["location"]
    half = send(http, location, key, 0, FILE.content[:280_000])
    assert (204, "280000") == (half.status_code, half.headers["upload-offset"])
    assert "seaway-path" not in half.headers
    done = send(http, location, key, 280_000, FILE.content[280_000:])
    assert 204 == done.status_code
    for answer in (done, look(http, location, key)):
        assert str(len(FILE.content)) == answer.headers["upload-offset"]
        assert "1" == answer.headers["seaway-revision"]
        assert f"/{private_channel.name}/noarch/{FILE.name}" == answer.headers["seaway-path"]
        assert "1.0.0" == answer.headers["tus-resumable"]
    assert FILE.content == http.get(done.headers["seaway-path"], headers=bearer(key)).content


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_piece_that_is_too_small(http: httpx.Client, channel: Channel, is_announced: bool) -> None:
    """400 with the least size, whether the request says its length or not; nothing is kept."""
    location = begin(http, channel.name, channel.owner).headers["location"]
    headers = {**TUS, **BODY, "Upload-Offset": "0", **bearer(channel.owner)}
    answer = http.patch(location, content=b"four" if is_announced else iter([b"fo", b"ur"]), headers=headers)
    assert 400 == answer.status_code
    expected = "A piece of 4 bytes is too small. Send at least 262,144 bytes at a time, or the rest of the file."
    assert expected == sentence(answer)
    assert "0" == look(http, location, channel.owner).headers["upload-offset"]


def test_a_connection_that_is_cut(http: httpx.Client, site: Site, channel: Channel) -> None:
    """What came before is there, and the upload goes on behind it."""
    location = begin(http, channel.name, channel.owner).headers["location"]
    with connected(site.server.address) as connection:
        headers = {
            **TUS,
            **BODY,
            "Upload-Offset": "0",
            "Content-Length": str(len(FILE.content)),
            **bearer(channel.owner),
        }
        connection.sendall(head_bytes("PATCH", location, headers) + FILE.content[:200_000])
        connection.shutdown(socket.SHUT_RDWR)

    def offset() -> int:
        return int(look(http, location, channel.owner).headers["upload-offset"])

    until(lambda: offset() > 0)
    assert offset() <= 200_000
    assert 204 == send(http, location, channel.owner, offset(), FILE.content[offset() :]).status_code
    assert FILE.content == http.get(f"/{channel.name}/noarch/{FILE.name}").content


def test_a_refusal_is_that_of_an_upload_in_one_piece(http: httpx.Client, site: Site, channel: Channel) -> None:
    """The same status and sentence, with the word of the protocol; nothing is left of it."""
    with nothing_left(site.server):
        location = begin(http, channel.name, channel.owner).headers["location"]
        refused = send(http, location, channel.owner, 0, bytes(len(FILE.content)))
        assert 422 == refused.status_code
        assert sentence(refused)
        assert "1.0.0" == refused.headers["tus-resumable"]
        assert 404 == look(http, location, channel.owner).status_code


def test_a_file_that_exists_is_refused_before_its_bytes(http: httpx.Client, channel: Channel) -> None:
    """Whoever announces the hash of a file of another user is told at once, but with force; the uploader is not refused."""
    for more in ({}, {"force": "true"}):
        location = begin(http, channel.name, channel.owner, sha256=FILE.sha256, **more).headers["location"]
        assert 204 == send(http, location, channel.owner, 0, FILE.content).status_code
        assert 409 == begin(http, channel.name, channel.contributor, sha256=FILE.sha256).status_code
    location = begin(http, channel.name, channel.owner, sha256=FILE.sha256).headers["location"]
    again = send(http, location, channel.owner, 0, FILE.content)
    assert (204, "2") == (again.status_code, again.headers["seaway-revision"])


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Upload-Length": "0"}, 400),
        ({"Upload-Length": "x"}, 400),
        ({"Upload-Length": "٣"}, 400),
        ({"Upload-Length": "9" * 15}, 413),
        ({"Upload-Metadata": ""}, 400),
        ({"Upload-Metadata": "filename !!"}, 400),
        ({"Upload-Metadata": "filename /w=="}, 400),
        ({"Upload-Metadata": "filename YQ==,filename YQ=="}, 400),
        ({"Upload-Metadata": "filename Li4vLi4veA=="}, 400),
        ({"Upload-Metadata": "x " + "YQ==" * 2_000}, 400),
        ({"Tus-Resumable": "0.2.2"}, 412),
        ({"Tus-Resumable": ""}, 412),
    ],
)
def test_what_cannot_begin(http: httpx.Client, channel: Channel, changes: dict[str, str], status: int) -> None:
    """A clear refusal, before anything is kept."""
    headers = {**TUS, "Upload-Length": "10", **metadata(filename=FILE.name), **bearer(channel.owner)}
    encoded = {name: value.encode() for name, value in {**headers, **changes}.items()}
    answer = http.post(f"/api/v1/uploads/{channel.name}", headers=encoded)
    assert (status, "1.0.0") == (answer.status_code, answer.headers["tus-resumable"])
    assert sentence(answer)


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"Upload-Offset": "1"}, 409), ({"Upload-Offset": "-1"}, 400), ({"Content-Type": "text/plain"}, 415)],
)
def test_what_cannot_go_on(http: httpx.Client, channel: Channel, changes: dict[str, str], status: int) -> None:
    location = begin(http, channel.name, channel.owner).headers["location"]
    headers = {**TUS, **BODY, "Upload-Offset": "0", **bearer(channel.owner), **changes}
    assert status == http.patch(location, content=FILE.content, headers=headers).status_code
    assert "0" == look(http, location, channel.owner).headers["upload-offset"]


def test_a_given_up_upload(http: httpx.Client, site: Site, channel: Channel) -> None:
    with nothing_left(site.server):
        location = begin(http, channel.name, channel.owner).headers["location"]
        assert 204 == send(http, location, channel.owner, 0, FILE.content[:280_000]).status_code
        assert 204 == http.delete(location, headers={**TUS, **bearer(channel.owner)}).status_code
        assert 404 == look(http, location, channel.owner).status_code


def test_bytes_of_unknown_number_are_cut_at_the_announced_length(http: httpx.Client, channel: Channel) -> None:
    """A body without a length cannot bring more than was announced."""
    location = begin(http, channel.name, channel.owner).headers["location"]

    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(100_000)

    headers = {**TUS, **BODY, "Upload-Offset": "0", **bearer(channel.owner)}
    assert 413 == http.patch(location, content=endless(), headers=headers).status_code
