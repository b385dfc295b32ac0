"""Many uploaders and readers on several servers: nothing is lost, nobody waits for news, and no revision goes back."""

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
    """One of the packages of an uploader; some of them share a name."""
    return conda(index_json(f"p{number % 5}", f"{uploader}.{number}"))


def revision(http: httpx.Client, owned: Owned, document: str) -> int:
    return int(http.get(owned.path(document)).raise_for_status().headers["seaway-revision"])


def upload_all(servers: Sequence[httpx.Client], owned: Owned, files: Sequence[PackageFile]) -> dict[str, str]:
    """Upload one after another, each to the next server; the server after that has it in its next answer."""
    for number, file in enumerate(files):
        here, there = servers[number % len(servers)], servers[(number + 1) % len(servers)]
        answer = upload(here, owned.channel, file)
        assert 201 == answer.status_code, answer.text
        assert int(answer.headers["seaway-revision"]) <= revision(there, owned, DOCUMENTS[number % len(DOCUMENTS)])
        if number % len(DOCUMENTS) in (1, 3):
            index = in_repodata if number % len(DOCUMENTS) == 1 else in_repodata_zst
            assert file.sha256 == index(there, owned).get(file.name)
    return {file.name: file.sha256 for file in files}


@contextmanager
def watching(fleet: Fleet, owned: Owned) -> Iterator[dict[str, list[int]]]:
    """The revisions that readers see meanwhile: one asks each server again and again, another asks them in turn."""
    seen: dict[str, list[int]] = {}
    done = threading.Event()

    def watch(name: str, numbers: Sequence[int], document: str) -> None:
        revisions = seen.setdefault(name, [])
        with fleet.clients(owned.key) as clients:
            for number in cycle(numbers):
                revisions.append(revision(clients[number], owned, document))
                if done.is_set():
                    return

    everywhere = range(len(fleet.servers))
    readers = [
        partial(watch, f"{document}, {name}", numbers, document)
        for document in (REPODATA, SHARD_INDEX)
        for name, numbers in (("one server", [0]), ("each in turn", everywhere))
    ]
    with ThreadPoolExecutor(len(readers)) as threads:
        reading = [threads.submit(reader) for reader in readers]
        try:
            yield seen
        finally:
            done.set()
        for one in reading:
            one.result()


def run_uploaders(fleet: Fleet, packages_each: int) -> None:
    owned = fleet.new_channel()
    names = count()

    def go() -> dict[str, str]:
        uploader = next(names)
        with fleet.clients(owned.key) as clients:
            turned = clients[uploader % len(clients) :] + clients[: uploader % len(clients)]
            return upload_all(turned, owned, [package(uploader, number) for number in range(packages_each)])

    with watching(fleet, owned) as seen:
        uploaded = {name: sha256 for files in at_once([go] * UPLOADERS) for name, sha256 in files.items()}
    assert UPLOADERS * packages_each == len(uploaded)
    with fleet.clients() as clients:
        assert [uploaded] * 3 * len(clients) == [index(http, owned) for http in clients for index in INDEXES]
        last = {revision(http, owned, document) for http in clients for document in DOCUMENTS}
    assert {len(uploaded)} == last
    for name, revisions in seen.items():
        assert revisions == sorted(revisions), name
        assert 2 < len(set(revisions)), name
    assert [] == fleet.broken()


def test_eight_uploaders_on_several_servers(fleet: Fleet) -> None:
    """What a server answered is in the next answer of every other; in the end every index on every server has it all."""
    run_uploaders(fleet, 6)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_eight_uploaders_of_a_hundred_packages(fleet: Fleet) -> None:
    """The same for eight hundred packages."""
    run_uploaders(fleet, 100)
