"""One sender of files that are slow to examine holds nobody else up, and pays for the time of those that are refused."""

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import httpx
import pytest

from seaway.callers import rate_limits
from seaway.callers.caller import OPERATOR, Caller
from seaway.channels.roles import Role
from seaway.clock import MINUTE_MS
from seaway.conda.filename import FileName
from seaway.conda.limits import ArchiveLimits
from seaway.conda.record import FileDigest
from seaway.conda.refusals import RefusalReason, Refused
from seaway.errors import NotFound, SeawayError, TooManyRequests, Unavailable
from seaway.publishing.examine import Candidate, examine
from seaway.publishing.examiners import Examiners
from seaway.publishing.upload_rates import RefusedTime
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from tests.support import house, workflows
from tests.support.clock import TurnedClock
from tests.support.house import People, publish_file
from tests.support.packages import PackageFile, conda, index_json

pytestmark = pytest.mark.anyio

SMALL = conda(index_json("small"))


@dataclass
class Gate:
    """Lets slow examinations end one by one, and knows how many began and ended."""

    opened: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    began: int = 0
    ended: int = 0


class Gated(Examiners):
    """Examines in this process; files called slow-... wait for the gate and are refused."""

    def __init__(self, processes: int, gate: Gate) -> None:
        super().__init__(ArchiveLimits(), processes=processes, refuse_escaping_links=False)
        self._gate = gate

    def examine(self, path: Path, file_name: FileName, hashes: FileDigest) -> Candidate:
        if not file_name.name.startswith("slow-"):
            return examine(path, file_name, hashes, ArchiveLimits(), refuse_escaping_links=False)
        self._gate.began += 1
        self._gate.opened.acquire()
        self._gate.ended += 1
        raise Refused(RefusalReason.BAD_FIELD, "It is bad, which took long to see.")


def with_examiners(seaway: Seaway, examiners: Examiners, **parts: object) -> Seaway:
    publishing = replace(seaway.request_parts.publishing, examiners=examiners, **parts)  # type: ignore[arg-type]
    return replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing))


@pytest.fixture
def people(seaway: Seaway) -> People:
    people = People(seaway)
    people.channel("boats", owner="ada")
    people.member("boats", "mallory", Role.CONTRIBUTOR)
    return people


async def refused(seaway: Seaway, number: int, by: Caller) -> None:
    with pytest.raises(SeawayError):
        await publish_file(seaway, "boats", conda(index_json(f"slow-{number}")), by=by)


async def until_waiting(gate: Gate, number: int) -> None:
    with anyio.fail_after(30):
        while gate.began < number:
            await anyio.sleep(0.01)


async def until_queued(seaway: Seaway, senders: int) -> None:
    """Wait until uploads of so many senders wait for an examiner."""
    with anyio.fail_after(30):
        while len(seaway.request_parts.publishing.examiners.slots._waiting) < senders:
            await anyio.sleep(0.01)


@pytest.mark.parametrize("kind", ["user", "publisher"])
async def test_a_sender_of_forty_slow_files_holds_nobody_up(seaway: Seaway, people: People, kind: str) -> None:
    """With two examiners one is left to others, at once; threads for finishing uploads are too."""
    gate = Gate()
    slow = with_examiners(seaway, Gated(2, gate))
    mallory = people.by_key(people.key("mallory")) if kind == "user" else workflows.principal_of(seaway, "boats")
    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(refused, slow, number, mallory)
        await until_waiting(gate, 1)
        await until_queued(slow, 1)
        with anyio.fail_after(30):
            await publish_file(slow, "boats", SMALL, by=people.by_key(people.key("ada")))
        assert (1, 0) == (gate.began, gate.ended)
        gate.opened.release(40)


async def test_with_one_examiner_senders_take_turns(seaway: Seaway, people: People) -> None:
    """Whoever comes late waits for the file that is being examined, and not for all that came before."""
    gate = Gate()
    slow = with_examiners(seaway, Gated(1, gate))
    mallory = people.by_key(people.key("mallory"))
    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(refused, slow, number, mallory)
        await until_waiting(gate, 1)
        done = anyio.Event()

        async def publish_small() -> None:
            await publish_file(slow, "boats", SMALL, by=people.by_key(people.key("ada")))
            done.set()

        group.start_soon(publish_small)
        await until_queued(slow, 2)
        gate.opened.release(1)
        with anyio.fail_after(30):
            await done.wait()
        assert 1 == gate.ended
        gate.opened.release(20)


async def test_a_cancelled_upload_gives_its_turn_back(seaway: Seaway, people: People) -> None:
    gate = Gate()
    slow = with_examiners(seaway, Gated(1, gate))
    mallory = people.by_key(people.key("mallory"))
    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(refused, slow, number, mallory)
        await until_waiting(gate, 1)
        gate.opened.release(1)
        group.cancel_scope.cancel()
    gate.opened.release(5)
    with anyio.fail_after(30):
        await publish_file(slow, "boats", SMALL, by=people.by_key(people.key("ada")))


@pytest.mark.slow
async def test_real_slow_archives_hold_nobody_up(tmp_path: Path) -> None:
    """Eight files that take seconds each, in real processes: the upload of another user is there before one of them ends."""
    many = {f"share/{number}": b"" for number in range(60_000)}
    content = conda(index_json("slow"), files={**many, "../late": b""}).content
    ended: list[int] = []
    with closing(house.build(tmp_path, examiners=2)) as seaway:
        people = People(seaway)
        people.channel("boats", owner="ada")
        people.member("boats", "mallory", Role.CONTRIBUTOR)
        seaway.examiners.warm_up()
        mallory, ada = (people.by_key(people.key(name)) for name in ("mallory", "ada"))

        async def send(number: int) -> None:
            file = PackageFile("slow-1.0-h1_0.conda", content)
            with pytest.raises(Refused):
                await publish_file(seaway, "boats", file, by=mallory)
            ended.append(number)

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(send, number)
            await until_queued(seaway, 1)  # one is being examined, the others wait
            await publish_file(seaway, "boats", SMALL, by=ada)
            assert [] == ended
            group.cancel_scope.cancel()


class Hours:
    """A watch by which everything takes so many minutes."""

    def __init__(self, minutes: int = 7) -> None:
        self._now, self._step = 0.0, minutes * 60

    def __call__(self) -> float:
        self._now += self._step
        return self._now


@pytest.fixture
def costly(on_both: str, tmp_path: Path, clock: TurnedClock) -> Iterator[Seaway]:
    """A house where each examination takes seven minutes."""
    with closing(house.build(tmp_path, clock)) as built:
        gate = Gate()
        gate.opened.release(100)
        refused_time = RefusedTime(built.database, built.clock, Hours())
        yield with_examiners(built, Gated(2, gate), refused_time=refused_time)


async def test_time_of_refused_files_counts(costly: Seaway, clock: TurnedClock) -> None:
    """After ten minutes in an hour the sender waits until the rest has run out, by every key; others do not."""
    people = People(costly)
    people.channel("boats", owner="ada")
    people.member("boats", "mallory", Role.CONTRIBUTOR)
    mallory, ada = (people.by_key(people.key(name)) for name in ("mallory", "ada"))
    for number in range(2):
        with pytest.raises(Refused):
            await publish_file(costly, "boats", conda(index_json(f"slow-{number}")), by=mallory)
    with pytest.raises(TooManyRequests, match="Too many refused files that take long to examine") as waits:
        await publish_file(costly, "boats", SMALL, by=people.by_key(people.key("mallory")))
    assert 24 * 60 <= waits.value.retry_after_seconds <= 24 * 60 + 1
    await publish_file(costly, "boats", SMALL, by=ada)
    await publish_file(costly, "boats", conda(index_json("other")), by=OPERATOR)
    clock.move(24 * MINUTE_MS + 1000)
    with costly.database.write_site() as tx:
        rate_limits.delete_expired(tx, clock.now_ms())
    await publish_file(costly, "boats", conda(index_json("mine")), by=mallory)


async def test_files_that_waited_are_counted_against_those_before(seaway: Seaway, people: People) -> None:
    """All were let in before the first was refused: the last, whose turn comes later, is not examined any more."""
    gate, ended = Gate(), []
    refused_time = RefusedTime(seaway.database, seaway.clock, Hours(minutes=11))
    slow = with_examiners(seaway, Gated(2, gate), refused_time=refused_time)
    mallory = people.by_key(people.key("mallory"))

    async def send(number: int) -> None:
        try:
            await publish_file(slow, "boats", conda(index_json(f"slow-{number}")), by=mallory)
        except SeawayError as error:
            ended.append(type(error))

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(send, number)
        with anyio.fail_after(30):
            while [2] != [len(waiting) for waiting in slow.request_parts.publishing.examiners.slots._waiting.values()]:
                await anyio.sleep(0.01)
            gate.opened.release(1)
            while not ended:
                await anyio.sleep(0.01)
        gate.opened.release(2)
    assert TooManyRequests in ended


async def test_time_of_files_that_come_in_is_free(costly: Seaway) -> None:
    """And refusals before the examination cost nothing."""
    people = People(costly)
    people.channel("boats", owner="ada")
    ada = people.by_key(people.key("ada"))
    for number in range(4):
        await publish_file(costly, "boats", conda(index_json(f"p{number}")), by=ada)
        with pytest.raises(NotFound):
            await publish_file(costly, "elsewhere", SMALL, by=ada)


async def test_a_file_whose_name_is_taken_counts(costly: Seaway) -> None:
    """Examined first, refused afterwards."""
    people = People(costly)
    people.channel("boats", owner="ada")
    ada = people.by_key(people.key("ada"))
    await publish_file(costly, "boats", SMALL, by=ada)
    for _ in range(2):
        with pytest.raises(SeawayError, match="Published files do not change"):
            await publish_file(costly, "boats", conda(index_json("small"), files={"a": b"b"}), by=ada)
    with pytest.raises(TooManyRequests):
        await publish_file(costly, "boats", conda(index_json("more")), by=ada)


async def test_the_refusal_over_http(costly: Seaway) -> None:
    """429 with Retry-After, by both ways to upload."""
    people = People(costly)
    people.channel("boats", owner="ada")
    key = people.key("ada")
    for number in range(2):
        with pytest.raises(Refused):
            await publish_file(costly, "boats", conda(index_json(f"slow-{number}")), by=people.by_key(key))
    transport = httpx.ASGITransport(create_app(costly))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        headers = {"Authorization": f"Bearer {key}", "X-File-Name": SMALL.name}
        whole = await http.post("/api/v1/upload/boats", content=SMALL.content, headers=headers)
        pieces = {**headers, "Tus-Resumable": "1.0.0", "Upload-Length": "9"}
        pieces["Upload-Metadata"] = "filename ZC0yLTEuMC1oMV8wLmNvbmRh"
        begun = await http.post("/api/v1/uploads/boats", headers=pieces)
    for answer in (whole, begun):
        assert 429 == answer.status_code
        assert "Too many refused files that take long to examine. Wait a while, then try again." == answer.text
        assert int(answer.headers["retry-after"]) > 1_400


async def test_small_times_cost_no_commit(seaway: Seaway, people: People) -> None:
    """They are summed, and written for each second."""
    ada = people.by_key(people.key("ada"))
    counted = RefusedTime(seaway.database, seaway.clock)

    def refuse(ms: int) -> bool:
        before = seaway.database.change_mark()
        with suppress(Refused), counted.counted(ada) as stopwatch:
            stopwatch.ms += ms
            raise Refused(RefusalReason.BAD_FIELD, "It is bad.")
        return seaway.database.change_mark() != before

    assert [False, False, True, False] == [refuse(400) for _ in range(4)]


@pytest.mark.parametrize("error", [Unavailable("The disk is full."), TooManyRequests("Wait.")], ids=type)
async def test_time_of_files_that_can_be_sent_again_is_free(seaway: Seaway, people: People, error: SeawayError) -> None:
    """Nothing is wrong with them: the server was busy, or lacked something."""
    mallory = people.by_key(people.key("mallory"))
    refused_time = RefusedTime(seaway.database, seaway.clock, Hours(minutes=11))
    with pytest.raises(type(error)), refused_time.counted(mallory) as stopwatch, stopwatch:
        raise error
    with seaway.database.read() as tx:
        refused_time.require_room(tx, mallory)
