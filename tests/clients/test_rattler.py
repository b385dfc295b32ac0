"""rattler-build and py-rattler as users run them against a server: publishing, reading, solving, installing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rattler_build import upload as rattler_upload

from seaway.callers.caller import OPERATOR
from seaway.keys import api_keys
from seaway.users import users
from tests.conftest import Site
from tests.support import rattler
from tests.support.packages import PackageFile, conda, index_json, paths_json, tar_bz2
from tests.support.requests import bearer, upload, wait_until

HOST = "127.0.0.1"  # credentials are kept by host, without the port


def with_paths(index: dict[str, Any], text: str, build: Callable[..., PackageFile] = conda) -> PackageFile:
    """A package that installs one text file."""
    content = text.encode()
    path = f"share/{index['name']}.txt"
    return build(index, files={path: content}, paths=paths_json({path: content}))


APP = with_paths(index_json("app", depends=["lib >=1"]), "app")
LIB_1 = with_paths(index_json("lib", version="1.0"), "lib 1", tar_bz2)
LIB_2 = with_paths(index_json("lib", version="2.0"), "lib 2")
LIB_3 = with_paths(index_json("lib", version="3.0"), "lib 3, yanked")
NATIVE = with_paths(index_json("native", version="1!1.0+x", subdir="linux-64", noarch=...), "native")


@dataclass(frozen=True)
class Owned:
    """A channel and its owner's key."""

    channel: str
    key: str


def make(site: Site, *, public: bool = True) -> Owned:
    owner = site.factory.user(site.new_name("owner"))
    return Owned(site.new_channel(owner=owner, public=public), site.factory.key(owner))


def stock(site: Site, *, public: bool) -> Owned:
    """A channel with packages that need each other, the newest of them yanked."""
    owned = make(site, public=public)
    with site.client(owned.key) as http:
        for file in (APP, LIB_1, LIB_2, LIB_3, NATIVE):
            assert 201 == upload(http, owned.channel, file).status_code
        assert 200 == http.post(f"/api/v1/yank/{owned.channel}/noarch/{LIB_3.name}").status_code
    return owned


# Publishing with rattler-build


@dataclass(frozen=True)
class Publisher:
    """`rattler-build upload prefix`, without whatever credentials this machine has stored."""

    site: Site
    folder: Path

    def upload(self, channel: str, *files: PackageFile, auth: dict[str, Any] | None = None, **options: Any) -> str:
        """What the user is told; empty when all went well."""
        auth_file = self.folder / "auth.json"
        auth_file.write_text(json.dumps(auth or {}))
        paths = [str(file.write_to(self.folder)) for file in files]
        try:
            rattler_upload.upload_package_to_prefix(
                paths, self.site.server.address, channel, auth_file=auth_file, **options
            )
        except Exception as error:  # noqa: BLE001 - its class is not public
            return str(error)
        return ""


@pytest.fixture
def publisher(site: Site, tmp_path: Path) -> Publisher:
    return Publisher(site, tmp_path)


@pytest.fixture
def owned(site: Site) -> Owned:
    return make(site)


def served(site: Site, channel: str) -> dict[str, str]:
    with site.client() as http:
        records = http.get(f"/{channel}/noarch/repodata.json").json()["packages.conda"]
    return {name: record["sha256"] for name, record in records.items()}


def test_packages_are_published(publisher: Publisher, owned: Owned) -> None:
    """Several files go up in one call with a key, and are in the channel afterwards."""
    assert "" == publisher.upload(owned.channel, APP, LIB_2, api_key=owned.key)
    assert {APP.name: APP.sha256, LIB_2.name: LIB_2.sha256} == served(publisher.site, owned.channel)


def test_a_stored_key_publishes(publisher: Publisher, owned: Owned) -> None:
    """After `auth login` with a token, no key needs to be given."""
    assert "" == publisher.upload(owned.channel, APP, auth={HOST: {"BearerToken": owned.key}})
    assert [APP.name] == list(served(publisher.site, owned.channel))


def test_what_exists_is_told_or_skipped_or_replaced(publisher: Publisher, owned: Owned) -> None:
    """A file that exists is an error that says so, nothing with `skip_existing`, and replaced with `force`."""
    other = with_paths(index_json("app", depends=["lib >=1"]), "another app")
    assert "" == publisher.upload(owned.channel, APP, api_key=owned.key)
    told = [
        publisher.upload(owned.channel, other, api_key=owned.key),
        publisher.upload(owned.channel, other, api_key=owned.key, skip_existing=True),
        publisher.upload(owned.channel, other, api_key=owned.key, force=True),
    ]
    assert "package already exists (HTTP 409)" in told[0]
    assert f"{owned.channel}/noarch/{APP.name} was uploaded on" in told[0]
    assert ["", ""] == told[1:]
    assert {APP.name: other.sha256} == served(publisher.site, owned.channel)


def test_skipping_goes_on_with_the_next_file(publisher: Publisher, owned: Owned) -> None:
    """Of several files those that exist are skipped and the others are published."""
    publisher.upload(owned.channel, APP, api_key=owned.key)
    assert "" == publisher.upload(owned.channel, APP, LIB_2, api_key=owned.key, skip_existing=True)
    assert {APP.name, LIB_2.name} == set(served(publisher.site, owned.channel))


def test_a_bad_key_is_told(publisher: Publisher, owned: Owned) -> None:
    """The user reads that the key is not valid, in our words."""
    told = publisher.upload(owned.channel, APP, api_key="not-a-key")
    assert "authentication failed (HTTP 401)" in told
    assert "Check that it has not expired or been revoked" in told


def test_no_key_is_told_by_the_client(publisher: Publisher, owned: Owned) -> None:
    """Without a key the client itself says so, and sends nothing."""
    assert "no prefix.dev API key" in publisher.upload(owned.channel, APP)
    assert {} == served(publisher.site, owned.channel)


def test_a_key_without_the_right_is_told(publisher: Publisher, owned: Owned, site: Site) -> None:
    """A stranger's key is refused with what would help."""
    told = publisher.upload(owned.channel, APP, api_key=site.factory.key(site.factory.user(site.new_name("stranger"))))
    assert "the server rejected the upload (HTTP 403)" in told
    assert "is not allowed to upload to the channel" in told


@pytest.mark.parametrize("channel", ["no-such-channel", "owner/no-such-channel", "no-such-channel/"])
def test_a_channel_that_is_none_is_told(publisher: Publisher, owned: Owned, channel: str) -> None:
    """Whatever path the client makes of a channel's address, the user reads what is wrong with it."""
    told = publisher.upload(channel, APP, api_key=owned.key)
    assert "(HTTP 404)" in told
    assert "There is no such channel" in told


def test_refused_content_is_told(publisher: Publisher, owned: Owned) -> None:
    """The sentence that names the fault of a package reaches the user whole."""
    told = publisher.upload(owned.channel, conda(index_json(depends=["python >=3,<,"])), api_key=owned.key)
    assert "unprocessable entity (HTTP 422)" in told
    assert "'python >=3,<,' in depends cannot be read as a match spec." in told


# Reading with py-rattler


@pytest.fixture(scope="module")
def public(site: Site) -> Owned:
    return stock(site, public=True)


@pytest.fixture(scope="module")
def private(site: Site) -> Owned:
    return stock(site, public=False)


@dataclass(frozen=True)
class Reader:
    """py-rattler in a process of its own, with a cache and credentials of its own."""

    site: Site
    folder: Path

    def url(self, channel: str) -> str:
        return f"{self.site.server.address}/{channel}"

    def action(self, do: str, url: str, *specs: str, **more: Any) -> dict[str, Any]:
        return rattler.action(self.folder, do, url, *specs, **more)

    def run(self, *actions: dict[str, Any], auth: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        return rattler.run(self.folder, *actions, auth=auth)

    def caches(self, name: str) -> str:
        return str(self.folder / "caches" / name)


@pytest.fixture
def reader(site: Site, tmp_path: Path) -> Reader:
    return Reader(site, tmp_path)


FORMS = {
    "shards": {"sharded": True},
    "repodata.json.zst": {"sharded": False},
    "repodata.json": {"sharded": False, "zstd": False},
}
ALL = {file.name: file.sha256 for file in (APP, LIB_1, LIB_2, NATIVE)}


def test_every_form_of_the_index_says_the_same(reader: Reader, public: Owned) -> None:
    """By shards, by repodata.json.zst and by repodata.json a client finds the same records, and what was removed."""
    url = reader.url(public.channel)
    told = reader.run(
        *(
            reader.action("query", url, "app", "lib", "native", cache=reader.caches(name), **form)
            for name, form in FORMS.items()
        )
    )
    assert [ALL] * 3 == [one.get("files") for one in told], told
    assert [[LIB_3.name]] * 3 == [one["removed"] for one in told]
    assert told[0]["urls"] == told[1]["urls"] == told[2]["urls"]
    assert f"{url}/noarch/{APP.name}" in told[0]["urls"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_exclude_newer_goes_by_when_a_file_was_uploaded(reader: Reader, site: Site, form: dict[str, Any]) -> None:
    """Every record has the server's time; when a file was built, which anyone can write, does not count."""
    first, second = (index_json("lib", version=f"{number}.0", timestamp=10**12 - number) for number in (1, 2))
    owned = make(site)
    with site.client(owned.key) as http:
        for index in (first, second):
            assert 201 == upload(http, owned.channel, conda(index)).status_code
        records = http.get(f"/{owned.channel}/noarch/repodata.json").json()["packages.conda"]
    times = {record["version"]: record["indexed_timestamp"] for record in records.values()}
    assert times["1.0"] < times["2.0"]
    url = reader.url(owned.channel)
    told = reader.run(*(reader.action("solve", url, "lib", before_ms=times[version], **form) for version in times))
    assert [[conda(first).name], [conda(second).name]] == [one.get("solved") for one in told], told
    (none,) = reader.run(reader.action("solve", url, "lib", before_ms=times["1.0"] - 1, **form))
    assert "error" in none


def test_names_are_listed(reader: Reader, public: Owned) -> None:
    """A client that lists the names of a channel finds each once."""
    url = reader.url(public.channel)
    told = reader.run(*(reader.action("names", url, cache=reader.caches(name), **form) for name, form in FORMS.items()))
    assert [["app", "lib", "native"]] * 3 == [one.get("names") for one in told], told


def test_a_solution_is_installed(reader: Reader, public: Owned) -> None:
    """What a solver chose is downloaded, verified and linked; a yanked file is not chosen."""
    prefix = reader.folder / "prefix"
    told = reader.run(reader.action("solve", reader.url(public.channel), "app", "native", prefix=str(prefix)))
    assert [{"solved": sorted([APP.name, LIB_2.name, NATIVE.name])}] == told
    assert {
        "app.txt": "app",
        "lib.txt": "lib 2",
        "native.txt": "native",
    } == {path.name: path.read_text() for path in (prefix / "share").iterdir()}


def test_both_archive_formats_are_installed(reader: Reader, public: Owned) -> None:
    """An old .tar.bz2 installs as a .conda does."""
    prefix = reader.folder / "prefix"
    told = reader.run(reader.action("solve", reader.url(public.channel), "lib <2", prefix=str(prefix)))
    assert [{"solved": [LIB_1.name]}] == told
    assert "lib 1" == (prefix / "share" / "lib.txt").read_text()


def test_what_only_a_yanked_file_could_satisfy_has_no_solution(reader: Reader, public: Owned) -> None:
    """A solver does not fall back on what was yanked."""
    told = reader.run(
        *(
            reader.action("solve", reader.url(public.channel), "lib >=3", cache=reader.caches(name), **form)
            for name, form in FORMS.items()
        )
    )
    assert ["SolverError"] * 3 == [one["error"].split(":")[0] for one in told], told


def test_a_new_channel_is_empty_and_not_an_error(reader: Reader, owned: Owned) -> None:
    """A channel without a file can be read for every platform from its first moment."""
    url = reader.url(owned.channel)
    platforms = ["noarch", "linux-64", "osx-arm64", "win-64", "emscripten-wasm32"]
    told = reader.run(
        *(
            reader.action("query", url, "app", platforms=platforms, cache=reader.caches(name), **form)
            for name, form in FORMS.items()
        )
    )
    assert [{}] * 3 == [one.get("files") for one in told], told


def test_a_client_with_a_cache_sees_what_is_new(reader: Reader, owned: Owned, site: Site) -> None:
    """A client that has read the empty channel and asks again finds what was uploaded in between."""
    url = reader.url(owned.channel)
    actions = [reader.action("query", url, "app", cache=reader.caches(name), **form) for name, form in FORMS.items()]
    before = reader.run(*actions)
    with site.client(owned.key) as http:
        upload(http, owned.channel, APP)
    after = reader.run(*actions)
    assert [{}] * 3 == [one.get("files") for one in before], before
    assert [{APP.name: APP.sha256}] * 3 == [one.get("files") for one in after], after


def test_a_client_with_a_cache_does_not_download_again(reader: Reader, public: Owned, site: Site) -> None:
    """A client asks again each time, and hears that nothing has changed."""
    actions = [
        reader.action("query", reader.url(public.channel), "app", cache=reader.caches(name), **form)
        for name, form in FORMS.items()
    ]
    reader.run(*actions)
    seen = len(site.server.log)
    told = reader.run(*actions)
    with site.client() as http:
        http.get("/end-of-this-test/x/y")
    wait_until(lambda: any("/end-of-this-test/" in line for line in site.server.log[seen:]))
    asked = [line for line in site.server.log[seen:] if "noarch/repodata" in line and "method=GET" in line]
    assert all("error" not in one for one in told), told
    assert 3 == len(asked)
    assert ["status=304"] * 3 == [word for line in asked for word in line.split() if word.startswith("status=")]


# Private channels

CREDENTIALS: dict[str, Callable[[str], dict[str, Any]]] = {
    "bearer": lambda key: {HOST: {"BearerToken": key}},
    "basic": lambda key: {HOST: {"BasicHTTP": {"username": "anybody", "password": key}}},
    "conda token": lambda key: {HOST: {"CondaToken": key}},
}


@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS.keys())
def test_a_stored_credential_reads_a_private_channel(
    reader: Reader, private: Owned, credential: Callable[[str], dict[str, Any]]
) -> None:
    """With a key in the client's store, in each form that it knows, a private channel is queried and installed from."""
    url, prefix = reader.url(private.channel), reader.folder / "prefix"
    told = reader.run(
        *(reader.action("query", url, "app", "lib", "native", cache=reader.caches(name), **form) for name, form in FORMS.items()),
        reader.action("solve", url, "app", prefix=str(prefix)),
        auth=credential(private.key),
    )  # fmt: skip
    assert [ALL] * 3 == [one.get("files") for one in told[:3]], told
    assert {"solved": sorted([APP.name, LIB_2.name])} == told[3]
    assert "app" == (prefix / "share" / "app.txt").read_text()


def test_a_key_in_the_address_reads_a_private_channel(reader: Reader, private: Owned) -> None:
    """`/t/KEY/CHANNEL` as the channel's address reads and installs without a stored credential."""
    url, prefix = reader.url(f"t/{private.key}/{private.channel}"), reader.folder / "prefix"
    told = reader.run(
        *(reader.action("query", url, "app", "lib", "native", cache=reader.caches(name), **form) for name, form in FORMS.items()),
        reader.action("solve", url, "app", prefix=str(prefix)),
    )  # fmt: skip
    assert [ALL] * 3 == [one.get("files") for one in told[:3]], told
    assert {"solved": sorted([APP.name, LIB_2.name])} == told[3]
    assert "lib 2" == (prefix / "share" / "lib.txt").read_text()


def test_a_login_after_a_refusal_is_not_too_late(reader: Reader, private: Owned) -> None:
    """A client that was refused first reads by shards once it has the key: the refusal left nothing in its cache."""
    url = reader.url(private.channel)
    actions = [
        reader.action("query", url, "app", "lib", "native", cache=reader.caches(name), **form)
        for name, form in FORMS.items()
    ]
    refused = reader.run(*actions)
    told = reader.run(*actions, auth={HOST: {"BearerToken": private.key}})
    assert [True] * 3 == ["401" in one.get("error", "") for one in refused], refused
    assert [ALL] * 3 == [one.get("files") for one in told], told


def test_a_stale_key_still_reads_a_public_channel(reader: Reader, public: Owned) -> None:
    """Whoever has an old key stored for the host goes on reading public channels."""
    told = reader.run(
        reader.action("query", reader.url(public.channel), "app", "lib", "native"),
        auth={HOST: {"BearerToken": "swy-u-expired-long-ago"}},
    )
    assert [ALL] == [one.get("files") for one in told], told


def test_a_revoked_key_is_refused_although_the_index_is_cached(reader: Reader, site: Site) -> None:
    """What a client has in its cache does not let it go on after its key was revoked."""
    owned = stock(site, public=False)
    action = reader.action("query", reader.url(owned.channel), "app", "lib", "native")
    auth = {HOST: {"BearerToken": owned.key}}
    before = reader.run(action, auth=auth)
    with site.client() as http:
        assert 200 == http.get(f"/{owned.channel}/notices.json", headers=bearer(owned.key)).status_code
    revoke(site, owned)
    after = reader.run(action, auth=auth)
    assert [ALL] == [one.get("files") for one in before], before
    assert [True] == ["401" in one.get("error", "") for one in after], after


def revoke(site: Site, owned: Owned) -> None:
    with site.factory.seaway.database.write_site() as tx:
        now_ms = site.factory.seaway.clock.now_ms()
        principal = api_keys.caller_of(tx, owned.key, now_ms)
        assert principal is not None
        api_keys.revoke(tx, now_ms, OPERATOR, users.get(tx, principal.name), principal.key_name)
