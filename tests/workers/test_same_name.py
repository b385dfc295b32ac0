"""Uploads of one file name that come to several servers at the same moment: one of them wins, and everybody says so."""

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


def rival(version: str, number: int) -> PackageFile:
    """One of several packages that differ in their bytes only."""
    return conda(index_json("same", version), files={"share/rival": str(number).encode()})


def upload_at_once(
    fleet: Fleet, owned: Owned, files: Sequence[PackageFile], *, force: bool = False
) -> list[httpx.Response]:
    """The answers to these uploads, each by a client of its own that is connected already."""
    with fleet.clients(owned.key, len(files)) as clients:
        for http in clients:
            http.get("/health/live").raise_for_status()
        return at_once(
            [partial(upload, http, owned.channel, file, force=force) for http, file in zip(clients, files, strict=True)]
        )


def said(fleet: Fleet, owned: Owned, file_name: str) -> set[str | None]:
    """Every hash that any index or the file itself has on any server."""
    with fleet.clients(owned.key) as clients:
        for http in clients:
            http.follow_redirects = True
        hashes = {index(http, owned).get(file_name) for http in clients for index in INDEXES}
        answers = [http.get(owned.path(f"noarch/{file_name}")) for http in clients]
    return hashes | {hashlib.sha256(answer.raise_for_status().content).hexdigest() for answer in answers}


CONTENTS: dict[str, Callable[[str], list[PackageFile]]] = {
    "different bytes": lambda version: [rival(version, number) for number in range(CLIENTS)],
    "the same bytes": lambda version: [rival(version, 0)] * CLIENTS,
}


ROUNDS = [pytest.param(2, id="2 rounds"), pytest.param(20, id="20 rounds", marks=pytest.mark.slow)]


@pytest.mark.both_states
@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("files_of", CONTENTS.values(), ids=CONTENTS.keys())
def test_one_upload_of_a_name_wins(fleet: Fleet, files_of: Callable[[str], list[PackageFile]], rounds: int) -> None:
    """Of uploads of one new name at once exactly one is taken, and all servers serve that one; equal ones hear 200."""
    owned = fleet.new_channel()
    for number in range(rounds):
        files = files_of(f"1.{number}")
        statuses = [answer.status_code for answer in upload_at_once(fleet, owned, files)]
        other = 200 if files[0] == files[1] else 409
        assert Counter({201: 1, other: CLIENTS - 1}) == Counter(statuses)
        assert {files[statuses.index(201)].sha256} == said(fleet, owned, files[0].name)
    assert [] == fleet.broken()


@pytest.mark.parametrize("rounds", ROUNDS)
def test_the_owner_may_replace_at_once(fleet: Fleet, rounds: int) -> None:
    """Overwrites by the owner at once are all taken in some order, and all servers serve the last one."""
    owned = fleet.new_channel()
    for number in range(rounds):
        files = [rival(f"1.{number}", each) for each in range(CLIENTS)]
        answers = upload_at_once(fleet, owned, files, force=True)
        assert [200] * (CLIENTS - 1) + [201] == sorted(answer.status_code for answer in answers)
        last = max(range(CLIENTS), key=lambda each: int(answers[each].headers["seaway-revision"]))
        assert {files[last].sha256} == said(fleet, owned, files[0].name)
    assert [] == fleet.broken()
