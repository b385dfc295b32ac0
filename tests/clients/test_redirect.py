"""py-rattler and rattler-build against a server on PostgreSQL and S3, whose packages the bucket itself hands out."""

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
    """A server that redirects, and logs all that it can; for this module it stands where others have the usual one."""
    folder = tmp_path_factory.mktemp("redirecting")
    with state.choose(state.POSTGRES_S3):
        with serving(folder, examiners=1, log_format="json", log_level="debug") as server:
            beside = sites.build(folder)
            yield Site(server, Factory(beside))
            beside.close()
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


def answered(site: Site, since: int, part: str) -> set[int]:
    """The statuses of what was read at paths with this part, since so many lines of the log."""
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
    """What a solve with an installation of `app` says, and how the server answered the download."""
    since = len(reader.site.server.log)
    told = reader.run(reader.action("solve", url, "app", prefix=str(reader.folder / "prefix")), auth=auth)
    return told, answered(reader.site, since, "/app-")


def installed(reader: Reader) -> dict[str, str]:
    return {path.name: path.read_text() for path in (reader.folder / "prefix" / "share").iterdir()}


SOLVED = [{"solved": sorted([APP.name, LIB_2.name])}]
FILES = {"app.txt": "app", "lib.txt": "lib 2"}


def test_a_public_channel_is_installed_from_the_bucket(reader: Reader, public: Owned) -> None:
    """Downloads follow the redirect, and what arrives has the hash of its record."""
    assert (SOLVED, {302}) == install(reader, reader.url(public.channel))
    assert FILES == installed(reader)


# What carries the key in the address gets its bytes from the server itself.
STATUSES = {"bearer": 302, "basic": 302, "conda token": 200}


@pytest.mark.parametrize("form", STATUSES)
def test_a_private_channel_is_installed_with_a_stored_credential(reader: Reader, private: Owned, form: str) -> None:
    """With a key in the client's store, in each form, packages are installed; the key is for us and not for the bucket."""
    told, statuses = install(reader, reader.url(private.channel), CREDENTIALS[form](private.key))
    assert (SOLVED, {STATUSES[form]}, FILES) == (told, statuses, installed(reader))


def test_a_private_channel_is_installed_with_a_key_in_the_address(reader: Reader, private: Owned) -> None:
    """`/t/KEY/CHANNEL` installs too, without the bucket: clients would tell it the address."""
    told, statuses = install(reader, reader.url(f"t/{private.key}/{private.channel}"))
    assert (SOLVED, {200}, FILES) == (told, statuses, installed(reader))


def test_other_bytes_are_not_installed(reader: Reader, site: Site) -> None:
    """A client compares what the bucket sent with the record: a blob that somebody exchanged is refused."""
    owned = make(site)
    good, bad = (with_paths(index_json("app", "9.0"), text) for text in ("good", "bad, from a stranger"))
    with site.client(owned.key) as http:
        assert 201 == upload(http, owned.channel, good).status_code
    state.overwrite_blob(site.factory.seaway.blobs, keys.blob(bytes.fromhex(good.sha256)), bad.content)
    told, statuses = install(reader, reader.url(owned.channel))
    assert {302} == statuses
    assert "hash mismatch" in told[0]["error"], told
    assert not (reader.folder / "prefix" / "share").exists()


def test_every_form_of_the_index_comes_from_the_server(reader: Reader, private: Owned, site: Site) -> None:
    """By shards and by whole documents the records are found without one redirect."""
    since = len(site.server.log)
    actions = [
        reader.action("query", reader.url(private.channel), "app", "lib", "native", cache=reader.caches(name), **form)
        for name, form in FORMS.items()
    ]
    told = reader.run(*actions, auth=CREDENTIALS["bearer"](private.key))
    assert [ALL] * 3 == [one.get("files") for one in told], told
    assert {200} == answered(site, since, "/repodata")


def test_packages_are_published_and_read_back(site: Site, tmp_path: Path) -> None:
    """rattler-build uploads into the bucket by way of the server, and the bytes come back from there unchanged."""
    owned = make(site)
    publisher = Publisher(site, tmp_path)
    assert "" == publisher.upload(owned.channel, APP, LIB_2, api_key=owned.key)
    assert "" == publisher.upload(owned.channel, APP, api_key=owned.key)
    with site.client() as http:
        for file in (APP, LIB_2):
            answer = http.get(f"/{owned.channel}/noarch/{file.name}")
            assert (302, file.content) == (answer.status_code, httpx.get(answer.headers["location"]).content)
