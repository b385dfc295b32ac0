"""`seaway rebuild --from-store` at the command line."""

from contextlib import closing

from tests.cli.conftest import FILE, Shell
from tests.support import house as houses
from tests.support import state


def lose_database(shell: Shell) -> None:
    with closing(houses.build(shell.folder)) as seaway:
        seaway.runner.run_due()
    state.lose_database(shell.folder)


def test_a_lost_database_is_rebuilt(house: Shell) -> None:
    """The answer says what is back, whose it is, how they sign in, and what is not in a store."""
    lose_database(house)
    ran = house.run("rebuild", "--from-store", "--admin", "captain")

    assert 0 == ran.code, ran.err
    assert "1 channels with 1 files were restored" in ran.out
    assert "`seaway user password captain`" in ran.out
    assert "accounts other than the site admin, keys, members" in ran.out
    assert 0 == house.run("user", "password", "captain", "--password-stdin", stdin="a password of some length\n").code
    assert {"owner": "captain", "public": False} == {
        key: house.run("channel", "show", "tools", "--json").value[key] for key in ("owner", "public")
    }
    assert 0 == house.run("check").code


def test_what_is_lost_is_listed(house: Shell) -> None:
    """As lines, and as JSON with the same in fields."""
    lose_database(house)
    with closing(houses.build(house.folder, paired=False)) as seaway:
        (blob,) = [stat.key for stat in state.stored(seaway.blobs) if stat.size == len(FILE.content)]
        seaway.blobs.delete(blob)
    told = house.run("rebuild", "--from-store", "--json").value

    assert {"channels": 1, "files": 0, "deleted": 0, "admin": "admin", "is_new_admin": True} == {
        key: told[key] for key in ("channels", "files", "deleted", "admin", "is_new_admin")
    }
    assert [(FILE.sha256, "missing")] == [(one["sha256"], one["reason"]) for one in told["lost"]]
    assert [] == told["unreadable"] == told["unnamed"]
    assert told["earlier_store_id"] is None


def test_the_manifests_that_were_used_are_named(house: Shell) -> None:
    """After an adoption without a run of the job they are those of the earlier id."""
    with closing(houses.build(house.folder)) as seaway:
        seaway.runner.run_due()
        old = seaway.pairing.store_id()
        seaway.pairing.adopt()
    state.lose_database(house.folder)
    ran = house.run("rebuild", "--from-store")

    assert "1 channels with 1 files were restored" in ran.out
    assert f"those under its earlier id {old} were used" in ran.out


def test_it_is_not_done_by_accident(house: Shell) -> None:
    """Without the option nothing is read, and where channels are nothing is made."""
    assert 2 == house.run("rebuild").code
    assert "bad-setting" == house.run("rebuild", "--from-store", "--json").error["code"]
