"""Servers whose store or database is missing, foreign or damaged."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from seaway.errors import DamagedDatabase
from tests.support import packages, s3, sites
from tests.support.mounts import read_only
from tests.support.proxy import FaultProxy, Pass, Refuse
from tests.support.requests import wait_until
from tests.support.server import serving, start, variables
from tests.support.sites import Factory

FILE = packages.conda()
OTHER = packages.conda(packages.index_json("other"))
DAMAGED = DamagedDatabase("").message


def make_site(folder: Path, **settings: object) -> str:
    """Create a site with a channel; return a key of its owner."""
    with closing(sites.build(folder, **settings)) as seaway:
        factory = Factory(seaway)
        factory.channel("chan")
        return factory.key("owner")


def upload(http: httpx.Client, file: packages.PackageFile) -> httpx.Response:
    return http.post("/api/v1/upload/chan", content=file.content, headers={"X-File-Name": file.name})


def run(folder: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the site in the folder."""
    environment = variables() | {f"SEAWAY_{name.upper()}": value for name, value in settings.items()}
    line = [sys.executable, "-m", "seaway", "--data", str(folder / "data"), *command]
    return subprocess.run(line, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.on_disk
def test_a_server_does_not_start_without_its_database(tmp_path: Path) -> None:
    """If the database file is missing, the commands end with one line and no traceback, and every blob stays."""
    key = make_site(tmp_path)
    with serving(tmp_path) as server, server.client(key) as http:
        assert 201 == upload(http, FILE).status_code
    for path in (tmp_path / "data").glob("seaway.db*"):
        path.unlink()
    blobs = [path for path in (tmp_path / "data" / "store").rglob("*") if path.is_file()]
    for command in (("serve", "--port", "0"), ("sweep",), ("check",)):
        result = run(tmp_path, *command)
        assert (1, 1) == (result.returncode, result.stderr.count("\n")), result.stderr
        assert "belongs to another database" in result.stderr
    assert blobs == [path for path in (tmp_path / "data" / "store").rglob("*") if path.is_file()]


@pytest.mark.on_disk
def test_a_server_whose_store_is_not_mounted_is_not_ready(tmp_path: Path) -> None:
    """Holds at the start and later: not ready, uploads refused, nothing created; ready again with the store."""
    key = make_site(tmp_path)
    store, moved = tmp_path / "data" / "store", tmp_path / "elsewhere"
    store.rename(moved)
    store.mkdir()  # like an empty mount point
    with serving(tmp_path) as server, server.client(key) as http:
        for _ in range(2):
            probe = http.get("/health/ready")
            assert (503, "The storage is empty or not mounted.") == (probe.status_code, probe.text)
            refused = upload(http, FILE)
            assert (503, True) == (refused.status_code, "retry-after" in refused.headers)
            assert 200 == http.get("/chan/noarch/repodata_shards.msgpack.zst").status_code
            assert not store.exists() or [] == list(store.iterdir())
            shutil.rmtree(store, ignore_errors=True)
            moved.rename(store)
            assert 200 == http.get("/health/ready").status_code
            store.rename(moved)
        moved.rename(store)
        assert 201 == upload(http, FILE).status_code
        assert [] == [line for line in server.log if "Traceback" in line]
    assert 0 == run(tmp_path, "check").returncode


@pytest.mark.on_disk
def test_a_replaced_database_file_refuses_writes(tmp_path: Path) -> None:
    """Data written to an unlinked file would be lost with the process (database.sqlite 5)."""
    key = make_site(tmp_path)
    with serving(tmp_path) as server, server.client(key) as http:
        database = tmp_path / "data" / "seaway.db"
        database.rename(tmp_path / "seaway.db")
        assert 503 == upload(http, FILE).status_code
        assert 503 == http.get("/health/ready").status_code
        (tmp_path / "seaway.db").rename(database)
        assert 201 == upload(http, FILE).status_code


@pytest.mark.on_disk
def test_a_server_starts_while_its_bucket_is_unavailable(tmp_path: Path) -> None:
    """It serves responses that need no blob, workers start, and commands work; uploads work again with the bucket."""
    bucket = s3.shared()
    with FaultProxy("127.0.0.1", bucket.port) as proxy:
        settings = {
            "storage_url": f"s3://{bucket.new_bucket()}/site",
            "s3_endpoint": proxy.through(bucket.endpoint),
            "s3_region": bucket.region,
            "s3_access_key": bucket.access_key,
            "s3_secret_key": bucket.secret_key,
        }
        key = make_site(tmp_path, **settings)
        proxy.mode = Refuse()
        with serving(tmp_path, workers=2, **settings) as server, server.client(key) as http:
            assert 503 == http.get("/health/ready").status_code
            assert 200 == http.get("/chan/noarch/repodata_shards.msgpack.zst").status_code
            refused = upload(http, FILE)
            assert (503, True) == (refused.status_code, "retry-after" in refused.headers)
            assert 0 == run(tmp_path, "jobs", "list", **settings).returncode
            proxy.mode = Pass()
            wait_until(lambda: http.get("/health/ready").status_code == 200)
            wait_until(lambda: upload(http, FILE).status_code == 201)
            assert [] == [line for line in server.log if "Traceback" in line or "worker.died" in line]
        assert 0 == run(tmp_path, "check", **settings).returncode


@pytest.mark.on_disk
def test_a_server_starts_on_a_read_only_store(tmp_path: Path) -> None:
    """Reads work; uploads are refused until the store is writable again, without a restart."""
    key = make_site(tmp_path)
    with serving(tmp_path) as server, server.client(key) as http:
        assert 201 == upload(http, FILE).status_code
    with read_only(tmp_path / "data" / "store"):
        server = start(tmp_path)
        with server.client(key) as http:
            probe = http.get("/health/ready")
            assert (503, "The storage is read-only.") == (probe.status_code, probe.text)
            assert FILE.content == http.get(f"/chan/noarch/{FILE.name}").content
            refused = upload(http, OTHER)
            assert (503, True) == (refused.status_code, "retry-after" in refused.headers)
    try:
        with server.client(key) as http:
            assert 201 == upload(http, OTHER).status_code
            assert 200 == http.get("/health/ready").status_code
        assert [] == [line for line in server.log if "Traceback" in line]
    finally:
        server.kill()


@pytest.mark.on_disk
def test_a_database_damaged_at_run_time_gives_503(tmp_path: Path) -> None:
    """Responses are 503 with a hint, the log has no traceback, and the server can be stopped."""
    key = make_site(tmp_path)
    with serving(tmp_path) as server, server.client(key) as http:
        assert 201 == upload(http, FILE).status_code
        database = tmp_path / "data" / "seaway.db"
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with database.open("r+b") as file:
            file.write(b"\xa5" * database.stat().st_size)
        responses = [upload(http, OTHER), http.get("/chan/noarch/repodata.json"), http.get("/api/v1/channels")]
        assert [503] * 3 == [response.status_code for response in responses]
        assert all(DAMAGED in response.text for response in responses)
        probe = http.get("/health/ready")
        message = "The database is damaged: the operator must restore a backup."
        assert (503, message) == (probe.status_code, probe.text)
        assert 200 == http.get("/health/live").status_code
        assert 0 == server.stop()
        assert [] == [line for line in server.log if "Traceback" in line]
