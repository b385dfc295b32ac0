"""Upload rates: files per hour of each sender, with a burst, shared by keys, upload methods and workers."""

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
from tests.support import sites, workflows
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, conda, index_json
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio


@pytest.fixture
def with_rate_of_six(on_both: str, tmp_path: Path, clock: ManualClock) -> Iterator[Seaway]:
    """Return a Seaway instance that accepts six files an hour from each sender."""
    with closing(sites.build(tmp_path, clock, uploads_per_hour=6, upload_burst=6)) as built:
        yield built


def files(prefix: str, count: int) -> list[PackageFile]:
    return [conda(index_json(f"{prefix}-{number}")) for number in range(count)]


async def outcomes(seaway: Seaway, by: Caller, channel: str, package_files: list[PackageFile]) -> list[str]:
    """Return the outcomes of files that are sent at the same time."""
    found: list[str] = []

    async def send(file: PackageFile) -> None:
        try:
            await publish_file(seaway, channel, file, by=by)
        except TooManyRequests as refused:
            found.append(f"wait {refused.retry_after_seconds} s")
        else:
            found.append("accepted")

    async with anyio.create_task_group() as group:
        for file in package_files:
            group.start_soon(send, file)
    return sorted(found)


async def test_burst_is_accepted_at_once_and_then_one_file_per_interval(
    with_rate_of_six: Seaway, clock: ManualClock
) -> None:
    """Exactly six of ten files are accepted, then one for each ten minutes; other senders are not affected."""
    factory = Factory(with_rate_of_six)
    factory.channel("boats", owner="ada")
    factory.member("boats", "bob", Role.CONTRIBUTOR)
    ada = factory.caller_of_key(factory.key("ada"))

    assert ["accepted"] * 6 + ["wait 600 s"] * 4 == await outcomes(with_rate_of_six, ada, "boats", files("a", 10))
    assert ["accepted"] == await outcomes(
        with_rate_of_six, factory.caller_of_key(factory.key("bob")), "boats", files("b", 1)
    )
    assert ["accepted"] * 9 == await outcomes(with_rate_of_six, OPERATOR, "boats", files("o", 9))
    clock.move(10 * MINUTE_MS)
    assert ["accepted", "wait 600 s"] == await outcomes(with_rate_of_six, ada, "boats", files("c", 2))


async def test_workflows_of_a_publisher_share_a_rate(with_rate_of_six: Seaway) -> None:
    """Tokens live for minutes, so the rate cannot be per token."""
    Factory(with_rate_of_six).channel("boats", owner="ada")
    workflow = workflows.workflow_caller(with_rate_of_six, "boats")

    assert ["accepted"] * 6 + ["wait 600 s"] == await outcomes(with_rate_of_six, workflow, "boats", files("w", 7))
    of_another_publisher = replace(workflow, grants=(replace(workflow.grants[0], publisher_id=2),))
    assert ["accepted"] == await outcomes(with_rate_of_six, of_another_publisher, "boats", files("x", 1)), (
        "other publishers with the same name have their own rate"
    )


async def test_rate_above_one_file_per_millisecond_works(tmp_path: Path, clock: ManualClock) -> None:
    """Any two numbers that an operator sets accept uploads."""
    with closing(sites.build(tmp_path, clock, uploads_per_hour=4_000_000, upload_burst=1)) as fast:
        Factory(fast).channel("boats", owner="ada")
        ada = Factory(fast).caller_of_key(Factory(fast).key("ada"))
        for number in range(2):
            assert ["accepted"] == await outcomes(fast, ada, "boats", files(f"fast-{number}", 1))
            clock.move(1)


async def test_upload_over_the_rate_is_refused_before_its_bytes_are_read(tmp_path: Path, clock: ManualClock) -> None:
    """429 with the time to wait, for every key of the user and both upload methods; refused files do not count."""
    with closing(sites.build(tmp_path, clock, uploads_per_hour=2, upload_burst=2)) as seaway:
        factory = Factory(seaway)
        factory.channel("boats", owner="ada")
        transport = httpx.ASGITransport(create_app(seaway))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:

            async def send(file: PackageFile, content: bytes) -> httpx.Response:
                headers = {"Authorization": f"Bearer {factory.key('ada')}", "X-File-Name": file.name}
                return await http.post("/api/v1/upload/boats", content=content, headers=headers)

            first, second, third = files("d", 3)
            statuses = [
                (await send(*package_files)).status_code
                for package_files in ((first, first.content), (second, b"no package"))
            ]
            assert [201, 422] == statuses
            assert 201 == (await send(second, second.content)).status_code
            refused = await send(third, b"no package")
            assert [429, "1800"] == [refused.status_code, refused.headers["retry-after"]]
            assert "Too many uploads. Wait a while, then try again." == refused.text
            resumable = await http.post(
                "/api/v1/uploads/boats",
                headers={
                    "Authorization": f"Bearer {factory.key('ada')}",
                    "Tus-Resumable": "1.0.0",
                    "Upload-Length": "9",
                    "Upload-Metadata": "filename ZC0yLTEuMC1oMV8wLmNvbmRh",
                },
            )
            assert 429 == resumable.status_code


async def test_rate_of_zero_means_no_limit(tmp_path: Path, clock: ManualClock) -> None:
    with closing(sites.build(tmp_path, clock, uploads_per_hour=0)) as seaway:
        factory = Factory(seaway)
        factory.channel("boats", owner="ada")
        assert ["accepted"] * 7 == await outcomes(
            seaway, factory.caller_of_key(factory.key("ada")), "boats", files("e", 7)
        )
