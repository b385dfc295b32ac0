"""How many files a sender may upload in an hour: a release at once, shared by keys, doors and workers."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import httpx
import pytest

from seaway.callers.caller import OPERATOR, Caller
from seaway.channels.roles import Role
from seaway.clock import MINUTE_MS
from seaway.errors import TooManyRequests
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from tests.support import house, workflows
from tests.support.clock import TurnedClock
from tests.support.house import People, publish_file
from tests.support.packages import PackageFile, conda, index_json

pytestmark = pytest.mark.anyio


@pytest.fixture
def six(on_both: str, tmp_path: Path, clock: TurnedClock) -> Iterator[Seaway]:
    """A house that takes six files an hour of each sender."""
    with closing(house.build(tmp_path, clock, uploads_per_hour=6, upload_burst=6)) as built:
        yield built


def files(prefix: str, count: int) -> list[PackageFile]:
    return [conda(index_json(f"{prefix}-{number}")) for number in range(count)]


async def outcomes(seaway: Seaway, by: Caller, channel: str, sent: list[PackageFile]) -> list[str]:
    """What became of files that were sent at one moment."""
    found: list[str] = []

    async def send(file: PackageFile) -> None:
        try:
            await publish_file(seaway, channel, file, by=by)
        except TooManyRequests as refused:
            found.append(f"wait {refused.retry_after_seconds} s")
        else:
            found.append("in")

    async with anyio.create_task_group() as group:
        for file in sent:
            group.start_soon(send, file)
    return sorted(found)


async def test_a_release_comes_in_at_once_and_no_more(six: Seaway, clock: TurnedClock) -> None:
    """Of ten at one moment exactly six come in; one more for each ten minutes; others are not touched."""
    people = People(six)
    people.channel("boats", owner="ada")
    people.member("boats", "bob", Role.CONTRIBUTOR)
    ada = people.by_key(people.key("ada"))

    assert ["in"] * 6 + ["wait 600 s"] * 4 == await outcomes(six, ada, "boats", files("a", 10))
    assert ["in"] == await outcomes(six, people.by_key(people.key("bob")), "boats", files("b", 1))
    assert ["in"] * 9 == await outcomes(six, OPERATOR, "boats", files("o", 9))
    clock.move(10 * MINUTE_MS)
    assert ["in", "wait 600 s"] == await outcomes(six, ada, "boats", files("c", 2))


async def test_the_workflows_of_a_publisher_count_together(six: Seaway) -> None:
    """A token lives for minutes, so it cannot be what is counted."""
    People(six).channel("boats", owner="ada")
    workflow = workflows.principal_of(six, "boats")

    assert ["in"] * 6 + ["wait 600 s"] == await outcomes(six, workflow, "boats", files("w", 7))
    of_another = replace(workflow, grants=(replace(workflow.grants[0], publisher_id=2),))
    assert ["in"] == await outcomes(six, of_another, "boats", files("x", 1)), "strangers whose names are alike"


async def test_a_rate_above_a_file_each_millisecond_is_a_rate(tmp_path: Path, clock: TurnedClock) -> None:
    """Whatever two numbers an operator sets, uploads come in."""
    with closing(house.build(tmp_path, clock, uploads_per_hour=4_000_000, upload_burst=1)) as fast:
        People(fast).channel("boats", owner="ada")
        ada = People(fast).by_key(People(fast).key("ada"))
        for number in range(2):
            assert ["in"] == await outcomes(fast, ada, "boats", files(f"fast-{number}", 1))
            clock.move(1)


async def test_over_the_rate_the_bytes_are_not_read(tmp_path: Path, clock: TurnedClock) -> None:
    """429 with the time to wait, before a byte, by every key of the user and by both doors; not what was refused before."""
    with closing(house.build(tmp_path, clock, uploads_per_hour=2, upload_burst=2)) as seaway:
        people = People(seaway)
        people.channel("boats", owner="ada")
        transport = httpx.ASGITransport(create_app(seaway))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:

            async def send(file: PackageFile, content: bytes) -> httpx.Response:
                headers = {"Authorization": f"Bearer {people.key('ada')}", "X-File-Name": file.name}
                return await http.post("/api/v1/upload/boats", content=content, headers=headers)

            one, two, three = files("d", 3)
            statuses = [(await send(*sent)).status_code for sent in ((one, one.content), (two, b"no package"))]
            assert [201, 422] == statuses
            assert 201 == (await send(two, two.content)).status_code
            refused = await send(three, b"no package")
            assert [429, "1800"] == [refused.status_code, refused.headers["retry-after"]]
            assert "Too many uploads. Wait a while, then try again." == refused.text
            begun = await http.post(
                "/api/v1/uploads/boats",
                headers={
                    "Authorization": f"Bearer {people.key('ada')}",
                    "Tus-Resumable": "1.0.0",
                    "Upload-Length": "9",
                    "Upload-Metadata": "filename ZC0yLTEuMC1oMV8wLmNvbmRh",
                },
            )
            assert 429 == begun.status_code


async def test_the_operator_may_set_no_rate(tmp_path: Path, clock: TurnedClock) -> None:
    """0 is any number."""
    with closing(house.build(tmp_path, clock, uploads_per_hour=0)) as seaway:
        people = People(seaway)
        people.channel("boats", owner="ada")
        assert ["in"] * 7 == await outcomes(seaway, people.by_key(people.key("ada")), "boats", files("e", 7))
