"""Which credentials grant access, when changes take effect, and what is never revealed, logged or stored."""

import base64
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import select

from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import channels, members, transfers
from seaway.channels.channel import ChannelSettings
from seaway.channels.roles import Role
from seaway.database.tables import metadata
from seaway.keys import api_keys
from seaway.sign_in import user_access
from seaway.users import users
from tests.conftest import Site
from tests.http.conftest import Channel, make_channel
from tests.support.packages import conda, index_json
from tests.support.requests import basic, bearer, error_message, exchange, raw_headers, upload, wait_until

REPODATA = "noarch/repodata.json"
LISTED = conda(index_json("listed"))
_VARYING_HEADERS = {"date", "seaway-request-id"}


@pytest.fixture(scope="module")
def private(site: Site, http: httpx.Client) -> Channel:
    """A private channel with one file, which no test of this module changes."""
    channel = make_channel(site, public=False)
    assert 201 == upload(http, channel.name, LISTED, channel.owner).status_code
    return channel


@pytest.fixture(scope="module")
def public(site: Site, http: httpx.Client) -> Channel:
    """A public channel with one file, which no test of this module changes."""
    channel = make_channel(site)
    assert 201 == upload(http, channel.name, LISTED, channel.owner).status_code
    return channel


# Credentials

ACCEPTED_FORMS: dict[str, Callable[[str], dict[str, str]]] = {
    "bearer": bearer,
    "bearer in lower case": lambda key: {"Authorization": f"bearer {key}"},
    "bearer with spaces": lambda key: {"Authorization": f"Bearer   {key}"},
    "basic, as password": lambda key: basic("any", key),
    "basic, as user": lambda key: basic(key, ""),
    "basic, as user with a password": lambda key: basic(key, "x-oauth-basic"),
    "basic, with an empty user": lambda key: basic("", key),
    "basic in lower case": lambda key: {"Authorization": basic("u", key)["Authorization"].replace("Basic", "basic")},
}

INVALID_FORMS: dict[str, Callable[[str], dict[str, str]]] = {
    "no header": lambda _: {},
    "bearer without a key": lambda _: {"Authorization": "Bearer"},
    "another scheme": lambda key: {"Authorization": f"Token {key}"},
    "no scheme": lambda key: {"Authorization": key},
    "empty header": lambda _: {"Authorization": ""},
    "an unknown key": lambda _: bearer("swy-u-nothing"),
    "a key with a wrong checksum": lambda key: bearer(key[:-1] + ("a" if key[-1] != "a" else "b")),
    "a truncated key": lambda key: bearer(key[:-1]),
    "a key with an extra character": lambda key: bearer(key + "0"),
    "a key in upper case": lambda key: bearer(key.upper()),
    "two keys": lambda key: bearer(f"{key},{key}"),
    "basic that is not base64": lambda key: {"Authorization": f"Basic {key}"},
    "basic without a colon": lambda _: {"Authorization": "Basic " + base64.b64encode(b"user").decode()},
    "basic that is not UTF-8": lambda _: {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()},
    "basic with a password": lambda _: basic("the-owner", "correct horse battery"),
    "a key in another header": lambda key: {"X-API-Key": key},
    "a key in a cookie": lambda key: {"Cookie": f"session={key}; key={key}"},
    "an invalid header and a cookie": lambda key: {"Authorization": "Bearer x", "Cookie": f"session={key}"},
    "a very long key": lambda _: bearer("swy-u-" + "a" * 8_000),
}


@pytest.mark.parametrize("form", ACCEPTED_FORMS.values(), ids=ACCEPTED_FORMS.keys())
def test_key_in_every_accepted_form_reads_private_channel(
    http: httpx.Client, private: Channel, form: Callable[[str], dict[str, str]]
) -> None:
    """conda and mamba can only send a user and a password, other clients send a bearer token."""
    response = http.get(f"/{private.name}/{REPODATA}", headers=form(private.viewer))
    assert 200 == response.status_code
    assert [LISTED.name] == list(response.json()["packages.conda"])


@pytest.mark.parametrize("form", INVALID_FORMS.values(), ids=INVALID_FORMS.keys())
def test_invalid_credential_gets_401_for_private_channel(
    http: httpx.Client, private: Channel, form: Callable[[str], dict[str, str]]
) -> None:
    """The 401 names the expected kind of credential, and not the channel."""
    response = http.get(f"/{private.name}/{REPODATA}", headers=form(private.owner))
    assert 401 == response.status_code
    assert 'Bearer realm="seaway"' == response.headers["www-authenticate"]
    assert private.name not in error_message(response)


@pytest.mark.parametrize("form", INVALID_FORMS.values(), ids=INVALID_FORMS.keys())
def test_invalid_credential_is_ignored_when_reading_public_channel(
    http: httpx.Client, public: Channel, form: Callable[[str], dict[str, str]]
) -> None:
    """Clients send their stored credential to every channel of a host, so public channels stay readable with it."""
    response = http.get(f"/{public.name}/{REPODATA}", headers=form(public.owner))
    assert 200 == response.status_code
    assert "www-authenticate" not in response.headers


@pytest.mark.parametrize(
    "form",
    [form for name, form in INVALID_FORMS.items() if name != "no header"],
    ids=[name for name in INVALID_FORMS if name != "no header"],
)
@pytest.mark.parametrize("verb", ["upload", "delete", "yank", "unyank"])
def test_invalid_credential_gets_401_for_changes(
    http: httpx.Client, public: Channel, form: Callable[[str], dict[str, str]], verb: str
) -> None:
    """Changes require a valid credential, also in a public channel."""
    response = change(http, verb, public.name, form(public.owner))
    assert 401 == response.status_code
    assert 'Bearer realm="seaway"' == response.headers["www-authenticate"]


def change(http: httpx.Client, verb: str, channel: str, headers: dict[str, str]) -> httpx.Response:
    if verb == "upload":
        return http.post(
            f"/api/v1/upload/{channel}", content=LISTED.content, headers={**raw_headers(LISTED), **headers}
        )
    method = "DELETE" if verb == "delete" else "POST"
    return http.request(method, f"/api/v1/{verb}/{channel}/noarch/{LISTED.name}", headers=headers)


def test_two_authorization_headers_are_refused(site: Site, private: Channel) -> None:
    """The request is ambiguous, so neither header is used."""
    twice = [("Authorization", f"Bearer {private.owner}")] * 2
    response = httpx.get(f"{site.server.address}/{private.name}/{REPODATA}", headers=twice)
    assert 401 == response.status_code


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
def test_key_in_path_reads_private_channel(site: Site, private: Channel, prefix: str, status: int) -> None:
    """conda puts its token before the channel; an empty token is anonymous, and other forms are not routes."""
    target = f"{prefix.format(key=private.viewer)}/{private.name}/{REPODATA}"
    assert status == exchange(site.server.address, "GET", target).status


@pytest.mark.parametrize("path", ["notices.json", "channeldata.json", REPODATA, f"noarch/{LISTED.name}"])
@pytest.mark.parametrize("token", ["", "nonsense", "key"])
def test_any_token_in_path_reads_public_channel(http: httpx.Client, public: Channel, path: str, token: str) -> None:
    """Valid, invalid and empty tokens all read a public channel."""
    secret = public.nonmember if token == "key" else token
    assert 200 == http.get(f"/t/{secret}/{public.name}/{path}").status_code


def test_one_valid_credential_is_enough(http: httpx.Client, private: Channel) -> None:
    url = f"/{private.name}/{REPODATA}"
    responses = [
        http.get(f"/t/nonsense{url}", headers=bearer(private.viewer)),
        http.get(f"/t/{private.viewer}{url}", headers=bearer("nonsense")),
    ]
    assert [200, 200] == [response.status_code for response in responses]


@pytest.mark.parametrize("verb", ["upload", "delete", "yank", "unyank"])
def test_key_in_path_cannot_change_files(http: httpx.Client, public: Channel, verb: str) -> None:
    """Paths are logged by proxies and servers, so a key in a path can only read."""
    path = f"/api/v1/{verb}/{public.name}" + ("" if verb == "upload" else f"/noarch/{LISTED.name}")
    method = "DELETE" if verb == "delete" else "POST"
    response = http.request(method, f"/t/{public.owner}{path}", content=LISTED.content, headers=raw_headers(LISTED))
    assert response.status_code in (401, 404, 405)
    assert [LISTED.name] == list(http.get(f"/{public.name}/{REPODATA}").json()["packages.conda"])


@pytest.mark.parametrize("name", ["key", "token", "api_key", "access_token", "authorization"])
def test_key_in_query_is_ignored(http: httpx.Client, private: Channel, name: str) -> None:
    """Queries are logged, so a key in a query neither reads nor uploads."""
    read = http.get(f"/{private.name}/{REPODATA}", params={name: private.owner})
    sent = http.post(
        f"/api/v1/upload/{private.name}", params={name: private.owner}, content=b"x", headers=raw_headers(LISTED)
    )
    assert [401, 401] == [read.status_code, sent.status_code]


# Private channels reveal nothing

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


@pytest.mark.parametrize("caller", ["anonymous", "nonmember", "key of other channel"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_private_channel_is_indistinguishable_from_missing_channel(
    site: Site, private: Channel, method: str, caller: str
) -> None:
    """For callers without access, responses are byte for byte those for a missing channel, on every path."""
    unknown = "x" * len(private.name)
    owner = site.factory.user(site.new_name("owner"))
    secret = {
        "anonymous": None,
        "nonmember": private.nonmember,
        "key of other channel": site.factory.key("the-owner", only=[site.new_channel(owner=owner)]),
    }[caller]
    for path in PATHS:
        for name, extra in EXTRA_HEADERS.items():
            responses = [
                visible_response(site, method, path, channel, {**bearer(secret), **extra})
                for channel in (private.name, unknown)
            ]
            assert responses[0] == responses[1], f"{method} {path}, {name}"


def visible_response(site: Site, method: str, path: str, channel: str, headers: dict[str, str]) -> tuple[object, ...]:
    """Return the status, headers and body that a client sees, without the channel name that it sent itself."""
    sized = {**headers, **raw_headers(LISTED), "Content-Length": "3"}
    response = exchange(site.server.address, method, path.format(channel=channel), sized, b"abc")
    response_headers = [
        (name, value.replace(channel, "*")) for name, value in response.headers if name.lower() not in _VARYING_HEADERS
    ]
    return response.status, response_headers, response.body.replace(channel.encode(), b"*")


def test_index_of_hidden_channel_never_returns_404(site: Site, http: httpx.Client, private: Channel) -> None:
    """rattler caches a 404 for the shard index permanently, so callers without access and missing channels get 403."""
    for channel in (private.name, site.new_name("later")):
        for name in ("repodata_shards.msgpack.zst", "repodata.json", f"shards/{'ab' * 32}.msgpack.zst"):
            url = f"/{channel}/noarch/{name}"
            found = [http.request(method, url, headers=bearer(private.nonmember)) for method in ("GET", "HEAD")]
            assert [403, 403] == [response.status_code for response in found]
            assert 401 == http.get(url).status_code
            assert 403 == http.get(f"/t/{private.nonmember}{url}").status_code


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_refusals_do_not_contain_the_channel_name(http: httpx.Client, private: Channel, method: str, path: str) -> None:
    """Refusals to users without access and to anonymous clients do not confirm the name."""
    for secret in (None, private.nonmember):
        response = http.request(method, path.format(channel=private.name), headers=bearer(secret))
        assert private.name not in response.text


def test_front_page_lists_no_private_channel(http: httpx.Client, private: Channel, public: Channel) -> None:
    text = http.get("/").text
    assert (False, True) == (f'/channels/{private.name}"' in text, public.name in text)


# Changes take effect on the next request


def read_status(http: httpx.Client, channel: str, key: str | None, **headers: str) -> int:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.get(f"/{channel}/{REPODATA}", headers={**bearer(key), **sent}).status_code


def test_revoked_key_is_refused_on_next_request(site: Site, http: httpx.Client, private_channel: Channel) -> None:
    """Revoking a key stops its reads and uploads immediately; other keys still work."""
    owner = site.factory.user(site.new_name("owner"))
    name = site.new_channel(owner=owner, public=False)
    key, other = site.factory.key(owner), site.factory.key(owner)
    before = read_status(http, name, key)
    with site.factory.seaway.site.database.write_site() as tx:
        api_keys.revoke(tx, site.factory.seaway.site.clock.now_ms(), OPERATOR, users.get(tx, owner), "key 0")
    after = [read_status(http, name, key), upload(http, name, LISTED, key).status_code, read_status(http, name, other)]
    assert (200, [401, 401, 200]) == (before, after)


def test_keys_of_disabled_user_are_refused_on_next_request(site: Site, http: httpx.Client) -> None:
    """The keys work again when the account is enabled."""
    owner = site.factory.user(site.new_name("owner"))
    name = site.new_channel(owner=owner, public=False)
    key = site.factory.key(owner)
    statuses = []
    for disabled in (True, False):
        with site.factory.seaway.site.database.write_site() as tx:
            user_access.set_disabled(tx, site.factory.seaway.site.clock.now_ms(), OPERATOR, owner, disabled=disabled)
        statuses.append(read_status(http, name, key))
    assert [401, 200] == statuses


def test_demotion_limits_keys_on_next_request(site: Site, http: httpx.Client, private_channel: Channel) -> None:
    """A key grants no more than its user's current role, and nothing once the user is removed."""
    user = site.factory.member(private_channel.name, site.new_name("member"), Role.CONTRIBUTOR)
    key = site.factory.key(user)

    def try_both() -> tuple[int, int]:
        file = conda(index_json(site.new_name("pkg")))
        return read_status(http, private_channel.name, key), upload(http, private_channel.name, file, key).status_code

    as_contributor = try_both()
    site.factory.member(private_channel.name, user, Role.VIEWER)
    as_viewer = try_both()
    with site.factory.seaway.site.database.write_site() as tx:
        members.remove(tx, 0, OPERATOR, private_channel.name, user)
    assert [(200, 201), (200, 403), (403, 404)] == [as_contributor, as_viewer, try_both()]


def test_channel_made_private_is_hidden_on_next_request(site: Site, http: httpx.Client, channel: Channel) -> None:
    """A conditional request with an old ETag is refused and does not get a 304."""
    upload(http, channel.name, LISTED, channel.owner)
    paths = [REPODATA, "noarch/repodata_shards.msgpack.zst", f"noarch/{LISTED.name}", "channeldata.json"]
    etags = {path: http.get(f"/{channel.name}/{path}").headers["etag"] for path in paths}
    set_public(site, channel.name, is_public=False)
    responses = [http.get(f"/{channel.name}/{path}", headers={"If-None-Match": etags[path]}) for path in paths]
    ranged = http.get(f"/{channel.name}/{paths[2]}", headers={"Range": "bytes=0-9", "If-Range": etags[paths[2]]})
    assert {401} == {response.status_code for response in [*responses, ranged]}
    assert [] == [
        name for response in responses for name in response.headers if name in ("etag", "access-control-allow-origin")
    ]


def test_channel_made_public_is_readable_on_next_request(
    site: Site, http: httpx.Client, private_channel: Channel
) -> None:
    """Shared caches can keep its responses from then on."""
    before = read_status(http, private_channel.name, None)
    set_public(site, private_channel.name, is_public=True)
    after = http.get(f"/{private_channel.name}/{REPODATA}")
    assert (401, 200) == (before, after.status_code)
    assert after.headers["cache-control"].startswith("public, ")


def set_public(site: Site, name: str, *, is_public: bool) -> None:
    with site.factory.seaway.site.database.write_site() as tx:
        channels.change(tx, 0, OPERATOR, name, ChannelSettings(public=is_public))


def test_key_limited_to_deleted_channel_has_no_access(site: Site, http: httpx.Client) -> None:
    """It reads neither another channel nor a new channel with the same name."""
    owner = site.factory.user(site.new_name("owner"))
    limited_to, other = site.new_channel(owner=owner, public=False), site.new_channel(owner=owner, public=False)
    key = site.factory.key(owner, only=[limited_to])
    before = [read_status(http, name, key) for name in (limited_to, other)]
    with site.factory.seaway.site.database.write_site() as tx:
        channels.remove(tx, 0, OPERATOR, limited_to)
    site.factory.channel(limited_to, owner=owner, public=False)
    after = [read_status(http, name, key) for name in (limited_to, other)]
    assert ([200, 403], [403, 403]) == (before, after)


def test_transfer_moves_permissions_on_next_request(site: Site, http: httpx.Client) -> None:
    """The new owner can delete files; the previous owner is a Contributor and can delete only files they uploaded."""
    old, new = site.factory.user(site.new_name("old")), site.factory.user(site.new_name("new"))
    name = site.new_channel(owner=old)
    key_of_old, key_of_new = site.factory.key(old), site.factory.key(new)
    own, foreign = conda(index_json("own")), conda(index_json("foreign"))
    with site.factory.seaway.site.database.write_site() as tx:
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
    """A request that changes a file, and the expected status."""

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
def test_change_of_missing_file_is_refused(site: Site, http: httpx.Client, public: Channel, change: Change) -> None:
    """Only requests with the right method for an existing file change anything."""
    response = exchange(
        site.server.address, change.method, change.path.format(channel=public.name), bearer(public.owner)
    )
    assert change.status == response.status
    assert [LISTED.name] == list(http.get(f"/{public.name}/{REPODATA}").json()["packages.conda"])


def test_yank_and_unyank_are_visible_immediately(http: httpx.Client, channel: Channel) -> None:
    """Yank moves the name to `removed`, unyank restores the same record, and each response has its revision."""
    upload(http, channel.name, LISTED, channel.contributor)
    listed = http.get(f"/{channel.name}/{REPODATA}").json()
    url = f"{channel.name}/noarch/{LISTED.name}"
    yank = http.post(f"/api/v1/yank/{url}", headers=bearer(channel.contributor))
    yanked = http.get(f"/{channel.name}/{REPODATA}")
    unyank = http.post(f"/api/v1/unyank/{url}", headers=bearer(channel.contributor))
    again = http.get(f"/{channel.name}/{REPODATA}")
    assert ({}, [LISTED.name]) == (yanked.json()["packages.conda"], yanked.json()["removed"])
    assert listed == again.json()
    assert ["2", "2", "3", "3"] == [response.headers["seaway-revision"] for response in (yank, yanked, unyank, again)]
    assert f"{url} was yanked." == error_message(yank)
    assert f"{url} is listed again." == error_message(unyank)


def test_yanking_twice_makes_one_revision(http: httpx.Client, channel: Channel) -> None:
    """The second yank succeeds and changes nothing."""
    upload(http, channel.name, LISTED, channel.owner)
    url = f"/api/v1/yank/{channel.name}/noarch/{LISTED.name}"
    responses = [http.post(url, headers=bearer(channel.owner)) for _ in range(2)]
    assert [(200, "2"), (200, "2")] == [
        (response.status_code, response.headers["seaway-revision"]) for response in responses
    ]


def test_yanked_file_keeps_its_name(http: httpx.Client, channel: Channel) -> None:
    """Its name is still taken, and its uploader gets a warning that it is yanked."""
    upload(http, channel.name, LISTED, channel.owner)
    http.post(f"/api/v1/yank/{channel.name}/noarch/{LISTED.name}", headers=bearer(channel.owner))
    assert 409 == upload(http, channel.name, LISTED, channel.contributor).status_code
    again = upload(http, channel.name, LISTED, channel.owner)
    assert 200 == again.status_code
    assert "is yanked" in again.text


def test_upload_under_deleted_name_needs_permission_to_overwrite(http: httpx.Client, channel: Channel) -> None:
    """Lock files can still name a deleted file, so only callers who can overwrite may reuse its name."""
    upload(http, channel.name, LISTED, channel.owner)
    http.delete(f"/api/v1/delete/{channel.name}/noarch/{LISTED.name}", headers=bearer(channel.owner))
    other = conda(index_json("listed"), files={"share/x": b"other"})
    by_contributor = upload(http, channel.name, other, channel.contributor)
    by_owner = upload(http, channel.name, other, channel.owner)
    assert [403, 201] == [by_contributor.status_code, by_owner.status_code]
    assert other.content == http.get(f"/{channel.name}/noarch/{LISTED.name}").content


def test_contributor_deletes_only_files_they_uploaded(http: httpx.Client, channel: Channel) -> None:
    """The refusal for files of other users gives the reason."""
    own, foreign = conda(index_json("own")), conda(index_json("foreign"))
    upload(http, channel.name, own, channel.contributor)
    upload(http, channel.name, foreign, channel.owner)
    responses = [
        http.delete(f"/api/v1/delete/{channel.name}/noarch/{file.name}", headers=bearer(channel.contributor))
        for file in (own, foreign)
    ]
    assert [200, 403] == [response.status_code for response in responses]
    assert "files that they uploaded" in error_message(responses[1])


def test_file_name_with_special_characters_is_deleted(http: httpx.Client, channel: Channel) -> None:
    """`!` and `+` can be percent-encoded in the path of a change."""
    file = conda(index_json("odd", version="1!2.0+local"))
    upload(http, channel.name, file, channel.owner)
    url = f"/api/v1/delete/{channel.name}/noarch/odd-1%212.0%2Blocal-h1_0.conda"
    assert 200 == http.delete(url, headers=bearer(channel.owner)).status_code
    assert 404 == http.get(f"/{channel.name}/noarch/{file.name}").status_code


# Logs and the database


def test_keys_are_never_logged(site: Site, http: httpx.Client, private: Channel) -> None:
    """No log line contains a key or another value sent in place of one, wherever in the request it was."""
    owner = site.factory.user(site.new_name("owner"))
    secret = site.factory.key(owner, mode=Mode.READ)
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
    wait_until(lambda: any("path=/last-" in line for line in site.server.log))
    log = "".join(site.server.log)
    secrets = [private.owner, private.viewer, private.nonmember, secret]
    assert [] == [value for value in [*secrets, secret[6:], encoded, wrong] if value in log]
    assert "/t/***" in log


def test_refusals_do_not_repeat_keys(site: Site, private: Channel) -> None:
    """Response bodies that quote the request omit keys."""
    for target in (f"/t/{private.nonmember}/x/y", f"/{private.nonmember}/x", f"/api/v1/upload/{private.nonmember}"):
        for method in ("GET", "POST"):
            response = exchange(
                site.server.address, method, target, {**bearer(private.nonmember), "X-File-Name": private.nonmember}
            )
            assert private.nonmember[6:].encode() not in response.body


def test_database_contains_no_usable_key(site: Site, private: Channel) -> None:
    """Reading the database or a backup reveals no credential."""
    with site.factory.seaway.site.database.read() as tx:
        content = repr([list(tx.execute(select(table))) for table in metadata.sorted_tables]).encode()
    assert private.name.encode() in content
    for secret in (private.owner, private.viewer, private.nonmember):
        assert secret[6:].encode() not in content
