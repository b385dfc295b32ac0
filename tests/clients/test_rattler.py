"""rattler-build and py-rattler with a server: publishing, reading, solving, installing."""

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

HOST = "127.0.0.1"  # credentials are stored by host, without the port


def with_paths(index: dict[str, Any], text: str, build: Callable[..., PackageFile] = conda) -> PackageFile:
    """Return a package that installs one text file."""
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
    """Create a channel with packages and dependencies; the newest version of `lib` is yanked."""
    owned = make(site, public=public)
    with site.client(owned.key) as http:
        for file in (APP, LIB_1, LIB_2, LIB_3, NATIVE):
            assert 201 == upload(http, owned.channel, file).status_code
        assert 200 == http.post(f"/api/v1/yank/{owned.channel}/noarch/{LIB_3.name}").status_code
    return owned


# Publishing with rattler-build


@dataclass(frozen=True)
class Publisher:
    """`rattler-build upload prefix` without the stored credentials of the machine."""

    site: Site
    folder: Path

    def upload(self, channel: str, *files: PackageFile, auth: dict[str, Any] | None = None, **options: Any) -> str:
        """Upload the files; return the error message, empty on success."""
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
    """One call with a key uploads several files."""
    assert "" == publisher.upload(owned.channel, APP, LIB_2, api_key=owned.key)
    assert {APP.name: APP.sha256, LIB_2.name: LIB_2.sha256} == served(publisher.site, owned.channel)


def test_stored_key_publishes(publisher: Publisher, owned: Owned) -> None:
    """The key that `auth login` stored is used."""
    assert "" == publisher.upload(owned.channel, APP, auth={HOST: {"BearerToken": owned.key}})
    assert [APP.name] == list(served(publisher.site, owned.channel))


def test_existing_file_is_an_error_or_skipped_or_replaced(publisher: Publisher, owned: Owned) -> None:
    """By default the upload fails; with `skip_existing` it does nothing, with `force` it replaces the file."""
    changed = with_paths(index_json("app", depends=["lib >=1"]), "another app")
    assert "" == publisher.upload(owned.channel, APP, api_key=owned.key)
    errors = [
        publisher.upload(owned.channel, changed, api_key=owned.key),
        publisher.upload(owned.channel, changed, api_key=owned.key, skip_existing=True),
        publisher.upload(owned.channel, changed, api_key=owned.key, force=True),
    ]
    assert "package already exists (HTTP 409)" in errors[0]
    assert f"{owned.channel}/noarch/{APP.name} was uploaded on" in errors[0]
    assert ["", ""] == errors[1:]
    assert {APP.name: changed.sha256} == served(publisher.site, owned.channel)


def test_files_after_a_skipped_file_are_published(publisher: Publisher, owned: Owned) -> None:
    """With `skip_existing`, existing files are skipped and the others are published."""
    publisher.upload(owned.channel, APP, api_key=owned.key)
    assert "" == publisher.upload(owned.channel, APP, LIB_2, api_key=owned.key, skip_existing=True)
    assert {APP.name, LIB_2.name} == set(served(publisher.site, owned.channel))


def test_invalid_key_is_reported(publisher: Publisher, owned: Owned) -> None:
    """The client shows the message of the server."""
    error = publisher.upload(owned.channel, APP, api_key="not-a-key")
    assert "authentication failed (HTTP 401)" in error
    assert "Check that it has not expired or been revoked" in error


def test_missing_key_is_reported_by_the_client(publisher: Publisher, owned: Owned) -> None:
    """Without a key the client sends nothing."""
    assert "no prefix.dev API key" in publisher.upload(owned.channel, APP)
    assert {} == served(publisher.site, owned.channel)


def test_key_without_permission_is_reported(publisher: Publisher, owned: Owned, site: Site) -> None:
    """The error for the key of a user without a role names the missing permission."""
    user = site.factory.user(site.new_name("outsider"))
    error = publisher.upload(owned.channel, APP, api_key=site.factory.key(user))
    assert "the server rejected the upload (HTTP 403)" in error
    assert "is not allowed to upload to the channel" in error


@pytest.mark.parametrize("channel", ["no-such-channel", "owner/no-such-channel", "no-such-channel/"])
def test_unknown_channel_is_reported(publisher: Publisher, owned: Owned, channel: str) -> None:
    """The error is the same for every path that the client builds from a channel URL."""
    error = publisher.upload(channel, APP, api_key=owned.key)
    assert "(HTTP 404)" in error
    assert "There is no such channel" in error


def test_refused_content_is_reported(publisher: Publisher, owned: Owned) -> None:
    """The client shows the complete message of the server."""
    error = publisher.upload(owned.channel, conda(index_json(depends=["python >=3,<,"])), api_key=owned.key)
    assert "unprocessable entity (HTTP 422)" in error
    assert "'python >=3,<,' in depends cannot be read as a match spec." in error


# Reading with py-rattler


@pytest.fixture(scope="module")
def public(site: Site) -> Owned:
    return stock(site, public=True)


@pytest.fixture(scope="module")
def private(site: Site) -> Owned:
    return stock(site, public=False)


@dataclass(frozen=True)
class Reader:
    """py-rattler in a separate process, with its own cache and credentials."""

    site: Site
    folder: Path

    def url(self, channel: str) -> str:
        return f"{self.site.server.address}/{channel}"

    def action(self, name: str, url: str, *specs: str, **options: Any) -> dict[str, Any]:
        return rattler.action(self.folder, name, url, *specs, **options)

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


def test_all_forms_of_the_index_have_the_same_records(reader: Reader, public: Owned) -> None:
    """Shards, repodata.json.zst and repodata.json have the same records and the same removed files."""
    url = reader.url(public.channel)
    results = reader.run(
        *(
            reader.action("query", url, "app", "lib", "native", cache=reader.caches(name), **form)
            for name, form in FORMS.items()
        )
    )
    assert [ALL] * 3 == [result.get("files") for result in results], results
    assert [[LIB_3.name]] * 3 == [result["removed"] for result in results]
    assert results[0]["urls"] == results[1]["urls"] == results[2]["urls"]
    assert f"{url}/noarch/{APP.name}" in results[0]["urls"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_exclude_newer_uses_the_upload_time(reader: Reader, site: Site, form: dict[str, Any]) -> None:
    """The build time, which uploaders choose, has no effect."""
    first, second = (index_json("lib", version=f"{number}.0", timestamp=10**12 - number) for number in (1, 2))
    owned = make(site)
    with site.client(owned.key) as http:
        for index in (first, second):
            assert 201 == upload(http, owned.channel, conda(index)).status_code
        records = http.get(f"/{owned.channel}/noarch/repodata.json").json()["packages.conda"]
    times = {record["version"]: record["indexed_timestamp"] for record in records.values()}
    assert times["1.0"] < times["2.0"]
    url = reader.url(owned.channel)
    results = reader.run(*(reader.action("solve", url, "lib", before_ms=times[version], **form) for version in times))
    assert [[conda(first).name], [conda(second).name]] == [result.get("solved") for result in results], results
    (unsolved,) = reader.run(reader.action("solve", url, "lib", before_ms=times["1.0"] - 1, **form))
    assert "error" in unsolved


def test_names_are_listed(reader: Reader, public: Owned) -> None:
    """Each name is listed once."""
    url = reader.url(public.channel)
    results = reader.run(
        *(reader.action("names", url, cache=reader.caches(name), **form) for name, form in FORMS.items())
    )
    assert [["app", "lib", "native"]] * 3 == [result.get("names") for result in results], results


def test_a_solution_is_installed(reader: Reader, public: Owned) -> None:
    """The solved packages are downloaded, verified and linked; the solver ignores yanked files."""
    prefix = reader.folder / "prefix"
    results = reader.run(reader.action("solve", reader.url(public.channel), "app", "native", prefix=str(prefix)))
    assert [{"solved": sorted([APP.name, LIB_2.name, NATIVE.name])}] == results
    assert {
        "app.txt": "app",
        "lib.txt": "lib 2",
        "native.txt": "native",
    } == {path.name: path.read_text() for path in (prefix / "share").iterdir()}


def test_both_archive_formats_are_installed(reader: Reader, public: Owned) -> None:
    """A .tar.bz2 is installed like a .conda."""
    prefix = reader.folder / "prefix"
    results = reader.run(reader.action("solve", reader.url(public.channel), "lib <2", prefix=str(prefix)))
    assert [{"solved": [LIB_1.name]}] == results
    assert "lib 1" == (prefix / "share" / "lib.txt").read_text()


def test_spec_that_only_a_yanked_file_matches_has_no_solution(reader: Reader, public: Owned) -> None:
    """The solver does not fall back to yanked files."""
    results = reader.run(
        *(
            reader.action("solve", reader.url(public.channel), "lib >=3", cache=reader.caches(name), **form)
            for name, form in FORMS.items()
        )
    )
    assert ["SolverError"] * 3 == [result["error"].split(":")[0] for result in results], results


def test_new_channel_is_readable(reader: Reader, owned: Owned) -> None:
    """A channel without files can be read for every platform."""
    url = reader.url(owned.channel)
    platforms = ["noarch", "linux-64", "osx-arm64", "win-64", "emscripten-wasm32"]
    results = reader.run(
        *(
            reader.action("query", url, "app", platforms=platforms, cache=reader.caches(name), **form)
            for name, form in FORMS.items()
        )
    )
    assert [{}] * 3 == [result.get("files") for result in results], results


def test_client_with_a_cache_finds_new_files(reader: Reader, owned: Owned, site: Site) -> None:
    """A client that has cached the empty channel finds a file that was uploaded afterwards."""
    url = reader.url(owned.channel)
    actions = [reader.action("query", url, "app", cache=reader.caches(name), **form) for name, form in FORMS.items()]
    before = reader.run(*actions)
    with site.client(owned.key) as http:
        upload(http, owned.channel, APP)
    after = reader.run(*actions)
    assert [{}] * 3 == [result.get("files") for result in before], before
    assert [{APP.name: APP.sha256}] * 3 == [result.get("files") for result in after], after


def log_length(site: Site) -> int:
    """Return the number of log lines once all requests so far are logged."""
    path = f"/{site.new_name('end')}/x/y"
    with site.client() as http:
        http.get(path)
    wait_until(lambda: any(path in line for line in site.server.log))
    return len(site.server.log)


def test_client_with_a_cache_gets_304(reader: Reader, public: Owned, site: Site) -> None:
    """Each query revalidates the cached index."""
    actions = [
        reader.action("query", reader.url(public.channel), "app", cache=reader.caches(name), **form)
        for name, form in FORMS.items()
    ]
    reader.run(*actions)
    start = log_length(site)
    results = reader.run(*actions)
    log = site.server.log[start : log_length(site)]
    requests = [line for line in log if "noarch/repodata" in line and "method=GET" in line]
    assert all("error" not in result for result in results), results
    assert 3 == len(requests)
    assert ["status=304"] * 3 == [word for line in requests for word in line.split() if word.startswith("status=")]


# Private channels

CREDENTIALS: dict[str, Callable[[str], dict[str, Any]]] = {
    "bearer": lambda key: {HOST: {"BearerToken": key}},
    "basic": lambda key: {HOST: {"BasicHTTP": {"username": "anyone", "password": key}}},
    "conda token": lambda key: {HOST: {"CondaToken": key}},
}


@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS.keys())
def test_stored_credential_reads_a_private_channel(
    reader: Reader, private: Owned, credential: Callable[[str], dict[str, Any]]
) -> None:
    """A key that is stored in any form can query a private channel and install from it."""
    url, prefix = reader.url(private.channel), reader.folder / "prefix"
    results = reader.run(
        *(reader.action("query", url, "app", "lib", "native", cache=reader.caches(name), **form) for name, form in FORMS.items()),
        reader.action("solve", url, "app", prefix=str(prefix)),
        auth=credential(private.key),
    )  # fmt: skip
    assert [ALL] * 3 == [result.get("files") for result in results[:3]], results
    assert {"solved": sorted([APP.name, LIB_2.name])} == results[3]
    assert "app" == (prefix / "share" / "app.txt").read_text()


def test_key_in_the_path_reads_a_private_channel(reader: Reader, private: Owned) -> None:
    """`/t/KEY/CHANNEL` can be queried and installed from without a stored credential."""
    url, prefix = reader.url(f"t/{private.key}/{private.channel}"), reader.folder / "prefix"
    results = reader.run(
        *(reader.action("query", url, "app", "lib", "native", cache=reader.caches(name), **form) for name, form in FORMS.items()),
        reader.action("solve", url, "app", prefix=str(prefix)),
    )  # fmt: skip
    assert [ALL] * 3 == [result.get("files") for result in results[:3]], results
    assert {"solved": sorted([APP.name, LIB_2.name])} == results[3]
    assert "lib 2" == (prefix / "share" / "lib.txt").read_text()


def test_refused_request_is_not_cached(reader: Reader, private: Owned) -> None:
    """After a refusal and a login, the client reads shards: it did not cache that there are none."""
    url = reader.url(private.channel)
    actions = [
        reader.action("query", url, "app", "lib", "native", cache=reader.caches(name), **form)
        for name, form in FORMS.items()
    ]
    refused = reader.run(*actions)
    results = reader.run(*actions, auth={HOST: {"BearerToken": private.key}})
    assert [True] * 3 == ["401" in result.get("error", "") for result in refused], refused
    assert [ALL] * 3 == [result.get("files") for result in results], results


def test_expired_key_still_reads_a_public_channel(reader: Reader, public: Owned) -> None:
    """A stored key that is no longer valid does not prevent reading public channels."""
    results = reader.run(
        reader.action("query", reader.url(public.channel), "app", "lib", "native"),
        auth={HOST: {"BearerToken": "swy-u-expired-long-ago"}},
    )
    assert [ALL] == [result.get("files") for result in results], results


def test_revoked_key_is_refused_although_the_index_is_cached(reader: Reader, site: Site) -> None:
    """The client revalidates its cache, which the revoked key cannot."""
    owned = stock(site, public=False)
    action = reader.action("query", reader.url(owned.channel), "app", "lib", "native")
    auth = {HOST: {"BearerToken": owned.key}}
    before = reader.run(action, auth=auth)
    with site.client() as http:
        assert 200 == http.get(f"/{owned.channel}/notices.json", headers=bearer(owned.key)).status_code
    revoke(site, owned)
    after = reader.run(action, auth=auth)
    assert [ALL] == [result.get("files") for result in before], before
    assert [True] == ["401" in result.get("error", "") for result in after], after


def revoke(site: Site, owned: Owned) -> None:
    with site.factory.seaway.site.database.write_site() as tx:
        now_ms = site.factory.seaway.site.clock.now_ms()
        caller = api_keys.caller_of(tx, owned.key, now_ms)
        assert caller is not None
        api_keys.revoke(tx, now_ms, OPERATOR, users.get(tx, caller.name), caller.key_name)
