"""Errors of the operating system: a 503 with Retry-After and one log line, on every route."""

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
from tests.support import packages, sites, state
from tests.support.mounts import read_only
from tests.support.server import Server, serving
from tests.support.sites import Factory

CHANNEL = "boats"
STORED = packages.conda(packages.index_json("there"), files={"share/noise": os.urandom(300_000)})
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
    """A part whose methods all raise `error`, once it is set."""

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
    """A Seaway whose store can be made to fail, and a key of the channel owner."""
    folder = tmp_path_factory.mktemp("site")
    settings = Settings(data=folder / "data", **state.settings(folder))
    failing = Failing(wiring.open_store(settings))
    blobs: BlobStore = failing  # type: ignore[assignment]
    seaway = with_in_process_examiners(wiring.build(settings, blobs=blobs))
    Factory(seaway).channel(CHANNEL, owner="owner")
    yield seaway, failing, Factory(seaway).key("owner")
    failing.error = None
    seaway.close()
    state.forget(folder)


@pytest.fixture
async def http(store: tuple[Seaway, Failing, str]) -> AsyncIterator[httpx.AsyncClient]:
    seaway, failing, key = store
    failing.error = None
    async with client(seaway, key) as http:
        await upload(http, STORED)
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
    metadata = f"filename {base64.b64encode(file.name.encode()).decode()}"
    created = await http.post(
        f"/api/v1/uploads/{CHANNEL}",
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(len(file.content)), "Upload-Metadata": metadata},
    )
    assert 201 == created.status_code, created.text
    return await http.patch(
        created.headers["location"],
        content=file.content,
        headers={
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": "0",
            "Content-Type": "application/offset+octet-stream",
        },
    )


async def download(http: httpx.AsyncClient, file: packages.PackageFile) -> httpx.Response:
    return await http.get(f"/{CHANNEL}/noarch/{STORED.name}")


async def page(http: httpx.AsyncClient, file: packages.PackageFile) -> httpx.Response:
    return await http.get(f"/{CHANNEL}/noarch/{STORED.name}", headers={"Accept": "text/html"})


REQUESTS = {"upload": upload, "form": upload_form, "pieces": upload_pieces, "download": download, "page": page}


def assert_unavailable(response: httpx.Response, logs: list[Any]) -> None:
    """Check for a 503 with Retry-After, without a path, and one log line without traceback besides the request line."""
    assert (503, True) == (response.status_code, "retry-after" in response.headers), response.text
    assert "secret" not in response.text
    lines = [line for line in logs if line["event"] != "request"]
    assert ["request.unavailable"] == [line["event"] for line in lines], lines
    assert not lines[0].get("exc_info")


@pytest.mark.anyio
@pytest.mark.parametrize("route", REQUESTS)
@pytest.mark.parametrize("name", ERRORS)
async def test_failing_store_returns_503(
    http: httpx.AsyncClient, store: tuple[Seaway, Failing, str], name: str, route: str
) -> None:
    """Each error on each route."""
    store[1].error = ERRORS[name]
    with structlog.testing.capture_logs() as logs:
        response = await REQUESTS[route](http, NEW)
    assert_unavailable(response, logs)
    if route == "pieces":
        assert "1.0.0" == response.headers["tus-resumable"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["EROFS", "EMFILE", "ENOSPC", "thread"])
@pytest.mark.parametrize("part", ["spool", "disk"])
async def test_failing_spool_or_threads_return_503(store: tuple[Seaway, Failing, str], part: str, name: str) -> None:
    """If a file cannot be created or a thread started, every kind of upload gets a 503."""
    seaway, failing, key = store
    failing.error = None
    whole = seaway.site.spool if part == "spool" else seaway.request_parts.publishing.disk
    broken: Any = Failing(whole)
    broken.error = ERRORS[name]
    publishing = seaway.request_parts.publishing
    if part == "spool":
        publishing = replace(publishing, site=replace(publishing.site, spool=broken))
    else:
        publishing = replace(publishing, disk=broken)
    async with client(replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing)), key) as http:
        for send_file in (upload, upload_form, upload_pieces):
            with structlog.testing.capture_logs() as logs:
                response = await send_file(
                    http, packages.conda(packages.index_json("large"), files={"a": os.urandom(3_000_000)})
                )
            assert_unavailable(response, logs)
    assert [] == list(seaway.settings.spool_folder.iterdir())


@pytest.mark.anyio
async def test_examiner_that_cannot_start_returns_503(
    http: httpx.AsyncClient, store: tuple[Seaway, Failing, str]
) -> None:
    """A process that cannot be created is not a fault of the package."""
    seaway, _, key = store
    examiners = Examiners(ArchiveLimits(), processes=1, refuse_escaping_links=False, interpreter="/nowhere/python")
    publishing = replace(seaway.request_parts.publishing, examiners=examiners)
    async with client(replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing)), key) as http:
        with structlog.testing.capture_logs() as logs:
            response = await upload(http, NEW)
    assert_unavailable(response, logs)


@pytest.mark.anyio
async def test_other_errors_still_return_500(http: httpx.AsyncClient, store: tuple[Seaway, Failing, str]) -> None:
    """An error that is not from the operating system is logged with its traceback."""
    store[1].error = RuntimeError("a mistake")
    with structlog.testing.capture_logs() as logs:
        response = await upload(http, NEW)
    assert 500 == response.status_code
    assert ["request.failed"] == [line["event"] for line in logs if line["event"] != "request"]


def test_disk_error_while_reading_an_archive_is_not_a_bad_archive(tmp_path: Path) -> None:
    """bzip2 and Pillow raise errors of the same type for malformed uploads."""

    def chunks() -> Iterator[bytes]:
        raise ERRORS["EIO"]
        yield b""

    with pytest.raises(OSError, match="Input/output"):
        list(decompress_bzip2(chunks(), "the archive"))
    with pytest.raises(FileNotFoundError):
        images.encode_png(tmp_path / "gone")


def test_database_errors_are_distinguished(tmp_path: Path) -> None:
    """Full, read-only, and impossible to open."""
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


# Spool


def test_removed_spool_is_created_again(tmp_path: Path) -> None:
    """Invariant 3 of the spool."""
    spool = Spool(tmp_path / "data" / "spool")
    shutil.rmtree(tmp_path / "data" / "spool")
    assert 0 == spool.clear_orphans()
    with spool.file() as file, spool.folder() as folder:
        assert {Path(file.name), folder} == set((tmp_path / "data" / "spool").iterdir())


@pytest.mark.parametrize("is_replaced", [False, True])
def test_spool_is_not_created_in_a_replaced_data_folder(tmp_path: Path, is_replaced: bool) -> None:
    """Invariant 3 of the spool: an unmounted data folder leaves an empty folder in its place."""
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
        (ValueError("secret"), "The spool folder does not respond."),
    ],
)
async def test_probe_reports_the_state_of_the_spool(
    store: tuple[Seaway, Failing, str], error: Exception, sentence: str
) -> None:
    """503 with the part and the reason in plain words, without internal details."""
    seaway, failing, key = store
    failing.error = None
    spool = Failing(seaway.site.spool)
    readiness = Readiness(replace(seaway.site, spool=spool))  # type: ignore[arg-type]
    async with client(replace(seaway, request_parts=replace(seaway.request_parts, readiness=readiness)), key) as http:
        assert (200, "ready") == ((response := await http.get("/health/ready")).status_code, response.text)
        spool.error = error
        assert (503, sentence) == ((response := await http.get("/health/ready")).status_code, response.text)


# Real causes, on one machine


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Server, httpx.Client]]:
    """A server on SQLite and a folder, with a channel and one package."""
    with state.choose(state.SQLITE_DISK):
        seaway = sites.build(tmp_path)
        Factory(seaway).channel(CHANNEL, owner="owner")
        key = Factory(seaway).key("owner")
        seaway.close()
        with serving(tmp_path, examiners=1) as server, server.client(key) as http:
            assert 201 == send(http, STORED).status_code
            yield server, http


def send(http: httpx.Client, file: packages.PackageFile) -> httpx.Response:
    return http.post(f"/api/v1/upload/{CHANNEL}", content=file.content, headers={"X-File-Name": file.name})


def test_read_only_spool_refuses_uploads_only(running: tuple[Server, httpx.Client]) -> None:
    """Uploads are refused, reads work, the probe reports the reason; after unmounting, everything works."""
    server, http = running
    with read_only(server.folder / "data" / "spool"):
        responses = [send(http, NEW), http.get("/health/ready")]
        downloaded = http.get(f"/{CHANNEL}/noarch/{STORED.name}")
    assert [503, 503] == [response.status_code for response in responses]
    assert "retry-after" in responses[0].headers
    assert "The spool folder is read-only." == responses[1].text
    assert STORED.content == downloaded.content
    assert [201, 200] == [send(http, NEW).status_code, http.get("/health/ready").status_code]
    assert not [line for line in server.log if "Traceback" in line]


def test_removed_spool_is_recreated_by_the_server(running: tuple[Server, httpx.Client]) -> None:
    """The probe and uploads work without a restart."""
    server, http = running
    shutil.rmtree(server.folder / "data" / "spool")
    assert [200, 201] == [http.get("/health/ready").status_code, send(http, NEW).status_code]


def test_too_many_open_files_return_503(running: tuple[Server, httpx.Client]) -> None:
    """Requests that need another file get a 503; after raising the limit they work."""
    server, http = running
    with no_more_files(server.process.pid):
        responses = [http.get(f"/{CHANNEL}/noarch/{STORED.name}"), send(http, NEW), http.get("/health/ready")]
        page = http.get("/channels/unknown", headers={"Accept": "text/html"})
    assert [503] * 3 == [response.status_code for response in responses]
    assert all("retry-after" in response.headers for response in responses[:2])
    assert "too many files are open" in responses[2].text
    assert 500 != page.status_code
    assert [200, 201] == [http.get(f"/{CHANNEL}/noarch/{STORED.name}").status_code, send(http, NEW).status_code]
    assert not [line for line in server.log if "Traceback" in line], "".join(server.log)


_STANDARD_STREAMS = 3


@contextmanager
def no_more_files(pid: int) -> Iterator[None]:
    """Prevent a running process from opening files."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # Not the first free number: a file closed by a background job would free a number below the limit.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (_STANDARD_STREAMS, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_log_on_a_full_disk_fails_no_request() -> None:
    """A line that cannot be written is dropped, with each of the log writers."""
    program = (
        "import asyncio, logging, structlog; from seaway import logs; logs.set_up('text', 'info');"
        "structlog.get_logger().error('a'); logging.getLogger('b').error('b');"
        'exec(\'async def main():\\n logs.REQUEST_LOG.write("GET", "/", 200, 1.0, "")\\n await asyncio.sleep(0)\');'
        "asyncio.run(main()); print('went on')"
    )
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-c", program], stderr=full, stdout=subprocess.PIPE, text=True, check=False
        )
    assert "went on\n" == result.stdout
