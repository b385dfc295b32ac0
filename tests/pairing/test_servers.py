"""What a server does whose store is away, or is not its own."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from seaway.errors import DamagedDatabase
from tests.support import house, packages, s3
from tests.support.house import People
from tests.support.mounts import read_only
from tests.support.proxy import FaultProxy, Pass, Refuse
from tests.support.requests import until
from tests.support.server import serving, start, variables

FILE = packages.conda()
OTHER = packages.conda(packages.index_json("other"))
DAMAGED = DamagedDatabase("").message


def make_site(folder: Path, **settings: object) -> str:
    """A site with a channel and one package; the key of its owner."""
    with closing(house.build(folder, **settings)) as seaway:
        people = People(seaway)
        people.channel("chan")
        return people.key("owner")


def upload(http: httpx.Client, file: packages.PackageFile) -> httpx.Response:
    return http.post("/api/v1/upload/chan", content=file.content, headers={"X-File-Name": file.name})


def run(folder: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """One command on the site in the folder."""
    environment = variables() | {f"SEAWAY_{name.upper()}": value for name, value in settings.items()}
    line = [sys.executable, "-m", "seaway", "--data", str(folder / "data"), *command]
    return subprocess.run(line, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.on_disk
def test_a_server_does_not_start_without_its_database(tmp_path: Path) -> None:
    """The database file is gone: one sentence, no traceback, and every blob stays."""
    key = make_site(tmp_path)
    with serving(tmp_path) as server, server.client(key) as http:
        assert 201 == upload(http, FILE).status_code
    for path in (tmp_path / "data").glob("seaway.db*"):
        path.unlink()
    blobs = [path for path in (tmp_path / "data" / "store").rglob("*") if path.is_file()]
    for command in (("serve", "--port", "0"), ("sweep",), ("check",)):
        ended = run(tmp_path, *command)
        assert (1, 1) == (ended.returncode, ended.stderr.count("\n")), ended.stderr
        assert "belongs to another database" in ended.stderr
    assert blobs == [path for path in (tmp_path / "data" / "store").rglob("*") if path.is_file()]


@pytest.mark.on_disk
def test_a_server_whose_store_is_not_mounted_is_not_ready(tmp_path: Path) -> None:
    """At the start and while it runs: not ready, uploads refused, nothing made; ready again when the store is back."""
    key = make_site(tmp_path)
    store, elsewhere = tmp_path / "data" / "store", tmp_path / "elsewhere"
    store.rename(elsewhere)
    store.mkdir()  # as an empty place of a mount is
    with serving(tmp_path) as server, server.client(key) as http:
        for _ in range(2):
            probe = http.get("/health/ready")
            assert (503, "The storage is empty or not mounted.") == (probe.status_code, probe.text)
            refused = upload(http, FILE)
            assert (503, True) == (refused.status_code, "retry-after" in refused.headers)
            assert 200 == http.get("/chan/noarch/repodata_shards.msgpack.zst").status_code
            assert not store.exists() or [] == list(store.iterdir())
            shutil.rmtree(store, ignore_errors=True)
            elsewhere.rename(store)
            assert 200 == http.get("/health/ready").status_code
            store.rename(elsewhere)
        elsewhere.rename(store)
        assert 201 == upload(http, FILE).status_code
        assert [] == [line for line in server.log if "Traceback" in line]
    assert 0 == run(tmp_path, "check").returncode


@pytest.mark.on_disk
def test_a_database_file_that_is_replaced_takes_nothing(tmp_path: Path) -> None:
    """What would be written to a file that has no name any more would be lost with the process (database.sqlite 5)."""
    key = make_site(tmp_path)
    with serving(tmp_path) as server, server.client(key) as http:
        database = tmp_path / "data" / "seaway.db"
        database.rename(tmp_path / "seaway.db")
        assert 503 == upload(http, FILE).status_code
        assert 503 == http.get("/health/ready").status_code
        (tmp_path / "seaway.db").rename(database)
        assert 201 == upload(http, FILE).status_code


@pytest.mark.on_disk
def test_a_server_starts_while_its_bucket_is_away(tmp_path: Path) -> None:
    """It serves what needs no blob, workers come up, commands answer; with the bucket back uploads go on."""
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
            until(lambda: http.get("/health/ready").status_code == 200)
            until(lambda: upload(http, FILE).status_code == 201)
            assert [] == [line for line in server.log if "Traceback" in line or "worker.died" in line]
        assert 0 == run(tmp_path, "check", **settings).returncode


@pytest.mark.on_disk
def test_a_server_starts_on_a_read_only_store(tmp_path: Path) -> None:
    """Readers are served; uploads are refused until the store can be written again, without another start."""
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
def test_a_database_that_becomes_damaged_is_told(tmp_path: Path) -> None:
    """While it runs: 503 with what to do, one line in the log for each, no traceback; it stops when it is asked to."""
    key = make_site(tmp_path)
    with serving(tmp_path) as server, server.client(key) as http:
        assert 201 == upload(http, FILE).status_code
        database = tmp_path / "data" / "seaway.db"
        with closing(sqlite3.connect(database)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with database.open("r+b") as file:
            file.write(b"\xa5" * database.stat().st_size)
        answers = [upload(http, OTHER), http.get("/chan/noarch/repodata.json"), http.get("/api/v1/channels")]
        assert [503] * 3 == [answer.status_code for answer in answers]
        assert all(DAMAGED in answer.text for answer in answers)
        probe = http.get("/health/ready")
        told = "The database is damaged: the operator must restore a backup."
        assert (503, told) == (probe.status_code, probe.text)
        assert 200 == http.get("/health/live").status_code
        assert 0 == server.stop()
        assert [] == [line for line in server.log if "Traceback" in line]
