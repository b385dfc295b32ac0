"""What solvers and browsers read: bytes, validators, ranges, encodings, caching, and paths at which nothing can be."""

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
from tests.support.requests import bearer, connected, exchange, head_bytes, upload

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
_EACH_TIME = {"date", "seaway-request-id"}


@dataclass(frozen=True)
class Shelf:
    """A channel with a file of each kind, and the path of one of its shards."""

    channel: Channel
    shard: str

    def path(self, within: str) -> str:
        return f"/{self.channel.name}/{self.shard if within == SHARD else within}"


def fill(http: httpx.Client, channel: Channel) -> Shelf:
    for file in (LISTED, ODD, OLD_FORMAT, YANKED, DELETED, ZLIB):
        assert 201 == upload(http, channel.name, file, channel.owner).status_code
    for verb, act, file in (("POST", "yank", YANKED), ("DELETE", "delete", DELETED)):
        url = f"/api/v1/{act}/{channel.name}/noarch/{file.name}"
        assert 200 == http.request(verb, url, headers=bearer(channel.owner)).status_code
    index = http.get(f"/{channel.name}/{SHARD_INDEX}", headers=bearer(channel.owner))
    digest = unpacked(index.content)["shards"]["listed"].hex()
    return Shelf(channel, f"noarch/shards/{digest}.msgpack.zst")


def unpacked(content: bytes) -> dict:
    return msgspec.msgpack.decode(zstd.decompress(content))


def stable(answer: httpx.Response) -> dict[str, str]:
    """The headers without what differs from one answer to the next."""
    return {name: value for name, value in answer.headers.items() if name not in _EACH_TIME}


@pytest.fixture(scope="module")
def shelf(site: Site, http: httpx.Client) -> Shelf:
    return fill(http, make_channel(site))


@pytest.fixture(scope="module")
def private_shelf(site: Site, http: httpx.Client) -> Shelf:
    return fill(http, make_channel(site, public=False))


@pytest.fixture(scope="module")
def plain(site: Site) -> Iterator[httpx.Client]:
    """A client that takes no content coding, as those that read ranges."""
    with httpx.Client(base_url=site.server.address, headers={"Accept-Encoding": "identity"}, timeout=60) as client:
        yield client


# What each document is


@pytest.mark.parametrize(("path", "media_type"), INDEX_DOCUMENTS.items(), ids=INDEX_DOCUMENTS.keys())
def test_an_index_document_is_always_asked_for_again(
    plain: httpx.Client, shelf: Shelf, path: str, media_type: str
) -> None:
    """An index document has its type, a strong ETag, and is not used without asking."""
    answer = plain.get(shelf.path(path))
    assert 200 == answer.status_code
    assert media_type == answer.headers["content-type"]
    assert "public, max-age=0, must-revalidate" == answer.headers["cache-control"]
    assert re.fullmatch(r'"[0-9a-f]{40,64}"', answer.headers["etag"])
    assert str(len(answer.content)) == answer.headers["content-length"]
    assert "last-modified" not in answer.headers


def test_a_package_file_may_be_kept_for_an_hour(plain: httpx.Client, shelf: Shelf) -> None:
    """A package file has its sha256 as ETag, and since it can be overwritten it is not kept for ever."""
    answer = plain.get(shelf.path(PACKAGE))
    assert (200, LISTED.content) == (answer.status_code, answer.content)
    assert f'"{LISTED.sha256}"' == answer.headers["etag"]
    assert "public, max-age=0, must-revalidate" == answer.headers["cache-control"]
    assert "application/octet-stream" == answer.headers["content-type"]


def test_no_browser_runs_a_package_file(plain: httpx.Client, shelf: Shelf) -> None:
    """Whatever lies under a package's name is saved, not shown, and nothing guesses its type."""
    headers = plain.get(shelf.path(PACKAGE)).headers
    assert headers["content-disposition"].startswith("attachment")
    assert "sandbox" in headers["content-security-policy"]
    assert "nosniff" == headers["x-content-type-options"]


def test_a_shard_is_kept_for_ever(plain: httpx.Client, shelf: Shelf) -> None:
    """A shard is named by its content, so nobody needs to ask for it twice."""
    answer = plain.get(shelf.path(SHARD))
    assert 200 == answer.status_code
    assert "public, max-age=31536000, immutable" == answer.headers["cache-control"]
    assert [LISTED.name] == list(unpacked(answer.content)["packages.conda"])


@pytest.mark.parametrize("path", EVERYTHING)
def test_head_tells_what_get_would(plain: httpx.Client, shelf: Shelf, path: str) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    get, head = plain.get(shelf.path(path)), plain.head(shelf.path(path))
    assert (200, b"") == (head.status_code, head.content)
    assert stable(get) == stable(head)


@pytest.mark.parametrize("path", EVERYTHING)
def test_what_has_not_changed_is_not_sent_again(plain: httpx.Client, shelf: Shelf, path: str) -> None:
    """With the ETag that it has, a client hears 304 with the validators and the freshness, and no body."""
    answer = plain.get(shelf.path(path))
    repeated = plain.get(shelf.path(path), headers={"If-None-Match": answer.headers["etag"]})
    assert (304, b"") == (repeated.status_code, repeated.content)
    for name in ("etag", "cache-control", "vary", "seaway-revision", "access-control-allow-origin"):
        assert answer.headers.get(name) == repeated.headers.get(name)


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
def test_conditions_are_compared_as_the_rules_say(
    plain: httpx.Client, shelf: Shelf, condition: str, status: int
) -> None:
    """If-None-Match holds a list, compares weakly, and knows the star (RFC 9110, 13.1.2)."""
    etag = plain.head(shelf.path(REPODATA)).headers["etag"]
    answer = plain.get(shelf.path(REPODATA), headers={"If-None-Match": condition.format(etag=etag)})
    assert status == answer.status_code


def test_a_date_never_overrules_an_etag(plain: httpx.Client, shelf: Shelf) -> None:
    """A client that sends another document's date and ETag gets this document."""
    headers = {"If-None-Match": '"other"', "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert 200 == plain.get(shelf.path(SHARD_INDEX), headers=headers).status_code


def test_no_two_addresses_have_one_etag(plain: httpx.Client, site: Site, http: httpx.Client) -> None:
    """Clients send the ETag of one document when they ask for another: even equal contents have different ones."""
    names = [make_channel(site).name, make_channel(site).name]
    paths = [path for path in INDEX_DOCUMENTS if path != "notices.json"] + ["notices.json"]
    etags = [plain.head(f"/{name}/{path}").headers["etag"] for name in names for path in paths]
    etags += [plain.head(f"/{names[0]}/{path.replace('noarch', 'linux-64')}").headers["etag"] for path in paths[:5]]
    assert len(etags) == len(set(etags))


@pytest.mark.parametrize("path", [path for path in INDEX_DOCUMENTS if path != "notices.json"])
def test_the_etag_changes_with_the_content(
    plain: httpx.Client, http: httpx.Client, channel: Channel, path: str
) -> None:
    """After an upload the old validator is good for nothing, also that of the empty document."""
    before = plain.get(f"/{channel.name}/{path}")
    upload(http, channel.name, LISTED, channel.owner)
    after = plain.get(f"/{channel.name}/{path}", headers={"If-None-Match": before.headers["etag"]})
    assert (200, True) == (after.status_code, before.headers["etag"] != after.headers["etag"])


def test_every_document_says_its_revision(plain: httpx.Client, shelf: Shelf) -> None:
    """The documents of one subdir are of one revision and say so."""
    in_noarch = [path for path in INDEX_DOCUMENTS if path.startswith("noarch/")]
    assert {"7"} == {plain.head(shelf.path(path)).headers["seaway-revision"] for path in in_noarch}


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
def test_a_range_is_served(plain: httpx.Client, shelf: Shelf, path: str, header: str, expected: slice) -> None:
    """One range of bytes comes as 206 with its place in the whole."""
    whole = plain.get(shelf.path(path))
    size = len(whole.content)
    start, end, _ = expected.indices(size)
    answer = plain.get(shelf.path(path), headers={"Range": header})
    assert (206, whole.content[expected]) == (answer.status_code, answer.content)
    assert f"bytes {start}-{end - 1}/{size}" == answer.headers["content-range"]
    assert str(end - start) == answer.headers["content-length"]
    assert whole.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize("header", ["bytes=999999-", "bytes=999999-9999999", "bytes=-0", "bytes=9999999999999999999-"])
def test_a_range_past_the_end_is_refused(plain: httpx.Client, shelf: Shelf, header: str) -> None:
    """A range without a byte in the file is a 416 that tells the size."""
    answer = plain.get(shelf.path(PACKAGE), headers={"Range": header})
    assert 416 == answer.status_code
    assert f"bytes */{len(LISTED.content)}" == answer.headers["content-range"]


@pytest.mark.parametrize(
    "header",
    ["bytes=9-3", "bytes=-", "bytes=", "bytes=a-b", "bytes 0-9", "items=0-9", "0-9", "bytes=0-1,3-4", "bytes=--5", "x"],
)
def test_a_range_that_cannot_be_read_is_ignored(plain: httpx.Client, shelf: Shelf, header: str) -> None:
    """What is no single range of bytes is answered with the whole file (RFC 9110, 14.2)."""
    answer = plain.get(shelf.path(PACKAGE), headers={"Range": header})
    assert (200, LISTED.content) == (answer.status_code, answer.content)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        pytest.param("{etag}", 206, id="good"),
        pytest.param('"stale"', 200, id="stale"),
        pytest.param("W/{etag}", 200, id="weak"),
        pytest.param("Fri, 01 Jan 2100 00:00:00 GMT", 200, id="a date"),
    ],
)
def test_a_range_of_an_old_file_is_the_whole_new_one(
    plain: httpx.Client, shelf: Shelf, condition: str, status: int
) -> None:
    """If-Range needs the strong ETag of the very bytes, or the whole file comes (RFC 9110, 13.1.5)."""
    headers = {"Range": "bytes=5-9", "If-Range": condition.format(etag=f'"{LISTED.sha256}"')}
    answer = plain.get(shelf.path(PACKAGE), headers=headers)
    assert status == answer.status_code
    assert (LISTED.content[5:10] if status == 206 else LISTED.content) == answer.content


def test_not_changed_goes_before_a_range(plain: httpx.Client, shelf: Shelf) -> None:
    """A condition is looked at before a range (RFC 9110, 13.2.2)."""
    headers = {"Range": "bytes=0-9", "If-None-Match": f'"{LISTED.sha256}"'}
    assert 304 == plain.get(shelf.path(PACKAGE), headers=headers).status_code


def test_head_knows_no_ranges(plain: httpx.Client, shelf: Shelf) -> None:
    """A range asked for with HEAD is ignored: GET alone has ranges (RFC 9110, 14.2)."""
    answer = plain.head(shelf.path(PACKAGE), headers={"Range": "bytes=0-9"})
    assert (200, str(len(LISTED.content))) == (answer.status_code, answer.headers["content-length"])


def test_a_large_file_is_read_in_pieces(http: httpx.Client, plain: httpx.Client, channel: Channel) -> None:
    """A file of several megabytes comes whole and in any piece."""
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
        pytest.param(None, None, id="nothing said"),
        pytest.param("identity", None, id="identity"),
        pytest.param("gzip", "gzip", id="gzip"),
        pytest.param("zstd", "zstd", id="zstd"),
        pytest.param("gzip, deflate, br, zstd", "zstd", id="all that browsers know"),
        pytest.param("gzip;q=1.0, zstd;q=0.5", "gzip", id="gzip rather than zstd"),
        pytest.param("zstd;q=0.8, gzip;q=0.2", "zstd", id="zstd rather than gzip"),
        pytest.param("identity;q=1, gzip;q=0.5, zstd;q=0.5", None, id="identity rather than both"),
        pytest.param("zstd;q=0, gzip;q=0", None, id="none of both"),
        pytest.param("zstd;q=0, gzip", "gzip", id="anything but zstd"),
        pytest.param("*", "zstd", id="anything"),
        pytest.param("br", None, id="one that we do not have"),
        pytest.param("GZIP", "gzip", id="upper case"),
        pytest.param("gzip ; q=0.5", "gzip", id="blanks"),
        pytest.param("", None, id="empty"),
        pytest.param(";;q=,,=", None, id="nonsense"),
    ],
)
def test_repodata_comes_in_the_coding_that_the_client_wants(
    site: Site, plain: httpx.Client, shelf: Shelf, accepted: str | None, coding: str | None
) -> None:
    """Accept-Encoding with its weights decides the form of repodata.json, and what comes out is the same."""
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    answer = exchange(site.server.address, "GET", shelf.path(REPODATA), headers)
    decode = {"gzip": gzip.decompress, "zstd": zstd.decompress, None: bytes}[coding]
    assert (200, coding) == (answer.status, answer.header("content-encoding"))
    assert plain.get(shelf.path(REPODATA)).content == decode(answer.body)
    assert "Accept-Encoding" in (answer.header("vary") or "")


def test_each_coding_has_an_etag_of_its_own(site: Site, plain: httpx.Client, shelf: Shelf) -> None:
    """The three forms of repodata.json and the file repodata.json.zst have four different strong ETags."""
    answers = [
        plain.head(shelf.path(REPODATA), headers={"Accept-Encoding": coding}) for coding in ("zstd", "gzip", "identity")
    ]
    answers.append(plain.head(shelf.path("noarch/repodata.json.zst")))
    assert 4 == len({answer.headers["etag"] for answer in answers})


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
def test_an_encoded_form_is_not_sent_again(plain: httpx.Client, shelf: Shelf, coding: str) -> None:
    """Each form answers to its own ETag, and not to that of another form."""
    headers = {"Accept-Encoding": coding}
    etag = plain.head(shelf.path(REPODATA), headers=headers).headers["etag"]
    same = plain.head(shelf.path(REPODATA), headers={**headers, "If-None-Match": etag})
    other = plain.head(shelf.path(REPODATA), headers={"If-None-Match": etag})
    assert [304, 200] == [same.status_code, other.status_code]


@pytest.mark.parametrize("path", [PACKAGE, f"noarch/{OLD_FORMAT.name}", SHARD, SHARD_INDEX, "noarch/repodata.json.zst"])
def test_what_is_packed_is_not_packed_again(plain: httpx.Client, shelf: Shelf, path: str) -> None:
    """Packages, shards and .zst files have no content coding, whatever the client takes."""
    answer = plain.get(shelf.path(path), headers={"Accept-Encoding": "gzip, zstd, br"})
    assert (200, None) == (answer.status_code, answer.headers.get("content-encoding"))
    assert plain.get(shelf.path(path)).content == answer.content


# What the documents hold


def test_listed_files_are_in_repodata(plain: httpx.Client, shelf: Shelf) -> None:
    """repodata.json names what is listed in both formats, and what was yanked; what was deleted is nowhere."""
    repodata = plain.get(shelf.path(REPODATA)).json()
    assert {LISTED.name, ODD.name} == set(repodata["packages.conda"])
    assert {OLD_FORMAT.name} == set(repodata["packages"])
    assert [YANKED.name] == repodata["removed"]


@pytest.mark.parametrize("path", [path for path in INDEX_DOCUMENTS if path != "notices.json"])
def test_a_deleted_file_leaves_no_trace(plain: httpx.Client, shelf: Shelf, path: str) -> None:
    """No document names a deleted file, and the file itself is gone."""
    content = plain.get(shelf.path(path)).content
    assert b"deleted" not in (zstd.decompress(content) if path.endswith(".zst") else content)
    assert 404 == plain.get(shelf.path(f"noarch/{DELETED.name}")).status_code


def test_a_yanked_file_stays_downloadable(plain: httpx.Client, shelf: Shelf) -> None:
    """What lock files name goes on working after a yank, and the shard of its name says that it was removed."""
    digest = unpacked(plain.get(shelf.path(SHARD_INDEX)).content)["shards"]["yanked"].hex()
    shard = unpacked(plain.get(shelf.path(f"noarch/shards/{digest}.msgpack.zst")).content)
    assert YANKED.content == plain.get(shelf.path(f"noarch/{YANKED.name}")).content
    assert ([YANKED.name], {}, {}) == (shard["removed"], shard["packages"], shard["packages.conda"])


def test_run_exports_are_of_every_listed_file(plain: httpx.Client, shelf: Shelf) -> None:
    """run_exports.json has an entry for each listed file, empty where there is nothing to export (CEP 12)."""
    exports = plain.get(shelf.path("noarch/run_exports.json")).json()
    assert {"run_exports": {"weak": ["listed >=1"]}} == exports["packages.conda"][LISTED.name]
    assert {"run_exports": {}} == exports["packages"][OLD_FORMAT.name]


def test_channeldata_sums_up_the_subdirs(plain: httpx.Client, shelf: Shelf) -> None:
    """channeldata.json names each package once, with its subdirs (CEP 38)."""
    data = plain.get(shelf.path("channeldata.json")).json()
    assert ["linux-64", "noarch"] == data["subdirs"]
    assert {"listed", "odd", "old", "zlib"} == set(data["packages"])
    assert ["linux-64"] == data["packages"]["zlib"]["subdirs"]


def test_notices_are_there_and_empty(plain: httpx.Client, shelf: Shelf) -> None:
    """notices.json is a 200 without a redirect: conda follows none there (CEP 6)."""
    answer = plain.get(shelf.path("notices.json"))
    assert (200, {"notices": []}) == (answer.status_code, answer.json())


def test_an_old_shard_stays_readable(http: httpx.Client, plain: httpx.Client, channel: Channel) -> None:
    """A client that read the index before a change still finds the shards that it names (CEP 16)."""
    upload(http, channel.name, LISTED, channel.owner)
    old = unpacked(plain.get(f"/{channel.name}/{SHARD_INDEX}").content)["shards"]["listed"].hex()
    upload(http, channel.name, conda(index_json("listed", version="2.0")), channel.owner)
    new = unpacked(plain.get(f"/{channel.name}/{SHARD_INDEX}").content)["shards"]["listed"].hex()
    read = {digest: plain.get(f"/{channel.name}/noarch/shards/{digest}.msgpack.zst") for digest in (old, new)}
    held = {digest: set(unpacked(answer.content)["packages.conda"]) for digest, answer in read.items()}
    assert {old: {LISTED.name}, new: {LISTED.name, "listed-2.0-h1_0.conda"}} == held


def test_a_shard_is_found_in_its_own_channel_and_subdir(
    http: httpx.Client, plain: httpx.Client, site: Site, shelf: Shelf
) -> None:
    """The hash of a shard opens nothing in another channel or subdir."""
    elsewhere = [f"/{make_channel(site).name}/{shelf.shard}", shelf.path(shelf.shard.replace("noarch", "linux-64"))]
    assert [404, 404] == [plain.get(url).status_code for url in elsewhere]


# File names


@pytest.mark.parametrize(
    "spelling",
    [
        "odd-1!2.0+local-h1_0.conda",
        "odd-1%212.0%2Blocal-h1_0.conda",
        "odd-1%212.0%2blocal-h1_0.conda",
        "odd-1!2.0%2Blocal-h1_0.conda",
    ],
    ids=["raw", "encoded", "encoded in lower case", "half"],
)
def test_a_file_name_is_read_in_every_spelling(site: Site, shelf: Shelf, spelling: str) -> None:
    """Clients spell `!` and `+` in a path raw or encoded, and `+` is itself, not a blank."""
    answer = exchange(site.server.address, "GET", shelf.path(f"noarch/{spelling}"))
    assert (200, ODD.content) == (answer.status, answer.body)


def test_a_plus_is_not_a_blank(site: Site, shelf: Shelf) -> None:
    """A blank in place of a plus is another name."""
    answer = exchange(site.server.address, "GET", shelf.path("noarch/odd-1!2.0%20local-h1_0.conda"))
    assert 404 == answer.status


# Channels without files


@pytest.fixture(scope="module")
def empty(site: Site) -> str:
    return make_channel(site).name


@pytest.mark.parametrize("subdir", KNOWN_SUBDIRS)
def test_every_known_subdir_of_an_empty_channel_is_there(plain: httpx.Client, empty: str, subdir: str) -> None:
    """From its first moment a channel answers for every platform that clients know: some never ask twice."""
    documents = {name.removeprefix("noarch/") for name in INDEX_DOCUMENTS if name.startswith("noarch/")}
    answers = {name: plain.get(f"/{empty}/{subdir}/{name}") for name in documents}
    repodata = answers["repodata.json"].json()
    index = unpacked(answers["repodata_shards.msgpack.zst"].content)
    assert {200} == {answer.status_code for answer in answers.values()}
    assert ({}, {}, subdir) == (repodata["packages"], repodata["packages.conda"], repodata["info"]["subdir"])
    assert repodata == msgspec.json.decode(zstd.decompress(answers["repodata.json.zst"].content))
    assert ({}, subdir, "", "./shards/") == (
        index["shards"], index["info"]["subdir"], index["info"]["base_url"], index["info"]["shards_base_url"],
    )  # fmt: skip
    assert {"0"} == {answer.headers["seaway-revision"] for answer in answers.values()}


def test_a_subdir_that_became_empty_is_there(http: httpx.Client, plain: httpx.Client, channel: Channel) -> None:
    """When the last file is deleted the documents are empty, not gone."""
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
def test_what_is_not_there_is_not_found(plain: httpx.Client, shelf: Shelf, path: str, method: str) -> None:
    """Everything else in a channel is a 404 without a redirect."""
    assert 404 == plain.request(method, shelf.path(path)).status_code


# Paths that try something

TRICKS = [
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


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick[:60])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_tricky_path_is_not_found(site: Site, shelf: Shelf, trick: str, method: str) -> None:
    """However a path is bent, it is a plain 404: no file, no redirect, no error of ours."""
    answer = exchange(site.server.address, method, trick.format(channel=shelf.channel.name))
    assert 404 == answer.status
    assert answer.header("set-cookie") is None


@pytest.mark.parametrize(
    "target",
    [b"/%s/noarch/repodata.json\0", b"/%s/noarch/\xff", b"/%s/noarch/repo data.json", b"/%s/\x7fnoarch", b"%s"],
    ids=repr,
)
def test_bytes_that_no_path_has_are_a_bad_request(site: Site, shelf: Shelf, target: bytes) -> None:
    """What is not HTTP is refused, and the server goes on."""
    answer = exchange(site.server.address, "GET", target % shelf.channel.name.encode())
    assert (400, 200) == (answer.status, exchange(site.server.address, "GET", shelf.path(REPODATA)).status)


def test_no_trick_was_an_error_of_ours(site: Site, shelf: Shelf) -> None:
    """The log of the server holds no failed request."""
    for trick in TRICKS:
        exchange(site.server.address, "POST", trick.format(channel=shelf.channel.name))
    assert [] == [line for line in site.server.log if "request.failed" in line or "status=500" in line]


# Browsers


def test_a_browser_is_sent_to_the_page(plain: httpx.Client, shelf: Shelf) -> None:
    """The address of a channel, opened in a browser, leads to its page; other clients find nothing there."""
    url = f"/{shelf.channel.name}"
    browser = plain.get(url, headers={"Accept": "text/html,application/xhtml+xml"})
    assert (303, f"/channels/{shelf.channel.name}") == (browser.status_code, browser.headers["location"])
    assert [404, 404] == [plain.get(url).status_code, plain.get(f"{url}/").status_code]


@pytest.mark.parametrize("path", EVERYTHING)
def test_any_site_may_read_a_public_channel(plain: httpx.Client, shelf: Shelf, path: str) -> None:
    """Solvers that run in a browser read public channels and see the headers that they need."""
    headers = plain.get(shelf.path(path), headers={"Origin": "https://lab.example"}).headers
    assert "*" == headers["access-control-allow-origin"]
    assert {"ETag", "Content-Range"} <= set(headers["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("path", EVERYTHING)
def test_no_other_site_reads_a_private_channel(plain: httpx.Client, private_shelf: Shelf, path: str) -> None:
    """A private channel says nothing to scripts of other sites, and nothing that is shared may keep it."""
    headers = {**bearer(private_shelf.channel.viewer), "Origin": "https://lab.example"}
    answer = plain.get(private_shelf.path(path), headers=headers)
    assert 200 == answer.status_code
    assert [] == [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["cache-control"].startswith("private, ")
    assert {"Authorization", "Cookie"} <= set(answer.headers["vary"].split(", "))


def test_a_public_channel_is_the_same_for_all(plain: httpx.Client, shelf: Shelf) -> None:
    """A shared cache may hand what one client read in a public channel to any other."""
    answers = [plain.get(shelf.path(REPODATA), headers=headers) for headers in ({}, bearer(shelf.channel.owner))]
    assert stable(answers[0]) == stable(answers[1])
    assert "Authorization" not in answers[0].headers.get("vary", "")


@pytest.mark.parametrize("target", ["channel", "unknown"])
def test_a_preflight_tells_nothing(plain: httpx.Client, shelf: Shelf, target: str) -> None:
    """Before it reads, a browser asks; the answer allows reading and is the same for every path."""
    path = shelf.path(PACKAGE) if target == "channel" else "/no-such-channel/noarch/x.conda"
    headers = {
        "Origin": "https://lab.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "range",
    }
    answer = plain.options(path, headers=headers)
    assert (204, "*") == (answer.status_code, answer.headers["access-control-allow-origin"])
    assert "GET, HEAD" == answer.headers["access-control-allow-methods"]
    assert "Range" in answer.headers["access-control-allow-headers"]


def test_a_preflight_allows_no_upload(plain: httpx.Client, shelf: Shelf) -> None:
    """No script of another site uploads."""
    headers = {"Origin": "https://lab.example", "Access-Control-Request-Method": "POST"}
    answer = plain.options(f"/api/v1/upload/{shelf.channel.name}", headers=headers)
    assert "POST" not in answer.headers.get("access-control-allow-methods", "")


def test_every_answer_has_an_id_and_safe_headers(plain: httpx.Client, shelf: Shelf) -> None:
    """Each answer has an id of its own, and headers that keep browsers from guessing."""
    answers = [plain.get(path) for path in (shelf.path(REPODATA), "/", "/no-such/noarch/x", "/static/seaway.css")]
    assert {"nosniff"} == {answer.headers["x-content-type-options"] for answer in answers}
    assert 4 == len({answer.headers["seaway-request-id"] for answer in answers})


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_nothing_is_written_by_path(plain: httpx.Client, shelf: Shelf, method: str) -> None:
    """A channel's own addresses are for reading."""
    answer = plain.request(method, shelf.path(PACKAGE), headers=bearer(shelf.channel.owner), content=b"x")
    # At a 405, rattler sends an upload again and again.
    assert (404 if method == "PUT" else 405) == answer.status_code
    assert LISTED.content == plain.get(shelf.path(PACKAGE)).content


def test_an_operator_may_let_readers_keep_the_index(limited: LimitedSite) -> None:
    """With `index_max_age`, index documents may be used that long without asking; packages and shards do not change."""
    channel = make_channel(limited)
    with limited.client() as http:
        assert 201 == upload(http, channel.name, limited.largest, channel.owner).status_code
        kept = {path: http.head(f"/{channel.name}/{path}").headers["cache-control"] for path in INDEX_DOCUMENTS}
        package = http.head(f"/{channel.name}/noarch/{limited.largest.name}").headers["cache-control"]
    assert {"public, max-age=60, must-revalidate"} == set(kept.values())
    assert "public, max-age=0, must-revalidate" == package


# What goes away


def test_a_download_outlives_its_file(site: Site, http: httpx.Client, channel: Channel) -> None:
    """A download that has begun when its file is deleted ends well; after the answer no index names the file."""
    noise = random.Random(7).randbytes(16 * 1024 * 1024)
    file = conda(index_json("large"), files={"share/noise": noise})
    assert 201 == upload(http, channel.name, file, channel.owner).status_code
    url = f"/{channel.name}/noarch/{file.name}"
    with connected(site.server.address) as reading:
        reading.sendall(head_bytes("GET", url, {"Connection": "close"}))
        start = reading.recv(1000)
        deleted = http.delete(f"/api/v1/delete{url}", headers=bearer(channel.owner))
        listed = http.get(f"/{channel.name}/{REPODATA}").json()["packages.conda"]
        again = http.get(url)
        rest = b"".join(iter(lambda: reading.recv(1_000_000), b""))
    assert (200, {}, 404) == (deleted.status_code, listed, again.status_code)
    assert file.content == (start + rest).split(b"\r\n\r\n", 1)[1]


def test_a_channel_made_again_shows_nothing_of_the_old_one(site: Site, http: httpx.Client, channel: Channel) -> None:
    """After a channel was deleted and made again under its name, every document is that of an empty channel."""
    upload(http, channel.name, LISTED, channel.owner)
    old = {path: http.get(f"/{channel.name}/{path}") for path in INDEX_DOCUMENTS}
    with site.people.seaway.database.write_site() as tx:
        channels.remove(tx, 0, OPERATOR, channel.name)
    gone = {path: http.get(f"/{channel.name}/{path}").status_code for path in INDEX_DOCUMENTS}
    site.people.channel(channel.name, owner="the-owner")
    new = {
        path: http.get(f"/{channel.name}/{path}", headers={"If-None-Match": old[path].headers["etag"]}) for path in old
    }
    del old["notices.json"], new["notices.json"]
    assert {401} == set(gone.values())
    assert {200} == {answer.status_code for answer in new.values()}
    assert {} == new[REPODATA].json()["packages.conda"]
    assert {} == unpacked(new[SHARD_INDEX].content)["shards"]
    assert {} == new["channeldata.json"].json()["packages"]
    assert 404 == http.get(f"/{channel.name}/noarch/{LISTED.name}").status_code


def test_the_first_upload_after_a_channel_was_made_again_shows_only_itself(
    site: Site, http: httpx.Client, channel: Channel
) -> None:
    """What a worker remembers of a deleted channel never comes back in its successor, at any revision."""
    for number in range(3):
        upload(http, channel.name, conda(index_json(f"old{number}")), channel.owner)
    http.get(f"/{channel.name}/{SHARD_INDEX}")
    with site.people.seaway.database.write_site() as tx:
        channels.remove(tx, 0, OPERATOR, channel.name)
    site.people.channel(channel.name, owner="the-owner")
    upload(http, channel.name, LISTED, channel.owner)
    assert ["listed"] == list(unpacked(http.get(f"/{channel.name}/{SHARD_INDEX}").content)["shards"])
    assert [LISTED.name] == list(http.get(f"/{channel.name}/{REPODATA}").json()["packages.conda"])
    assert ["listed"] == list(http.get(f"/{channel.name}/channeldata.json").json()["packages"])
