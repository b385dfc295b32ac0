"""Commands on a damaged store: each ends in one sentence, with exit code 1 and without a traceback."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from seaway.errors import DamagedDatabase
from tests.cli.conftest import FILE, Shell
from tests.support import state
from tests.support.mounts import small_disk

DAMAGED = DamagedDatabase("").sentence


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


@pytest.mark.slow
def test_every_command_ends_in_a_sentence_on_a_full_disk(shell: Shell, tmp_path: Path) -> None:
    """With not one byte free a command says that there is no room, and leaves no traceback; later it works again."""
    if state.chosen() != state.SQLITE_DISK:
        pytest.skip("the database is elsewhere")
    with small_disk(tmp_path / "small", "6m") as disk:
        full = replace(shell, variables={"SEAWAY_DATA": str(disk / "data"), "SEAWAY_DISK_RESERVE": "0"})
        assert 0 == full.run("user", "add", "ada").code
        with (disk / "fill").open("wb", buffering=0) as fill, suppress(OSError):
            while fill.write(bytes(512)):
                pass
        for words in (("user", "list"), ("check",), ("channel", "list"), ("sweep",), ("migrate",), ("reindex",),
                      ("backup", disk / "backup.tar"), ("jobs", "list"), ("user", "add", "bob")):  # fmt: skip
            ran = full.run(*words)
            assert (1, 1, True) == (ran.code, len(ran.err.splitlines()), "no room" in ran.err), ran.err
        (disk / "fill").unlink()
        assert 0 == full.run("check").code
