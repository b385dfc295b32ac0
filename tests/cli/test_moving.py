"""The commands that copy a house, as an operator uses them one after another."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

pytestmark = pytest.mark.on_disk  # tests/moving has both states


def test_a_house_is_backed_up_and_restored(house: Shell) -> None:
    """From a file and from a folder, into a new data folder, with the same accounts, keys and files."""
    keys = house.run("key", "list", "ada", "--json").value
    made = [house.run("backup", place, "--json").value for place in ("backup.tar", "file:backups", "file:backups")]
    assert [1, 1, 0] == [each["sent"] for each in made]
    for number, source in enumerate((["backup.tar"], ["file:backups"], ["file:backups", "--at", made[1]["time"]])):
        there = Shell(house.driver, house.folder, {"SEAWAY_DATA": f"copy-{number}"})
        restored = there.run("restore", *source, "--json").value
        assert made[(0, 2, 1)[number]]["time"] == restored["time"]
        assert (made[0]["rows"], 1, 1) == (restored["rows"], restored["blobs"], restored["sent"])
        assert keys == there.run("key", "list", "ada", "--json").value
        assert there.run("check", "--json").value["ok"]
        assert 0o700 == (house.folder / f"copy-{number}").stat().st_mode & 0o777


def test_a_restore_is_told_to_people(house: Shell) -> None:
    """One sentence, which says how to prove it; a second one is refused."""
    house.run("backup", "backup.tar")
    there = Shell(house.driver, house.folder, {"SEAWAY_DATA": "copy"})
    ran, again = (there.run("restore", "backup.tar") for _ in range(2))
    assert (0, "", True) == (ran.code, ran.err, "seaway check" in ran.out)
    assert (1, True) == (again.code, "is not empty" in again.err)


def test_a_backup_of_no_house_is_refused(shell: Shell) -> None:
    """In a wrong folder there is nothing to back up."""
    ran = shell.run("backup", "backup.tar")
    assert (1, True) == (ran.code, "does not exist" in ran.err)
    assert not (shell.folder / "backup.tar").exists()


def test_a_damaged_backup_is_told(house: Shell) -> None:
    """An error has its code, and names the file."""
    house.run("backup", "backup.tar")
    path = house.folder / "backup.tar"
    path.write_bytes(path.read_bytes()[:3000])
    error = Shell(house.driver, house.folder, {"SEAWAY_DATA": "copy"}).run("restore", "backup.tar", "--json").error
    assert ("damaged", True) == (error["code"], "backup.tar" in error["message"])


def test_a_house_is_moved(house: Shell) -> None:
    """What the commands print is what has to be done: the house goes on with the new store and database."""
    moved = house.folder / "moved"
    moved.mkdir()
    store = house.run("move-storage", (moved / "store").as_uri())
    database = house.run("move-database", f"sqlite:///{moved}/seaway.db")
    there = Shell(house.driver, house.folder, {"SEAWAY_DATA": str(moved)})
    assert ("set storage_url to file://" in store.out, "seaway.db in data" in database.out) == (True, True)
    assert there.run("check", "--json").value["ok"]
    assert 1 == there.run("channel", "show", "tools", "--json").value["files"]
    assert 0 == house.run("move-storage", (moved / "store").as_uri(), "--json").value["sent"]


def test_half_a_move_is_not_served(house: Shell, tmp_path: Path) -> None:
    """A database that a move has begun to fill is refused, with what to do."""
    import sqlite3

    house.run("move-database", "sqlite:///seaway.db")
    connection = sqlite3.connect(house.folder / "seaway.db")
    connection.execute("UPDATE alembic_version SET version_num = 'unfinished'")
    connection.commit()
    connection.close()
    ran = Shell(house.driver, house.folder, {"SEAWAY_DATA": "."}).run("user", "list", "--json")
    assert "move-database" in json.loads(ran.err)["error"]["hint"]


@pytest.mark.parametrize("command", ["backup", "restore", "move-storage", "move-database"])
def test_a_place_must_be_named(shell: Shell, command: str) -> None:
    """Without it the command line is wrong, and nothing is made."""
    assert 2 == shell.run(command).code
    assert not (shell.folder / "data").exists()
