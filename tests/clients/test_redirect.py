"""py-rattler and rattler-build with a server on PostgreSQL and S3 that redirects downloads to the bucket."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from seaway.storage import keys
from tests.clients.test_rattler import (
    ALL,
    APP,
    CREDENTIALS,
    FORMS,
    LIB_2,
    Owned,
    Publisher,
    Reader,
    make,
    stock,
    with_paths,
)
from tests.conftest import Site
from tests.support import sites, state
from tests.support.packages import index_json
from tests.support.requests import upload, wait_until
from tests.support.server import serving
from tests.support.sites import Factory

SECRETS = re.compile(r"X-Amz|Signature|Credential=")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that redirects downloads and logs at level debug, instead of the usual one."""
    folder = tmp_path_factory.mktemp("redirecting")
    with state.choose(state.POSTGRES_S3):
        with serving(folder, examiners=1, log_format="json", log_level="debug") as server:
            second_seaway = sites.build(folder)
            yield Site(server, Factory(second_seaway))
            second_seaway.close()
        assert [] == [line for line in server.log if SECRETS.search(line)]
        state.forget(folder)


@pytest.fixture(scope="module")
def public(site: Site) -> Owned:
    return stock(site, public=True)


@pytest.fixture(scope="module")
def private(site: Site) -> Owned:
    return stock(site, public=False)


@pytest.fixture
def reader(site: Site, tmp_path: Path) -> Reader:
    return Reader(site, tmp_path)


def logged_statuses(site: Site, since: int, part: str) -> set[int]:
    """Return the statuses of GET requests whose path contains `part`, from the log after the first `since` lines."""
    with site.client() as http:
        mark = http.get("/end-of-this-test/x").headers["seaway-request-id"]
    wait_until(lambda: any(mark in line for line in site.server.log[since:]))
    logged = [json.loads(line) for line in site.server.log[since:] if line.startswith("{")]
    return {
        line["status"]
        for line in logged
        if line["event"] == "request" and line["method"] == "GET" and part in line["path"]
    }


def install(reader: Reader, url: str, auth: dict[str, Any] | None = None) -> tuple[list[dict[str, Any]], set[int]]:
    """Solve and install `app`; return the results, and the statuses of the download."""
    since = len(reader.site.server.log)
    results = reader.run(reader.action("solve", url, "app", prefix=str(reader.folder / "prefix")), auth=auth)
    return results, logged_statuses(reader.site, since, "/app-")


def installed(reader: Reader) -> dict[str, str]:
    return {path.name: path.read_text() for path in (reader.folder / "prefix" / "share").iterdir()}


SOLVED = [{"solved": sorted([APP.name, LIB_2.name])}]
FILES = {"app.txt": "app", "lib.txt": "lib 2"}


def test_packages_of_a_public_channel_are_installed_from_the_bucket(reader: Reader, public: Owned) -> None:
    """Downloads follow the redirect, and the bytes have the hash of their record."""
    assert (SOLVED, {302}) == install(reader, reader.url(public.channel))
    assert FILES == installed(reader)


# Requests with the key in the path are not redirected.
STATUSES = {"bearer": 302, "basic": 302, "conda token": 200}


@pytest.mark.parametrize("form", STATUSES)
def test_a_private_channel_is_installed_with_a_stored_credential(reader: Reader, private: Owned, form: str) -> None:
    """Packages are installed with a stored key in each form; the key is not sent to the bucket."""
    results, statuses = install(reader, reader.url(private.channel), CREDENTIALS[form](private.key))
    assert (SOLVED, {STATUSES[form]}, FILES) == (results, statuses, installed(reader))


def test_a_private_channel_is_installed_with_a_key_in_the_path(reader: Reader, private: Owned) -> None:
    """`/t/KEY/CHANNEL` is not redirected: clients could send the URL to the bucket as the referrer."""
    results, statuses = install(reader, reader.url(f"t/{private.key}/{private.channel}"))
    assert (SOLVED, {200}, FILES) == (results, statuses, installed(reader))


def test_replaced_blob_is_not_installed(reader: Reader, site: Site) -> None:
    """Clients compare the bytes from the bucket with the hash in the record."""
    owned = make(site)
    good, bad = (with_paths(index_json("app", "9.0"), text) for text in ("good", "bad"))
    with site.client(owned.key) as http:
        assert 201 == upload(http, owned.channel, good).status_code
    state.overwrite_blob(site.factory.seaway.site.blobs, keys.blob(bytes.fromhex(good.sha256)), bad.content)
    results, statuses = install(reader, reader.url(owned.channel))
    assert {302} == statuses
    assert "hash mismatch" in results[0]["error"], results
    assert not (reader.folder / "prefix" / "share").exists()


def test_every_form_of_the_index_comes_from_the_server(reader: Reader, private: Owned, site: Site) -> None:
    """Shards and whole documents are read without a redirect."""
    since = len(site.server.log)
    actions = [
        reader.action("query", reader.url(private.channel), "app", "lib", "native", cache=reader.caches(name), **form)
        for name, form in FORMS.items()
    ]
    results = reader.run(*actions, auth=CREDENTIALS["bearer"](private.key))
    assert [ALL] * 3 == [result.get("files") for result in results], results
    assert {200} == logged_statuses(site, since, "/repodata")


def test_packages_are_published_and_read_back(site: Site, tmp_path: Path) -> None:
    """rattler-build uploads to the server, and the bucket returns the same bytes."""
    owned = make(site)
    publisher = Publisher(site, tmp_path)
    assert "" == publisher.upload(owned.channel, APP, LIB_2, api_key=owned.key)
    assert "" == publisher.upload(owned.channel, APP, api_key=owned.key)
    with site.client() as http:
        for file in (APP, LIB_2):
            response = http.get(f"/{owned.channel}/noarch/{file.name}")
            assert (302, file.content) == (response.status_code, httpx.get(response.headers["location"]).content)
