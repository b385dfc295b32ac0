"""Servers that start at the same moment on a state that nobody has made yet."""

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


def test_servers_come_up_that_start_at_once_on_nothing(fleet: Fleet) -> None:
    """Of those that find an empty database one makes the tables and the others wait; what one takes, all of them show."""
    owned = fleet.new_channel()
    with fleet.clients(owned.key) as clients:
        assert 201 == upload(clients[0], owned.channel, FILE).status_code
        assert [{FILE.name: FILE.sha256}] * len(clients) == [in_repodata(http, owned) for http in clients]


@pytest.mark.slow
def test_many_servers_come_up_that_start_at_once_on_nothing(on_both: str, tmp_path: Path) -> None:
    """The same for four, again and again."""
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        with fleet_of(folder, 4, examiners=1) as fleet:
            test_servers_come_up_that_start_at_once_on_nothing(fleet)


def test_a_new_file_that_another_process_begins_to_use_is_waited_for(tmp_path: Path) -> None:
    """A SQLite file is switched to its journal once; who wants to do it beside another waits instead of failing."""
    file = tmp_path / "seaway.db"
    database = SqliteDatabase(file, tmp_path / "locks")

    def journal() -> str:
        with database.write_site() as tx:
            return str(tx.execute(text("PRAGMA journal_mode")).scalar_one())

    with closing(sqlite3.connect(file, isolation_level=None)) as other, ThreadPoolExecutor(1) as thread:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE something (content TEXT)")
        opened = thread.submit(journal)
        assert set() == wait([opened], 0.3).done
        other.execute("COMMIT")
        assert "wal" == opened.result()
    database.close()
