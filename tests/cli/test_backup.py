"""Backup, restore and move commands, in the order in which an operator uses them."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

pytestmark = pytest.mark.on_disk  # tests/backup has both states


def test_backup_is_restored_into_a_new_data_folder(filled_shell: Shell) -> None:
    """From a file and from a folder, with the same accounts, keys and files."""
    keys = filled_shell.run("key", "list", "ada", "--json").value
    backups = [
        filled_shell.run("backup", target, "--json").value for target in ("backup.tar", "file:backups", "file:backups")
    ]
    assert [1, 1, 0] == [backup["sent"] for backup in backups]
    for number, source in enumerate((["backup.tar"], ["file:backups"], ["file:backups", "--at", backups[1]["time"]])):
        copy = Shell(filled_shell.folder, {"SEAWAY_DATA": f"copy-{number}"})
        restored = copy.run("restore", *source, "--json").value
        assert backups[(0, 2, 1)[number]]["time"] == restored["time"]
        assert (backups[0]["rows"], 1, 1) == (restored["rows"], restored["blobs"], restored["sent"])
        assert keys == copy.run("key", "list", "ada", "--json").value
        assert copy.run("check", "--json").value["ok"]
        assert 0o700 == (filled_shell.folder / f"copy-{number}").stat().st_mode & 0o777


def test_restore_recommends_a_check_and_refuses_a_second_run(filled_shell: Shell) -> None:
    """A second restore would overwrite the first."""
    filled_shell.run("backup", "backup.tar")
    copy = Shell(filled_shell.folder, {"SEAWAY_DATA": "copy"})
    result, again = (copy.run("restore", "backup.tar") for _ in range(2))
    assert (0, "", True) == (result.code, result.err, "seaway check" in result.out)
    assert (1, True) == (again.code, "is not empty" in again.err)


def test_backup_without_data_folder_is_refused(shell: Shell) -> None:
    """For example in a wrong working directory."""
    result = shell.run("backup", "backup.tar")
    assert (1, True) == (result.code, "does not exist" in result.err)
    assert not (shell.folder / "backup.tar").exists()


def test_damaged_backup_is_reported(filled_shell: Shell) -> None:
    """The error has a code and names the file."""
    filled_shell.run("backup", "backup.tar")
    path = filled_shell.folder / "backup.tar"
    path.write_bytes(path.read_bytes()[:3000])
    error = Shell(filled_shell.folder, {"SEAWAY_DATA": "copy"}).run("restore", "backup.tar", "--json").error
    assert ("damaged", True) == (error["code"], "backup.tar" in error["message"])


def test_store_and_database_are_moved(filled_shell: Shell) -> None:
    """After following the printed instructions, Seaway works with the new store and database."""
    moved = filled_shell.folder / "moved"
    moved.mkdir()
    store = filled_shell.run("move-storage", (moved / "store").as_uri())
    database = filled_shell.run("move-database", f"sqlite:///{moved}/seaway.db")
    moved_shell = Shell(filled_shell.folder, {"SEAWAY_DATA": str(moved)})
    assert ("set storage_url to file://" in store.out, "seaway.db in data" in database.out) == (True, True)
    assert moved_shell.run("check", "--json").value["ok"]
    assert 1 == moved_shell.run("channel", "show", "tools", "--json").value["files"]
    assert 0 == filled_shell.run("move-storage", (moved / "store").as_uri(), "--json").value["sent"]


def test_unfinished_database_move_is_refused(filled_shell: Shell, tmp_path: Path) -> None:
    """The hint names the command to repeat."""
    import sqlite3

    filled_shell.run("move-database", "sqlite:///seaway.db")
    connection = sqlite3.connect(filled_shell.folder / "seaway.db")
    connection.execute("UPDATE alembic_version SET version_num = 'unfinished'")
    connection.commit()
    connection.close()
    result = Shell(filled_shell.folder, {"SEAWAY_DATA": "."}).run("user", "list", "--json")
    assert "move-database" in json.loads(result.err)["error"]["hint"]


@pytest.mark.parametrize("command", ["backup", "restore", "move-storage", "move-database"])
def test_target_must_be_given(shell: Shell, command: str) -> None:
    """Without a target the command line is invalid, and nothing is created."""
    assert 2 == shell.run(command).code
    assert not (shell.folder / "data").exists()
