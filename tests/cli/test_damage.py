"""Commands on damaged data or a full disk: each prints one sentence, with exit code 1 and without a traceback."""

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
from tests.cli.conftest import FILE, CommandResult, Shell
from tests.cli.test_commands import OUTPUT, commands
from tests.support import state
from tests.support.mounts import small_disk
from tests.support.server import variables

DAMAGED = DamagedDatabase("").full_message


def database_of(folder: Path) -> Path:
    return folder / "data" / "seaway.db"


def truncate_to(length: int) -> Callable[[Path], None]:
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
    """Keep the header of the file and make every table unreadable."""
    size = file.stat().st_size
    overwrite(4096, b"\xa5" * (size - 4096))(file)


def cut_in_half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def drop_tables(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if not name.startswith(("sqlite_", "alembic_")):
                connection.execute(f"DROP TABLE {name}")
    connection.close()


def drop_one_table(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE retired_shards")
    connection.close()


def drop_version(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE alembic_version")
    connection.close()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "another file": lambda file: file.write_bytes(b"This is no database.\n" * 500),
    "100 bytes left": truncate_to(100),
    "a page left": truncate_to(4096),
    "half of the file left": cut_in_half,
    "header garbage": overwrite(0, b"\xff" * 100),
    "garbage in the schema": overwrite(100, b"\xff" * 900),
    "every page but the first": damage_every_page,
    "no tables": drop_tables,
    "one table missing": drop_one_table,
    "no version of the schema": drop_version,
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

# For the other damages, one command for each way of opening the database.
FEW_COMMANDS = [("check",), ("reindex",), ("backup", "copy.tar"), ("serve", "--port", "0")]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def folder_without_log(filled_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with data, without the write-ahead log, which would repair what a test damages."""
    folder = tmp_path_factory.mktemp("without-log") / "site"
    state.copy(filled_folder, folder)
    for name in ("seaway.db-wal", "seaway.db-shm"):
        (folder / "data" / name).unlink(missing_ok=True)
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_command_on_damaged_database_prints_one_sentence(shell: Shell, folder_without_log: Path, damage: str) -> None:
    """For each command and damage: one line with the damage and what to do, and exit code 1."""
    folder = shell.folder / "site"
    state.copy(folder_without_log, folder)
    DAMAGES[damage](database_of(folder))
    for command in COMMANDS if damage == "another file" else FEW_COMMANDS:
        result = replace(shell, folder=folder, variables={"SEAWAY_EXAMINERS": "1"}).run(*command)
        assert 1 == result.code, (command, result)
        assert DAMAGED in result.out + result.err, (command, result)
        assert len(result.err.splitlines()) <= 1, (command, result.err)


def every_command() -> list[tuple[str, ...]]:
    """Return an example of each command that opens the data, including new commands."""
    more_commands = [("serve", "--port", "0"), ("work",), ("restore", "backup.tar"), ("rebuild", "--from-store")]
    more_commands += [("file", "restore", "tools", "noarch/demo-1.0-h1_0.conda"), ("user", "resend-invitation", "bob")]
    lines = [*OUTPUT, *more_commands]
    return [next(line for line in lines if line[: len(words)] == words) for words in commands() if words != ("config",)]


def fill(file: Path) -> None:
    """Use every free byte of the disk."""
    with file.open("wb", buffering=0) as opened:
        for size in (65_536, 512, 1):
            with suppress(OSError):
                while opened.write(bytes(size)):
                    pass


def assert_one_sentence(result: CommandResult, words: tuple[str, ...], part: str) -> None:
    assert (1, 1, True) == (result.code, len(result.err.splitlines()), part in result.err), (words, result)


@pytest.mark.slow
def test_every_command_on_a_full_disk_prints_one_sentence(filled_shell: Shell, tmp_path: Path) -> None:
    """Without a free byte the command says that the disk is full and what to do; with space it works again."""
    if state.chosen_state() != state.SQLITE_DISK:
        pytest.skip("the database is elsewhere")
    with small_disk(tmp_path / "small", "6m") as disk:
        full_shell = replace(filled_shell, variables={"SEAWAY_DATA": str(disk / "data"), "SEAWAY_DISK_RESERVE": "0"})
        assert 0 == full_shell.run("user", "add", "ada").code
        fill(disk / "fill")
        for words in every_command():
            result = full_shell.run(*words, stdin="a password of some length\n")
            assert_one_sentence(
                result, words, "The disk is full: the database has no room for this now. Free some space and try"
            )
        (disk / "fill").unlink()
        assert 0 == full_shell.run("check").code


@pytest.mark.slow
def test_every_command_names_a_data_folder_that_is_a_file(filled_shell: Shell) -> None:
    if state.chosen_state() != state.SQLITE_DISK:
        pytest.skip("the database is elsewhere")
    (filled_shell.folder / "file").write_text("not a folder")
    wrong_shell = replace(filled_shell, variables={"SEAWAY_DATA": "file"})
    for words in every_command():
        result = wrong_shell.run(*words, stdin="a password of some length\n")
        assert_one_sentence(result, words, "The data folder file ")


def test_check_on_a_full_disk_reports_no_damage(filled_shell: Shell, tmp_path: Path) -> None:
    """A package file that cannot be copied for the examination is not damaged."""
    if state.chosen_state() != state.SQLITE_DISK:
        pytest.skip("the database is elsewhere")
    with small_disk(tmp_path / "small", "6m") as disk:
        state.copy(filled_shell.folder, disk / "site")
        with closing(sqlite3.connect(database_of(disk / "site"))) as connection:
            connection.execute(
                "SELECT count(*) FROM users"
            ).fetchone()  # creates the index of the write-ahead log before the disk is full
            fill(disk / "fill")
            result = replace(filled_shell, variables={"SEAWAY_DATA": str(disk / "site" / "data")}).run("check")
        assert (1, "") == (result.code, result.out)
        assert_one_sentence(result, ("check",), "The disk is full")


@pytest.mark.parametrize("stream", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_stream_is_no_failure(filled_shell: Shell, stream: str) -> None:
    """The command does its work and prints nothing to the closed stream."""
    result = subprocess.run(
        ["sh", "-c", f'"$0" -m seaway user add eve {stream}', sys.executable], cwd=filled_shell.folder, check=False,
        env=variables() | state.variables(filled_shell.folder), capture_output=True, text=True,
    )  # fmt: skip
    assert (0, "") == (result.returncode, result.stderr)
    assert "eve" in filled_shell.run("user", "list").out


@pytest.mark.timeout(15)  # shorter than a new database waits for other processes
def test_new_database_on_a_full_disk_fails_at_once(tmp_path: Path) -> None:
    """Waiting helps if another process creates the same file, but not if the disk is full."""
    with small_disk(tmp_path / "small", "1m") as disk:
        fill(disk / "fill")
        with closing(SqliteDatabase(disk / "new.db", tmp_path / "locks")) as database:
            with pytest.raises(DiskFull), database.read():
                pass
            (disk / "fill").unlink()
            with database.read() as tx:
                assert 1 == tx.scalar(text("SELECT 1"))
