"""What the operating system refuses is a 503 that says when to come again, and one line in the log, whatever is asked."""

import base64
import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from seaway.conda.limits import ArchiveLimits
from seaway.conda.streams import decompress_bzip2
from seaway.database.sqlite import SqliteDatabase
from seaway.errors import DiskFull, Unavailable
from seaway.publishing import images
from seaway.publishing.examiners import Examiners
from seaway.server import wiring
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.serving.readiness import Readiness
from seaway.settings import Settings
from seaway.storage.blobs import BlobStore
from seaway.storage.spool import Spool
from tests.indexing.channel import with_in_process_examiners
from tests.support import house, packages, state
from tests.support.house import People
from tests.support.mounts import read_only
from tests.support.server import Server, serving

CHANNEL = "boats"
THERE = packages.conda(packages.index_json("there"), files={"share/noise": os.urandom(300_000)})
NEW = packages.conda(packages.index_json("new"))

ERRORS: dict[str, Exception] = {
    **{
        errno.errorcode[number]: OSError(number, os.strerror(number), "/var/secret/place")
        for number in (
            errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE,
            errno.EDQUOT, errno.ENOSPC, errno.EAGAIN, errno.ENODEV, errno.ENOTDIR, errno.ENOTCONN,
        )
    },
    "memory": MemoryError(),
    "thread": RuntimeError("can't start new thread"),
}  # fmt: skip


class Failing:
    """A part whose methods all fail, once it is told to."""

    def __init__(self, part: Any) -> None:
        self._part = part
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name) if self.error is None else self._fail

    def _fail(self, *_: object, **__: object) -> None:
        assert self.error is not None
        raise self.error


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Seaway, Failing, str]]:
    """A house whose store fails when it is told to, and a key of the owner of its channel."""
    folder = tmp_path_factory.mktemp("house")
    settings = Settings(data=folder / "data", **state.settings(folder))
    failing = Failing(wiring.open_store(settings))
    blobs: BlobStore = failing  # type: ignore[assignment]
    seaway = with_in_process_examiners(wiring.build(settings, blobs=blobs))
    People(seaway).channel(CHANNEL, owner="owner")
    yield seaway, failing, People(seaway).key("owner")
    failing.error = None
    seaway.close()
    state.forget(folder)


@pytest.fixture
async def http(store: tuple[Seaway, Failing, str]) -> AsyncIterator[httpx.AsyncClient]:
    seaway, failing, key = store
    failing.error = None
    async with client(seaway, key) as http:
        await upload(http, THERE)
        yield http
        failing.error = None


def client(seaway: Seaway, key: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=create_app(seaway))
    return httpx.AsyncClient(
        transport=transport, base_url="http://seaway.test", headers={"Authorization": f"Bearer {key}"}
    )


async def upload(http: httpx.AsyncClient, file: packages.PackageFile) -> httpx.Response:
    return await http.post(f"/api/v1/upload/{CHANNEL}", content=file.content, headers={"X-File-Name": file.name})


async def upload_form(http: httpx.AsyncClient, file: packages.PackageFile) -> httpx.Response:
    return await http.post(f"/api/v1/upload/{CHANNEL}", files={"file": (file.name, file.content)})


async def upload_pieces(http: httpx.AsyncClient, file: packages.PackageFile) -> httpx.Response:
    named = f"filename {base64.b64encode(file.name.encode()).decode()}"
    begun = await http.post(
        f"/api/v1/uploads/{CHANNEL}",
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(len(file.content)), "Upload-Metadata": named},
    )
    assert 201 == begun.status_code, begun.text
    return await http.patch(
        begun.headers["location"],
        content=file.content,
        headers={
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": "0",
            "Content-Type": "application/offset+octet-stream",
        },
    )


async def download(http: httpx.AsyncClient, file: packages.PackageFile) -> httpx.Response:
    return await http.get(f"/{CHANNEL}/noarch/{THERE.name}")


async def page(http: httpx.AsyncClient, file: packages.PackageFile) -> httpx.Response:
    return await http.get(f"/{CHANNEL}/noarch/{THERE.name}", headers={"Accept": "text/html"})


ASKS = {"upload": upload, "form": upload_form, "pieces": upload_pieces, "download": download, "page": page}


def told_once(answer: httpx.Response, logs: list[Any]) -> None:
    """503, when to come again, no path, and one line without a traceback besides that of the request."""
    assert (503, True) == (answer.status_code, "retry-after" in answer.headers), answer.text
    assert "secret" not in answer.text
    lines = [line for line in logs if line["event"] != "request"]
    assert ["request.unavailable"] == [line["event"] for line in lines], lines
    assert not lines[0].get("exc_info")


@pytest.mark.anyio
@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("name", ERRORS)
async def test_a_store_that_fails_is_told(
    http: httpx.AsyncClient, store: tuple[Seaway, Failing, str], name: str, ask: str
) -> None:
    """Each error at each door."""
    store[1].error = ERRORS[name]
    with structlog.testing.capture_logs() as logs:
        answer = await ASKS[ask](http, NEW)
    told_once(answer, logs)
    if ask == "pieces":
        assert "1.0.0" == answer.headers["tus-resumable"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["EROFS", "EMFILE", "ENOSPC", "thread"])
@pytest.mark.parametrize("part", ["spool", "disk"])
async def test_a_spool_and_threads_that_fail_are_told(store: tuple[Seaway, Failing, str], part: str, name: str) -> None:
    """A file that cannot be made, a thread that cannot be started: 503 for every kind of upload."""
    seaway, failing, key = store
    failing.error = None
    broken = Failing(getattr(seaway.request_parts.publishing, part))
    broken.error = ERRORS[name]
    publishing = replace(seaway.request_parts.publishing, **{part: broken})
    async with client(replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing)), key) as http:
        for ask in (upload, upload_form, upload_pieces):
            with structlog.testing.capture_logs() as logs:
                answer = await ask(
                    http, packages.conda(packages.index_json("large"), files={"a": os.urandom(3_000_000)})
                )
            told_once(answer, logs)
    assert [] == list(seaway.settings.spool_folder.iterdir())


@pytest.mark.anyio
async def test_examiners_that_cannot_be_started_are_told(
    http: httpx.AsyncClient, store: tuple[Seaway, Failing, str]
) -> None:
    """The process of an examiner cannot be made: no fault of the package."""
    seaway, _, key = store
    examiners = Examiners(ArchiveLimits(), processes=1, refuse_escaping_links=False, interpreter="/nowhere/python")
    publishing = replace(seaway.request_parts.publishing, examiners=examiners)
    async with client(replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing)), key) as http:
        with structlog.testing.capture_logs() as logs:
            answer = await upload(http, NEW)
    told_once(answer, logs)


@pytest.mark.anyio
async def test_a_fault_of_ours_is_still_a_fault(http: httpx.AsyncClient, store: tuple[Seaway, Failing, str]) -> None:
    """What no operating system said keeps its traceback."""
    store[1].error = RuntimeError("a mistake")
    with structlog.testing.capture_logs() as logs:
        answer = await upload(http, NEW)
    assert 500 == answer.status_code
    assert ["request.failed"] == [line["event"] for line in logs if line["event"] != "request"]


def test_a_disk_that_fails_while_an_archive_is_read_is_no_fault_of_the_archive(tmp_path: Path) -> None:
    """bzip2 and Pillow raise errors of the same type for what strangers send."""

    def chunks() -> Iterator[bytes]:
        raise ERRORS["EIO"]
        yield b""

    with pytest.raises(OSError, match="Input/output"):
        list(decompress_bzip2(chunks(), "the archive"))
    with pytest.raises(FileNotFoundError):
        images.encode_png(tmp_path / "gone")


def test_a_database_says_what_is_wrong(tmp_path: Path) -> None:
    """Full, read-only and not to be opened are told apart."""
    database = SqliteDatabase(tmp_path / "seaway.db", tmp_path / "locks")
    with pytest.raises(DiskFull):
        write(database, "PRAGMA max_page_count = 2")
    database.close()
    database = SqliteDatabase(tmp_path / "seaway.db", tmp_path / "locks")
    with pytest.raises(Unavailable, match="read-only"):
        write(database, "PRAGMA query_only = 1")
    database.close()
    with (
        pytest.raises(Unavailable, match="cannot be opened"),
        SqliteDatabase(tmp_path / "nowhere" / "seaway.db", tmp_path / "locks").read(),
    ):
        pass


def write(database: SqliteDatabase, pragma: str) -> None:
    with database.write_site() as tx:
        tx.exec_driver_sql(pragma)
        tx.exec_driver_sql("CREATE TABLE numbers (number INTEGER)")
        tx.exec_driver_sql("CREATE TABLE others (number INTEGER)")


# The spool.


def test_a_spool_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """Invariant 3 of the spool."""
    spool = Spool(tmp_path / "data" / "spool")
    shutil.rmtree(tmp_path / "data" / "spool")
    assert 0 == spool.clear_orphans()
    with spool.file() as file, spool.folder() as folder:
        assert {Path(file.name), folder} == set((tmp_path / "data" / "spool").iterdir())


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_spool_is_not_made_in_another_folder(tmp_path: Path, is_replaced: bool) -> None:
    """Invariant 3 of the spool: an unmounted data folder leaves an empty one in its place."""
    spool = Spool(tmp_path / "data" / "spool")
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    if is_replaced:
        (tmp_path / "data").mkdir()
    with pytest.raises(Unavailable, match="spool folder of the server is missing"), spool.file():
        pass
    assert not (tmp_path / "data" / "spool").exists()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ERRORS["EROFS"], "The spool folder is read-only."),
        (ERRORS["EACCES"], "The spool folder denies access to the server."),
        (ERRORS["ENOSPC"], "The spool folder is full."),
        (ERRORS["EIO"], "The spool folder cannot be read or written."),
        (ERRORS["EMFILE"], "The spool folder is unavailable: too many files are open."),
        (ValueError("secret"), "The spool folder does not answer."),
    ],
)
async def test_the_probe_says_what_is_wrong_with_the_spool(
    store: tuple[Seaway, Failing, str], error: Exception, sentence: str
) -> None:
    """503, the part, and the reason in plain words; nothing that strangers may not know."""
    seaway, failing, key = store
    failing.error = None
    spool = Failing(seaway.spool)
    readiness = Readiness(seaway.database, seaway.blobs, spool=spool)  # type: ignore[arg-type]
    async with client(replace(seaway, request_parts=replace(seaway.request_parts, readiness=readiness)), key) as http:
        assert (200, "ready") == ((answer := await http.get("/health/ready")).status_code, answer.text)
        spool.error = error
        assert (503, sentence) == ((answer := await http.get("/health/ready")).status_code, answer.text)


# Real causes, on one machine.


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Server, httpx.Client]]:
    """A server on SQLite and a folder, with a channel and one package."""
    with state.choose(state.SQLITE_DISK):
        built = house.build(tmp_path)
        People(built).channel(CHANNEL, owner="owner")
        key = People(built).key("owner")
        built.close()
        with serving(tmp_path, examiners=1) as server, server.client(key) as http:
            assert 201 == send(http, THERE).status_code
            yield server, http


def send(http: httpx.Client, file: packages.PackageFile) -> httpx.Response:
    return http.post(f"/api/v1/upload/{CHANNEL}", content=file.content, headers={"X-File-Name": file.name})


def test_a_read_only_spool(running: tuple[Server, httpx.Client]) -> None:
    """Uploads are refused, readers go on, the probe says why; with the mount gone everything goes on."""
    server, http = running
    with read_only(server.folder / "data" / "spool"):
        answers = [send(http, NEW), http.get("/health/ready")]
        whole = http.get(f"/{CHANNEL}/noarch/{THERE.name}")
    assert [503, 503] == [answer.status_code for answer in answers]
    assert "retry-after" in answers[0].headers
    assert "The spool folder is read-only." == answers[1].text
    assert THERE.content == whole.content
    assert [201, 200] == [send(http, NEW).status_code, http.get("/health/ready").status_code]
    assert not [line for line in server.log if "Traceback" in line]


def test_a_removed_spool(running: tuple[Server, httpx.Client]) -> None:
    """It is made again, and nobody notices."""
    server, http = running
    shutil.rmtree(server.folder / "data" / "spool")
    assert [200, 201] == [http.get("/health/ready").status_code, send(http, NEW).status_code]


def test_too_many_open_files(running: tuple[Server, httpx.Client]) -> None:
    """Whatever needs another file is 503 meanwhile; with the limit raised it goes on."""
    server, http = running
    with no_more_files(server.process.pid):
        answers = [http.get(f"/{CHANNEL}/noarch/{THERE.name}"), send(http, NEW), http.get("/health/ready")]
        page = http.get("/channels/nobody", headers={"Accept": "text/html"})
    assert [503] * 3 == [answer.status_code for answer in answers]
    assert all("retry-after" in answer.headers for answer in answers[:2])
    assert "too many files are open" in answers[2].text
    assert 500 != page.status_code
    assert [200, 201] == [http.get(f"/{CHANNEL}/noarch/{THERE.name}").status_code, send(http, NEW).status_code]
    assert not [line for line in server.log if "Traceback" in line], "".join(server.log)


_STANDARD_STREAMS = 3


@contextmanager
def no_more_files(pid: int) -> Iterator[None]:
    """A running process can open nothing more."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # Not the first free number: what a background job closes meanwhile would be free to be opened again.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (_STANDARD_STREAMS, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_log_on_a_full_disk_fails_no_request() -> None:
    """A line that cannot be written is lost, whichever way it is written."""
    program = (
        "import asyncio, logging, structlog; from seaway import logs; logs.set_up('text', 'info');"
        "structlog.get_logger().error('a'); logging.getLogger('b').error('b');"
        'exec(\'async def main():\\n logs.REQUEST_LOG.write("GET", "/", 200, 1.0, "")\\n await asyncio.sleep(0)\');'
        "asyncio.run(main()); print('went on')"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stderr=full, stdout=subprocess.PIPE, text=True, check=False
        )
    assert "went on\n" == done.stdout
