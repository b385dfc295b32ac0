"""Concurrent uploads of the same file name to several servers: one of them wins on all servers."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import httpx
import pytest

from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import upload
from tests.workers.fleet import INDEXES, Fleet, Owned, at_once

CLIENTS = 8


def variant(version: str, number: int) -> PackageFile:
    """Return one of several packages that differ only in their bytes."""
    return conda(index_json("same", version), files={"share/variant": str(number).encode()})


def upload_at_once(
    fleet: Fleet, owned: Owned, files: Sequence[PackageFile], *, force: bool = False
) -> list[httpx.Response]:
    """Upload files at once, each with its own connected client; return the responses."""
    with fleet.clients(owned.key, len(files)) as clients:
        for http in clients:
            http.get("/health/live").raise_for_status()
        return at_once(
            [partial(upload, http, owned.channel, file, force=force) for http, file in zip(clients, files, strict=True)]
        )


def served_hashes(fleet: Fleet, owned: Owned, file_name: str) -> set[str | None]:
    """Return every hash of the file in any index or its content, on any server."""
    with fleet.clients(owned.key) as clients:
        for http in clients:
            http.follow_redirects = True
        hashes = {index(http, owned).get(file_name) for http in clients for index in INDEXES}
        responses = [http.get(owned.path(f"noarch/{file_name}")) for http in clients]
    return hashes | {hashlib.sha256(response.raise_for_status().content).hexdigest() for response in responses}


CONTENTS: dict[str, Callable[[str], list[PackageFile]]] = {
    "different bytes": lambda version: [variant(version, number) for number in range(CLIENTS)],
    "the same bytes": lambda version: [variant(version, 0)] * CLIENTS,
}


ROUNDS = [pytest.param(2, id="2 rounds"), pytest.param(20, id="20 rounds", marks=pytest.mark.slow)]


@pytest.mark.both_states
@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("files_of", CONTENTS.values(), ids=CONTENTS.keys())
def test_one_upload_of_a_name_wins(fleet: Fleet, files_of: Callable[[str], list[PackageFile]], rounds: int) -> None:
    """Exactly one upload of a new name gets 201 and is served by all servers; equal uploads get 200, others 409."""
    owned = fleet.new_channel()
    for number in range(rounds):
        files = files_of(f"1.{number}")
        statuses = [response.status_code for response in upload_at_once(fleet, owned, files)]
        losing_status = 200 if files[0] == files[1] else 409
        assert Counter({201: 1, losing_status: CLIENTS - 1}) == Counter(statuses)
        assert {files[statuses.index(201)].sha256} == served_hashes(fleet, owned, files[0].name)
    assert [] == fleet.broken()


@pytest.mark.parametrize("rounds", ROUNDS)
def test_concurrent_overwrites_are_all_accepted(fleet: Fleet, rounds: int) -> None:
    """Overwrites by the owner are applied in some order, and all servers serve the last one."""
    owned = fleet.new_channel()
    for number in range(rounds):
        files = [variant(f"1.{number}", each) for each in range(CLIENTS)]
        responses = upload_at_once(fleet, owned, files, force=True)
        assert [200] * (CLIENTS - 1) + [201] == sorted(response.status_code for response in responses)
        last = max(range(CLIENTS), key=lambda each: int(responses[each].headers["seaway-revision"]))
        assert {files[last].sha256} == served_hashes(fleet, owned, files[0].name)
    assert [] == fleet.broken()
