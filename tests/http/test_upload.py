"""Uploads to a real server: accepted forms, refusals with their messages, and what they leave behind."""

import json
import resource
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from rattler_build.upload import upload_package_to_prefix

from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import channels
from seaway.channels.channel import ChannelSettings
from tests.conftest import Site
from tests.http.conftest import Channel, LimitedSite, make_channel
from tests.support import packages, requests
from tests.support.hostile import zstd_frame
from tests.support.packages import PackageFile, Tar, conda, conda_bytes, index_json, info_files, tar_bz2, zstd
from tests.support.requests import (
    Part,
    attestation_part,
    basic,
    bearer,
    error_message,
    exchange,
    file_part,
    head_bytes,
    leaves_nothing,
    multipart,
    multipart_type,
    raw_headers,
    read_response,
    upload,
    wait_until,
)

GOOD = conda()
UNSEEN = conda(index_json("unseen"))  # never published, so any blob of it is left over
DOCUMENTS = (
    "repodata.json",
    "repodata.json.zst",
    "run_exports.json",
    "run_exports.json.zst",
    "repodata_shards.msgpack.zst",
)


def post(
    http: httpx.Client, channel: str, key: str | None, body: bytes | Iterator[bytes], headers: dict[str, str]
) -> httpx.Response:
    return http.post(f"/api/v1/upload/{channel}", content=body, headers={**headers, **bearer(key)})


def send(http: httpx.Client, channel: str, key: str | None, *parts: Part) -> httpx.Response:
    return post(http, channel, key, multipart(*parts), multipart_type())


def records(http: httpx.Client, channel: str, subdir: str = "noarch") -> dict:
    repodata = http.get(f"/{channel}/{subdir}/repodata.json").json()
    return repodata["packages"] | repodata["packages.conda"]


def shard_index(http: httpx.Client, channel: str, subdir: str = "noarch") -> dict:
    return msgspec.msgpack.decode(zstd.decompress(http.get(f"/{channel}/{subdir}/repodata_shards.msgpack.zst").content))


def shard(http: httpx.Client, channel: str, name: str, subdir: str = "noarch") -> dict:
    digest = shard_index(http, channel, subdir)["shards"][name].hex()
    return msgspec.msgpack.decode(zstd.decompress(http.get(f"/{channel}/{subdir}/shards/{digest}.msgpack.zst").content))


# Accepted uploads


def test_multipart_upload_of_rattler_is_published(http: httpx.Client, channel: Channel) -> None:
    """A multipart body with the part headers of rattler's clients; the response is one sentence."""
    response = send(http, channel.name, channel.contributor, file_part(GOOD))
    assert 201 == response.status_code, response.text
    assert f"{channel.name}/noarch/{GOOD.name} is in the channel, revision 1." == error_message(response)
    assert "1" == response.headers["seaway-revision"]
    assert GOOD.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content
    assert GOOD.sha256 == records(http, channel.name)[GOOD.name]["sha256"]


def test_raw_upload_is_published(http: httpx.Client, channel: Channel) -> None:
    """The body is the file itself, named in a header."""
    response = post(http, channel.name, channel.contributor, GOOD.content, raw_headers(GOOD))
    assert 201 == response.status_code, response.text
    assert f"{channel.name}/noarch/{GOOD.name} is in the channel, revision 1." == error_message(response)
    assert GOOD.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_chunked_raw_upload_is_published(http: httpx.Client, channel: Channel) -> None:
    """Without Content-Length."""
    response = post(http, channel.name, channel.contributor, iter([GOOD.content]), raw_headers(GOOD))
    assert 201 == response.status_code, response.text


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(file_part(GOOD, x_file_name=None, x_file_sha256=None, content_length=None), id="filename only"),
        pytest.param(
            file_part(GOOD, content_disposition='form-data; name="file"', content_type=None), id="X-File-Name only"
        ),
        pytest.param(file_part(GOOD, x_file_sha256=GOOD.sha256.upper()), id="hash in upper case"),
    ],
)
def test_other_forms_of_the_file_part_are_accepted(http: httpx.Client, channel: Channel, part: Part) -> None:
    """The name can be in either header, and the hash can be absent or in upper case."""
    response = send(http, channel.name, channel.contributor, part)
    assert 201 == response.status_code, response.text


def test_request_headers_can_name_the_file_part(http: httpx.Client, channel: Channel) -> None:
    """If the part has no name and hash, the request headers provide them."""
    part = file_part(GOOD, content_disposition='form-data; name="file"', x_file_name=None, x_file_sha256=None)
    headers = {**multipart_type(), **raw_headers(GOOD)}
    response = post(http, channel.name, channel.contributor, multipart(part), headers)
    assert 201 == response.status_code, response.text


@pytest.mark.parametrize("size", [1, 7, 64, 1000], ids=lambda size: f"{size} bytes at a time")
def test_body_is_parsed_in_chunks_of_any_size(http: httpx.Client, channel: Channel, size: int) -> None:
    """Chunk boundaries do not matter."""
    body = multipart(file_part(GOOD))
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    response = post(http, channel.name, channel.contributor, pieces, multipart_type())
    assert 201 == response.status_code, response.text
    assert GOOD.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_bytes_similar_to_boundary_stay_in_the_file(http: httpx.Client, channel: Channel) -> None:
    """A file can contain the beginning of the boundary between parts."""
    lures = b"\r\n--" + requests.BOUNDARY[:-1].encode() + b"\r\n\r\n--\r\n--"
    file = conda(files={"share/lure.bin": lures * 50})
    stored = PackageFile(file.name, file.content)
    response = send(http, channel.name, channel.contributor, file_part(stored))
    assert 201 == response.status_code, response.text
    assert file.content == http.get(f"/{channel.name}/noarch/{file.name}").content


@pytest.mark.parametrize("build", [conda, tar_bz2], ids=["conda", "tar.bz2"])
@pytest.mark.parametrize("subdir", ["noarch", "linux-64", "win-arm64"])
def test_subdir_comes_from_the_package(
    http: httpx.Client, channel: Channel, build: Callable[..., PackageFile], subdir: str
) -> None:
    """index.json decides; the request cannot change it."""
    file = build(index_json(subdir=subdir, noarch="generic" if subdir == "noarch" else ...))
    response = send(http, channel.name, channel.contributor, file_part(file))
    assert 201 == response.status_code, response.text
    assert [file.name] == list(records(http, channel.name, subdir))


def test_each_subdir_has_its_own_revision(http: httpx.Client, channel: Channel) -> None:
    """An upload raises only the revision of its subdir, by one."""
    sent = [index_json("one"), index_json("two"), index_json("one", subdir="linux-64", noarch=...), index_json("three")]
    responses = [upload(http, channel.name, conda(index), channel.owner) for index in sent]
    assert ["1", "2", "1", "3"] == [response.headers["seaway-revision"] for response in responses]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_upload_is_visible_in_next_read(http: httpx.Client, channel: Channel, document: str) -> None:
    """The next document has the revision of the response, after each upload."""
    for number in range(3):
        response = upload(http, channel.name, conda(index_json(f"pkg{number}")), channel.owner)
        read = http.get(f"/{channel.name}/noarch/{document}")
        assert response.headers["seaway-revision"] == read.headers["seaway-revision"]
        content = zstd.decompress(read.content) if document.endswith(".zst") else read.content
        assert f"pkg{number}".encode() in content


def test_future_timestamp_causes_a_warning(http: httpx.Client, channel: Channel) -> None:
    file = conda(index_json(timestamp=4_000_000_000_000))
    response = send(http, channel.name, channel.contributor, file_part(file))
    assert 201 == response.status_code, response.text
    assert "Warning: The timestamp of the package is in the future" in error_message(response)


def test_lookalike_name_causes_a_warning(http: httpx.Client, channel: Channel) -> None:
    """The file is accepted, and the warning contains the similar name."""
    upload(http, channel.name, conda(index_json("some-tool")), channel.owner)
    response = upload(http, channel.name, conda(index_json("some_tool")), channel.owner)
    assert 201 == response.status_code, response.text
    assert "Warning: some_tool looks like some-tool" in error_message(response)


def test_channel_can_refuse_lookalike_names(site: Site, http: httpx.Client, channel: Channel) -> None:
    with site.factory.seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, channel.name, ChannelSettings(refuses_lookalikes=True))
    upload(http, channel.name, conda(index_json("some-tool")), channel.owner)
    with leaves_nothing(site.server):
        response = upload(http, channel.name, changed("some_tool"), channel.owner)
    assert 422 == response.status_code
    assert "some_tool looks like some-tool" in error_message(response)


def test_file_name_differing_only_in_case_is_refused(http: httpx.Client, channel: Channel, site: Site) -> None:
    """Caches on Windows and macOS can hold only one of them, whatever the subdir; other extensions do not conflict."""
    first, second = conda(index_json(build="PY_0")), conda(index_json(build="py_0"))
    assert 201 == upload(http, channel.name, first, channel.owner).status_code
    with leaves_nothing(site.server):
        response = upload(http, channel.name, second, channel.owner)
    assert 422 == response.status_code
    assert (
        f"{second.name} differs only in case from {channel.name}/noarch/{first.name}; package caches"
        in error_message(response)
    )
    assert 201 == upload(http, channel.name, tar_bz2(index_json(build="py_0")), channel.owner).status_code
    elsewhere = conda(index_json(build="py_0", subdir="linux-64", noarch=...))
    assert 422 == upload(http, channel.name, elsewhere, channel.owner).status_code
    elsewhere = conda(index_json(build="PY_0", subdir="linux-64", noarch=...))
    assert 201 == upload(http, channel.name, elsewhere, channel.owner).status_code


# Overwriting


_numbers = count()


def changed(name: str = "demo") -> PackageFile:
    """Return a package with the same file name and new bytes."""
    return conda(index_json(name), files={"share/demo.txt": b"change %d" % next(_numbers)})


def test_upload_of_existing_file_with_other_bytes_returns_409(site: Site, http: httpx.Client, channel: Channel) -> None:
    """The existing file does not change."""
    upload(http, channel.name, GOOD, channel.owner)
    with leaves_nothing(site.server):
        response = send(http, channel.name, channel.owner, file_part(changed()))
    assert 409 == response.status_code
    assert "with other contents" in error_message(response)
    assert GOOD.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_refused_overwrite_names_missing_mode_or_role(site: Site, http: httpx.Client, channel: Channel) -> None:
    """If the key is too narrow, the message names the mode; if the role is too low, another key would not help."""
    upload(http, channel.name, GOOD, channel.owner)
    narrow = site.factory.key(site.factory.caller_of_key(channel.owner).name, mode=Mode.READ_WRITE)
    for key, expected in ((narrow, "READ_WRITE_DELETE"), (channel.contributor, "files that they uploaded")):
        response = http.post(
            f"/api/v1/upload/{channel.name}",
            params={"force": "true"},
            content=changed().content,
            headers={"X-File-Name": GOOD.name, **bearer(key)},
        )
        assert 403 == response.status_code
        assert expected in response.text


@pytest.mark.parametrize(
    ("more", "needs"),
    [
        ({"flags": ["cuda"]}, "the flag 'cuda'"),
        ({"extra_depends": {"test": ["pytest"]}}, "the extra 'test'"),
        ({"depends": ["a[when=__unix]"]}, "the dependency 'a"),
        ({"repodata_revision": 3}, "repodata_revision 3"),
    ],
)
def test_channel_can_refuse_packages_for_repodata_v3(
    site: Site, http: httpx.Client, channel: Channel, more: dict[str, Any], needs: str
) -> None:
    """The refusal names the feature that needs v3; such packages are accepted by default."""
    file = conda(index_json("modern", **more))
    for allowed, status in ((False, 422), (True, 201)):
        with site.factory.seaway.site.database.write_site() as tx:
            channels.change(tx, 0, OPERATOR, channel.name, ChannelSettings(allows_v3=allowed))
        response = upload(http, channel.name, file, channel.owner)
        assert (status, not allowed) == (response.status_code, f"needs repodata v3 for {needs}" in response.text), (
            response.text
        )
    assert 201 == upload(http, channel.name, GOOD, channel.owner).status_code


def test_channel_can_forbid_overwriting(site: Site, http: httpx.Client, channel: Channel) -> None:
    """A name never gets other bytes, neither by force nor after deletion, so files are cached as immutable."""
    url, sent = f"/{channel.name}/noarch/{GOOD.name}", {"content": changed().content}
    headers = {"X-File-Name": GOOD.name, **bearer(channel.owner)}
    upload(http, channel.name, GOOD, channel.owner)
    assert "public, max-age=0, must-revalidate" == http.get(url).headers["cache-control"]
    with site.factory.seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, channel.name, ChannelSettings(allows_overwrite=False))
    assert "public, max-age=31536000, immutable" == http.get(url).headers["cache-control"]
    forced = http.post(f"/api/v1/upload/{channel.name}", params={"force": "true"}, headers=headers, **sent)
    assert (403, True) == (forced.status_code, "does not allow files to be overwritten" in forced.text)
    assert GOOD.content == http.get(url).content
    http.delete(f"/api/v1/delete/{channel.name}/noarch/{GOOD.name}", headers=bearer(channel.owner)).raise_for_status()
    again = http.post(f"/api/v1/upload/{channel.name}", headers=headers, **sent)
    assert (403, True) == (again.status_code, "was deleted" in again.text)
    assert 404 == http.get(url).status_code
    for announced in ({}, {"X-File-SHA256": GOOD.sha256}):
        same = http.post(f"/api/v1/upload/{channel.name}", headers=headers | announced, content=GOOD.content)
        assert same.status_code in (200, 201), same.text
    assert GOOD.content == http.get(url).content


@pytest.mark.parametrize("announced", [True, False])
def test_repeated_upload_by_same_user_returns_200(
    site: Site, http: httpx.Client, channel: Channel, announced: bool
) -> None:
    """A client that lost the response uploads again: it gets the same revision, and nothing changes."""
    headers = {"X-File-SHA256": GOOD.sha256} if announced else {}
    first, second = (
        http.post(
            f"/api/v1/upload/{channel.name}",
            content=GOOD.content,
            headers={"X-File-Name": GOOD.name, **headers, **bearer(channel.owner)},
        )
        for _ in range(2)
    )
    assert (201, 200) == (first.status_code, second.status_code)
    assert "1" == first.headers["seaway-revision"] == second.headers["seaway-revision"]
    assert "was uploaded before with the same contents, revision 1." in error_message(second)
    assert "1" == http.get(f"/{channel.name}/noarch/repodata.json").headers["seaway-revision"]


def test_repeated_forced_upload_needs_no_permission_to_overwrite(
    site: Site, http: httpx.Client, channel: Channel
) -> None:
    """A job that always passes `force=true` can lose the response too."""
    narrow = site.factory.key(site.factory.caller_of_key(channel.owner).name, mode=Mode.READ_WRITE)
    responses = [upload(http, channel.name, GOOD, narrow, force=True) for _ in range(2)]
    with site.factory.seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, channel.name, ChannelSettings(allows_overwrite=False))
    responses.append(upload(http, channel.name, GOOD, channel.owner, force=True))
    assert [201, 200, 200] == [response.status_code for response in responses]
    assert ["1"] * 3 == [response.headers["seaway-revision"] for response in responses]


def test_same_file_from_another_user_returns_409(http: httpx.Client, channel: Channel) -> None:
    """It is refused with the announced hash too, and from the owner of the channel."""
    upload(http, channel.name, GOOD, channel.contributor)
    response = upload(http, channel.name, GOOD, channel.owner)
    assert 409 == response.status_code
    assert "with the same contents" in error_message(response)


@pytest.mark.parametrize("force", ["false", "0", "", "no"])
def test_other_values_of_force_do_not_overwrite(http: httpx.Client, channel: Channel, force: str) -> None:
    """Only `true` and `1` force."""
    upload(http, channel.name, GOOD, channel.owner)
    response = http.post(
        f"/api/v1/upload/{channel.name}",
        params={"force": force},
        content=changed().content,
        headers={"X-File-Name": GOOD.name, **bearer(channel.owner)},
    )
    assert 409 == response.status_code


def test_owner_overwrites_file_with_force(http: httpx.Client, channel: Channel) -> None:
    """The new bytes are served with a new ETag in the next revision."""
    upload(http, channel.name, GOOD, channel.contributor)
    before = http.get(f"/{channel.name}/noarch/{GOOD.name}")
    file = changed()
    response = http.post(
        f"/api/v1/upload/{channel.name}?force=true",
        content=multipart(file_part(file)),
        headers={**multipart_type(), **bearer(channel.owner)},
    )
    after = http.get(f"/{channel.name}/noarch/{GOOD.name}", headers={"If-None-Match": before.headers["etag"]})
    assert 200 == response.status_code
    assert f"{channel.name}/noarch/{GOOD.name} replaced, revision 2." == error_message(response)
    assert (200, file.content) == (after.status_code, after.content)
    assert before.headers["etag"] != after.headers["etag"]
    assert file.sha256 == records(http, channel.name)[GOOD.name]["sha256"]
    assert file.sha256 == shard(http, channel.name, "demo")["packages.conda"][GOOD.name]["sha256"].hex()


def test_force_with_new_name_is_a_normal_upload(http: httpx.Client, channel: Channel) -> None:
    response = upload(http, channel.name, GOOD, channel.contributor, force=True)
    assert 201 == response.status_code


def test_contributor_overwrites_only_files_they_uploaded(site: Site, http: httpx.Client, channel: Channel) -> None:
    upload(http, channel.name, GOOD, channel.owner)
    upload(http, channel.name, changed("mine"), channel.contributor)
    own = upload(http, channel.name, changed("mine"), channel.contributor, force=True)
    with leaves_nothing(site.server):
        foreign = upload(http, channel.name, changed(), channel.contributor, force=True)
    assert [200, 403] == [own.status_code, foreign.status_code]
    assert "cannot overwrite" in error_message(foreign)
    assert GOOD.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_force_needs_key_with_mode_to_overwrite(site: Site, http: httpx.Client) -> None:
    """A READ_WRITE key of the owner uploads, but does not overwrite."""
    owner = site.factory.user(site.new_name("owner"))
    name = site.new_channel(owner=owner)
    key = site.factory.key(owner, mode=Mode.READ_WRITE)
    responses = [
        upload(http, name, GOOD, key),
        upload(http, name, changed(), key, force=True),
        upload(http, name, changed(), site.factory.key(owner), force=True),
    ]
    assert [201, 403, 200] == [response.status_code for response in responses]
    assert "READ_WRITE_DELETE" in error_message(responses[1])


# Refused uploads, which leave nothing behind


@dataclass(frozen=True)
class Attempt:
    """A request by a user who can upload, with the expected refusal."""

    status: int
    expected_text: str
    body: bytes
    headers: dict[str, str] = field(default_factory=multipart_type)


def raw(status: int, expected_text: str, body: bytes = UNSEEN.content, **headers: str) -> Attempt:
    return Attempt(status, expected_text, body, {key.replace("_", "-"): value for key, value in headers.items()})


def parts(status: int, expected_text: str, *sent: Part, end: bytes = b"--\r\n") -> Attempt:
    return Attempt(status, expected_text, multipart(*sent, end=end))


def named(file_name: str, rule: str) -> Attempt:
    return parts(400, rule, file_part(PackageFile(file_name, UNSEEN.content)))


def content(expected_text: str, file: PackageFile) -> Attempt:
    return parts(422, expected_text, file_part(file))


def hostile(**parts: bytes) -> PackageFile:
    """Return a .conda with a valid info part and a hostile pkg part."""
    info = Tar(info_files(index_json("unseen"))).build()
    return PackageFile(UNSEEN.name, conda_bytes(UNSEEN.name.removesuffix(".conda"), info_tar=info, **parts))


NOTE = Part([("content-disposition", 'form-data; name="note"')], b"hello")
WRONG_HASH = "ab" * 32

MALFORMED = {
    "raw without a name": raw(400, "X-File-Name"),
    "raw with an empty name": raw(400, "X-File-Name", X_File_Name=""),
    "raw with a path for a name": raw(400, "The package name in the file name", X_File_Name="../../unseen-1.0-h1_0.conda"),
    "raw with a hash of 63 digits": raw(400, "64 hexadecimal", X_File_Name=UNSEEN.name, X_File_SHA256="a" * 63),
    "raw with a hash of no digits": raw(400, "64 hexadecimal", X_File_Name=UNSEEN.name, X_File_SHA256="z" * 64),
    "raw with an empty hash": raw(400, "64 hexadecimal", X_File_Name=UNSEEN.name, X_File_SHA256=""),
    "no boundary": Attempt(400, "no boundary", multipart(file_part(UNSEEN)), {"Content-Type": "multipart/form-data"}),
    "empty boundary": Attempt(400, "no boundary", multipart(file_part(UNSEEN)), multipart_type('""')),
    "another boundary": Attempt(400, "could not be parsed", multipart(file_part(UNSEEN)), multipart_type("other")),
    "boundary of 2,000 characters": Attempt(
        400, "could not be parsed", multipart(file_part(UNSEEN)), multipart_type("b" * 2_000)
    ),
    "no multipart body": Attempt(400, "could not be parsed", UNSEEN.content),
    "empty body": Attempt(400, "is incomplete", b""),
    "no part": parts(400, "first part"),
    "first part is another": parts(400, "first part", NOTE, file_part(UNSEEN)),
    "first part has no name": parts(400, "first part", Part([("content-type", "text/plain")], b"x")),
    "first part has no headers": parts(400, "first part", Part([], UNSEEN.content)),
    "attestation before the file": parts(400, "first part", attestation_part(), file_part(UNSEEN)),
    "two files": parts(400, "an unexpected part named", file_part(UNSEEN), file_part(conda(index_json("unseen-two")))),
    "another part after the file": parts(400, "an unexpected part named", file_part(UNSEEN), NOTE),
    "two attestations": parts(400, "after the attestation", file_part(UNSEEN), attestation_part(), attestation_part()),
    "attestation of 300 kB": parts(413, "larger than 262,144 bytes", file_part(UNSEEN), attestation_part(b"{" * 300_000)),
    "10,000 parts": parts(400, "an unexpected part named", file_part(UNSEEN), *[NOTE] * 10_000),
    "10,000 empty parts": parts(400, "first part", *[Part([])] * 10_000),
    "part header of 1 MB": parts(400, "could not be parsed", file_part(UNSEEN, x_note="n" * 1_000_000)),
    "10,000 part headers": parts(
        400, "could not be parsed", Part([(f"x-{number}", "n") for number in range(10_000)], UNSEEN.content)
    ),
    "same part header twice": parts(
        400, "repeats a header", Part([*file_part(UNSEEN).headers, ("X-File-Name", "other")], UNSEEN.content)
    ),
    "two names": parts(400, "missing or ambiguous", file_part(UNSEEN, x_file_name="other-1.0-0.conda")),
    "no name": parts(
        400, "missing or ambiguous", file_part(UNSEEN, content_disposition='form-data; name="file"', x_file_name=None)
    ),
    "hash of 63 digits in the part": parts(400, "64 hexadecimal", file_part(UNSEEN, x_file_sha256="a" * 63)),
    "ends without its last boundary": parts(400, "is incomplete", file_part(UNSEEN), end=b"\r\n"),
    "ends inside the file": Attempt(400, "is incomplete", multipart(file_part(UNSEEN))[:-200]),
    "ends inside the part headers": Attempt(400, "is incomplete", multipart(file_part(UNSEEN))[:60]),
    "name with a path": named("../../x-1.0-0.conda", "package name"),
    "name with a folder": named("noarch/unseen-1.0-h1_0.conda", "package name"),
    "name with a backslash": named("..\\unseen-1.0-h1_0.conda", "package name"),
    "name with NUL": named("unseen-1.0-h1_0.conda\0.conda", "build string"),
    "name in upper case": named("Unseen-1.0-h1_0.conda", "capital letter 'U'"),
    "name of two parts": named("unseen-1.0.conda", "fewer than two hyphens"),
    "name of 300 characters": named("d" * 300 + "-1.0-0.conda", "at most 211"),
    "name of a wheel": named("demo-1.0-py3-none-any.whl", "does not end in .conda or .tar.bz2"),
    "name of nothing but an extension": named(".conda", "fewer than two hyphens"),
    "name with a letter that is not ASCII": named("ünseen-1.0-h1_0.conda", "only lowercase letters"),
}  # fmt: skip

REFUSED = {
    "raw with another hash": raw(422, "sha256", X_File_Name=UNSEEN.name, X_File_SHA256=WRONG_HASH),
    "part with another hash": parts(422, "sha256", file_part(UNSEEN, x_file_sha256=WRONG_HASH)),
    "attestation with a key": parts(422, "trusted publisher", file_part(UNSEEN), attestation_part()),
    "empty file": content("", PackageFile(UNSEEN.name, b"")),
    "a gigabyte of zeros": content("", hostile(pkg_zst=zstd_frame((b"\0", 1 << 30)))),
    "a path out of the package": content("", hostile(pkg_tar=Tar({"../../etc/cron.d/x": b"* * * * *"}).build())),
    "an absolute path": content("", hostile(pkg_tar=Tar({"/etc/passwd": b"root"}).build())),
    "HTML": content("", PackageFile(UNSEEN.name, b"<!doctype html><script>alert(1)</script>")),
    "an empty ZIP": content("", PackageFile(UNSEEN.name, b"PK\5\6" + bytes(18))),
    "truncated": content("", PackageFile(UNSEEN.name, UNSEEN.content[:-100])),
    "a tar.bz2 that is a conda": content("", PackageFile("unseen-1.0-h1_0.tar.bz2", UNSEEN.content)),
    "another package's name": content("file name says", PackageFile("unseen-1.0-h1_0.tar.bz2", tar_bz2(index_json("other")).content)),
    "another package's members": content("", PackageFile("other-1.0-h1_0.conda", UNSEEN.content)),
    "unknown subdir": content("platform", conda(index_json("unseen", subdir="amiga-68k", noarch=...))),
    "no subdir": content("subdir", conda(index_json("unseen", subdir=...))),
    "subdir with a path": content("platform", conda(index_json("unseen", subdir="../linux-64", noarch=...))),
    "no index.json": content("index.json", conda(index_json("unseen"), info={"info/paths.json": b"{}"})),
    "unreadable match spec": content("", conda(index_json("unseen", depends=["python >=3,<,"]))),
}  # fmt: skip


@pytest.mark.parametrize("attempt", [pytest.param(attempt, id=name) for name, attempt in (MALFORMED | REFUSED).items()])
def test_bad_upload_is_refused_and_leaves_nothing(
    site: Site, http: httpx.Client, channel: Channel, attempt: Attempt
) -> None:
    """It gets its status and one sentence, and leaves no spool file, no blob and no row."""
    with leaves_nothing(site.server):
        response = post(http, channel.name, channel.contributor, attempt.body, attempt.headers)
    assert (attempt.status, attempt.expected_text in error_message(response)) == (response.status_code, True), (
        response.text
    )
    assert {} == records(http, channel.name)


def test_refusal_shortens_long_file_name(http: httpx.Client, channel: Channel) -> None:
    """The message fits into what clients show."""
    response = post(http, channel.name, channel.owner, b"x", {"X-File-Name": "\\" * 4_000})
    assert 400 == response.status_code
    assert len(error_message(response)) <= 512


def test_refusal_omits_key_in_file_name(http: httpx.Client, channel: Channel) -> None:
    response = post(http, channel.name, channel.owner, b"x", {"X-File-Name": channel.owner})
    assert 400 == response.status_code
    assert channel.owner[6:] not in error_message(response)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"Authorization": "Bearer"}, id="bearer without a key"),
        pytest.param({"Authorization": "Bearer nonsense"}, id="nonsense"),
        pytest.param({"Authorization": "Token x"}, id="another scheme"),
        pytest.param(basic("user", "password"), id="a password"),
    ],
)
def test_upload_without_valid_key_returns_401(
    site: Site, http: httpx.Client, channel: Channel, headers: dict[str, str]
) -> None:
    """The 401 requests a bearer token and does not contain the channel name."""
    with leaves_nothing(site.server):
        response = http.post(
            f"/api/v1/upload/{channel.name}", content=UNSEEN.content, headers={**raw_headers(UNSEEN), **headers}
        )
    assert 401 == response.status_code
    assert 'Bearer realm="seaway"' == response.headers["www-authenticate"]
    assert channel.name not in error_message(response)


@pytest.mark.parametrize("form", ["user", "password"])
def test_basic_authentication_can_upload(http: httpx.Client, channel: Channel, form: str) -> None:
    """With the key as user or as password."""
    credential = basic(channel.owner, "") if form == "user" else basic("any", channel.owner)
    response = http.post(
        f"/api/v1/upload/{channel.name}", content=GOOD.content, headers={**raw_headers(GOOD), **credential}
    )
    assert 201 == response.status_code, response.text


def test_viewer_cannot_upload(site: Site, http: httpx.Client, private_channel: Channel) -> None:
    """The message names the required role."""
    with leaves_nothing(site.server):
        response = send(http, private_channel.name, private_channel.viewer, file_part(UNSEEN))
    assert 403 == response.status_code
    assert "Contributor" in error_message(response)


def test_upload_to_hidden_channel_returns_404(site: Site, http: httpx.Client, private_channel: Channel) -> None:
    """The message does not contain the channel name."""
    with leaves_nothing(site.server):
        response = send(http, private_channel.name, private_channel.nonmember, file_part(UNSEEN))
    assert 404 == response.status_code
    assert private_channel.name not in error_message(response)


@pytest.mark.parametrize(
    "target",
    ["no-such-channel", "", "/", "owner/no-such-channel", "owner%2Fchannel", "Upper", "..", "noarch", "t", "%00", "*"],
    ids=repr,
)
def test_upload_to_missing_or_invalid_channel_returns_404(
    site: Site, http: httpx.Client, channel: Channel, target: str
) -> None:
    """The message does not repeat the name."""
    with leaves_nothing(site.server):
        response = exchange(
            site.server.address,
            "POST",
            f"/api/v1/upload/{target}",
            {**raw_headers(UNSEEN), **bearer(channel.owner), "Content-Length": str(len(UNSEEN.content))},
            UNSEEN.content,
        )
    assert 404 == response.status
    assert "no-such-channel" not in response.body.decode()
    assert "Upper" not in response.body.decode()


@pytest.mark.parametrize("suffix", ["/", "/noarch", "//"])
def test_path_after_channel_name_returns_404(site: Site, http: httpx.Client, channel: Channel, suffix: str) -> None:
    """It is not ignored, and the message describes the URL."""
    with leaves_nothing(site.server):
        response = upload(http, channel.name + suffix, UNSEEN, channel.owner)
    assert 404 == response.status_code
    assert "one name" in error_message(response)


# Size


def test_file_of_exactly_the_limit_is_accepted(limited: LimitedSite) -> None:
    """The limit applies to the bytes of the file, not to the multipart body."""
    owner = make_channel(limited)
    with limited.client() as http:
        response = send(http, owner.name, owner.owner, file_part(limited.largest))
    assert 201 == response.status_code, response.text


@pytest.mark.parametrize("form", ["raw", "multipart"])
def test_file_one_byte_over_the_limit_returns_413(limited: LimitedSite, form: str) -> None:
    """The message contains the limit."""
    owner = make_channel(limited)
    file = PackageFile(limited.largest.name, limited.largest.content + b"\0")
    with limited.client() as http, leaves_nothing(limited.server):
        if form == "raw":
            response = upload(http, owner.name, file, owner.owner)
        else:
            response = send(http, owner.name, owner.owner, file_part(file))
    assert 413 == response.status_code
    assert f"larger than {len(limited.largest.content):,} bytes" in error_message(response)


@pytest.mark.parametrize("form", [pytest.param({}, id="raw"), pytest.param(multipart_type(), id="multipart")])
def test_announced_length_over_the_limit_is_refused_before_the_body(limited: LimitedSite, form: dict[str, str]) -> None:
    """The client gets a 413 before it sends a byte of the body."""
    owner = make_channel(limited)
    headers = {**raw_headers(UNSEEN), **form, **bearer(owner.owner), "Content-Length": "107374182400"}
    with leaves_nothing(limited.server):
        response = exchange(limited.server.address, "POST", f"/api/v1/upload/{owner.name}", headers)
    assert 413 == response.status


@pytest.mark.parametrize(
    ("form", "prefix"),
    [
        pytest.param({}, b"", id="raw"),
        pytest.param(
            multipart_type(), multipart(file_part(UNSEEN)).split(b"\r\n\r\n")[0] + b"\r\n\r\n", id="multipart"
        ),
    ],
)
def test_chunked_body_is_refused_at_the_limit(limited: LimitedSite, form: dict[str, str], prefix: bytes) -> None:
    """An endless body is refused while the client is still sending."""
    owner = make_channel(limited)
    headers = {**raw_headers(UNSEEN), **form, **bearer(owner.owner), "Transfer-Encoding": "chunked"}
    body = prefix + bytes(len(limited.largest.content) + 1)
    with leaves_nothing(limited.server), requests.connect(limited.server.address) as connection:
        connection.sendall(head_bytes("POST", f"/api/v1/upload/{owner.name}", headers))
        connection.sendall(f"{len(body):x}\r\n".encode() + body + b"\r\n")
        response = read_response(connection, "POST")
    assert 413 == response.status


def test_connection_is_reusable_after_a_refusal(limited: LimitedSite) -> None:
    """A client that sends a refused body to the end gets the refusal, and its next request works."""
    owner = make_channel(limited)
    large = PackageFile(GOOD.name, bytes(8 * 1024 * 1024))
    with limited.client() as http:
        responses = [
            upload(http, owner.name, large, owner.owner),
            upload(http, owner.name, limited.largest, owner.owner),
        ]
    assert [413, 201] == [response.status_code for response in responses]


def test_rattler_build_shows_the_limit(limited: LimitedSite, tmp_path: Path) -> None:
    """rattler-build sends a refused file to the end, and shows the message with the limit."""
    channel = make_channel(limited)
    large = PackageFile(GOOD.name, bytes(4 * 1024 * 1024)).write_to(tmp_path)
    with pytest.raises(Exception, match=r"client error \(HTTP 413\): The file is larger than [0-9,]+ bytes"):
        upload_package_to_prefix([str(large)], limited.server.address, channel.name, api_key=channel.owner)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit a running process")
def test_full_disk_returns_503_and_leaves_nothing(site: Site, http: httpx.Client, channel: Channel) -> None:
    """The response has Retry-After, nothing is left behind, and reads continue."""
    assert 201 == upload(http, channel.name, GOOD, channel.owner).status_code
    process, limit = site.server.process.pid, 64 * 1024 * 1024
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with leaves_nothing(site.server):
            response = upload(http, channel.name, PackageFile(UNSEEN.name, bytes(limit + 1)), channel.owner)
        read = http.get(f"/{channel.name}/noarch/{GOOD.name}")
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)
    assert (503, 200) == (response.status_code, read.status_code)
    assert "no room" in error_message(response)
    assert response.headers["retry-after"].isdigit()


# Responses before the end of the body


@pytest.mark.parametrize("form", ["raw", "multipart"])
def test_upload_of_existing_hash_is_refused_before_the_body(
    site: Site, http: httpx.Client, channel: Channel, form: str
) -> None:
    """An existing name with the announced hash gets 409 before its bytes are sent."""
    upload(http, channel.name, GOOD, channel.owner)
    body = GOOD.content if form == "raw" else multipart(file_part(GOOD))
    shape = raw_headers(GOOD) if form == "raw" else multipart_type()
    headers = {**shape, **bearer(channel.contributor), "Content-Length": str(len(body))}
    sent = b"" if form == "raw" else body.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    response = exchange(site.server.address, "POST", f"/api/v1/upload/{channel.name}", headers, sent)
    assert 409 == response.status
    assert "with the same contents" in response.body.decode()


def test_same_name_can_be_uploaded_to_another_subdir(http: httpx.Client, channel: Channel) -> None:
    """The early refusal by hash does not apply to it."""
    upload(http, channel.name, GOOD, channel.owner)
    elsewhere = conda(index_json(subdir="linux-64", noarch=...))
    assert GOOD.name == elsewhere.name
    assert 201 == upload(http, channel.name, elsewhere, channel.owner).status_code


def test_channels_share_a_blob_independently(site: Site, http: httpx.Client, channel: Channel) -> None:
    """Deleting the file in one channel leaves it in the other."""
    other = make_channel(site)
    for target in (channel, other):
        assert 201 == upload(http, target.name, GOOD, target.owner).status_code
    http.delete(f"/api/v1/delete/{channel.name}/noarch/{GOOD.name}", headers=bearer(channel.owner))
    read = [http.get(f"/{target.name}/noarch/{GOOD.name}") for target in (channel, other)]
    assert [404, 200] == [response.status_code for response in read]
    assert GOOD.content == read[1].content


@pytest.mark.parametrize("key", ["nonmember", "viewer", "anonymous"])
def test_missing_permission_is_refused_before_the_body(site: Site, private_channel: Channel, key: str) -> None:
    secret = {"nonmember": private_channel.nonmember, "viewer": private_channel.viewer, "anonymous": None}[key]
    headers = {**raw_headers(UNSEEN), **bearer(secret), "Content-Length": "1000000"}
    response = exchange(site.server.address, "POST", f"/api/v1/upload/{private_channel.name}", headers)
    assert {"nonmember": 404, "viewer": 403, "anonymous": 401}[key] == response.status


@pytest.mark.parametrize("key", ["nonmember", "viewer", "anonymous"])
@pytest.mark.parametrize("header", ["X-File-Name", "X-File-SHA256"])
def test_permission_is_checked_before_the_headers(
    http: httpx.Client, private_channel: Channel, header: str, key: str
) -> None:
    """A bad file name or hash returns 400 only to callers who can upload."""
    headers = {**raw_headers(UNSEEN), header: "bad"}
    secret = {"nonmember": private_channel.nonmember, "viewer": private_channel.viewer, "anonymous": None}[key]
    refused = post(http, private_channel.name, secret, UNSEEN.content, headers)
    assert {"nonmember": 404, "viewer": 403, "anonymous": 401}[key] == refused.status_code
    assert 400 == post(http, private_channel.name, private_channel.owner, UNSEEN.content, headers).status_code


# Clients that disconnect


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        pytest.param({}, UNSEEN.content[:400], id="raw, in the file"),
        pytest.param({}, b"", id="raw, before the file"),
        pytest.param(multipart_type(), multipart(file_part(UNSEEN))[:700], id="multipart, in the file"),
        pytest.param(multipart_type(), multipart(file_part(UNSEEN))[:90], id="multipart, in the part's headers"),
        pytest.param(multipart_type(), multipart(file_part(UNSEEN))[:-20], id="multipart, after the file"),
    ],
)
def test_disconnected_client_leaves_nothing(site: Site, channel: Channel, shape: dict[str, str], body: bytes) -> None:
    """No row, no blob, no spool file, and no error in the log."""
    headers = {**raw_headers(UNSEEN), **shape, **bearer(channel.owner), "Content-Length": "5000"}
    with leaves_nothing(site.server):
        with requests.connect(site.server.address) as connection:
            connection.sendall(head_bytes("POST", f"/api/v1/upload/{channel.name}", headers) + body)
            connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: lines_of(site, channel))
    assert ["status=0"] == [word for line in lines_of(site, channel) for word in line.split() if "status=" in word]
    assert [] == [line for line in lines_of(site, channel) if "[error" in line]


def lines_of(site: Site, channel: Channel) -> list[str]:
    return [line for line in site.server.log if f"path=/api/v1/upload/{channel.name} " in line]


@pytest.mark.slow
def test_stalled_client_is_disconnected(site: Site, channel: Channel) -> None:
    """A stalled body gets a 408 that closes the connection, and leaves nothing."""
    headers = {**raw_headers(UNSEEN), **bearer(channel.owner), "Content-Length": "5000"}
    with leaves_nothing(site.server), requests.connect(site.server.address) as connection:
        connection.settimeout(60)
        connection.sendall(head_bytes("POST", f"/api/v1/upload/{channel.name}", headers) + UNSEEN.content[:400])
        response = read_response(connection, "POST")
    assert (408, "close") == (response.status, response.header("connection"))


# Concurrent uploads


def test_hundred_parallel_uploads_are_all_in_the_index(http: httpx.Client, channel: Channel) -> None:
    """No document misses one of them, and each has its own revision."""
    files = [conda(index_json(f"pkg{number}"), run_exports={"weak": [f"pkg{number}"]}) for number in range(100)]
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda file: upload(http, channel.name, file, channel.contributor), files))
    assert Counter({201: 100}) == Counter(response.status_code for response in responses)
    assert set(range(1, 101)) == {int(response.headers["seaway-revision"]) for response in responses}

    expected = {file.name: file.sha256 for file in files}
    plain = http.get(f"/{channel.name}/noarch/repodata.json")
    packed = http.get(f"/{channel.name}/noarch/repodata.json.zst")
    exports = http.get(f"/{channel.name}/noarch/run_exports.json")
    index = shard_index(http, channel.name)
    shards = {name: shard(http, channel.name, name) for name in list(index["shards"])[::10]}
    assert expected == {name: record["sha256"] for name, record in plain.json()["packages.conda"].items()}
    assert plain.content == zstd.decompress(packed.content)
    assert expected.keys() == exports.json()["packages.conda"].keys()
    assert {f"pkg{number}" for number in range(100)} == set(index["shards"])
    assert {name: expected[f"{name}-1.0-h1_0.conda"] for name in shards} == {
        name: entry["packages.conda"][f"{name}-1.0-h1_0.conda"]["sha256"].hex() for name, entry in shards.items()
    }
    assert {"100"} == {response.headers["seaway-revision"] for response in (plain, packed, exports)}


def test_parallel_uploads_of_same_file_create_it_once(http: httpx.Client, channel: Channel) -> None:
    """Of twenty uploads by one user, one creates the file and nineteen find it unchanged."""
    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(lambda _: upload(http, channel.name, GOOD, channel.contributor), range(20)))
    assert Counter({201: 1, 200: 19}) == Counter(response.status_code for response in responses)
    assert "1" == http.get(f"/{channel.name}/noarch/repodata.json").headers["seaway-revision"]


def test_parallel_uploads_of_same_name_serve_the_accepted_file(http: httpx.Client, channel: Channel) -> None:
    """Of ten files, only the one that got 201 is served."""
    files = [changed() for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(lambda file: upload(http, channel.name, file, channel.owner), files))
    winners = [file for file, response in zip(files, responses, strict=True) if response.status_code == 201]
    assert Counter({201: 1, 409: 9}) == Counter(response.status_code for response in responses)
    assert [GOOD.name] == list(records(http, channel.name))
    assert winners[0].sha256 == records(http, channel.name)[GOOD.name]["sha256"]
    assert winners[0].content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_parallel_overwrites_end_in_consistent_state(http: httpx.Client, channel: Channel) -> None:
    """Ten overwrites succeed, and every document and the file match the last one."""
    files = [changed() for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(lambda file: upload(http, channel.name, file, channel.owner, force=True), files))
    last = next(
        file for file, response in zip(files, responses, strict=True) if response.headers["seaway-revision"] == "10"
    )
    assert Counter({201: 1, 200: 9}) == Counter(response.status_code for response in responses)
    assert last.sha256 == records(http, channel.name)[GOOD.name]["sha256"]
    assert last.sha256 == shard(http, channel.name, "demo")["packages.conda"][GOOD.name]["sha256"].hex()
    assert last.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_readers_see_consistent_revisions_during_uploads(http: httpx.Client, channel: Channel) -> None:
    """Every repodata.json contains exactly the files of its revision."""
    files = [conda(index_json(f"pkg{number}")) for number in range(20)]
    with ThreadPoolExecutor(2) as pool:
        uploads = pool.submit(lambda: [upload(http, channel.name, file, channel.owner) for file in files])
        seen = []
        while not uploads.done():
            seen.append(http.get(f"/{channel.name}/noarch/repodata.json"))
    counts = [
        (int(response.headers["seaway-revision"]), len(json.loads(response.content)["packages.conda"]))
        for response in seen
    ]
    assert [(revision, revision) for revision, _ in counts] == counts
    assert sorted(counts) == counts
    assert [201] * 20 == [response.status_code for response in uploads.result()]


@pytest.mark.parametrize(
    "package", [pytest.param(real, id=real.path.name) for real in packages.real_packages() if real.is_good][:6]
)
def test_real_packages_are_served_unchanged(
    http: httpx.Client, channel: Channel, package: packages.RealPackage
) -> None:
    """Packages built by other tools are served byte for byte."""
    response = send(http, channel.name, channel.contributor, file_part(package.file))
    assert 201 == response.status_code, response.text
    assert package.file.content == http.get(f"/{channel.name}/{package.subdir}/{package.file.name}").content
    assert package.sha256 == records(http, channel.name, package.subdir)[package.file.name]["sha256"]


def test_yank_checks_credential_and_channel_before_the_body(http: httpx.Client, channel: Channel) -> None:
    """Callers without access learn nothing about their malformed body."""
    for name, key, status in (
        (channel.name, None, 401),
        ("nowhere", channel.owner, 404),
        (channel.name, channel.owner, 400),
    ):
        headers = {} if key is None else bearer(key)
        response = http.post(f"/api/v1/yank/{name}/noarch/{GOOD.name}", content=b"{", headers=headers)
        assert status == response.status_code, response.text


def test_yank_with_body_over_the_limit_returns_413(http: httpx.Client, channel: Channel) -> None:
    """By its announced length, and by its bytes; the message contains the limit."""
    for content in (b"{" * 16_385, iter([b"{" * 16_000] * 2)):
        response = http.post(
            f"/api/v1/yank/{channel.name}/noarch/{GOOD.name}", content=content, headers=bearer(channel.owner)
        )
        assert (413, True) == (response.status_code, "larger than 16,384 bytes" in response.text)
