"""
PostgreSQL, S3 or the disk fail under load, and recover.

During the failure uploads get a 503 with Retry-After, and no other response is wrong. Afterwards the server recovers by
itself, every promise holds, and all published files are available.
"""

import errno
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from seaway.maintenance.check import check
from seaway.server import wiring
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.settings import Settings
from seaway.storage.blobs import BlobStore
from seaway.storage.disk_reserve import Reserve
from tests.crash.load import CHANNEL, Load
from tests.indexing.channel import with_in_process_examiners
from tests.support import packages, s3, sites, state
from tests.support.mounts import small_disk
from tests.support.postgres import Postgres
from tests.support.proxy import FaultProxy, Pass, Refuse, Respond, Slow, Stall
from tests.support.server import Server, serving, variables
from tests.support.sites import Factory

_ENOUGH = 12
_UNWANTED = ("sqlalchemy", "Error closing cursor", "Traceback", "Exception during reset")


@dataclass
class Site:
    """A server with proxies to its database and store that simulate failures."""

    folder: Path
    postgres: Postgres
    to_postgres: FaultProxy
    to_s3: FaultProxy
    server: Server
    load: Load


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server for these tests only, since they stop it."""
    with Postgres() as server:
        yield server


@pytest.fixture
def site(own_postgres: Postgres, tmp_path: Path) -> Iterator[Site]:
    with (
        FaultProxy("127.0.0.1", own_postgres.port) as to_postgres,
        FaultProxy("127.0.0.1", s3.shared().port) as to_s3,
    ):
        direct = {**_shared_state(own_postgres), "examiners": 1, "database_connections": 8}
        key = prepare(tmp_path, direct)
        disturbed = {
            **direct,
            "database_url": to_postgres.through(direct["database_url"]),
            "s3_endpoint": to_s3.through(direct["s3_endpoint"]),
        }
        with serving(tmp_path, **disturbed) as server:
            yield Site(tmp_path, own_postgres, to_postgres, to_s3, server, Load(server.address, key))
        to_postgres.mode = to_s3.mode = Pass()
        assert_consistent(tmp_path, direct)


def _shared_state(postgres: Postgres) -> dict[str, Any]:
    server = s3.shared()
    return {
        "database_url": postgres.new_database(),
        "storage_url": f"s3://{server.new_bucket()}",
        "s3_endpoint": server.endpoint,
        "s3_region": server.region,
        "s3_access_key": server.access_key,
        "s3_secret_key": server.secret_key,
    }


def prepare(folder: Path, settings: dict[str, Any]) -> str:
    with closing(sites.build(folder, **settings)) as seaway:
        Factory(seaway).channel(CHANNEL, owner="owner")
        return Factory(seaway).key("owner")


def assert_consistent(folder: Path, settings: dict[str, Any]) -> None:
    with closing(sites.build(folder, **settings)) as seaway:
        assert [] == list(check(seaway))


def assert_served(load: Load, server: Server) -> None:
    """Assert that there were no unexpected responses and that all published files are served."""
    assert [] == load.problems[:3], "".join(server.log[-200:])
    assert load.reads
    assert_quiet(server)
    with server.client() as client:
        names = set(client.get(f"/{CHANNEL}/noarch/repodata.json").json()["packages.conda"])
    assert set() == load.published - names


def assert_quiet(server: Server) -> None:
    """Assert that no library logged an error or a traceback."""
    unwanted = [line for line in server.log if any(mark in line for mark in _UNWANTED)]
    assert [] == unwanted[:5], "".join(server.log[-200:])


def disturbed(site: Site, fault: Callable[[Site], None], seconds: float) -> None:
    """Cause a fault under load for some seconds; assert that the server recovers."""
    with site.load.running():
        site.load.wait_for(_ENOUGH)
        fault(site)
        threading.Event().wait(seconds)  # the duration of the failure is the subject of the test
        restore_connections(site)
        site.load.wait_for(_ENOUGH)
    assert_served(site.load, site.server)


def restore_connections(site: Site) -> None:
    site.to_postgres.mode = Pass()
    site.to_s3.mode = Pass()


def _set_s3(mode: Any) -> Callable[[Site], None]:
    def fault(site: Site) -> None:
        site.to_s3.mode = mode
        if not isinstance(mode, Slow | Stall):
            site.to_s3.cut()

    return fault


def _set_postgres(mode: Any) -> Callable[[Site], None]:
    def fault(site: Site) -> None:
        site.to_postgres.mode = mode
        site.to_postgres.cut()

    return fault


def _cut_often(site: Site) -> None:
    for _ in range(20):
        site.to_postgres.cut()
        site.to_s3.cut()
        threading.Event().wait(0.1)


def _kill_postgres(site: Site) -> None:
    site.postgres.kill()
    site.postgres.start()


FAULTS: dict[str, Callable[[Site], None]] = {
    "S3 answers 500": _set_s3(Respond(500)),
    "S3 answers 503": _set_s3(Respond(503)),
    "S3 refuses": _set_s3(Refuse()),
    "S3 is slow": _set_s3(Slow(20_000)),
    "S3 hangs": _set_s3(Stall()),
    "PostgreSQL refuses": _set_postgres(Refuse()),
    "PostgreSQL hangs": _set_postgres(Stall()),
    "PostgreSQL restarts": lambda site: site.postgres.restart(),
    "PostgreSQL is killed": _kill_postgres,
    "connections are cut": _cut_often,
}


@pytest.mark.parametrize("fault", ["S3 answers 503", pytest.param("PostgreSQL is killed", marks=pytest.mark.slow)])
def test_server_recovers_from_a_short_failure(site: Site, fault: str) -> None:
    """S4, S5: two of the failures for half a second."""
    disturbed(site, FAULTS[fault], 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_server_recovers_from_a_failure_of_five_seconds(site: Site, fault: str) -> None:
    """S4, S5: every failure under load."""
    site.load.can_lose_notes = fault == "connections are cut"  # the known gap of indexing/served_revisions.py
    disturbed(site, FAULTS[fault], 5)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["S3 refuses", "S3 hangs", "PostgreSQL refuses"])
def test_server_recovers_from_a_failure_of_half_a_minute(site: Site, fault: str) -> None:
    """S4, S5: longer than clients and pools wait; uploads get 503 in that time."""
    disturbed(site, FAULTS[fault], 30)
    assert site.load.unavailable + site.load.lost


# Failures of a single machine: a full disk, a database file locked by another process.


def test_a_locked_database_delays_only_writers(tmp_path: Path) -> None:
    """While another process holds the write lock, shards are served, and no upload is lost."""
    with state.choose(state.SQLITE_DISK):
        key = prepare(tmp_path, {})
        with serving(tmp_path, examiners=1) as server, server.client() as client:
            load = Load(server.address, key)
            with load.running():
                load.wait_for(_ENOUGH)
                with locked(tmp_path / "data" / "seaway.db"):
                    for _ in range(20):
                        assert 200 == client.get(f"/{CHANNEL}/noarch/repodata_shards.msgpack.zst").status_code
                load.wait_for(_ENOUGH)
            assert_served(load, server)
        assert_consistent(tmp_path, {})


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the write lock as another process would."""
    connection = sqlite3.connect(database, isolation_level=None, timeout=20)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_a_full_disk_refuses_only_uploads(tmp_path: Path) -> None:
    """Uploads get 503 without leftovers, reads work, and uploads work again once there is space."""
    noise = {"share/noise": os.urandom(600_000)}
    with state.choose(state.SQLITE_DISK), small_disk(tmp_path / "disk", "12m") as folder:
        key = prepare(folder, {})
        with serving(folder, examiners=1) as server, server.client(key) as client:
            published = _fill(client, noise)
            repodata = client.get(f"/{CHANNEL}/noarch/repodata.json")
            assert 200 == repodata.status_code
            assert published == set(repodata.json()["packages.conda"])
            assert_quiet(server)
            subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
            late = packages.conda(packages.index_json("late"), files=noise)
            assert 201 == _send(client, late).status_code
            assert published | {late.name} == set(
                client.get(f"/{CHANNEL}/noarch/repodata.json").json()["packages.conda"]
            )
        assert_consistent(folder, {})


RESERVE = 2_000_000


@pytest.mark.slow
def test_deletes_and_reads_work_on_a_full_disk(tmp_path: Path) -> None:
    """
    Without a free byte, packages can be deleted and yanked, and readers get the last complete documents.

    Uploads cannot use the space reserved for that, and everything recovers by itself once there is space.
    """
    noise = {"share/noise": os.urandom(600_000)}
    with state.choose(state.SQLITE_DISK), small_disk(tmp_path / "disk", "16m") as folder:
        key = prepare(folder, {})
        reserve, filler = folder / "data" / "reserve", folder / "filler"
        with serving(folder, examiners=1, disk_reserve=RESERVE) as server, server.client(key) as client:
            assert RESERVE == reserve.stat().st_size
            first = packages.conda(packages.index_json("first"), files=noise)
            assert 201 == _send(client, first).status_code
            assert "1" == client.get(f"/{CHANNEL}/noarch/repodata.json").headers["seaway-revision"]
            published = sorted(_fill(client, noise) | {first.name})
            fill_up(folder / "data" / "seaway.db", filler)

            outdated = client.get(f"/{CHANNEL}/noarch/repodata.json")
            assert (200, "1") == (outdated.status_code, outdated.headers["seaway-revision"]), outdated.text
            assert [first.name] == list(outdated.json()["packages.conda"])
            assert "max-age=0, must-revalidate" in outdated.headers["cache-control"]

            deleted, yanked, *kept = published
            assert 200 == client.delete(f"/api/v1/delete/{CHANNEL}/noarch/{deleted}").status_code
            assert 200 == client.post(f"/api/v1/yank/{CHANNEL}/noarch/{yanked}").status_code
            assert 0 == reserve.stat().st_size
            refused = _send(client, packages.conda(packages.index_json("tiny")))
            assert (503, True) == (refused.status_code, "retry-after" in refused.headers)

            filler.unlink()
            subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
            assert set(kept) == set(client.get(f"/{CHANNEL}/noarch/repodata.json").json()["packages.conda"]) - {yanked}
            assert 201 == _send(client, packages.conda(packages.index_json("tiny"))).status_code
            assert not [line for line in server.log if "Traceback" in line]
        with serving(folder, examiners=1, disk_reserve=RESERVE):
            assert RESERVE == reserve.stat().st_size
        assert_consistent(folder, {})


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
def test_an_operator_deletes_a_channel_on_a_full_disk(tmp_path: Path, is_open: bool) -> None:
    """If no process has the database open, opening it needs space too."""
    with state.choose(state.SQLITE_DISK), small_disk(tmp_path / "disk", "16m") as folder, ExitStack() as stack:
        prepare(folder, {})
        database, reserve = folder / "data" / "seaway.db", folder / "data" / "reserve"
        Reserve(reserve, RESERVE).fill()
        if is_open:
            connection = stack.enter_context(closing(sqlite3.connect(database)))
            assert connection.execute("SELECT count(*) FROM channels").fetchone() == (1,)
        fill_up(database, folder / "filler")
        environment = {"SEAWAY_DATA": str(folder / "data"), "SEAWAY_DISK_RESERVE": str(RESERVE)}
        command = [sys.executable, "-m", "seaway", "channel", "remove", CHANNEL, "--yes"]
        result = subprocess.run(
            command, env={**variables(), **environment}, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert 0 == result.returncode, result.stderr
        assert 0 == reserve.stat().st_size
        with closing(sqlite3.connect(database)) as after:
            assert after.execute("SELECT count(*) FROM channels").fetchone() == (0,)


def fill_up(database: Path, filler: Path) -> None:
    """Fill the disk, so that the write-ahead log of the database cannot grow."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=20)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for size in (65_536, 4_096):
        with filler.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(size))


class FullBlobs:
    """A store whose disk is full in one step of an upload."""

    def __init__(self, blobs: BlobStore, moment: str) -> None:
        self._blobs = blobs
        self.moment = moment

    def __getattr__(self, name: str) -> object:
        return self._refuse if name == self.moment else getattr(self._blobs, name)

    def _refuse(self, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("moment", ["prepare_file", "put_file", "stat"])
def test_a_full_disk_at_each_moment_gives_503_without_leftovers(on_both: str, tmp_path: Path, moment: str) -> None:
    """ENOSPC while a file is synced, stored or checked: 503, no row and no spool file; uploads work again later."""
    key = prepare(tmp_path, {})
    settings = Settings(data=tmp_path / "data", **state.settings(tmp_path))
    blobs = FullBlobs(wiring.open_store(settings), moment)
    full_store: BlobStore = blobs  # type: ignore[assignment]
    file = packages.conda(packages.index_json("late"))
    with closing(with_in_process_examiners(wiring.build(settings, blobs=full_store))) as seaway:
        refused = anyio.run(_send_in_process, seaway, key, file)
        assert (503, True) == (refused.status_code, "retry-after" in refused.headers), refused.text
        assert [] == list(seaway.settings.spool_folder.iterdir())
        blobs.moment = "none"
        assert 201 == anyio.run(_send_in_process, seaway, key, file).status_code
        assert [] == list(check(seaway))


async def _send_in_process(seaway: Seaway, key: str, file: packages.PackageFile) -> httpx.Response:
    transport = httpx.ASGITransport(app=create_app(seaway))
    headers = {"Authorization": f"Bearer {key}", "X-File-Name": file.name}
    async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test", headers=headers) as http:
        return await http.post(f"/api/v1/upload/{CHANNEL}", content=file.content)


def _fill(client: httpx.Client, noise: dict[str, bytes]) -> set[str]:
    """Upload until the disk is full, and a few times more; return the published files."""
    published: set[str] = set()
    refused = 0
    for number in range(100):
        file = packages.conda(packages.index_json("big", str(number)), files=noise)
        response = _send(client, file)
        if response.status_code == 201:
            published.add(file.name)
            continue
        assert (503, True) == (response.status_code, "retry-after" in response.headers), response.text
        refused += 1
        if refused == 5:
            return published
    raise AssertionError("the disk did not fill")


def _send(client: httpx.Client, file: packages.PackageFile) -> httpx.Response:
    return client.post(f"/api/v1/upload/{CHANNEL}", content=file.content, headers={"X-File-Name": file.name})
