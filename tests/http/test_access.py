"""Who is let in, by which credential, from which moment on, and what is never told or written down."""

import base64
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import select

from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import channels, members, transfers
from seaway.channels.roles import Role
from seaway.database.tables import metadata
from seaway.keys import api_keys
from seaway.sign_in import user_access
from seaway.users import users
from tests.conftest import Site
from tests.http.conftest import Channel, make_channel
from tests.support.packages import conda, index_json
from tests.support.requests import basic, bearer, exchange, raw_headers, sentence, until, upload

REPODATA = "noarch/repodata.json"
LISTED = conda(index_json("listed"))
_EACH_TIME = {"date", "seaway-request-id"}


@pytest.fixture(scope="module")
def private(site: Site, http: httpx.Client) -> Channel:
    """A private channel with one file, which no test here changes."""
    channel = make_channel(site, public=False)
    assert 201 == upload(http, channel.name, LISTED, channel.owner).status_code
    return channel


@pytest.fixture(scope="module")
def public(site: Site, http: httpx.Client) -> Channel:
    """A public channel with one file, which no test here changes."""
    channel = make_channel(site)
    assert 201 == upload(http, channel.name, LISTED, channel.owner).status_code
    return channel


# Credentials

GOOD_FORMS: dict[str, Callable[[str], dict[str, str]]] = {
    "bearer": bearer,
    "bearer in lower case": lambda key: {"Authorization": f"bearer {key}"},
    "bearer with blanks": lambda key: {"Authorization": f"Bearer   {key}"},
    "basic, as password": lambda key: basic("anybody", key),
    "basic, as user": lambda key: basic(key, ""),
    "basic, as user with a password": lambda key: basic(key, "x-oauth-basic"),
    "basic, with an empty user": lambda key: basic("", key),
    "basic in lower case": lambda key: {"Authorization": basic("u", key)["Authorization"].replace("Basic", "basic")},
}

BAD_FORMS: dict[str, Callable[[str], dict[str, str]]] = {
    "no header": lambda _: {},
    "bearer without a key": lambda _: {"Authorization": "Bearer"},
    "another scheme": lambda key: {"Authorization": f"Token {key}"},
    "no scheme": lambda key: {"Authorization": key},
    "nothing in the header": lambda _: {"Authorization": ""},
    "a key that is none": lambda _: bearer("swy-u-nothing"),
    "a key with a wrong checksum": lambda key: bearer(key[:-1] + ("a" if key[-1] != "a" else "b")),
    "a key cut short": lambda key: bearer(key[:-1]),
    "a key with more": lambda key: bearer(key + "0"),
    "a key in upper case": lambda key: bearer(key.upper()),
    "two keys": lambda key: bearer(f"{key},{key}"),
    "basic that is not base64": lambda key: {"Authorization": f"Basic {key}"},
    "basic without a colon": lambda _: {"Authorization": "Basic " + base64.b64encode(b"user").decode()},
    "basic that is not UTF-8": lambda _: {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()},
    "basic with a password": lambda _: basic("the-owner", "correct horse battery"),
    "a key in another header": lambda key: {"X-API-Key": key},
    "a key in a cookie": lambda key: {"Cookie": f"session={key}; key={key}"},
    "a bad header beside a cookie": lambda key: {"Authorization": "Bearer x", "Cookie": f"session={key}"},
    "a very long key": lambda _: bearer("swy-u-" + "a" * 8_000),
}


@pytest.mark.parametrize("form", GOOD_FORMS.values(), ids=GOOD_FORMS.keys())
def test_a_key_opens_a_private_channel_in_every_form(
    http: httpx.Client, private: Channel, form: Callable[[str], dict[str, str]]
) -> None:
    """conda and mamba can only say user and password, others a bearer token: each form of a good key reads."""
    answer = http.get(f"/{private.name}/{REPODATA}", headers=form(private.viewer))
    assert 200 == answer.status_code
    assert [LISTED.name] == list(answer.json()["packages.conda"])


@pytest.mark.parametrize("form", BAD_FORMS.values(), ids=BAD_FORMS.keys())
def test_nothing_else_opens_a_private_channel(
    http: httpx.Client, private: Channel, form: Callable[[str], dict[str, str]]
) -> None:
    """What is no good key is a 401 that says which kind of credential is wanted."""
    answer = http.get(f"/{private.name}/{REPODATA}", headers=form(private.owner))
    assert 401 == answer.status_code
    assert 'Bearer realm="seaway"' == answer.headers["www-authenticate"]
    assert private.name not in sentence(answer)


@pytest.mark.parametrize("form", BAD_FORMS.values(), ids=BAD_FORMS.keys())
def test_a_stale_credential_on_a_public_channel_is_none(
    http: httpx.Client, public: Channel, form: Callable[[str], dict[str, str]]
) -> None:
    """Clients send what they have stored to every channel of a host: public ones are read all the same."""
    answer = http.get(f"/{public.name}/{REPODATA}", headers=form(public.owner))
    assert 200 == answer.status_code
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize(
    "form",
    [form for name, form in BAD_FORMS.items() if name != "no header"],
    ids=[name for name in BAD_FORMS if name != "no header"],
)
@pytest.mark.parametrize("verb", ["upload", "delete", "yank", "unyank"])
def test_a_bad_credential_changes_nothing(
    http: httpx.Client, public: Channel, form: Callable[[str], dict[str, str]], verb: str
) -> None:
    """Where something is changed a bad credential is a 401, also on a public channel."""
    answer = change(http, verb, public.name, form(public.owner))
    assert 401 == answer.status_code
    assert 'Bearer realm="seaway"' == answer.headers["www-authenticate"]


def change(http: httpx.Client, verb: str, channel: str, headers: dict[str, str]) -> httpx.Response:
    if verb == "upload":
        return http.post(
            f"/api/v1/upload/{channel}", content=LISTED.content, headers={**raw_headers(LISTED), **headers}
        )
    method = "DELETE" if verb == "delete" else "POST"
    return http.request(method, f"/api/v1/{verb}/{channel}/noarch/{LISTED.name}", headers=headers)


def test_two_authorization_headers_are_none(site: Site, private: Channel) -> None:
    """When two headers could be meant, neither is believed."""
    twice = [("Authorization", f"Bearer {private.owner}")] * 2
    answer = httpx.get(f"{site.server.address}/{private.name}/{REPODATA}", headers=twice)
    assert 401 == answer.status_code


# Keys in the path


@pytest.mark.parametrize(
    ("prefix", "status"),
    [
        pytest.param("/t/{key}", 200, id="key"),
        pytest.param("/%74/{key}", 200, id="encoded"),
        pytest.param("/t/", 401, id="no key"),
        pytest.param("/t/nonsense", 401, id="nonsense"),
        pytest.param("/t/{key}/t/{key}", 404, id="twice"),
        pytest.param("/T/{key}", 404, id="upper case"),
        pytest.param("/t/{key}/", 404, id="empty segment"),
        pytest.param("/t/{key}%2f", 404, id="encoded slash"),
    ],
)
def test_a_key_in_the_path_opens_a_private_channel(site: Site, private: Channel, prefix: str, status: int) -> None:
    """conda puts its token before the channel; an empty one is anonymous, and anything else is no path."""
    target = f"{prefix.format(key=private.viewer)}/{private.name}/{REPODATA}"
    assert status == exchange(site.server.address, "GET", target).status


@pytest.mark.parametrize("path", ["notices.json", "channeldata.json", REPODATA, f"noarch/{LISTED.name}"])
@pytest.mark.parametrize("token", ["", "nonsense", "key"])
def test_any_token_reads_a_public_channel(http: httpx.Client, public: Channel, path: str, token: str) -> None:
    """A token in the path of a public channel does no harm, whether it is good, bad or empty."""
    secret = public.stranger if token == "key" else token
    assert 200 == http.get(f"/t/{secret}/{public.name}/{path}").status_code


def test_a_good_header_stands_in_for_a_bad_token(http: httpx.Client, private: Channel) -> None:
    """With several credentials one good one is enough."""
    url = f"/{private.name}/{REPODATA}"
    answers = [
        http.get(f"/t/nonsense{url}", headers=bearer(private.viewer)),
        http.get(f"/t/{private.viewer}{url}", headers=bearer("nonsense")),
    ]
    assert [200, 200] == [answer.status_code for answer in answers]


@pytest.mark.parametrize("verb", ["upload", "delete", "yank", "unyank"])
def test_a_key_in_the_path_changes_nothing(http: httpx.Client, public: Channel, verb: str) -> None:
    """Paths are written down everywhere, so a key in one reads and does nothing else."""
    address = f"/api/v1/{verb}/{public.name}" + ("" if verb == "upload" else f"/noarch/{LISTED.name}")
    method = "DELETE" if verb == "delete" else "POST"
    answer = http.request(method, f"/t/{public.owner}{address}", content=LISTED.content, headers=raw_headers(LISTED))
    assert answer.status_code in (401, 404, 405)
    assert [LISTED.name] == list(http.get(f"/{public.name}/{REPODATA}").json()["packages.conda"])


@pytest.mark.parametrize("name", ["key", "token", "api_key", "access_token", "authorization"])
def test_a_key_in_the_query_is_ignored(http: httpx.Client, private: Channel, name: str) -> None:
    """A query string is no place for a key, neither to read nor to upload."""
    read = http.get(f"/{private.name}/{REPODATA}", params={name: private.owner})
    sent = http.post(
        f"/api/v1/upload/{private.name}", params={name: private.owner}, content=b"x", headers=raw_headers(LISTED)
    )
    assert [401, 401] == [read.status_code, sent.status_code]


# What a private channel gives away: nothing

PATHS = [
    "/{channel}/noarch/repodata.json",
    "/{channel}/noarch/repodata.json.zst",
    "/{channel}/noarch/repodata.json.bz2",
    "/{channel}/noarch/run_exports.json",
    "/{channel}/noarch/repodata_shards.msgpack.zst",
    "/{channel}/noarch/current_repodata.json",
    "/{channel}/amiga-68k/repodata.json",
    f"/{{channel}}/noarch/{LISTED.name}",
    f"/{{channel}}/noarch/{LISTED.name}.sigs",
    f"/{{channel}}/noarch/shards/{'ab' * 32}.msgpack.zst",
    "/{channel}/notices.json",
    "/{channel}/channeldata.json",
    "/{channel}/rss.xml",
    "/{channel}/noarch/..%2fx",
    "/{channel}//noarch/repodata.json",
    "/{channel}/noarch",
    "/{channel}/",
    "/{channel}",
    "/t//{channel}/noarch/repodata.json",
    "/t/x/{channel}/noarch/repodata.json",
    "/channels/{channel}",
    "/api/v1/upload/{channel}",
    "/api/v1/upload/{channel}/",
    f"/api/v1/delete/{{channel}}/noarch/{LISTED.name}",
    f"/api/v1/yank/{{channel}}/noarch/{LISTED.name}",
    f"/api/v1/unyank/{{channel}}/noarch/{LISTED.name}",
    "/api/v1/yank/{channel}",
]
EXTRA_HEADERS = {
    "plain": {},
    "browser": {"Accept": "text/html", "Origin": "https://lab.example"},
    "range": {"Range": "bytes=0-9", "If-Range": '"x"'},
    "condition": {"If-None-Match": "*", "Accept-Encoding": "zstd"},
}


@pytest.mark.parametrize("who", ["anonymous", "stranger", "elsewhere"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_a_private_channel_looks_like_none(site: Site, private: Channel, method: str, who: str) -> None:
    """For who may not read it, a private channel answers byte for byte as one that does not exist, on every path."""
    unknown = "x" * len(private.name)
    owner = site.people.user(site.new_name("owner"))
    secret = {
        "anonymous": None,
        "stranger": private.stranger,
        "elsewhere": site.people.key("the-owner", only=[site.new_channel(owner=owner)]),
    }[who]
    for path in PATHS:
        for name, extra in EXTRA_HEADERS.items():
            seen = [
                shown(site, method, path, channel, {**bearer(secret), **extra}) for channel in (private.name, unknown)
            ]
            assert seen[0] == seen[1], f"{method} {path}, {name}"


def shown(site: Site, method: str, path: str, channel: str, headers: dict[str, str]) -> tuple[object, ...]:
    """All that a client sees, with the name that it said itself taken out."""
    sized = {**headers, **raw_headers(LISTED), "Content-Length": "3"}
    answer = exchange(site.server.address, method, path.format(channel=channel), sized, b"abc")
    told = [(name, value.replace(channel, "*")) for name, value in answer.headers if name.lower() not in _EACH_TIME]
    return answer.status, told, answer.body.replace(channel.encode(), b"*")


def test_no_credential_is_told_that_there_are_no_shards(site: Site, http: httpx.Client, private: Channel) -> None:
    """rattler remembers a 404 of the shard index for good: 403, before the channel exists and before access is granted."""
    for channel in (private.name, site.new_name("later")):
        for name in ("repodata_shards.msgpack.zst", "repodata.json", f"shards/{'ab' * 32}.msgpack.zst"):
            url = f"/{channel}/noarch/{name}"
            found = [http.request(method, url, headers=bearer(private.stranger)) for method in ("GET", "HEAD")]
            assert [403, 403] == [answer.status_code for answer in found]
            assert 401 == http.get(url).status_code
            assert 403 == http.get(f"/t/{private.stranger}{url}").status_code


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_refusal_names_the_channel(http: httpx.Client, private: Channel, method: str, path: str) -> None:
    """What a stranger and an anonymous client hear holds no name."""
    for secret in (None, private.stranger):
        answer = http.request(method, path.format(channel=private.name), headers=bearer(secret))
        assert private.name not in answer.text


def test_the_front_page_names_no_private_channel(http: httpx.Client, private: Channel, public: Channel) -> None:
    """The list of channels holds the public ones only."""
    text = http.get("/").text
    assert (False, True) == (f'/channels/{private.name}"' in text, public.name in text)


# From one request to the next


def read_status(http: httpx.Client, channel: str, key: str | None, **headers: str) -> int:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.get(f"/{channel}/{REPODATA}", headers={**bearer(key), **sent}).status_code


def test_a_revoked_key_is_dead_on_the_next_request(site: Site, http: httpx.Client, private_channel: Channel) -> None:
    """Revoking a key ends it for reading and uploading at once, and no other key."""
    owner = site.people.user(site.new_name("owner"))
    name = site.new_channel(owner=owner, public=False)
    key, other = site.people.key(owner), site.people.key(owner)
    before = read_status(http, name, key)
    with site.people.seaway.database.write_site() as tx:
        api_keys.revoke(tx, site.people.seaway.clock.now_ms(), OPERATOR, users.get(tx, owner), "key 0")
    after = [read_status(http, name, key), upload(http, name, LISTED, key).status_code, read_status(http, name, other)]
    assert (200, [401, 401, 200]) == (before, after)


def test_a_disabled_user_is_out_on_the_next_request(site: Site, http: httpx.Client) -> None:
    """The keys of a disabled user stop, and go on when the account is opened again."""
    owner = site.people.user(site.new_name("owner"))
    name = site.new_channel(owner=owner, public=False)
    key = site.people.key(owner)
    seen = []
    for disabled in (True, False):
        with site.people.seaway.database.write_site() as tx:
            user_access.set_disabled(tx, site.people.seaway.clock.now_ms(), OPERATOR, owner, disabled=disabled)
        seen.append(read_status(http, name, key))
    assert [401, 200] == seen


def test_a_demoted_member_may_less_on_the_next_request(
    site: Site, http: httpx.Client, private_channel: Channel
) -> None:
    """A key gives what its user's role gives at that moment: less after a demotion, nothing after the end."""
    user = site.people.member(private_channel.name, site.new_name("member"), Role.CONTRIBUTOR)
    key = site.people.key(user)

    def try_both() -> tuple[int, int]:
        file = conda(index_json(site.new_name("pkg")))
        return read_status(http, private_channel.name, key), upload(http, private_channel.name, file, key).status_code

    as_contributor = try_both()
    site.people.member(private_channel.name, user, Role.VIEWER)
    as_viewer = try_both()
    with site.people.seaway.database.write_site() as tx:
        members.remove(tx, 0, OPERATOR, private_channel.name, user)
    assert [(200, 201), (200, 403), (403, 404)] == [as_contributor, as_viewer, try_both()]


def test_a_channel_that_became_private_is_so_on_the_next_request(
    site: Site, http: httpx.Client, channel: Channel
) -> None:
    """What a client has cached does not help it: the next question is refused, not answered with 304."""
    upload(http, channel.name, LISTED, channel.owner)
    paths = [REPODATA, "noarch/repodata_shards.msgpack.zst", f"noarch/{LISTED.name}", "channeldata.json"]
    etags = {path: http.get(f"/{channel.name}/{path}").headers["etag"] for path in paths}
    set_public(site, channel.name, is_public=False)
    answers = [http.get(f"/{channel.name}/{path}", headers={"If-None-Match": etags[path]}) for path in paths]
    ranged = http.get(f"/{channel.name}/{paths[2]}", headers={"Range": "bytes=0-9", "If-Range": etags[paths[2]]})
    assert {401} == {answer.status_code for answer in [*answers, ranged]}
    assert [] == [
        name for answer in answers for name in answer.headers if name in ("etag", "access-control-allow-origin")
    ]


def test_a_channel_that_became_public_is_so_on_the_next_request(
    site: Site, http: httpx.Client, private_channel: Channel
) -> None:
    """Opening a channel needs no restart, and its answers may be shared from then on."""
    before = read_status(http, private_channel.name, None)
    set_public(site, private_channel.name, is_public=True)
    after = http.get(f"/{private_channel.name}/{REPODATA}")
    assert (401, 200) == (before, after.status_code)
    assert after.headers["cache-control"].startswith("public, ")


def set_public(site: Site, name: str, *, is_public: bool) -> None:
    with site.people.seaway.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, name, is_public=is_public)


def test_a_key_of_some_channels_stays_so_when_they_are_gone(site: Site, http: httpx.Client) -> None:
    """A key whose only channel was deleted opens nothing, neither another channel nor one made again under the name."""
    owner = site.people.user(site.new_name("owner"))
    narrow, other = site.new_channel(owner=owner, public=False), site.new_channel(owner=owner, public=False)
    key = site.people.key(owner, only=[narrow])
    before = [read_status(http, name, key) for name in (narrow, other)]
    with site.people.seaway.database.write_site() as tx:
        channels.remove(tx, 0, OPERATOR, narrow)
    site.people.channel(narrow, owner=owner, public=False)
    after = [read_status(http, name, key) for name in (narrow, other)]
    assert ([200, 403], [403, 403]) == (before, after)


def test_a_transfer_moves_the_rights_on_the_next_request(site: Site, http: httpx.Client) -> None:
    """The new owner may delete at once; the old one is a contributor, who may delete own files only."""
    old, new = site.people.user(site.new_name("old")), site.people.user(site.new_name("new"))
    name = site.new_channel(owner=old)
    key_of_old, key_of_new = site.people.key(old), site.people.key(new)
    own, foreign = conda(index_json("own")), conda(index_json("foreign"))
    with site.people.seaway.database.write_site() as tx:
        transfers.transfer_now(tx, 0, OPERATOR, name, new)
    assert [201, 201] == [
        upload(http, name, own, key_of_old).status_code, upload(http, name, foreign, key_of_new).status_code,
    ]  # fmt: skip
    statuses = [
        http.delete(f"/api/v1/delete/{name}/noarch/{file.name}", headers=bearer(key)).status_code
        for file, key in ((foreign, key_of_old), (own, key_of_old), (foreign, key_of_new))
    ]
    assert [403, 200, 200] == statuses


# Deleting and yanking


@dataclass(frozen=True)
class Change:
    """A request that changes a file, and what it should hear."""

    method: str
    path: str
    status: int


@pytest.mark.parametrize(
    "change",
    [
        Change("DELETE", "/api/v1/delete/{channel}/noarch/nothing-1.0-0.conda", 404),
        Change("POST", "/api/v1/yank/{channel}/noarch/nothing-1.0-0.conda", 404),
        Change("POST", "/api/v1/yank/{channel}/amiga-68k/listed-1.0-h1_0.conda", 404),
        Change("POST", "/api/v1/yank/{channel}/linux-64/listed-1.0-h1_0.conda", 404),
        Change("POST", "/api/v1/yank/{channel}/noarch", 404),
        Change("POST", "/api/v1/yank/{channel}/noarch/a/b", 404),
        Change("POST", "/api/v1/yank/{channel}/noarch/..%2flisted-1.0-h1_0.conda", 404),
        Change("POST", "/api/v1/yank//noarch/listed-1.0-h1_0.conda", 404),
        Change("POST", "/api/v1/yank/", 404),
        Change("GET", "/api/v1/delete/{channel}/noarch/listed-1.0-h1_0.conda", 404),
        Change("POST", "/api/v1/delete/{channel}/noarch/listed-1.0-h1_0.conda", 405),
        Change("DELETE", "/api/v1/yank/{channel}/noarch/listed-1.0-h1_0.conda", 405),
    ],
    ids=lambda change: f"{change.method} {change.path}",
)
def test_a_change_of_what_is_not_there_is_refused(
    site: Site, http: httpx.Client, public: Channel, change: Change
) -> None:
    """Only an existing file, at its own address and with its own method, is changed."""
    answer = exchange(site.server.address, change.method, change.path.format(channel=public.name), bearer(public.owner))
    assert change.status == answer.status
    assert [LISTED.name] == list(http.get(f"/{public.name}/{REPODATA}").json()["packages.conda"])


def test_yank_and_unyank_are_read_at_once(http: httpx.Client, channel: Channel) -> None:
    """A yank moves the name to `removed`, an unyank brings back the very same record, and each says its revision."""
    upload(http, channel.name, LISTED, channel.contributor)
    listed = http.get(f"/{channel.name}/{REPODATA}").json()
    url = f"{channel.name}/noarch/{LISTED.name}"
    yank = http.post(f"/api/v1/yank/{url}", headers=bearer(channel.contributor))
    yanked = http.get(f"/{channel.name}/{REPODATA}")
    unyank = http.post(f"/api/v1/unyank/{url}", headers=bearer(channel.contributor))
    again = http.get(f"/{channel.name}/{REPODATA}")
    assert ({}, [LISTED.name]) == (yanked.json()["packages.conda"], yanked.json()["removed"])
    assert listed == again.json()
    assert ["2", "2", "3", "3"] == [answer.headers["seaway-revision"] for answer in (yank, yanked, unyank, again)]
    assert f"{url} was yanked." == sentence(yank)
    assert f"{url} is listed again." == sentence(unyank)


def test_what_is_so_already_changes_nothing(http: httpx.Client, channel: Channel) -> None:
    """Yanking twice is no failure and no second revision."""
    upload(http, channel.name, LISTED, channel.owner)
    url = f"/api/v1/yank/{channel.name}/noarch/{LISTED.name}"
    answers = [http.post(url, headers=bearer(channel.owner)) for _ in range(2)]
    assert [(200, "2"), (200, "2")] == [(answer.status_code, answer.headers["seaway-revision"]) for answer in answers]


def test_a_yanked_file_keeps_its_name(http: httpx.Client, channel: Channel) -> None:
    """A yanked file still exists: its name is taken, and its uploader is told that it is yanked."""
    upload(http, channel.name, LISTED, channel.owner)
    http.post(f"/api/v1/yank/{channel.name}/noarch/{LISTED.name}", headers=bearer(channel.owner))
    assert 409 == upload(http, channel.name, LISTED, channel.contributor).status_code
    again = upload(http, channel.name, LISTED, channel.owner)
    assert 200 == again.status_code
    assert "is yanked" in again.text


def test_a_deleted_name_needs_the_right_to_overwrite(http: httpx.Client, channel: Channel) -> None:
    """Lock files may still name a deleted file: only who may overwrite it uploads under its name again."""
    upload(http, channel.name, LISTED, channel.owner)
    http.delete(f"/api/v1/delete/{channel.name}/noarch/{LISTED.name}", headers=bearer(channel.owner))
    other = conda(index_json("listed"), files={"share/x": b"other"})
    by_contributor = upload(http, channel.name, other, channel.contributor)
    by_owner = upload(http, channel.name, other, channel.owner)
    assert [403, 201] == [by_contributor.status_code, by_owner.status_code]
    assert other.content == http.get(f"/{channel.name}/noarch/{LISTED.name}").content


def test_a_contributor_deletes_own_files_only(http: httpx.Client, channel: Channel) -> None:
    """A contributor may take back what they uploaded, and is told why the rest is not theirs."""
    own, foreign = conda(index_json("own")), conda(index_json("foreign"))
    upload(http, channel.name, own, channel.contributor)
    upload(http, channel.name, foreign, channel.owner)
    answers = [
        http.delete(f"/api/v1/delete/{channel.name}/noarch/{file.name}", headers=bearer(channel.contributor))
        for file in (own, foreign)
    ]
    assert [200, 403] == [answer.status_code for answer in answers]
    assert "files that they uploaded" in sentence(answers[1])


def test_a_name_with_odd_characters_is_deleted(http: httpx.Client, channel: Channel) -> None:
    """`!` and `+` in a path mean themselves also where something is changed."""
    file = conda(index_json("odd", version="1!2.0+local"))
    upload(http, channel.name, file, channel.owner)
    url = f"/api/v1/delete/{channel.name}/noarch/odd-1%212.0%2Blocal-h1_0.conda"
    assert 200 == http.delete(url, headers=bearer(channel.owner)).status_code
    assert 404 == http.get(f"/{channel.name}/noarch/{file.name}").status_code


# What is written down


def test_no_key_is_ever_logged(site: Site, http: httpx.Client, private: Channel) -> None:
    """Wherever a client puts a key, no line of the log holds it, nor what else it put in place of one."""
    owner = site.people.user(site.new_name("owner"))
    secret = site.people.key(owner, mode=Mode.READ)
    url = f"/{private.name}/{REPODATA}"
    wrong = "my-old-token-of-another-server"
    encoded = "".join(f"%{byte:02x}" for byte in secret.encode())
    targets = [
        f"/t/{secret}{url}", f"/t/{secret}", f"/t/{secret}/", f"/T/{secret}{url}", f"/t/{encoded}{url}",
        f"/%74/{secret}{url}", f"//t/{secret}{url}", f"{url}?token={secret}", f"/{secret}{url}", f"/{encoded}{url}",
        f"/t/{wrong}{url}", f"/t/{wrong}", f"/t/{secret}%2f{private.name}", f"/t/{secret}%00{url}",
        f"/t/{secret}/..%2f", f"/channels/{secret}", f"/api/v1/upload/{secret}", f"{url}#{secret}",
    ]  # fmt: skip
    for target in targets:
        for method in ("GET", "HEAD", "POST"):
            exchange(site.server.address, method, target, {**raw_headers(LISTED), **bearer(secret)})
    for headers in (
        bearer(secret),
        basic("user", secret),
        basic(secret, ""),
        {"X-File-Name": secret, **bearer(secret)},
    ):
        http.get(url, headers=headers)
        http.post(f"/api/v1/upload/{private.name}", content=secret.encode(), headers=headers)
    exchange(site.server.address, "GET", f"/{site.new_name('last')}/x")
    until(lambda: any("path=/last-" in line for line in site.server.log))
    log = "".join(site.server.log)
    kept = [private.owner, private.viewer, private.stranger, secret]
    assert [] == [one for one in [*kept, secret[6:], encoded, wrong] if one in log]
    assert "/t/***" in log


def test_no_refusal_repeats_a_key(site: Site, private: Channel) -> None:
    """A body that says what the client sent leaves keys out."""
    for target in (f"/t/{private.stranger}/x/y", f"/{private.stranger}/x", f"/api/v1/upload/{private.stranger}"):
        for method in ("GET", "POST"):
            answer = exchange(
                site.server.address, method, target, {**bearer(private.stranger), "X-File-Name": private.stranger}
            )
            assert private.stranger[6:].encode() not in answer.body


def test_the_database_holds_no_usable_key(site: Site, private: Channel) -> None:
    """Who reads the database, or a backup of it, finds no key to use."""
    with site.people.seaway.database.read() as tx:
        content = repr([list(tx.execute(select(table))) for table in metadata.sorted_tables]).encode()
    assert private.name.encode() in content
    for secret in (private.owner, private.viewer, private.stranger):
        assert secret[6:].encode() not in content
