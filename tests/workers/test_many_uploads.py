"""Many uploaders and readers on several servers: no upload is lost or delayed, and no revision decreases."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count, cycle

import httpx
import pytest

from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import upload
from tests.workers.fleet import (
    INDEXES,
    REPODATA,
    REPODATA_ZST,
    SHARD_INDEX,
    Fleet,
    Owned,
    at_once,
    in_repodata,
    in_repodata_zst,
)

UPLOADERS = 8
DOCUMENTS = (SHARD_INDEX, REPODATA, SHARD_INDEX, REPODATA_ZST)


def package(uploader: int, number: int) -> PackageFile:
    """Return a package of an uploader; some packages share a name."""
    return conda(index_json(f"p{number % 5}", f"{uploader}.{number}"))


def revision(http: httpx.Client, owned: Owned, document: str) -> int:
    return int(http.get(owned.path(document)).raise_for_status().headers["seaway-revision"])


def upload_all(servers: Sequence[httpx.Client], owned: Owned, files: Sequence[PackageFile]) -> dict[str, str]:
    """Upload each file to the next server; assert that the server after that has it in its next response."""
    for number, file in enumerate(files):
        uploader_client, next_client = servers[number % len(servers)], servers[(number + 1) % len(servers)]
        response = upload(uploader_client, owned.channel, file)
        assert 201 == response.status_code, response.text
        assert int(response.headers["seaway-revision"]) <= revision(
            next_client, owned, DOCUMENTS[number % len(DOCUMENTS)]
        )
        if number % len(DOCUMENTS) in (1, 3):
            index = in_repodata if number % len(DOCUMENTS) == 1 else in_repodata_zst
            assert file.sha256 == index(next_client, owned).get(file.name)
    return {file.name: file.sha256 for file in files}


@contextmanager
def watched_revisions(fleet: Fleet, owned: Owned) -> Iterator[dict[str, list[int]]]:
    """Record the revisions that readers see: one reads a single server, another all servers in turn."""
    revisions_by_reader: dict[str, list[int]] = {}
    done = threading.Event()

    def watch(name: str, numbers: Sequence[int], document: str) -> None:
        revisions = revisions_by_reader.setdefault(name, [])
        with fleet.clients(owned.key) as clients:
            for number in cycle(numbers):
                revisions.append(revision(clients[number], owned, document))
                if done.is_set():
                    return

    all_servers = range(len(fleet.servers))
    readers = [
        partial(watch, f"{document}, {name}", numbers, document)
        for document in (REPODATA, SHARD_INDEX)
        for name, numbers in (("one server", [0]), ("each in turn", all_servers))
    ]
    with ThreadPoolExecutor(len(readers)) as threads:
        reading = [threads.submit(reader) for reader in readers]
        try:
            yield revisions_by_reader
        finally:
            done.set()
        for future in reading:
            future.result()


def run_uploaders(fleet: Fleet, packages_each: int) -> None:
    owned = fleet.new_channel()
    names = count()

    def upload_packages() -> dict[str, str]:
        uploader = next(names)
        with fleet.clients(owned.key) as clients:
            rotated = clients[uploader % len(clients) :] + clients[: uploader % len(clients)]
            return upload_all(rotated, owned, [package(uploader, number) for number in range(packages_each)])

    with watched_revisions(fleet, owned) as revisions_by_reader:
        uploaded = {name: sha256 for files in at_once([upload_packages] * UPLOADERS) for name, sha256 in files.items()}
    assert UPLOADERS * packages_each == len(uploaded)
    with fleet.clients() as clients:
        assert [uploaded] * 3 * len(clients) == [index(http, owned) for http in clients for index in INDEXES]
        revisions_at_end = {revision(http, owned, document) for http in clients for document in DOCUMENTS}
    assert {len(uploaded)} == revisions_at_end
    for name, revisions in revisions_by_reader.items():
        assert revisions == sorted(revisions), name
        assert 2 < len(set(revisions)), name
    assert [] == fleet.broken()


def test_eight_uploaders_on_several_servers(fleet: Fleet) -> None:
    """A confirmed upload is in the next response of every server; at the end every index has all uploads."""
    run_uploaders(fleet, 6)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_eight_uploaders_of_a_hundred_packages(fleet: Fleet) -> None:
    """The same for eight hundred packages."""
    run_uploaders(fleet, 100)
