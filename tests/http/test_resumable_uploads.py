"""Resumable uploads to a real server, as tus clients and the pages send them."""

import base64
import os
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import Site
from tests.http.conftest import Channel
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import bearer, connect, error_message, head_bytes, leaves_nothing, wait_until

FILE = conda(index_json("pieces"), files={"share/noise": os.urandom(300_000)})
TUS = {"Tus-Resumable": "1.0.0"}
BODY = {"Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> dict[str, str]:
    pairs = (f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())
    return {"Upload-Metadata": ",".join(pairs)}


def begin(http: httpx.Client, channel: str, key: str | None, file: PackageFile = FILE, **more: str) -> httpx.Response:
    headers = {**TUS, "Upload-Length": str(len(file.content)), **metadata(filename=file.name, **more)}
    return http.post(f"/api/v1/uploads/{channel}", headers={**headers, **bearer(key)})


def get_upload(http: httpx.Client, location: str, key: str | None) -> httpx.Response:
    return http.head(location, headers={**TUS, **bearer(key)})


def send(http: httpx.Client, location: str, key: str | None, offset: int, content: bytes) -> httpx.Response:
    headers = {**TUS, **BODY, "Upload-Offset": str(offset), **bearer(key)}
    return http.patch(location, content=content, headers=headers)


def test_options_lists_the_supported_extensions(http: httpx.Client) -> None:
    """It needs no credential and reveals no channel."""
    response = http.options("/api/v1/uploads")
    assert 204 == response.status_code
    assert "1.0.0" == response.headers["tus-version"]
    assert "creation,termination,expiration" == response.headers["tus-extension"]
    assert response.headers["tus-max-size"].isdigit()


def test_file_in_two_parts_is_published(http: httpx.Client, private_channel: Channel) -> None:
    """It is published with the last byte, and the response has its path and revision."""
    key = private_channel.contributor
    started = begin(http, private_channel.name, key, sha256=FILE.sha256)
    assert (201, "0") == (started.status_code, started.headers["upload-offset"])
    location = started.headers["location"]
    first = send(http, location, key, 0, FILE.content[:280_000])
    assert (204, "280000") == (first.status_code, first.headers["upload-offset"])
    assert "seaway-path" not in first.headers
    last = send(http, location, key, 280_000, FILE.content[280_000:])
    assert 204 == last.status_code
    for response in (last, get_upload(http, location, key)):
        assert str(len(FILE.content)) == response.headers["upload-offset"]
        assert "1" == response.headers["seaway-revision"]
        assert f"/{private_channel.name}/noarch/{FILE.name}" == response.headers["seaway-path"]
        assert "1.0.0" == response.headers["tus-resumable"]
    assert FILE.content == http.get(last.headers["seaway-path"], headers=bearer(key)).content


@pytest.mark.parametrize("is_announced", [True, False])
def test_too_small_part_is_refused(http: httpx.Client, channel: Channel, is_announced: bool) -> None:
    """400 with the minimum size, with and without Content-Length; the offset does not change."""
    location = begin(http, channel.name, channel.owner).headers["location"]
    headers = {**TUS, **BODY, "Upload-Offset": "0", **bearer(channel.owner)}
    response = http.patch(location, content=b"four" if is_announced else iter([b"fo", b"ur"]), headers=headers)
    assert 400 == response.status_code
    expected = "A piece of 4 bytes is too small. Send at least 262,144 bytes at a time, or the rest of the file."
    assert expected == error_message(response)
    assert "0" == get_upload(http, location, channel.owner).headers["upload-offset"]


def test_upload_resumes_after_lost_connection(http: httpx.Client, site: Site, channel: Channel) -> None:
    """The bytes received before are kept, and the upload continues after them."""
    location = begin(http, channel.name, channel.owner).headers["location"]
    with connect(site.server.address) as connection:
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
        return int(get_upload(http, location, channel.owner).headers["upload-offset"])

    wait_until(lambda: offset() > 0)
    assert offset() <= 200_000
    assert 204 == send(http, location, channel.owner, offset(), FILE.content[offset() :]).status_code
    assert FILE.content == http.get(f"/{channel.name}/noarch/{FILE.name}").content


def test_refusal_is_the_same_as_for_a_single_request(http: httpx.Client, site: Site, channel: Channel) -> None:
    """The same status and message, with the tus header; nothing is left behind."""
    with leaves_nothing(site.server):
        location = begin(http, channel.name, channel.owner).headers["location"]
        refused = send(http, location, channel.owner, 0, bytes(len(FILE.content)))
        assert 422 == refused.status_code
        assert error_message(refused)
        assert "1.0.0" == refused.headers["tus-resumable"]
        assert 404 == get_upload(http, location, channel.owner).status_code


def test_existing_file_of_another_user_is_refused_before_its_bytes(http: httpx.Client, channel: Channel) -> None:
    """The announced hash causes the early refusal; `force` and the file's own uploader are exempt."""
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
def test_invalid_creation_is_refused(
    http: httpx.Client, channel: Channel, changes: dict[str, str], status: int
) -> None:
    """With a message, before anything is stored."""
    headers = {**TUS, "Upload-Length": "10", **metadata(filename=FILE.name), **bearer(channel.owner)}
    encoded = {name: value.encode() for name, value in {**headers, **changes}.items()}
    response = http.post(f"/api/v1/uploads/{channel.name}", headers=encoded)
    assert (status, "1.0.0") == (response.status_code, response.headers["tus-resumable"])
    assert error_message(response)


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"Upload-Offset": "1"}, 409), ({"Upload-Offset": "-1"}, 400), ({"Content-Type": "text/plain"}, 415)],
)
def test_invalid_part_is_refused(http: httpx.Client, channel: Channel, changes: dict[str, str], status: int) -> None:
    location = begin(http, channel.name, channel.owner).headers["location"]
    headers = {**TUS, **BODY, "Upload-Offset": "0", **bearer(channel.owner), **changes}
    assert status == http.patch(location, content=FILE.content, headers=headers).status_code
    assert "0" == get_upload(http, location, channel.owner).headers["upload-offset"]


def test_canceled_upload_leaves_nothing(http: httpx.Client, site: Site, channel: Channel) -> None:
    with leaves_nothing(site.server):
        location = begin(http, channel.name, channel.owner).headers["location"]
        assert 204 == send(http, location, channel.owner, 0, FILE.content[:280_000]).status_code
        assert 204 == http.delete(location, headers={**TUS, **bearer(channel.owner)}).status_code
        assert 404 == get_upload(http, location, channel.owner).status_code


def test_chunked_body_over_the_announced_length_is_refused(http: httpx.Client, channel: Channel) -> None:
    """A body without Content-Length cannot exceed Upload-Length."""
    location = begin(http, channel.name, channel.owner).headers["location"]

    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(100_000)

    headers = {**TUS, **BODY, "Upload-Offset": "0", **bearer(channel.owner)}
    assert 413 == http.patch(location, content=endless(), headers=headers).status_code


def test_headers_name_the_existing_file(http: httpx.Client, channel: Channel) -> None:
    """They say whether it has the same bytes and can be replaced, so that a client need not parse a sentence."""
    file = conda(index_json("existing"), files={"share/noise": b"first"})
    other = conda(index_json("existing"), files={"share/noise": b"second"})

    def outcome(key: str | None, sent: PackageFile, **more: str) -> tuple[int, str | None, str | None]:
        response = begin(http, channel.name, key, sent, **more)
        if response.status_code == 201:
            response = send(http, response.headers["location"], key, 0, sent.content)
        headers = response.headers
        assert f"/{channel.name}/noarch/{file.name}" == headers["seaway-path"]
        return response.status_code, headers.get("seaway-outcome"), headers.get("seaway-existing")

    owner, contributor = channel.owner, channel.contributor
    assert (204, "published", None) == outcome(owner, file)
    assert (204, "repeated", None) == outcome(owner, file)
    assert (409, None, "same") == outcome(contributor, file, sha256=file.sha256)
    assert (409, None, "different") == outcome(contributor, other)
    assert (409, None, "replaceable") == outcome(owner, other)
    assert (204, "replaced", None) == outcome(owner, other, force="true")
