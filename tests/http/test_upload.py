"""The upload dialect over a real server: what is taken, what is refused with which words, and what stays behind."""

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
    exchange,
    file_part,
    head_bytes,
    multipart,
    multipart_type,
    nothing_left,
    raw_headers,
    read_answer,
    sentence,
    until,
    upload,
)

GOOD = conda()
UNSEEN = conda(index_json("unseen"))  # never published, so that a blob of it is one that was left behind
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


# What is taken


def test_what_rattler_sends_is_published(http: httpx.Client, channel: Channel) -> None:
    """A multipart body with the part headers of rattler's clients becomes a file, and the answer is one sentence."""
    answer = send(http, channel.name, channel.contributor, file_part(GOOD))
    assert 201 == answer.status_code, answer.text
    assert f"{channel.name}/noarch/{GOOD.name} is in the channel, revision 1." == sentence(answer)
    assert "1" == answer.headers["seaway-revision"]
    assert GOOD.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content
    assert GOOD.sha256 == records(http, channel.name)[GOOD.name]["sha256"]


def test_the_raw_form_is_published(http: httpx.Client, channel: Channel) -> None:
    """A body that is the file itself, named in a header, becomes the same as a multipart one."""
    answer = post(http, channel.name, channel.contributor, GOOD.content, raw_headers(GOOD))
    assert 201 == answer.status_code, answer.text
    assert f"{channel.name}/noarch/{GOOD.name} is in the channel, revision 1." == sentence(answer)
    assert GOOD.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_a_raw_body_of_unknown_length_is_published(http: httpx.Client, channel: Channel) -> None:
    """A chunked body needs no Content-Length."""
    answer = post(http, channel.name, channel.contributor, iter([GOOD.content]), raw_headers(GOOD))
    assert 201 == answer.status_code, answer.text


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
def test_other_forms_of_the_file_part_are_taken(http: httpx.Client, channel: Channel, part: Part) -> None:
    """The name may stand in either place, and the hash may be absent or in upper case."""
    answer = send(http, channel.name, channel.contributor, part)
    assert 201 == answer.status_code, answer.text


def test_a_bare_part_is_named_by_the_headers_of_the_request(http: httpx.Client, channel: Channel) -> None:
    """What the part does not say may stand in the headers of the request."""
    part = file_part(GOOD, content_disposition='form-data; name="file"', x_file_name=None, x_file_sha256=None)
    headers = {**multipart_type(), **raw_headers(GOOD)}
    answer = post(http, channel.name, channel.contributor, multipart(part), headers)
    assert 201 == answer.status_code, answer.text


@pytest.mark.parametrize("size", [1, 7, 64, 1000], ids=lambda size: f"{size} bytes at a time")
def test_a_body_is_read_in_pieces_of_any_size(http: httpx.Client, channel: Channel, size: int) -> None:
    """Where the network cuts a body makes no difference."""
    body = multipart(file_part(GOOD))
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    answer = post(http, channel.name, channel.contributor, pieces, multipart_type())
    assert 201 == answer.status_code, answer.text
    assert GOOD.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_bytes_that_look_like_a_boundary_stay_in_the_file(http: httpx.Client, channel: Channel) -> None:
    """A file may hold anything, also what begins like the line between parts."""
    lures = b"\r\n--" + requests.BOUNDARY[:-1].encode() + b"\r\n\r\n--\r\n--"
    file = conda(files={"share/lure.bin": lures * 50})
    stored = PackageFile(file.name, file.content)
    answer = send(http, channel.name, channel.contributor, file_part(stored))
    assert 201 == answer.status_code, answer.text
    assert file.content == http.get(f"/{channel.name}/noarch/{file.name}").content


@pytest.mark.parametrize("build", [conda, tar_bz2], ids=["conda", "tar.bz2"])
@pytest.mark.parametrize("subdir", ["noarch", "linux-64", "win-arm64"])
def test_the_package_says_its_subdir(
    http: httpx.Client, channel: Channel, build: Callable[..., PackageFile], subdir: str
) -> None:
    """A file goes where its index.json says; nobody can send it elsewhere."""
    file = build(index_json(subdir=subdir, noarch="generic" if subdir == "noarch" else ...))
    answer = send(http, channel.name, channel.contributor, file_part(file))
    assert 201 == answer.status_code, answer.text
    assert [file.name] == list(records(http, channel.name, subdir))


def test_a_revision_is_counted_for_each_subdir(http: httpx.Client, channel: Channel) -> None:
    """Each upload raises the revision of its own subdir by one and no other."""
    sent = [index_json("one"), index_json("two"), index_json("one", subdir="linux-64", noarch=...), index_json("three")]
    answers = [upload(http, channel.name, conda(index), channel.owner) for index in sent]
    assert ["1", "2", "1", "3"] == [answer.headers["seaway-revision"] for answer in answers]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_was_uploaded_is_read_back_at_once(http: httpx.Client, channel: Channel, document: str) -> None:
    """The document that is served next after an answer is of the answer's revision, upload after upload."""
    for number in range(3):
        answer = upload(http, channel.name, conda(index_json(f"pkg{number}")), channel.owner)
        read = http.get(f"/{channel.name}/noarch/{document}")
        assert answer.headers["seaway-revision"] == read.headers["seaway-revision"]
        content = zstd.decompress(read.content) if document.endswith(".zst") else read.content
        assert f"pkg{number}".encode() in content


def test_odd_but_allowed_is_said(http: httpx.Client, channel: Channel) -> None:
    """A package built in the future is taken, and the answer warns of it."""
    file = conda(index_json(timestamp=4_000_000_000_000))
    answer = send(http, channel.name, channel.contributor, file_part(file))
    assert 201 == answer.status_code, answer.text
    assert "Warning: The timestamp of the package is in the future" in sentence(answer)


def test_a_lookalike_name_is_said(http: httpx.Client, channel: Channel) -> None:
    """A name that eyes take for another one is taken, and the answer names the other one."""
    upload(http, channel.name, conda(index_json("some-tool")), channel.owner)
    answer = upload(http, channel.name, conda(index_json("some_tool")), channel.owner)
    assert 201 == answer.status_code, answer.text
    assert "Warning: some_tool looks like some-tool" in sentence(answer)


def test_a_lookalike_name_is_refused_where_the_channel_wants_it(
    site: Site, http: httpx.Client, channel: Channel
) -> None:
    """A channel may turn lookalike names away."""
    with site.people.seaway.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, channel.name, refuses_lookalikes=True)
    upload(http, channel.name, conda(index_json("some-tool")), channel.owner)
    with nothing_left(site.server):
        answer = upload(http, channel.name, changed("some_tool"), channel.owner)
    assert 422 == answer.status_code
    assert "some_tool looks like some-tool" in sentence(answer)


def test_a_file_name_that_differs_only_in_case_is_refused(http: httpx.Client, channel: Channel, site: Site) -> None:
    """Caches on Windows and macOS hold one of them, whatever its subdir; the same build string in a file of another kind is no conflict."""
    first, second = conda(index_json(build="PY_0")), conda(index_json(build="py_0"))
    assert 201 == upload(http, channel.name, first, channel.owner).status_code
    with nothing_left(site.server):
        answer = upload(http, channel.name, second, channel.owner)
    assert 422 == answer.status_code
    assert f"{second.name} differs only in case from {channel.name}/noarch/{first.name}; package caches" in sentence(
        answer
    )
    assert 201 == upload(http, channel.name, tar_bz2(index_json(build="py_0")), channel.owner).status_code
    elsewhere = conda(index_json(build="py_0", subdir="linux-64", noarch=...))
    assert 422 == upload(http, channel.name, elsewhere, channel.owner).status_code
    elsewhere = conda(index_json(build="PY_0", subdir="linux-64", noarch=...))
    assert 201 == upload(http, channel.name, elsewhere, channel.owner).status_code


# Overwriting


_numbers = count()


def changed(name: str = "demo") -> PackageFile:
    """Bytes that nobody has sent before, under the same file name."""
    return conda(index_json(name), files={"share/demo.txt": b"change %d" % next(_numbers)})


def test_a_file_that_exists_is_not_replaced(site: Site, http: httpx.Client, channel: Channel) -> None:
    """Other bytes under a name that is taken are a 409, and the file stays as it is."""
    upload(http, channel.name, GOOD, channel.owner)
    with nothing_left(site.server):
        answer = send(http, channel.name, channel.owner, file_part(changed()))
    assert 409 == answer.status_code
    assert "with other contents" in sentence(answer)
    assert GOOD.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_a_refused_overwrite_names_the_cure_for_the_credential(
    site: Site, http: httpx.Client, channel: Channel
) -> None:
    """A key is told the mode, and whoever has too low a role is told that, not to use another key."""
    upload(http, channel.name, GOOD, channel.owner)
    narrow = site.people.key(site.people.by_key(channel.owner).name, mode=Mode.READ_WRITE)
    for key, expected in ((narrow, "READ_WRITE_DELETE"), (channel.contributor, "files that they uploaded")):
        answer = http.post(
            f"/api/v1/upload/{channel.name}",
            params={"force": "true"},
            content=changed().content,
            headers={"X-File-Name": GOOD.name, **bearer(key)},
        )
        assert 403 == answer.status_code
        assert expected in answer.text


@pytest.mark.parametrize(
    ("more", "needs"),
    [
        ({"flags": ["cuda"]}, "the flag 'cuda'"),
        ({"extra_depends": {"test": ["pytest"]}}, "the extra 'test'"),
        ({"depends": ["a[when=__unix]"]}, "the dependency 'a"),
        ({"repodata_revision": 3}, "repodata_revision 3"),
    ],
)
def test_a_channel_may_refuse_packages_for_repodata_v3(
    site: Site, http: httpx.Client, channel: Channel, more: dict[str, Any], needs: str
) -> None:
    """The refusal says what in the package needs v3; where they are allowed, as by default, it comes in."""
    file = conda(index_json("modern", **more))
    for allowed, status in ((False, 422), (True, 201)):
        with site.people.seaway.database.write_site() as tx:
            channels.change(tx, 0, OPERATOR, channel.name, allows_v3=allowed)
        answer = upload(http, channel.name, file, channel.owner)
        assert (status, not allowed) == (answer.status_code, f"needs repodata v3 for {needs}" in answer.text), (
            answer.text
        )
    assert 201 == upload(http, channel.name, GOOD, channel.owner).status_code


def test_a_channel_may_never_overwrite_files(site: Site, http: httpx.Client, channel: Channel) -> None:
    """Neither by force nor after a deletion does a name get other bytes, so that caches keep files; else they ask."""
    url, sent = f"/{channel.name}/noarch/{GOOD.name}", {"content": changed().content}
    headers = {"X-File-Name": GOOD.name, **bearer(channel.owner)}
    upload(http, channel.name, GOOD, channel.owner)
    assert "public, max-age=0, must-revalidate" == http.get(url).headers["cache-control"]
    with site.people.seaway.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, channel.name, allows_overwrite=False)
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
def test_the_same_file_from_the_same_uploader_is_no_failure(
    site: Site, http: httpx.Client, channel: Channel, announced: bool
) -> None:
    """A client whose answer was lost sends the file again: 200, the revision that shows it, and nothing changes."""
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
    assert "was uploaded before with the same contents, revision 1." in sentence(second)
    assert "1" == http.get(f"/{channel.name}/noarch/repodata.json").headers["seaway-revision"]


def test_the_same_file_again_by_force_is_no_failure_without_the_right_to_overwrite(
    site: Site, http: httpx.Client, channel: Channel
) -> None:
    """A job that always passes `force=true` may lose an answer too."""
    narrow = site.people.key(site.people.by_key(channel.owner).name, mode=Mode.READ_WRITE)
    answers = [upload(http, channel.name, GOOD, narrow, force=True) for _ in range(2)]
    with site.people.seaway.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, channel.name, allows_overwrite=False)
    answers.append(upload(http, channel.name, GOOD, channel.owner, force=True))
    assert [201, 200, 200] == [answer.status_code for answer in answers]
    assert ["1"] * 3 == [answer.headers["seaway-revision"] for answer in answers]


def test_the_same_file_from_another_uploader_is_a_conflict(http: httpx.Client, channel: Channel) -> None:
    """Also where it is announced by its hash, and from the owner of the channel."""
    upload(http, channel.name, GOOD, channel.contributor)
    answer = upload(http, channel.name, GOOD, channel.owner)
    assert 409 == answer.status_code
    assert "with the same contents" in sentence(answer)


@pytest.mark.parametrize("force", ["false", "0", "", "no"])
def test_only_a_clear_force_is_force(http: httpx.Client, channel: Channel, force: str) -> None:
    """`force` is true or 1; anything else is not."""
    upload(http, channel.name, GOOD, channel.owner)
    answer = http.post(
        f"/api/v1/upload/{channel.name}",
        params={"force": force},
        content=changed().content,
        headers={"X-File-Name": GOOD.name, **bearer(channel.owner)},
    )
    assert 409 == answer.status_code


def test_the_owner_replaces_a_file_by_force(http: httpx.Client, channel: Channel) -> None:
    """With the right and `force=true` the new bytes are served, under another ETag and in the next revision."""
    upload(http, channel.name, GOOD, channel.contributor)
    before = http.get(f"/{channel.name}/noarch/{GOOD.name}")
    file = changed()
    answer = http.post(
        f"/api/v1/upload/{channel.name}?force=true",
        content=multipart(file_part(file)),
        headers={**multipart_type(), **bearer(channel.owner)},
    )
    after = http.get(f"/{channel.name}/noarch/{GOOD.name}", headers={"If-None-Match": before.headers["etag"]})
    assert 200 == answer.status_code
    assert f"{channel.name}/noarch/{GOOD.name} replaced, revision 2." == sentence(answer)
    assert (200, file.content) == (after.status_code, after.content)
    assert before.headers["etag"] != after.headers["etag"]
    assert file.sha256 == records(http, channel.name)[GOOD.name]["sha256"]
    assert file.sha256 == shard(http, channel.name, "demo")["packages.conda"][GOOD.name]["sha256"].hex()


def test_force_on_a_new_name_is_a_plain_upload(http: httpx.Client, channel: Channel) -> None:
    """Force needs nothing to replace."""
    answer = upload(http, channel.name, GOOD, channel.contributor, force=True)
    assert 201 == answer.status_code


def test_a_contributor_replaces_only_own_files(site: Site, http: httpx.Client, channel: Channel) -> None:
    """A contributor may force what they uploaded themselves, and nothing of others."""
    upload(http, channel.name, GOOD, channel.owner)
    upload(http, channel.name, changed("mine"), channel.contributor)
    own = upload(http, channel.name, changed("mine"), channel.contributor, force=True)
    with nothing_left(site.server):
        foreign = upload(http, channel.name, changed(), channel.contributor, force=True)
    assert [200, 403] == [own.status_code, foreign.status_code]
    assert "cannot overwrite" in sentence(foreign)
    assert GOOD.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_force_needs_a_key_that_may_overwrite(site: Site, http: httpx.Client) -> None:
    """The owner's own key with a narrower mode uploads, but does not replace."""
    owner = site.people.user(site.new_name("owner"))
    name = site.new_channel(owner=owner)
    key = site.people.key(owner, mode=Mode.READ_WRITE)
    answers = [
        upload(http, name, GOOD, key),
        upload(http, name, changed(), key, force=True),
        upload(http, name, changed(), site.people.key(owner), force=True),
    ]
    assert [201, 403, 200] == [answer.status_code for answer in answers]
    assert "READ_WRITE_DELETE" in sentence(answers[1])


# What is refused, with nothing left behind


@dataclass(frozen=True)
class Attempt:
    """A request by someone who may upload, and why it is refused."""

    status: int
    says: str
    body: bytes
    headers: dict[str, str] = field(default_factory=multipart_type)


def raw(status: int, says: str, body: bytes = UNSEEN.content, **headers: str) -> Attempt:
    return Attempt(status, says, body, {key.replace("_", "-"): value for key, value in headers.items()})


def parts(status: int, says: str, *sent: Part, end: bytes = b"--\r\n") -> Attempt:
    return Attempt(status, says, multipart(*sent, end=end))


def named(file_name: str, rule: str) -> Attempt:
    return parts(400, rule, file_part(PackageFile(file_name, UNSEEN.content)))


def content(says: str, file: PackageFile) -> Attempt:
    return parts(422, says, file_part(file))


def hostile(**parts: bytes) -> PackageFile:
    """A .conda with a good info part and a bad pkg part."""
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
    "another part behind the file": parts(400, "an unexpected part named", file_part(UNSEEN), NOTE),
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
    "name with a letter that is not ASCII": named("ünseen-1.0-h1_0.conda", "only lower case letters"),
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
    "a ZIP of nothing": content("", PackageFile(UNSEEN.name, b"PK\5\6" + bytes(18))),
    "cut off": content("", PackageFile(UNSEEN.name, UNSEEN.content[:-100])),
    "a tar.bz2 that is a conda": content("", PackageFile("unseen-1.0-h1_0.tar.bz2", UNSEEN.content)),
    "another package's name": content("file name says", PackageFile("unseen-1.0-h1_0.tar.bz2", tar_bz2(index_json("other")).content)),
    "another package's members": content("", PackageFile("other-1.0-h1_0.conda", UNSEEN.content)),
    "unknown subdir": content("platform", conda(index_json("unseen", subdir="amiga-68k", noarch=...))),
    "no subdir": content("subdir", conda(index_json("unseen", subdir=...))),
    "subdir that climbs": content("platform", conda(index_json("unseen", subdir="../linux-64", noarch=...))),
    "no index.json": content("index.json", conda(index_json("unseen"), info={"info/paths.json": b"{}"})),
    "unreadable match spec": content("", conda(index_json("unseen", depends=["python >=3,<,"]))),
}  # fmt: skip


@pytest.mark.parametrize("attempt", [pytest.param(attempt, id=name) for name, attempt in (MALFORMED | REFUSED).items()])
def test_a_bad_upload_is_refused_and_leaves_nothing(
    site: Site, http: httpx.Client, channel: Channel, attempt: Attempt
) -> None:
    """Every bad upload gets its status and one sentence, and leaves no spool file, no blob and no row."""
    with nothing_left(site.server):
        answer = post(http, channel.name, channel.contributor, attempt.body, attempt.headers)
    assert (attempt.status, attempt.says in sentence(answer)) == (answer.status_code, True), answer.text
    assert {} == records(http, channel.name)


def test_a_long_name_is_not_said_in_full(http: httpx.Client, channel: Channel) -> None:
    """A refusal that quotes the client fits what clients show."""
    answer = post(http, channel.name, channel.owner, b"x", {"X-File-Name": "\\" * 4_000})
    assert 400 == answer.status_code
    assert len(sentence(answer)) <= 512


def test_a_key_in_a_name_is_not_said(http: httpx.Client, channel: Channel) -> None:
    """A refusal that quotes the client leaves keys out."""
    answer = post(http, channel.name, channel.owner, b"x", {"X-File-Name": channel.owner})
    assert 400 == answer.status_code
    assert channel.owner[6:] not in sentence(answer)


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
def test_an_upload_needs_a_good_key(site: Site, http: httpx.Client, channel: Channel, headers: dict[str, str]) -> None:
    """Without a good key an upload is a 401 that asks for one and names no channel."""
    with nothing_left(site.server):
        answer = http.post(
            f"/api/v1/upload/{channel.name}", content=UNSEEN.content, headers={**raw_headers(UNSEEN), **headers}
        )
    assert 401 == answer.status_code
    assert 'Bearer realm="seaway"' == answer.headers["www-authenticate"]
    assert channel.name not in sentence(answer)


@pytest.mark.parametrize("form", ["user", "password"])
def test_a_key_may_come_as_basic_authentication(http: httpx.Client, channel: Channel, form: str) -> None:
    """A key uploads as the user or as the password of basic authentication, too."""
    credential = basic(channel.owner, "") if form == "user" else basic("anybody", channel.owner)
    answer = http.post(
        f"/api/v1/upload/{channel.name}", content=GOOD.content, headers={**raw_headers(GOOD), **credential}
    )
    assert 201 == answer.status_code, answer.text


def test_a_viewer_may_not_upload(site: Site, http: httpx.Client, private_channel: Channel) -> None:
    """Who may read a channel and not write to it is told so."""
    with nothing_left(site.server):
        answer = send(http, private_channel.name, private_channel.viewer, file_part(UNSEEN))
    assert 403 == answer.status_code
    assert "Contributor" in sentence(answer)


def test_a_stranger_does_not_hear_of_a_private_channel(
    site: Site, http: httpx.Client, private_channel: Channel
) -> None:
    """Who may not read a channel gets a 404 without its name."""
    with nothing_left(site.server):
        answer = send(http, private_channel.name, private_channel.stranger, file_part(UNSEEN))
    assert 404 == answer.status_code
    assert private_channel.name not in sentence(answer)


@pytest.mark.parametrize(
    "target",
    ["no-such-channel", "", "/", "owner/no-such-channel", "owner%2Fchannel", "Upper", "..", "noarch", "t", "%00", "*"],
    ids=repr,
)
def test_a_channel_that_cannot_be_is_not_found(site: Site, http: httpx.Client, channel: Channel, target: str) -> None:
    """An unknown, empty or impossible channel is a 404 whose text does not repeat it."""
    with nothing_left(site.server):
        answer = exchange(
            site.server.address,
            "POST",
            f"/api/v1/upload/{target}",
            {**raw_headers(UNSEEN), **bearer(channel.owner), "Content-Length": str(len(UNSEEN.content))},
            UNSEEN.content,
        )
    assert 404 == answer.status
    assert "no-such-channel" not in answer.body.decode()
    assert "Upper" not in answer.body.decode()


@pytest.mark.parametrize("suffix", ["/", "/noarch", "//"])
def test_more_than_the_name_of_a_channel_is_not_found(
    site: Site, http: httpx.Client, channel: Channel, suffix: str
) -> None:
    """What follows the name of a channel is not ignored, and the 404 tells the form of the address."""
    with nothing_left(site.server):
        answer = upload(http, channel.name + suffix, UNSEEN, channel.owner)
    assert 404 == answer.status_code
    assert "one name" in sentence(answer)


# Size


def test_a_file_of_exactly_the_limit_is_taken(limited: LimitedSite) -> None:
    """The limit is on the bytes of the file, so what wraps them does not count."""
    owner = make_channel(limited)
    with limited.client() as http:
        answer = send(http, owner.name, owner.owner, file_part(limited.largest))
    assert 201 == answer.status_code, answer.text


@pytest.mark.parametrize("form", ["raw", "multipart"])
def test_a_file_of_one_byte_more_is_too_large(limited: LimitedSite, form: str) -> None:
    """One byte over the limit is a 413 with the figure."""
    owner = make_channel(limited)
    file = PackageFile(limited.largest.name, limited.largest.content + b"\0")
    with limited.client() as http, nothing_left(limited.server):
        if form == "raw":
            answer = upload(http, owner.name, file, owner.owner)
        else:
            answer = send(http, owner.name, owner.owner, file_part(file))
    assert 413 == answer.status_code
    assert f"larger than {len(limited.largest.content):,} bytes" in sentence(answer)


@pytest.mark.parametrize("form", [pytest.param({}, id="raw"), pytest.param(multipart_type(), id="multipart")])
def test_a_length_over_the_limit_is_refused_before_the_body(limited: LimitedSite, form: dict[str, str]) -> None:
    """A client that announces too much hears so without having sent a byte of it."""
    owner = make_channel(limited)
    headers = {**raw_headers(UNSEEN), **form, **bearer(owner.owner), "Content-Length": "107374182400"}
    with nothing_left(limited.server):
        answer = exchange(limited.server.address, "POST", f"/api/v1/upload/{owner.name}", headers)
    assert 413 == answer.status


@pytest.mark.parametrize(
    ("form", "opening"),
    [
        pytest.param({}, b"", id="raw"),
        pytest.param(
            multipart_type(), multipart(file_part(UNSEEN)).split(b"\r\n\r\n")[0] + b"\r\n\r\n", id="multipart"
        ),
    ],
)
def test_a_body_of_unknown_length_is_cut_at_the_limit(
    limited: LimitedSite, form: dict[str, str], opening: bytes
) -> None:
    """A chunked body that never ends is refused at the limit, while the client is still sending."""
    owner = make_channel(limited)
    headers = {**raw_headers(UNSEEN), **form, **bearer(owner.owner), "Transfer-Encoding": "chunked"}
    body = opening + bytes(len(limited.largest.content) + 1)
    with nothing_left(limited.server), requests.connected(limited.server.address) as connection:
        connection.sendall(head_bytes("POST", f"/api/v1/upload/{owner.name}", headers))
        connection.sendall(f"{len(body):x}\r\n".encode() + body + b"\r\n")
        answer = read_answer(connection, "POST")
    assert 413 == answer.status


def test_a_connection_is_good_for_more_after_a_refusal(limited: LimitedSite) -> None:
    """A client that goes on sending a refused body to its end hears the refusal, and its next request is answered."""
    owner = make_channel(limited)
    large = PackageFile(GOOD.name, bytes(8 * 1024 * 1024))
    with limited.client() as http:
        answers = [upload(http, owner.name, large, owner.owner), upload(http, owner.name, limited.largest, owner.owner)]
    assert [413, 201] == [answer.status_code for answer in answers]


def test_rattler_build_shows_the_limit(limited: LimitedSite, tmp_path: Path) -> None:
    """rattler-build sends a refused file to its end all the same, and its user reads what the limit is."""
    channel = make_channel(limited)
    large = PackageFile(GOOD.name, bytes(4 * 1024 * 1024)).write_to(tmp_path)
    with pytest.raises(Exception, match=r"client error \(HTTP 413\): The file is larger than [0-9,]+ bytes"):
        upload_package_to_prefix([str(large)], limited.server.address, channel.name, api_key=channel.owner)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits a process that runs")
def test_a_full_disk_is_told_and_left_clean(site: Site, http: httpx.Client, channel: Channel) -> None:
    """When a file cannot be written for want of room, the client may come again, nothing is left, and readers go on."""
    assert 201 == upload(http, channel.name, GOOD, channel.owner).status_code
    process, most = site.server.process.pid, 64 * 1024 * 1024
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        with nothing_left(site.server):
            answer = upload(http, channel.name, PackageFile(UNSEEN.name, bytes(most + 1)), channel.owner)
        read = http.get(f"/{channel.name}/noarch/{GOOD.name}")
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)
    assert (503, 200) == (answer.status_code, read.status_code)
    assert "no room" in sentence(answer)
    assert answer.headers["retry-after"].isdigit()


# Answers before the end of the body


@pytest.mark.parametrize("form", ["raw", "multipart"])
def test_a_repeated_upload_is_refused_by_its_announced_hash(
    site: Site, http: httpx.Client, channel: Channel, form: str
) -> None:
    """A file that is there already, by name and hash, is a 409 before its bytes are sent."""
    upload(http, channel.name, GOOD, channel.owner)
    body = GOOD.content if form == "raw" else multipart(file_part(GOOD))
    shape = raw_headers(GOOD) if form == "raw" else multipart_type()
    headers = {**shape, **bearer(channel.contributor), "Content-Length": str(len(body))}
    sent = b"" if form == "raw" else body.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    answer = exchange(site.server.address, "POST", f"/api/v1/upload/{channel.name}", headers, sent)
    assert 409 == answer.status
    assert "with the same contents" in answer.body.decode()


def test_the_announced_hash_alone_refuses_nothing(http: httpx.Client, channel: Channel) -> None:
    """The same bytes may be uploaded to another channel, and the same name to another subdir."""
    upload(http, channel.name, GOOD, channel.owner)
    elsewhere = conda(index_json(subdir="linux-64", noarch=...))
    assert GOOD.name == elsewhere.name
    assert 201 == upload(http, channel.name, elsewhere, channel.owner).status_code


def test_the_same_bytes_go_to_several_channels(site: Site, http: httpx.Client, channel: Channel) -> None:
    """Channels share a blob and nothing else: deleting the file in one leaves it in the other."""
    other = make_channel(site)
    for one in (channel, other):
        assert 201 == upload(http, one.name, GOOD, one.owner).status_code
    http.delete(f"/api/v1/delete/{channel.name}/noarch/{GOOD.name}", headers=bearer(channel.owner))
    read = [http.get(f"/{one.name}/noarch/{GOOD.name}") for one in (channel, other)]
    assert [404, 200] == [answer.status_code for answer in read]
    assert GOOD.content == read[1].content


@pytest.mark.parametrize("key", ["stranger", "viewer", "nobody"])
def test_who_may_not_upload_hears_so_before_sending(site: Site, private_channel: Channel, key: str) -> None:
    """The right to upload is looked at before the body."""
    secret = {"stranger": private_channel.stranger, "viewer": private_channel.viewer, "nobody": None}[key]
    headers = {**raw_headers(UNSEEN), **bearer(secret), "Content-Length": "1000000"}
    answer = exchange(site.server.address, "POST", f"/api/v1/upload/{private_channel.name}", headers)
    assert {"stranger": 404, "viewer": 403, "nobody": 401}[key] == answer.status


@pytest.mark.parametrize("key", ["stranger", "viewer", "nobody"])
@pytest.mark.parametrize("header", ["X-File-Name", "X-File-SHA256"])
def test_a_caller_without_the_right_learns_nothing_of_the_request(
    http: httpx.Client, private_channel: Channel, header: str, key: str
) -> None:
    """The right to upload is checked before a bad file name or hash, which would be a 400 for a member."""
    headers = {**raw_headers(UNSEEN), header: "bad"}
    secret = {"stranger": private_channel.stranger, "viewer": private_channel.viewer, "nobody": None}[key]
    refused = post(http, private_channel.name, secret, UNSEEN.content, headers)
    assert {"stranger": 404, "viewer": 403, "nobody": 401}[key] == refused.status_code
    assert 400 == post(http, private_channel.name, private_channel.owner, UNSEEN.content, headers).status_code


# Clients that hang up


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        pytest.param({}, UNSEEN.content[:400], id="raw, in the file"),
        pytest.param({}, b"", id="raw, before the file"),
        pytest.param(multipart_type(), multipart(file_part(UNSEEN))[:700], id="multipart, in the file"),
        pytest.param(multipart_type(), multipart(file_part(UNSEEN))[:90], id="multipart, in the part's headers"),
        pytest.param(multipart_type(), multipart(file_part(UNSEEN))[:-20], id="multipart, behind the file"),
    ],
)
def test_a_client_that_hangs_up_leaves_nothing(
    site: Site, channel: Channel, shape: dict[str, str], body: bytes
) -> None:
    """When the connection ends in the middle there is no row, no blob and no spool file, and nothing to complain of."""
    headers = {**raw_headers(UNSEEN), **shape, **bearer(channel.owner), "Content-Length": "5000"}
    with nothing_left(site.server):
        with requests.connected(site.server.address) as connection:
            connection.sendall(head_bytes("POST", f"/api/v1/upload/{channel.name}", headers) + body)
            connection.shutdown(socket.SHUT_WR)
        until(lambda: lines_of(site, channel))
    assert ["status=0"] == [word for line in lines_of(site, channel) for word in line.split() if "status=" in word]
    assert [] == [line for line in lines_of(site, channel) if "[error" in line]


def lines_of(site: Site, channel: Channel) -> list[str]:
    return [line for line in site.server.log if f"path=/api/v1/upload/{channel.name} " in line]


@pytest.mark.slow
def test_a_client_that_stalls_is_sent_away(site: Site, channel: Channel) -> None:
    """A body that stops coming ends as a 408 that closes the connection, with nothing left."""
    headers = {**raw_headers(UNSEEN), **bearer(channel.owner), "Content-Length": "5000"}
    with nothing_left(site.server), requests.connected(site.server.address) as connection:
        connection.settimeout(60)
        connection.sendall(head_bytes("POST", f"/api/v1/upload/{channel.name}", headers) + UNSEEN.content[:400])
        answer = read_answer(connection, "POST")
    assert (408, "close") == (answer.status, answer.header("connection"))


# Many at once


def test_a_hundred_parallel_uploads_are_all_in_the_index(http: httpx.Client, channel: Channel) -> None:
    """Of a hundred uploads at the same time none is lost in any document, and each has a revision of its own."""
    files = [conda(index_json(f"pkg{number}"), run_exports={"weak": [f"pkg{number}"]}) for number in range(100)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda file: upload(http, channel.name, file, channel.contributor), files))
    assert Counter({201: 100}) == Counter(answer.status_code for answer in answers)
    assert set(range(1, 101)) == {int(answer.headers["seaway-revision"]) for answer in answers}

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
        name: one["packages.conda"][f"{name}-1.0-h1_0.conda"]["sha256"].hex() for name, one in shards.items()
    }
    assert {"100"} == {answer.headers["seaway-revision"] for answer in (plain, packed, exports)}


def test_of_parallel_uploads_of_one_file_one_wins(http: httpx.Client, channel: Channel) -> None:
    """Twenty uploads of one file by one user at the same time are one new file and nineteen that find it there."""
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: upload(http, channel.name, GOOD, channel.contributor), range(20)))
    assert Counter({201: 1, 200: 19}) == Counter(answer.status_code for answer in answers)
    assert "1" == http.get(f"/{channel.name}/noarch/repodata.json").headers["seaway-revision"]


def test_of_parallel_uploads_of_one_name_the_winner_is_served(http: httpx.Client, channel: Channel) -> None:
    """Of ten files under one name at the same time the one that was answered with success is what readers get."""
    files = [changed() for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda file: upload(http, channel.name, file, channel.owner), files))
    winners = [file for file, answer in zip(files, answers, strict=True) if answer.status_code == 201]
    assert Counter({201: 1, 409: 9}) == Counter(answer.status_code for answer in answers)
    assert [GOOD.name] == list(records(http, channel.name))
    assert winners[0].sha256 == records(http, channel.name)[GOOD.name]["sha256"]
    assert winners[0].content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_parallel_overwrites_end_in_one_state(http: httpx.Client, channel: Channel) -> None:
    """Ten overwrites at the same time all succeed, and the last one is what every document and the file say."""
    files = [changed() for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda file: upload(http, channel.name, file, channel.owner, force=True), files))
    last = next(file for file, answer in zip(files, answers, strict=True) if answer.headers["seaway-revision"] == "10")
    assert Counter({201: 1, 200: 9}) == Counter(answer.status_code for answer in answers)
    assert last.sha256 == records(http, channel.name)[GOOD.name]["sha256"]
    assert last.sha256 == shard(http, channel.name, "demo")["packages.conda"][GOOD.name]["sha256"].hex()
    assert last.content == http.get(f"/{channel.name}/noarch/{GOOD.name}").content


def test_readers_see_one_state_or_the_next(http: httpx.Client, channel: Channel) -> None:
    """While files come in, every repodata.json holds just the files of the revision that it names."""
    files = [conda(index_json(f"pkg{number}")) for number in range(20)]
    with ThreadPoolExecutor(2) as pool:
        uploads = pool.submit(lambda: [upload(http, channel.name, file, channel.owner) for file in files])
        seen = []
        while not uploads.done():
            seen.append(http.get(f"/{channel.name}/noarch/repodata.json"))
    told = [
        (int(answer.headers["seaway-revision"]), len(json.loads(answer.content)["packages.conda"])) for answer in seen
    ]
    assert [(revision, revision) for revision, _ in told] == told
    assert sorted(told) == told
    assert [201] * 20 == [answer.status_code for answer in uploads.result()]


@pytest.mark.parametrize(
    "package", [pytest.param(real, id=real.path.name) for real in packages.real_packages() if real.is_good][:6]
)
def test_real_packages_come_back_as_they_were_sent(
    http: httpx.Client, channel: Channel, package: packages.RealPackage
) -> None:
    """Packages that other tools built are taken, and come back byte for byte."""
    answer = send(http, channel.name, channel.contributor, file_part(package.file))
    assert 201 == answer.status_code, answer.text
    assert package.file.content == http.get(f"/{channel.name}/{package.subdir}/{package.file.name}").content
    assert package.sha256 == records(http, channel.name, package.subdir)[package.file.name]["sha256"]


def test_a_yank_checks_the_credential_and_the_channel_before_the_body(http: httpx.Client, channel: Channel) -> None:
    """Without access, nothing is told of a body that cannot be read."""
    for name, key, status in (
        (channel.name, None, 401),
        ("nowhere", channel.owner, 404),
        (channel.name, channel.owner, 400),
    ):
        headers = {} if key is None else bearer(key)
        answer = http.post(f"/api/v1/yank/{name}/noarch/{GOOD.name}", content=b"{", headers=headers)
        assert status == answer.status_code, answer.text


def test_a_yank_with_a_body_over_the_limit_is_refused_with_the_limit(http: httpx.Client, channel: Channel) -> None:
    """By its announced length, and by its bytes."""
    for content in (b"{" * 16_385, iter([b"{" * 16_000] * 2)):
        answer = http.post(
            f"/api/v1/yank/{channel.name}/noarch/{GOOD.name}", content=content, headers=bearer(channel.owner)
        )
        assert (413, True) == (answer.status_code, "larger than 16,384 bytes" in answer.text)
