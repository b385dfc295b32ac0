"""Fairness: slow files of one sender do not block others, and the time of refused files is limited."""

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
from tests.support import sites, workflows
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, conda, index_json
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio

SMALL = conda(index_json("small"))


@dataclass
class Gate:
    """Gate that lets slow examinations end one by one, and counts those that began and ended."""

    opened: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    began: int = 0
    ended: int = 0


class GatedExaminers(Examiners):
    """Examiners in this process; files named `slow-*` wait for the gate and are refused."""

    def __init__(self, processes: int, gate: Gate) -> None:
        super().__init__(ArchiveLimits(), processes=processes, refuse_escaping_links=False)
        self._gate = gate

    def examine(self, path: Path, file_name: FileName, hashes: FileDigest) -> Candidate:
        if not file_name.name.startswith("slow-"):
            return examine(path, file_name, hashes, ArchiveLimits(), refuse_escaping_links=False)
        self._gate.began += 1
        self._gate.opened.acquire()
        self._gate.ended += 1
        raise Refused(RefusalReason.BAD_FIELD, "It is bad.")


def with_examiners(seaway: Seaway, examiners: Examiners, **parts: object) -> Seaway:
    publishing = replace(seaway.request_parts.publishing, examiners=examiners, **parts)  # type: ignore[arg-type]
    return replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing))


@pytest.fixture
def factory(seaway: Seaway) -> Factory:
    factory = Factory(seaway)
    factory.channel("boats", owner="ada")
    factory.member("boats", "mallory", Role.CONTRIBUTOR)
    return factory


async def expect_refusal(seaway: Seaway, number: int, by: Caller) -> None:
    with pytest.raises(SeawayError):
        await publish_file(seaway, "boats", conda(index_json(f"slow-{number}")), by=by)


async def until_waiting(gate: Gate, number: int) -> None:
    with anyio.fail_after(30):
        while gate.began < number:
            await anyio.sleep(0.01)


async def until_queued(seaway: Seaway, senders: int) -> None:
    """Wait until uploads of this number of senders wait for an examiner."""
    with anyio.fail_after(30):
        while len(seaway.request_parts.publishing.examiners.slots._waiting) < senders:
            await anyio.sleep(0.01)


@pytest.mark.parametrize("kind", ["user", "publisher"])
async def test_forty_slow_files_of_one_sender_do_not_block_others(seaway: Seaway, factory: Factory, kind: str) -> None:
    """With two examiners one stays free for other senders, and so do threads for finishing uploads."""
    gate = Gate()
    slow = with_examiners(seaway, GatedExaminers(2, gate))
    mallory = (
        factory.caller_of_key(factory.key("mallory")) if kind == "user" else workflows.workflow_caller(seaway, "boats")
    )
    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(expect_refusal, slow, number, mallory)
        await until_waiting(gate, 1)
        await until_queued(slow, 1)
        with anyio.fail_after(30):
            await publish_file(slow, "boats", SMALL, by=factory.caller_of_key(factory.key("ada")))
        assert (1, 0) == (gate.began, gate.ended)
        gate.opened.release(40)


async def test_senders_take_turns_with_one_examiner(seaway: Seaway, factory: Factory) -> None:
    """A later sender waits for the file in examination, and not for all earlier files."""
    gate = Gate()
    slow = with_examiners(seaway, GatedExaminers(1, gate))
    mallory = factory.caller_of_key(factory.key("mallory"))
    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(expect_refusal, slow, number, mallory)
        await until_waiting(gate, 1)
        done = anyio.Event()

        async def publish_small() -> None:
            await publish_file(slow, "boats", SMALL, by=factory.caller_of_key(factory.key("ada")))
            done.set()

        group.start_soon(publish_small)
        await until_queued(slow, 2)
        gate.opened.release(1)
        with anyio.fail_after(30):
            await done.wait()
        assert 1 == gate.ended
        gate.opened.release(20)


async def test_canceled_upload_releases_its_slot(seaway: Seaway, factory: Factory) -> None:
    gate = Gate()
    slow = with_examiners(seaway, GatedExaminers(1, gate))
    mallory = factory.caller_of_key(factory.key("mallory"))
    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(expect_refusal, slow, number, mallory)
        await until_waiting(gate, 1)
        gate.opened.release(1)
        group.cancel_scope.cancel()
    gate.opened.release(5)
    with anyio.fail_after(30):
        await publish_file(slow, "boats", SMALL, by=factory.caller_of_key(factory.key("ada")))


@pytest.mark.slow
async def test_real_slow_archives_do_not_block_others(tmp_path: Path) -> None:
    """With real processes and files that take seconds, another user's upload completes before the first of them."""
    many = {f"share/{number}": b"" for number in range(60_000)}
    content = conda(index_json("slow"), files={**many, "../late": b""}).content
    ended: list[int] = []
    with closing(sites.build(tmp_path, examiners=2)) as seaway:
        factory = Factory(seaway)
        factory.channel("boats", owner="ada")
        factory.member("boats", "mallory", Role.CONTRIBUTOR)
        seaway.request_parts.publishing.examiners.warm_up()
        mallory, ada = (factory.caller_of_key(factory.key(name)) for name in ("mallory", "ada"))

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


class SteppingStopwatch:
    """A time source that advances by some minutes at each call."""

    def __init__(self, minutes: int = 7) -> None:
        self._now, self._step = 0.0, minutes * 60

    def __call__(self) -> float:
        self._now += self._step
        return self._now


@pytest.fixture
def with_slow_examiners(on_both: str, tmp_path: Path, clock: ManualClock) -> Iterator[Seaway]:
    """Return a Seaway instance in which each examination takes seven minutes."""
    with closing(sites.build(tmp_path, clock)) as built:
        gate = Gate()
        gate.opened.release(100)
        refused_time = RefusedTime(built.site, SteppingStopwatch())
        yield with_examiners(built, GatedExaminers(2, gate), refused_time=refused_time)


async def test_time_of_refused_files_is_limited(with_slow_examiners: Seaway, clock: ManualClock) -> None:
    """After ten minutes in an hour the user waits, with every key, until the rest has expired; others do not."""
    factory = Factory(with_slow_examiners)
    factory.channel("boats", owner="ada")
    factory.member("boats", "mallory", Role.CONTRIBUTOR)
    mallory, ada = (factory.caller_of_key(factory.key(name)) for name in ("mallory", "ada"))
    for number in range(2):
        with pytest.raises(Refused):
            await publish_file(with_slow_examiners, "boats", conda(index_json(f"slow-{number}")), by=mallory)
    with pytest.raises(TooManyRequests, match="Too many refused files that take long to examine") as waits:
        await publish_file(with_slow_examiners, "boats", SMALL, by=factory.caller_of_key(factory.key("mallory")))
    assert 24 * 60 <= waits.value.retry_after_seconds <= 24 * 60 + 1
    await publish_file(with_slow_examiners, "boats", SMALL, by=ada)
    await publish_file(with_slow_examiners, "boats", conda(index_json("other")), by=OPERATOR)
    clock.move(24 * MINUTE_MS + 1000)
    with with_slow_examiners.site.database.write_site() as tx:
        rate_limits.delete_expired(tx, clock.now_ms())
    await publish_file(with_slow_examiners, "boats", conda(index_json("mine")), by=mallory)


async def test_queued_files_are_refused_once_the_limit_is_reached(seaway: Seaway, factory: Factory) -> None:
    """All three were admitted before the first was refused; the last one is then not examined."""
    gate, ended = Gate(), []
    refused_time = RefusedTime(seaway.site, SteppingStopwatch(minutes=11))
    slow = with_examiners(seaway, GatedExaminers(2, gate), refused_time=refused_time)
    mallory = factory.caller_of_key(factory.key("mallory"))

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


async def test_time_of_accepted_files_does_not_count(with_slow_examiners: Seaway) -> None:
    """Refusals before the examination do not count either."""
    factory = Factory(with_slow_examiners)
    factory.channel("boats", owner="ada")
    ada = factory.caller_of_key(factory.key("ada"))
    for number in range(4):
        await publish_file(with_slow_examiners, "boats", conda(index_json(f"p{number}")), by=ada)
        with pytest.raises(NotFound):
            await publish_file(with_slow_examiners, "elsewhere", SMALL, by=ada)


async def test_refused_overwrite_counts(with_slow_examiners: Seaway) -> None:
    """The file is examined before it is refused."""
    factory = Factory(with_slow_examiners)
    factory.channel("boats", owner="ada")
    ada = factory.caller_of_key(factory.key("ada"))
    await publish_file(with_slow_examiners, "boats", SMALL, by=ada)
    for _ in range(2):
        with pytest.raises(SeawayError, match="with other contents"):
            await publish_file(with_slow_examiners, "boats", conda(index_json("small"), files={"a": b"b"}), by=ada)
    with pytest.raises(TooManyRequests):
        await publish_file(with_slow_examiners, "boats", conda(index_json("more")), by=ada)


async def test_time_limit_returns_429_with_retry_after(with_slow_examiners: Seaway) -> None:
    """By both upload methods."""
    factory = Factory(with_slow_examiners)
    factory.channel("boats", owner="ada")
    key = factory.key("ada")
    for number in range(2):
        with pytest.raises(Refused):
            await publish_file(
                with_slow_examiners, "boats", conda(index_json(f"slow-{number}")), by=factory.caller_of_key(key)
            )
    transport = httpx.ASGITransport(create_app(with_slow_examiners))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        headers = {"Authorization": f"Bearer {key}", "X-File-Name": SMALL.name}
        whole = await http.post("/api/v1/upload/boats", content=SMALL.content, headers=headers)
        pieces = {**headers, "Tus-Resumable": "1.0.0", "Upload-Length": "9"}
        pieces["Upload-Metadata"] = "filename ZC0yLTEuMC1oMV8wLmNvbmRh"
        resumable = await http.post("/api/v1/uploads/boats", headers=pieces)
    for response in (whole, resumable):
        assert 429 == response.status_code
        assert "Too many refused files that take long to examine. Wait a while, then try again." == response.text
        assert int(response.headers["retry-after"]) > 1_400


async def test_small_times_are_summed_before_a_commit(seaway: Seaway, factory: Factory) -> None:
    """They are written once they reach a second."""
    ada = factory.caller_of_key(factory.key("ada"))
    refused_time = RefusedTime(seaway.site)

    def refuse(ms: int) -> bool:
        before = seaway.site.database.change_mark()
        with suppress(Refused), refused_time.counted(ada) as stopwatch:
            stopwatch.ms += ms
            raise Refused(RefusalReason.BAD_FIELD, "It is bad.")
        return seaway.site.database.change_mark() != before

    assert [False, False, True, False] == [refuse(400) for _ in range(4)]


@pytest.mark.parametrize("error", [Unavailable("The disk is full."), TooManyRequests("Wait.")], ids=type)
async def test_time_of_temporary_failures_does_not_count(seaway: Seaway, factory: Factory, error: SeawayError) -> None:
    """Nothing is wrong with these files: the server was busy or lacked a resource."""
    mallory = factory.caller_of_key(factory.key("mallory"))
    refused_time = RefusedTime(seaway.site, SteppingStopwatch(minutes=11))
    with pytest.raises(type(error)), refused_time.counted(mallory) as stopwatch, stopwatch:
        raise error
    with seaway.site.database.read() as tx:
        refused_time.require_room(tx, mallory)
