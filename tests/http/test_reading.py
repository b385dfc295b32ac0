"""Reading channels: bytes, validators, ranges, content codings, caching, CORS and invalid paths."""

import gzip
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import msgspec
import pytest

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.conda.subdir import KNOWN_SUBDIRS
from tests.conftest import Site
from tests.http.conftest import Channel, LimitedSite, make_channel
from tests.support.packages import conda, index_json, tar_bz2, zstd
from tests.support.requests import bearer, connect, exchange, head_bytes, upload

LISTED = conda(index_json("listed"), run_exports={"weak": ["listed >=1"]})
ODD = conda(index_json("odd", version="1!2.0+local"))
OLD_FORMAT = tar_bz2(index_json("old"))
YANKED = conda(index_json("yanked"))
DELETED = conda(index_json("deleted"))
ZLIB = tar_bz2(index_json("zlib", subdir="linux-64", noarch=...))

REPODATA = "noarch/repodata.json"
SHARD_INDEX = "noarch/repodata_shards.msgpack.zst"
INDEX_DOCUMENTS = {
    REPODATA: "application/json",
    "noarch/repodata.json.zst": "application/zstd",
    "noarch/run_exports.json": "application/json",
    "noarch/run_exports.json.zst": "application/zstd",
    SHARD_INDEX: "application/zstd",
    "notices.json": "application/json",
    "channeldata.json": "application/json",
}
PACKAGE = f"noarch/{LISTED.name}"
SHARD = "SHARD"
EVERYTHING = [*INDEX_DOCUMENTS, PACKAGE, SHARD]
_VARYING_HEADERS = {"date", "seaway-request-id"}


@dataclass(frozen=True)
class FilledChannel:
    """A channel with listed, yanked and deleted files, and the path of one of its shards."""

    channel: Channel
    shard: str

    def path(self, within: str) -> str:
        return f"/{self.channel.name}/{self.shard if within == SHARD else within}"


def fill(http: httpx.Client, channel: Channel) -> FilledChannel:
    for file in (LISTED, ODD, OLD_FORMAT, YANKED, DELETED, ZLIB):
        assert 201 == upload(http, channel.name, file, channel.owner).status_code
    for verb, act, file in (("POST", "yank", YANKED), ("DELETE", "delete", DELETED)):
        url = f"/api/v1/{act}/{channel.name}/noarch/{file.name}"
        assert 200 == http.request(verb, url, headers=bearer(channel.owner)).status_code
    index = http.get(f"/{channel.name}/{SHARD_INDEX}", headers=bearer(channel.owner))
    digest = unpacked(index.content)["shards"]["listed"].hex()
    return FilledChannel(channel, f"noarch/shards/{digest}.msgpack.zst")


def unpacked(content: bytes) -> dict:
    return msgspec.msgpack.decode(zstd.decompress(content))


def stable(response: httpx.Response) -> dict[str, str]:
    """Return the headers without those that differ in each response."""
    return {name: value for name, value in response.headers.items() if name not in _VARYING_HEADERS}


@pytest.fixture(scope="module")
def filled(site: Site, http: httpx.Client) -> FilledChannel:
    return fill(http, make_channel(site))


@pytest.fixture(scope="module")
def private_filled(site: Site, http: httpx.Client) -> FilledChannel:
    return fill(http, make_channel(site, public=False))


@pytest.fixture(scope="module")
def plain(site: Site) -> Iterator[httpx.Client]:
    """A client that accepts no content coding, like those that read ranges."""
    with httpx.Client(base_url=site.server.address, headers={"Accept-Encoding": "identity"}, timeout=60) as client:
        yield client


# Headers and validators


@pytest.mark.parametrize(("path", "media_type"), INDEX_DOCUMENTS.items(), ids=INDEX_DOCUMENTS.keys())
def test_index_document_is_revalidated_on_each_use(
    plain: httpx.Client, filled: FilledChannel, path: str, media_type: str
) -> None:
    """An index document has its media type and a strong ETag."""
    response = plain.get(filled.path(path))
    assert 200 == response.status_code
    assert media_type == response.headers["content-type"]
    assert "public, max-age=0, must-revalidate" == response.headers["cache-control"]
    assert re.fullmatch(r'"[0-9a-f]{40,64}"', response.headers["etag"])
    assert str(len(response.content)) == response.headers["content-length"]
    assert "last-modified" not in response.headers


def test_package_file_is_revalidated_on_each_use(plain: httpx.Client, filled: FilledChannel) -> None:
    """Its ETag is its sha256; it can be overwritten, so caches must revalidate it."""
    response = plain.get(filled.path(PACKAGE))
    assert (200, LISTED.content) == (response.status_code, response.content)
    assert f'"{LISTED.sha256}"' == response.headers["etag"]
    assert "public, max-age=0, must-revalidate" == response.headers["cache-control"]
    assert "application/octet-stream" == response.headers["content-type"]


def test_package_file_is_sent_as_attachment(plain: httpx.Client, filled: FilledChannel) -> None:
    """Browsers must save it, and neither render it nor guess its type."""
    headers = plain.get(filled.path(PACKAGE)).headers
    assert headers["content-disposition"].startswith("attachment")
    assert "sandbox" in headers["content-security-policy"]
    assert "nosniff" == headers["x-content-type-options"]


def test_shard_is_cached_permanently(plain: httpx.Client, filled: FilledChannel) -> None:
    """A shard is named by its hash, so it never changes."""
    response = plain.get(filled.path(SHARD))
    assert 200 == response.status_code
    assert "public, max-age=31536000, immutable" == response.headers["cache-control"]
    assert [LISTED.name] == list(unpacked(response.content)["packages.conda"])


@pytest.mark.parametrize("path", EVERYTHING)
def test_head_has_the_headers_of_get(plain: httpx.Client, filled: FilledChannel, path: str) -> None:
    get, head = plain.get(filled.path(path)), plain.head(filled.path(path))
    assert (200, b"") == (head.status_code, head.content)
    assert stable(get) == stable(head)


@pytest.mark.parametrize("path", EVERYTHING)
def test_matching_etag_gets_304(plain: httpx.Client, filled: FilledChannel, path: str) -> None:
    """The 304 has the validators and caching headers of the 200, and no body."""
    response = plain.get(filled.path(path))
    repeated = plain.get(filled.path(path), headers={"If-None-Match": response.headers["etag"]})
    assert (304, b"") == (repeated.status_code, repeated.content)
    for name in ("etag", "cache-control", "vary", "seaway-revision", "access-control-allow-origin"):
        assert response.headers.get(name) == repeated.headers.get(name)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        pytest.param('"other", {etag}', 304, id="one of several"),
        pytest.param("W/{etag}", 304, id="weak"),
        pytest.param("*", 304, id="any"),
        pytest.param('"other"', 200, id="another"),
        pytest.param("", 200, id="empty"),
        pytest.param("nonsense", 200, id="nonsense"),
    ],
)
def test_if_none_match_follows_rfc_9110(
    plain: httpx.Client, filled: FilledChannel, condition: str, status: int
) -> None:
    """A list, weak comparison, and `*` (RFC 9110, 13.1.2)."""
    etag = plain.head(filled.path(REPODATA)).headers["etag"]
    response = plain.get(filled.path(REPODATA), headers={"If-None-Match": condition.format(etag=etag)})
    assert status == response.status_code


def test_if_modified_since_does_not_override_if_none_match(plain: httpx.Client, filled: FilledChannel) -> None:
    """A client that sends another ETag with a later date gets the document."""
    headers = {"If-None-Match": '"other"', "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert 200 == plain.get(filled.path(SHARD_INDEX), headers=headers).status_code


def test_etags_differ_between_urls(plain: httpx.Client, site: Site, http: httpx.Client) -> None:
    """Clients send the ETag of one document with a request for another, so even equal contents need different ETags."""
    names = [make_channel(site).name, make_channel(site).name]
    paths = [path for path in INDEX_DOCUMENTS if path != "notices.json"] + ["notices.json"]
    etags = [plain.head(f"/{name}/{path}").headers["etag"] for name in names for path in paths]
    etags += [plain.head(f"/{names[0]}/{path.replace('noarch', 'linux-64')}").headers["etag"] for path in paths[:5]]
    assert len(etags) == len(set(etags))


@pytest.mark.parametrize("path", [path for path in INDEX_DOCUMENTS if path != "notices.json"])
def test_etag_changes_with_the_content(plain: httpx.Client, http: httpx.Client, channel: Channel, path: str) -> None:
    """After an upload, the ETag of the empty document gets no 304."""
    before = plain.get(f"/{channel.name}/{path}")
    upload(http, channel.name, LISTED, channel.owner)
    after = plain.get(f"/{channel.name}/{path}", headers={"If-None-Match": before.headers["etag"]})
    assert (200, True) == (after.status_code, before.headers["etag"] != after.headers["etag"])


def test_every_document_has_its_revision_in_a_header(plain: httpx.Client, filled: FilledChannel) -> None:
    """All documents of a subdir have the same revision."""
    in_noarch = [path for path in INDEX_DOCUMENTS if path.startswith("noarch/")]
    assert {"7"} == {plain.head(filled.path(path)).headers["seaway-revision"] for path in in_noarch}


# Ranges

RANGES = [
    pytest.param("bytes=0-9", slice(0, 10), id="first"),
    pytest.param("bytes=100-199", slice(100, 200), id="middle"),
    pytest.param("bytes=-65536", slice(0, None), id="suffix longer than the file"),
    pytest.param("bytes=-22", slice(-22, None), id="suffix"),
    pytest.param("bytes=150-", slice(150, None), id="open end"),
    pytest.param("bytes=0-", slice(0, None), id="everything"),
    pytest.param("bytes=120-999999", slice(120, None), id="end past the end"),
    pytest.param("bytes=0-0", slice(0, 1), id="one byte"),
    pytest.param("BYTES=0-9", slice(0, 10), id="unit in upper case"),
]


@pytest.mark.parametrize("path", [PACKAGE, SHARD, REPODATA, "noarch/repodata.json.zst"])
@pytest.mark.parametrize(("header", "expected"), RANGES)
def test_range_is_served(plain: httpx.Client, filled: FilledChannel, path: str, header: str, expected: slice) -> None:
    """A single byte range gets 206 with Content-Range."""
    whole = plain.get(filled.path(path))
    size = len(whole.content)
    start, end, _ = expected.indices(size)
    response = plain.get(filled.path(path), headers={"Range": header})
    assert (206, whole.content[expected]) == (response.status_code, response.content)
    assert f"bytes {start}-{end - 1}/{size}" == response.headers["content-range"]
    assert str(end - start) == response.headers["content-length"]
    assert whole.headers["etag"] == response.headers["etag"]


@pytest.mark.parametrize("header", ["bytes=999999-", "bytes=999999-9999999", "bytes=-0", "bytes=9999999999999999999-"])
def test_range_past_the_end_returns_416(plain: httpx.Client, filled: FilledChannel, header: str) -> None:
    """The 416 contains the size of the file."""
    response = plain.get(filled.path(PACKAGE), headers={"Range": header})
    assert 416 == response.status_code
    assert f"bytes */{len(LISTED.content)}" == response.headers["content-range"]


@pytest.mark.parametrize(
    "header",
    ["bytes=9-3", "bytes=-", "bytes=", "bytes=a-b", "bytes 0-9", "items=0-9", "0-9", "bytes=0-1,3-4", "bytes=--5", "x"],
)
def test_malformed_range_is_ignored(plain: httpx.Client, filled: FilledChannel, header: str) -> None:
    """Anything but a single byte range gets the whole file (RFC 9110, 14.2)."""
    response = plain.get(filled.path(PACKAGE), headers={"Range": header})
    assert (200, LISTED.content) == (response.status_code, response.content)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        pytest.param("{etag}", 206, id="current"),
        pytest.param('"stale"', 200, id="stale"),
        pytest.param("W/{etag}", 200, id="weak"),
        pytest.param("Fri, 01 Jan 2100 00:00:00 GMT", 200, id="a date"),
    ],
)
def test_if_range_with_other_etag_gets_whole_file(
    plain: httpx.Client, filled: FilledChannel, condition: str, status: int
) -> None:
    """If-Range must be the strong ETag of the current bytes (RFC 9110, 13.1.5)."""
    headers = {"Range": "bytes=5-9", "If-Range": condition.format(etag=f'"{LISTED.sha256}"')}
    response = plain.get(filled.path(PACKAGE), headers=headers)
    assert status == response.status_code
    assert (LISTED.content[5:10] if status == 206 else LISTED.content) == response.content


def test_if_none_match_takes_precedence_over_range(plain: httpx.Client, filled: FilledChannel) -> None:
    """RFC 9110, 13.2.2."""
    headers = {"Range": "bytes=0-9", "If-None-Match": f'"{LISTED.sha256}"'}
    assert 304 == plain.get(filled.path(PACKAGE), headers=headers).status_code


def test_range_of_head_request_is_ignored(plain: httpx.Client, filled: FilledChannel) -> None:
    """Ranges are only defined for GET (RFC 9110, 14.2)."""
    response = plain.head(filled.path(PACKAGE), headers={"Range": "bytes=0-9"})
    assert (200, str(len(LISTED.content))) == (response.status_code, response.headers["content-length"])


def test_large_file_is_read_whole_and_by_range(http: httpx.Client, plain: httpx.Client, channel: Channel) -> None:
    """A file of several megabytes."""
    file = conda(index_json("large"), files={"share/noise": random.Random(1).randbytes(3_000_000)})
    assert 201 == upload(http, channel.name, file, channel.owner).status_code
    url = f"/{channel.name}/noarch/{file.name}"
    middle = len(file.content) // 2
    assert file.content == plain.get(url).content
    assert file.content[middle:] == plain.get(url, headers={"Range": f"bytes={middle}-"}).content


# Content codings


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        pytest.param(None, None, id="no header"),
        pytest.param("identity", None, id="identity"),
        pytest.param("gzip", "gzip", id="gzip"),
        pytest.param("zstd", "zstd", id="zstd"),
        pytest.param("gzip, deflate, br, zstd", "zstd", id="all codings of browsers"),
        pytest.param("gzip;q=1.0, zstd;q=0.5", "gzip", id="gzip rather than zstd"),
        pytest.param("zstd;q=0.8, gzip;q=0.2", "zstd", id="zstd rather than gzip"),
        pytest.param("identity;q=1, gzip;q=0.5, zstd;q=0.5", None, id="identity rather than both"),
        pytest.param("zstd;q=0, gzip;q=0", None, id="neither"),
        pytest.param("zstd;q=0, gzip", "gzip", id="anything but zstd"),
        pytest.param("*", "zstd", id="anything"),
        pytest.param("br", None, id="unsupported"),
        pytest.param("GZIP", "gzip", id="upper case"),
        pytest.param("gzip ; q=0.5", "gzip", id="spaces"),
        pytest.param("", None, id="empty"),
        pytest.param(";;q=,,=", None, id="nonsense"),
    ],
)
def test_repodata_uses_the_accepted_content_coding(
    site: Site, plain: httpx.Client, filled: FilledChannel, accepted: str | None, coding: str | None
) -> None:
    """Accept-Encoding with its weights decides the coding; the decoded content is the same."""
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    response = exchange(site.server.address, "GET", filled.path(REPODATA), headers)
    decode = {"gzip": gzip.decompress, "zstd": zstd.decompress, None: bytes}[coding]
    assert (200, coding) == (response.status, response.header("content-encoding"))
    assert plain.get(filled.path(REPODATA)).content == decode(response.body)
    assert "Accept-Encoding" in (response.header("vary") or "")


def test_each_content_coding_has_its_own_etag(site: Site, plain: httpx.Client, filled: FilledChannel) -> None:
    """The three forms of repodata.json and the file repodata.json.zst have four different strong ETags."""
    responses = [
        plain.head(filled.path(REPODATA), headers={"Accept-Encoding": coding})
        for coding in ("zstd", "gzip", "identity")
    ]
    responses.append(plain.head(filled.path("noarch/repodata.json.zst")))
    assert 4 == len({response.headers["etag"] for response in responses})


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
def test_encoded_document_with_matching_etag_gets_304(plain: httpx.Client, filled: FilledChannel, coding: str) -> None:
    """The ETag of another coding gets no 304."""
    headers = {"Accept-Encoding": coding}
    etag = plain.head(filled.path(REPODATA), headers=headers).headers["etag"]
    same = plain.head(filled.path(REPODATA), headers={**headers, "If-None-Match": etag})
    other = plain.head(filled.path(REPODATA), headers={"If-None-Match": etag})
    assert [304, 200] == [same.status_code, other.status_code]


@pytest.mark.parametrize("path", [PACKAGE, f"noarch/{OLD_FORMAT.name}", SHARD, SHARD_INDEX, "noarch/repodata.json.zst"])
def test_compressed_files_get_no_content_coding(plain: httpx.Client, filled: FilledChannel, path: str) -> None:
    """Packages, shards and .zst files, whatever the client accepts."""
    response = plain.get(filled.path(path), headers={"Accept-Encoding": "gzip, zstd, br"})
    assert (200, None) == (response.status_code, response.headers.get("content-encoding"))
    assert plain.get(filled.path(path)).content == response.content


# Contents of the documents


def test_repodata_lists_published_and_yanked_files(plain: httpx.Client, filled: FilledChannel) -> None:
    """Listed files of both formats, and yanked files in `removed`; deleted files are absent."""
    repodata = plain.get(filled.path(REPODATA)).json()
    assert {LISTED.name, ODD.name} == set(repodata["packages.conda"])
    assert {OLD_FORMAT.name} == set(repodata["packages"])
    assert [YANKED.name] == repodata["removed"]


@pytest.mark.parametrize("path", [path for path in INDEX_DOCUMENTS if path != "notices.json"])
def test_deleted_file_is_in_no_document(plain: httpx.Client, filled: FilledChannel, path: str) -> None:
    """The file itself returns 404."""
    content = plain.get(filled.path(path)).content
    assert b"deleted" not in (zstd.decompress(content) if path.endswith(".zst") else content)
    assert 404 == plain.get(filled.path(f"noarch/{DELETED.name}")).status_code


def test_yanked_file_stays_downloadable(plain: httpx.Client, filled: FilledChannel) -> None:
    """Lock files keep working after a yank, and the shard has the file in `removed`."""
    digest = unpacked(plain.get(filled.path(SHARD_INDEX)).content)["shards"]["yanked"].hex()
    shard = unpacked(plain.get(filled.path(f"noarch/shards/{digest}.msgpack.zst")).content)
    assert YANKED.content == plain.get(filled.path(f"noarch/{YANKED.name}")).content
    assert ([YANKED.name], {}, {}) == (shard["removed"], shard["packages"], shard["packages.conda"])


def test_run_exports_contain_every_listed_file(plain: httpx.Client, filled: FilledChannel) -> None:
    """The entry of a file without run exports is empty (CEP 12)."""
    exports = plain.get(filled.path("noarch/run_exports.json")).json()
    assert {"run_exports": {"weak": ["listed >=1"]}} == exports["packages.conda"][LISTED.name]
    assert {"run_exports": {}} == exports["packages"][OLD_FORMAT.name]


def test_channeldata_lists_packages_with_their_subdirs(plain: httpx.Client, filled: FilledChannel) -> None:
    """Each package is listed once (CEP 38)."""
    data = plain.get(filled.path("channeldata.json")).json()
    assert ["linux-64", "noarch"] == data["subdirs"]
    assert {"listed", "odd", "old", "zlib"} == set(data["packages"])
    assert ["linux-64"] == data["packages"]["zlib"]["subdirs"]


def test_notices_of_new_channel_are_empty(plain: httpx.Client, filled: FilledChannel) -> None:
    """notices.json returns 200 without a redirect, because conda does not follow redirects there (CEP 6)."""
    response = plain.get(filled.path("notices.json"))
    assert (200, {"notices": []}) == (response.status_code, response.json())


def test_replaced_shard_stays_readable(http: httpx.Client, plain: httpx.Client, channel: Channel) -> None:
    """A client that read the index before a change can still read its shards (CEP 16)."""
    upload(http, channel.name, LISTED, channel.owner)
    old = unpacked(plain.get(f"/{channel.name}/{SHARD_INDEX}").content)["shards"]["listed"].hex()
    upload(http, channel.name, conda(index_json("listed", version="2.0")), channel.owner)
    new = unpacked(plain.get(f"/{channel.name}/{SHARD_INDEX}").content)["shards"]["listed"].hex()
    read = {digest: plain.get(f"/{channel.name}/noarch/shards/{digest}.msgpack.zst") for digest in (old, new)}
    names = {digest: set(unpacked(response.content)["packages.conda"]) for digest, response in read.items()}
    assert {old: {LISTED.name}, new: {LISTED.name, "listed-2.0-h1_0.conda"}} == names


def test_shard_is_only_served_in_its_channel_and_subdir(
    http: httpx.Client, plain: httpx.Client, site: Site, filled: FilledChannel
) -> None:
    """Its hash returns 404 in another channel or subdir."""
    urls = [f"/{make_channel(site).name}/{filled.shard}", filled.path(filled.shard.replace("noarch", "linux-64"))]
    assert [404, 404] == [plain.get(url).status_code for url in urls]


# File names


@pytest.mark.parametrize(
    "spelling",
    [
        "odd-1!2.0+local-h1_0.conda",
        "odd-1%212.0%2Blocal-h1_0.conda",
        "odd-1%212.0%2blocal-h1_0.conda",
        "odd-1!2.0%2Blocal-h1_0.conda",
    ],
    ids=["raw", "encoded", "encoded in lower case", "mixed"],
)
def test_file_name_is_found_raw_and_percent_encoded(site: Site, filled: FilledChannel, spelling: str) -> None:
    """Clients send `!` and `+` in a path raw or encoded."""
    response = exchange(site.server.address, "GET", filled.path(f"noarch/{spelling}"))
    assert (200, ODD.content) == (response.status, response.body)


def test_plus_in_path_is_not_a_space(site: Site, filled: FilledChannel) -> None:
    response = exchange(site.server.address, "GET", filled.path("noarch/odd-1!2.0%20local-h1_0.conda"))
    assert 404 == response.status


# Channels without files


@pytest.fixture(scope="module")
def empty(site: Site) -> str:
    return make_channel(site).name


@pytest.mark.parametrize("subdir", KNOWN_SUBDIRS)
def test_empty_channel_serves_every_known_subdir(plain: httpx.Client, empty: str, subdir: str) -> None:
    """Some clients cache a 404 permanently, so a new channel serves every known subdir immediately."""
    documents = {name.removeprefix("noarch/") for name in INDEX_DOCUMENTS if name.startswith("noarch/")}
    responses = {name: plain.get(f"/{empty}/{subdir}/{name}") for name in documents}
    repodata = responses["repodata.json"].json()
    index = unpacked(responses["repodata_shards.msgpack.zst"].content)
    assert {200} == {response.status_code for response in responses.values()}
    assert ({}, {}, subdir) == (repodata["packages"], repodata["packages.conda"], repodata["info"]["subdir"])
    assert repodata == msgspec.json.decode(zstd.decompress(responses["repodata.json.zst"].content))
    assert ({}, subdir, "", "./shards/") == (
        index["shards"], index["info"]["subdir"], index["info"]["base_url"], index["info"]["shards_base_url"],
    )  # fmt: skip
    assert {"0"} == {response.headers["seaway-revision"] for response in responses.values()}


def test_emptied_subdir_is_still_served(http: httpx.Client, plain: httpx.Client, channel: Channel) -> None:
    """After the last file is deleted, the documents are empty and still return 200."""
    upload(http, channel.name, LISTED, channel.owner)
    http.delete(f"/api/v1/delete/{channel.name}/noarch/{LISTED.name}", headers=bearer(channel.owner))
    index = plain.get(f"/{channel.name}/{SHARD_INDEX}")
    repodata = plain.get(f"/{channel.name}/{REPODATA}")
    assert ({}, "2") == (unpacked(index.content)["shards"], index.headers["seaway-revision"])
    assert ({}, [], "2") == (
        repodata.json()["packages.conda"], repodata.json()["removed"], repodata.headers["seaway-revision"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "amiga-68k/repodata.json",
        "amiga-68k/repodata_shards.msgpack.zst",
        "linux/repodata.json",
        "noarch/current_repodata.json",
        "noarch/current_repodata.json.zst",
        "noarch/repodata.json.bz2",
        "noarch/repodata.json.gz",
        "noarch/repodata_from_packages.json",
        "noarch/index.html",
        "noarch/",
        "noarch",
        "repodata.json",
        "repodata_shards.msgpack.zst/noarch",
        "noarch/shards/",
        "noarch/shards/abc.msgpack.zst",
        f"noarch/shards/{'ab' * 32}.msgpack.zst",
        f"noarch/shards/{'AB' * 32}.msgpack.zst",
        f"noarch/shards/{'ab' * 32}",
        "noarch/nothing-1.0-0.conda",
        "noarch/listed-1.0-h1_0.tar.bz2",
        "linux-64/listed-1.0-h1_0.conda",
        "noarch/listed-1.0-h1_0.conda/",
        "noarch/listed-1.0-h1_0.conda/info",
        "noarch/listed-1.0-h1_0.conda.sigs",
        "notices.json/",
        "rss.xml",
        "NOARCH/repodata.json",
        "noarch/Repodata.json",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_other_paths_in_channel_return_404(plain: httpx.Client, filled: FilledChannel, path: str, method: str) -> None:
    """Without a redirect."""
    assert 404 == plain.request(method, filled.path(path)).status_code


# Malicious paths

MALICIOUS_PATHS = [
    "/{channel}/noarch/..%2fnoarch%2frepodata.json",
    "/{channel}/noarch/..%2Frepodata.json",
    "/{channel}/noarch/../noarch/repodata.json",
    "/{channel}/%2e%2e/{channel}/noarch/repodata.json",
    "/{channel}/noarch/%2e%2e/%2e%2e/{channel}/noarch/repodata.json",
    "/{channel}/./noarch/repodata.json",
    "/{channel}/%2e/noarch/repodata.json",
    "/{channel}/noarch/%252e%252e/repodata.json",
    "/{channel}%2fnoarch%2frepodata.json",
    "/{channel}/noarch%2frepodata.json",
    "//{channel}/noarch/repodata.json",
    "/{channel}//noarch/repodata.json",
    "/{channel}/noarch//repodata.json",
    "/{channel}/noarch/repodata.json/",
    "/{channel}/noarch/repodata.json//",
    "/{channel}/noarch/repodata.json;x",
    "/{channel}/noarch;x=1/repodata.json",
    "/{channel}/noarch/repodata.json%3bx",
    "/{channel}/noarch/repodata.json%00",
    "/{channel}/noarch/%00repodata.json",
    "/{channel}/noarch/repodata.json%0a",
    "/{channel}/noarch/repodata.json%0d%0aSet-Cookie:%20a=b",
    "/{channel}/noarch/repodata.json.",
    "/{channel}./noarch/repodata.json",
    "/{channel}/noarch./repodata.json",
    "/{channel}/noarch/repodata.json%20",
    "/{channel}\\noarch\\repodata.json",
    "/{channel}/noarch\\repodata.json",
    "/{channel}/noarch%5crepodata.json",
    "/{channel}/..%5c..%5cseaway.db",
    "/{channel}/noarch/%c0%ae%c0%ae/repodata.json",
    "/{channel}/noarch/%c0%afrepodata.json",
    "/{channel}/noarch/%e0%80%afrepodata.json",
    "/{channel}/noarch/%ff%fe",
    "/{channel}/noarch/%ed%a0%80",
    "/{channel}/noarch/repodata%u002ejson",
    "/{channel}/noarch/repodata.json%",
    "/{channel}/noarch/repodata.json%2",
    "/{channel}/noarch/repodata.json%zz",
    "/{channel}/noarch/%E2%80%AErepodata.json",
    "/{channel}/noarch/rep%C2%ADodata.json",
    "/{channel}/noarch/%EF%BC%8E%EF%BC%8E/repodata.json",
    "/..%2f..%2fetc%2fpasswd",
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/static/..%2f..%2fpages.py",
    "/static/../pages.py",
    "/t/x/..%2f{channel}/noarch/repodata.json",
    "/t",
    "/t/",
    "/t/x",
    "/t/x/",
    "/{channel}/noarch/" + "a" * 60_000,
    "/{channel}/" + "a/" * 3_000,
    "*",
]  # fmt: skip


@pytest.mark.parametrize("malicious_path", MALICIOUS_PATHS, ids=lambda malicious_path: malicious_path[:60])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_malicious_path_returns_404(site: Site, filled: FilledChannel, malicious_path: str, method: str) -> None:
    """Traversal, encodings and header injection: no file, no redirect, no server error."""
    response = exchange(site.server.address, method, malicious_path.format(channel=filled.channel.name))
    assert 404 == response.status
    assert response.header("set-cookie") is None


@pytest.mark.parametrize(
    "target",
    [b"/%s/noarch/repodata.json\0", b"/%s/noarch/\xff", b"/%s/noarch/repo data.json", b"/%s/\x7fnoarch", b"%s"],
    ids=repr,
)
def test_invalid_bytes_in_path_return_400(site: Site, filled: FilledChannel, target: bytes) -> None:
    """The server keeps running."""
    response = exchange(site.server.address, "GET", target % filled.channel.name.encode())
    assert (400, 200) == (response.status, exchange(site.server.address, "GET", filled.path(REPODATA)).status)


def test_malicious_paths_cause_no_server_error(site: Site, filled: FilledChannel) -> None:
    """The server log contains no failed request."""
    for malicious_path in MALICIOUS_PATHS:
        exchange(site.server.address, "POST", malicious_path.format(channel=filled.channel.name))
    assert [] == [line for line in site.server.log if "request.failed" in line or "status=500" in line]


# Browsers


def test_channel_url_redirects_browsers_to_the_page(plain: httpx.Client, filled: FilledChannel) -> None:
    """Other clients get 404."""
    url = f"/{filled.channel.name}"
    browser = plain.get(url, headers={"Accept": "text/html,application/xhtml+xml"})
    assert (303, f"/channels/{filled.channel.name}") == (browser.status_code, browser.headers["location"])
    assert [404, 404] == [plain.get(url).status_code, plain.get(f"{url}/").status_code]


@pytest.mark.parametrize("path", EVERYTHING)
def test_public_channel_allows_any_origin(plain: httpx.Client, filled: FilledChannel, path: str) -> None:
    """Solvers that run in a browser can read public channels and the headers they need."""
    headers = plain.get(filled.path(path), headers={"Origin": "https://lab.example"}).headers
    assert "*" == headers["access-control-allow-origin"]
    assert {"ETag", "Content-Range"} <= set(headers["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("path", EVERYTHING)
def test_private_channel_allows_no_other_origin(plain: httpx.Client, private_filled: FilledChannel, path: str) -> None:
    """No CORS headers, and no caching by shared caches."""
    headers = {**bearer(private_filled.channel.viewer), "Origin": "https://lab.example"}
    response = plain.get(private_filled.path(path), headers=headers)
    assert 200 == response.status_code
    assert [] == [name for name in response.headers if name.startswith("access-control-")]
    assert response.headers["cache-control"].startswith("private, ")
    assert {"Authorization", "Cookie"} <= set(response.headers["vary"].split(", "))


def test_public_channel_has_the_same_responses_for_all_callers(plain: httpx.Client, filled: FilledChannel) -> None:
    """A shared cache can serve the response for one client to any other."""
    responses = [plain.get(filled.path(REPODATA), headers=headers) for headers in ({}, bearer(filled.channel.owner))]
    assert stable(responses[0]) == stable(responses[1])
    assert "Authorization" not in responses[0].headers.get("vary", "")


@pytest.mark.parametrize("target", ["channel", "unknown"])
def test_preflight_is_the_same_for_every_path(plain: httpx.Client, filled: FilledChannel, target: str) -> None:
    """It allows reading, and does not reveal whether the channel exists."""
    path = filled.path(PACKAGE) if target == "channel" else "/no-such-channel/noarch/x.conda"
    headers = {
        "Origin": "https://lab.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "range",
    }
    response = plain.options(path, headers=headers)
    assert (204, "*") == (response.status_code, response.headers["access-control-allow-origin"])
    assert "GET, HEAD" == response.headers["access-control-allow-methods"]
    assert "Range" in response.headers["access-control-allow-headers"]


def test_preflight_allows_no_upload(plain: httpx.Client, filled: FilledChannel) -> None:
    """Scripts of other sites cannot upload."""
    headers = {"Origin": "https://lab.example", "Access-Control-Request-Method": "POST"}
    response = plain.options(f"/api/v1/upload/{filled.channel.name}", headers=headers)
    assert "POST" not in response.headers.get("access-control-allow-methods", "")


def test_every_response_has_request_id_and_nosniff(plain: httpx.Client, filled: FilledChannel) -> None:
    """Request ids are unique."""
    responses = [plain.get(path) for path in (filled.path(REPODATA), "/", "/no-such/noarch/x", "/static/seaway.css")]
    assert {"nosniff"} == {response.headers["x-content-type-options"] for response in responses}
    assert 4 == len({response.headers["seaway-request-id"] for response in responses})


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_channel_paths_are_read_only(plain: httpx.Client, filled: FilledChannel, method: str) -> None:
    """Uploads and changes use /api/v1."""
    response = plain.request(method, filled.path(PACKAGE), headers=bearer(filled.channel.owner), content=b"x")
    # rattler retries an upload repeatedly after a 405, so PUT returns 404.
    assert (404 if method == "PUT" else 405) == response.status_code
    assert LISTED.content == plain.get(filled.path(PACKAGE)).content


def test_index_max_age_applies_to_index_documents_only(limited: LimitedSite) -> None:
    """Package files must still be revalidated."""
    channel = make_channel(limited)
    with limited.client() as http:
        assert 201 == upload(http, channel.name, limited.largest, channel.owner).status_code
        cache_controls = {
            path: http.head(f"/{channel.name}/{path}").headers["cache-control"] for path in INDEX_DOCUMENTS
        }
        package = http.head(f"/{channel.name}/noarch/{limited.largest.name}").headers["cache-control"]
    assert {"public, max-age=60, must-revalidate"} == set(cache_controls.values())
    assert "public, max-age=0, must-revalidate" == package


# Deleted files and channels


def test_running_download_survives_deletion(site: Site, http: httpx.Client, channel: Channel) -> None:
    """A download that began before the deletion completes; after the response, no index contains the file."""
    noise = random.Random(7).randbytes(16 * 1024 * 1024)
    file = conda(index_json("large"), files={"share/noise": noise})
    assert 201 == upload(http, channel.name, file, channel.owner).status_code
    url = f"/{channel.name}/noarch/{file.name}"
    with connect(site.server.address) as reading:
        reading.sendall(head_bytes("GET", url, {"Connection": "close"}))
        start = reading.recv(1000)
        deleted = http.delete(f"/api/v1/delete{url}", headers=bearer(channel.owner))
        listed = http.get(f"/{channel.name}/{REPODATA}").json()["packages.conda"]
        again = http.get(url)
        rest = b"".join(iter(lambda: reading.recv(1_000_000), b""))
    assert (200, {}, 404) == (deleted.status_code, listed, again.status_code)
    assert file.content == (start + rest).split(b"\r\n\r\n", 1)[1]


def test_recreated_channel_is_empty(site: Site, http: httpx.Client, channel: Channel) -> None:
    """No document or ETag of the deleted channel with the same name is valid."""
    upload(http, channel.name, LISTED, channel.owner)
    old = {path: http.get(f"/{channel.name}/{path}") for path in INDEX_DOCUMENTS}
    with site.factory.seaway.site.database.write_site() as tx:
        channels.remove(tx, 0, OPERATOR, channel.name)
    deleted = {path: http.get(f"/{channel.name}/{path}").status_code for path in INDEX_DOCUMENTS}
    site.factory.channel(channel.name, owner="the-owner")
    new = {
        path: http.get(f"/{channel.name}/{path}", headers={"If-None-Match": old[path].headers["etag"]}) for path in old
    }
    del old["notices.json"], new["notices.json"]
    assert {401} == set(deleted.values())
    assert {200} == {response.status_code for response in new.values()}
    assert {} == new[REPODATA].json()["packages.conda"]
    assert {} == unpacked(new[SHARD_INDEX].content)["shards"]
    assert {} == new["channeldata.json"].json()["packages"]
    assert 404 == http.get(f"/{channel.name}/noarch/{LISTED.name}").status_code


def test_recreated_channel_lists_only_new_uploads(site: Site, http: httpx.Client, channel: Channel) -> None:
    """State that a worker cached for a deleted channel never appears in its successor, at any revision."""
    for number in range(3):
        upload(http, channel.name, conda(index_json(f"old{number}")), channel.owner)
    http.get(f"/{channel.name}/{SHARD_INDEX}")
    with site.factory.seaway.site.database.write_site() as tx:
        channels.remove(tx, 0, OPERATOR, channel.name)
    site.factory.channel(channel.name, owner="the-owner")
    upload(http, channel.name, LISTED, channel.owner)
    assert ["listed"] == list(unpacked(http.get(f"/{channel.name}/{SHARD_INDEX}").content)["shards"])
    assert [LISTED.name] == list(http.get(f"/{channel.name}/{REPODATA}").json()["packages.conda"])
    assert ["listed"] == list(http.get(f"/{channel.name}/channeldata.json").json()["packages"])
