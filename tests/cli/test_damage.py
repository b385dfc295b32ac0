"""Commands on a damaged store: each ends in one sentence, with exit code 1 and without a traceback."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from seaway.database.sqlite import SqliteDatabase
from seaway.errors import DamagedDatabase, DiskFull
from tests.cli.conftest import FILE, Ran, Shell
from tests.cli.test_commands import TOLD, commands
from tests.support import state
from tests.support.mounts import small_disk
from tests.support.server import variables

DAMAGED = DamagedDatabase("").full_message


def database_of(folder: Path) -> Path:
    return folder / "data" / "seaway.db"


def cut(length: int) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        os.truncate(file, length)

    return damage


def overwrite(start: int, content: bytes) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        with file.open("r+b") as opened:
            opened.seek(start)
            opened.write(content)

    return damage


def damage_every_page(file: Path) -> None:
    """The header of the file is whole, and no table can be read."""
    size = file.stat().st_size
    overwrite(4096, b"\xa5" * (size - 4096))(file)


def half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def lose_tables(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if not name.startswith(("sqlite_", "alembic_")):
                connection.execute(f"DROP TABLE {name}")
    connection.close()


def lose_a_table(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE retired_shards")
    connection.close()


def lose_the_version(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE alembic_version")
    connection.close()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "another file": lambda file: file.write_bytes(b"This is no database.\n" * 500),
    "100 bytes left": cut(100),
    "a page left": cut(4096),
    "half of the file left": half,
    "header garbage": overwrite(0, b"\xff" * 100),
    "garbage in the schema": overwrite(100, b"\xff" * 900),
    "every page but the first": damage_every_page,
    "no tables": lose_tables,
    "one table missing": lose_a_table,
    "no version of the schema": lose_the_version,
}
COMMANDS = [
    ("user", "list"),
    ("channel", "list"),
    ("channel", "show", "tools"),
    ("key", "list", "ada"),
    ("upload", "tools", FILE.name),
    ("uploads", "export", "tools"),
    ("jobs", "list"),
    ("check",),
    ("reindex",),
    ("reindex", "--from-blobs"),
    ("sweep",),
    ("backup", "copy.tar"),
    ("serve", "--port", "0"),
]

# Of every other damage, one command for each way of opening the database.
FEW = [("check",), ("reindex",), ("backup", "copy.tar"), ("serve", "--port", "0")]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def folded(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The furnished folder without the write-ahead log, which would mend what a test damages."""
    folder = tmp_path_factory.mktemp("folded") / "house"
    state.copy(furnished, folder)
    for rest in ("seaway.db-wal", "seaway.db-shm"):
        (folder / "data" / rest).unlink(missing_ok=True)
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_command_on_a_damaged_database_ends_in_a_sentence(shell: Shell, folded: Path, damage: str) -> None:
    """Whatever command runs on whatever damage: one line that says so and what to do, and exit code 1."""
    folder = shell.folder / "house"
    state.copy(folded, folder)
    DAMAGES[damage](database_of(folder))
    for command in COMMANDS if damage == "another file" else FEW:
        ran = replace(shell, folder=folder, variables={"SEAWAY_EXAMINERS": "1"}).run(*command)
        assert 1 == ran.code, (command, ran)
        assert DAMAGED in ran.out + ran.err, (command, ran)
        assert len(ran.err.splitlines()) <= 1, (command, ran.err)


def every_command() -> list[tuple[str, ...]]:
    """One line for each command that opens the data; a new one is among them."""
    others = [("serve", "--port", "0"), ("work",), ("restore", "backup.tar"), ("rebuild", "--from-store")]
    others += [("file", "restore", "tools", "noarch/demo-1.0-h1_0.conda")]
    lines = [*TOLD, *others]
    return [next(line for line in lines if line[: len(words)] == words) for words in commands() if words != ("config",)]


def fill(file: Path) -> None:
    """Take every byte of the disk."""
    with file.open("wb", buffering=0) as opened:
        for size in (65_536, 512, 1):
            with suppress(OSError):
                while opened.write(bytes(size)):
                    pass


def assert_a_sentence(ran: Ran, words: tuple[str, ...], part: str) -> None:
    assert (1, 1, True) == (ran.code, len(ran.err.splitlines()), part in ran.err), (words, ran)


@pytest.mark.slow
def test_every_command_ends_in_a_sentence_on_a_full_disk(house: Shell, tmp_path: Path) -> None:
    """With not one byte free a command says that the disk is full and what to do; later it works again."""
    if state.chosen() != state.SQLITE_DISK:
        pytest.skip("the database is elsewhere")
    with small_disk(tmp_path / "small", "6m") as disk:
        full = replace(house, variables={"SEAWAY_DATA": str(disk / "data"), "SEAWAY_DISK_RESERVE": "0"})
        assert 0 == full.run("user", "add", "ada").code
        fill(disk / "fill")
        for words in every_command():
            ran = full.run(*words, stdin="a password of some length\n")
            assert_a_sentence(
                ran, words, "The disk is full: the database has no room for this now. Free some space and try"
            )
        (disk / "fill").unlink()
        assert 0 == full.run("check").code


@pytest.mark.slow
def test_every_command_ends_in_a_sentence_where_the_data_folder_is_a_file(house: Shell) -> None:
    """The sentence names the folder."""
    if state.chosen() != state.SQLITE_DISK:
        pytest.skip("the database is elsewhere")
    (house.folder / "file").write_text("not a folder")
    wrong = replace(house, variables={"SEAWAY_DATA": "file"})
    for words in every_command():
        ran = wrong.run(*words, stdin="a password of some length\n")
        assert_a_sentence(ran, words, "The data folder file ")


def test_a_check_on_a_full_disk_names_no_damage(house: Shell, tmp_path: Path) -> None:
    """A package file that cannot be copied to be examined is not damaged: the disk is full."""
    if state.chosen() != state.SQLITE_DISK:
        pytest.skip("the database is elsewhere")
    with small_disk(tmp_path / "small", "6m") as disk:
        state.copy(house.folder, disk / "house")
        with closing(sqlite3.connect(database_of(disk / "house"))) as other:
            other.execute("SELECT count(*) FROM users").fetchone()  # the index of the log has its room
            fill(disk / "fill")
            ran = replace(house, variables={"SEAWAY_DATA": str(disk / "house" / "data")}).run("check")
        assert (1, "") == (ran.code, ran.out)
        assert_a_sentence(ran, ("check",), "The disk is full")


@pytest.mark.parametrize("stream", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_failure(house: Shell, stream: str) -> None:
    """Where the shell closed a standard stream, a command does its work and prints nothing there."""
    ran = subprocess.run(
        ["sh", "-c", f'"$0" -m seaway user add eve {stream}', sys.executable], cwd=house.folder, check=False,
        env=variables() | state.variables(house.folder), capture_output=True, text=True,
    )  # fmt: skip
    assert (0, "") == (ran.returncode, ran.stderr)
    assert "eve" in house.run("user", "list").out


@pytest.mark.timeout(15)  # less than a new database waits for other processes
def test_a_new_database_on_a_full_disk_is_refused_at_once(tmp_path: Path) -> None:
    """Room does not come by waiting, as another process that makes the same file does."""
    with small_disk(tmp_path / "small", "1m") as disk:
        fill(disk / "fill")
        with closing(SqliteDatabase(disk / "new.db", tmp_path / "locks")) as database:
            with pytest.raises(DiskFull), database.read():
                pass
            (disk / "fill").unlink()
            with database.read() as tx:
                assert 1 == tx.scalar(text("SELECT 1"))
