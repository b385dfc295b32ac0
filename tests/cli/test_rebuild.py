"""`seaway rebuild --from-store` at the command line."""

from contextlib import closing

from tests.cli.conftest import FILE, Shell
from tests.support import sites, state


def lose_database(shell: Shell) -> None:
    with closing(sites.build(shell.folder)) as seaway:
        seaway.runner.run_due()
    state.lose_database(shell.folder)


def test_lost_database_is_rebuilt(filled_shell: Shell) -> None:
    """The output lists what was restored, the site admin, how to sign in, and what a store does not contain."""
    lose_database(filled_shell)
    result = filled_shell.run("rebuild", "--from-store", "--admin", "captain")

    assert 0 == result.code, result.err
    assert "1 private channel with 1 file" in result.out
    assert "`seaway user password captain`" in result.out
    assert "accounts other than the site admin, keys, members" in result.out
    assert (
        0
        == filled_shell.run("user", "password", "captain", "--password-stdin", stdin="a password of some length\n").code
    )
    assert {"owner": "captain", "public": False} == {
        key: filled_shell.run("channel", "show", "tools", "--json").value[key] for key in ("owner", "public")
    }
    assert 0 == filled_shell.run("check").code


def test_lost_files_are_listed(filled_shell: Shell) -> None:
    """The JSON output has a count for each kind of entry, and each lost file."""
    lose_database(filled_shell)
    with closing(sites.build(filled_shell.folder, paired=False)) as seaway:
        (blob,) = [stat.key for stat in state.stored_blobs(seaway.site.blobs) if stat.size == len(FILE.content)]
        seaway.site.blobs.delete(blob)
    report = filled_shell.run("rebuild", "--from-store", "--json").value

    assert {"channels": 1, "files": 0, "deleted": 0, "admin": "admin", "is_new_admin": True} == {
        key: report[key] for key in ("channels", "files", "deleted", "admin", "is_new_admin")
    }
    assert [(FILE.sha256, "missing")] == [(file["sha256"], file["reason"]) for file in report["lost"]]
    assert [] == report["unreadable"] == report["unnamed"]
    assert report["earlier_store_id"] is None


def test_rebuild_names_manifests_of_an_earlier_store_id(filled_shell: Shell) -> None:
    """After `adopt` without a run of the manifest job, the manifests are those of the earlier id."""
    with closing(sites.build(filled_shell.folder)) as seaway:
        seaway.runner.run_due()
        old_id = seaway.pairing.store_id()
        seaway.pairing.adopt()
    state.lose_database(filled_shell.folder)
    result = filled_shell.run("rebuild", "--from-store")

    assert "1 private channel with 1 file" in result.out
    assert f"those under its earlier id {old_id} were used" in result.out


def test_rebuild_needs_the_option_and_a_lost_database(filled_shell: Shell) -> None:
    """Without --from-store, or if there are channels, nothing is rebuilt."""
    assert 2 == filled_shell.run("rebuild").code
    assert "bad-setting" == filled_shell.run("rebuild", "--from-store", "--json").error["code"]
