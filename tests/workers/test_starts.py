"""Servers that start at the same time on an empty state."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from seaway.database.sqlite import SqliteDatabase
from tests.support.packages import conda, index_json
from tests.support.requests import upload
from tests.workers.fleet import Fleet, fleet_of, in_repodata

FILE = conda(index_json("demo"))


def test_concurrent_starts_on_an_empty_state_succeed(fleet: Fleet) -> None:
    """One server creates the tables and the others wait; all of them serve an upload to one of them."""
    owned = fleet.new_channel()
    with fleet.clients(owned.key) as clients:
        assert 201 == upload(clients[0], owned.channel, FILE).status_code
        assert [{FILE.name: FILE.sha256}] * len(clients) == [in_repodata(http, owned) for http in clients]


@pytest.mark.slow
def test_many_concurrent_starts_on_an_empty_state_succeed(on_both: str, tmp_path: Path) -> None:
    """The same for four servers, four times."""
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        with fleet_of(folder, 4, examiners=1) as fleet:
            test_concurrent_starts_on_an_empty_state_succeed(fleet)


def test_a_start_waits_for_another_process_on_a_new_file(tmp_path: Path) -> None:
    """Switching a new SQLite file to WAL waits for a concurrent transaction instead of failing."""
    file = tmp_path / "seaway.db"
    database = SqliteDatabase(file, tmp_path / "locks")

    def journal() -> str:
        with database.write_site() as tx:
            return str(tx.execute(text("PRAGMA journal_mode")).scalar_one())

    with closing(sqlite3.connect(file, isolation_level=None)) as connection, ThreadPoolExecutor(1) as thread:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE something (content TEXT)")
        opened = thread.submit(journal)
        assert set() == wait([opened], 0.3).done
        connection.execute("COMMIT")
        assert "wal" == opened.result()
    database.close()
