"""
The job that writes manifests, and a rebuild from them, killed with SIGKILL before their steps; a server killed while
the job runs, whose database is then lost.
"""

import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from seaway.backup.rebuild import RebuiltSite, rebuild
from seaway.database.tables import channels, files, subdirs
from seaway.maintenance.check import check
from seaway.packages.manifest_writer import write_changes
from seaway.server.wiring import Seaway
from seaway.storage import keys
from tests.crash.stepper import CHANNEL, LATE, NEW, OTHER, prepare
from tests.crash.test_kill import CHANNEL as ROBOTS
from tests.crash.test_kill import Load
from tests.crash.test_kill import prepare as prepare_for_load
from tests.crash.test_steps import EVERY_STEP, Stepper, stepper
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import sites, state
from tests.support.server import serving
from tests.support.sites import Factory

__all__ = ["stepper"]  # a fixture

_SOME = 6
States = dict[str, tuple[str, bytes]]


def opened(folder: Path) -> Seaway:
    """Open a site whose database may be lost."""
    return with_in_process_examiners(sites.build(folder, paired=False))


def write_manifests(seaway: Seaway) -> None:
    write_changes(seaway.site, seaway.pairing.store_id())


def rebuild_site(seaway: Seaway) -> RebuiltSite:
    return rebuild(seaway.site, "admin")


def objects(seaway: Seaway) -> dict[str, bytes]:
    found = {}
    for stat in seaway.site.blobs.list(keys.MANIFESTS):
        if keys.is_unfinished(stat.key):  # left by a kill, and deleted by a sweep
            continue
        with seaway.site.blobs.open(stat.key) as file:
            found[stat.key] = file.read()
    return found


def states(seaway: Seaway) -> States:
    """Return state and hash of every file."""
    query = (
        select(channels.c.name, files.c.file_name, files.c.state, files.c.sha256)
        .join(subdirs, subdirs.c.id == files.c.subdir_id)
        .join(channels, channels.c.id == subdirs.c.channel_id)
    )
    with seaway.site.database.read() as tx:
        return {f"{row[0]}/{row[1]}": (row[2], row[3]) for row in tx.execute(query)}


def make_changes(folder: Path) -> tuple[States, States]:
    """Create a site with outdated manifests; return the files in the manifests and in the database."""
    with closing(with_in_process_examiners(sites.build(folder))) as seaway:
        Factory(seaway).channel(CHANNEL)
        gone = Channel(seaway, Factory(seaway).channel("gone"))
        gone.put(LATE)
        prepare(seaway)
        write_manifests(seaway)
        before = states(seaway)
        channel = Channel(seaway, CHANNEL)
        channel.put(NEW, force=True)
        channel.put(LATE)
        channel.yank(OTHER)
        gone.remove()
        return before, states(seaway)


def selected_steps(steps: list[str], every: int) -> list[int]:
    return sorted({*range(0, len(steps), every), len(steps) - 1})


def kill_the_job(stepper: Stepper, folder: Path, every: int) -> None:
    before, after = make_changes(folder / "source")
    state.copy(folder / "source", folder / "whole")
    steps = stepper.run(folder / "whole", "manifests")
    with closing(opened(folder / "whole")) as seaway:
        expected = objects(seaway)
    for number in selected_steps(steps, every):
        case = folder / str(number)
        state.copy(folder / "source", case)
        stepper.run(case, "manifests", number)
        state.copy(case, folder / f"{number} continued")
        with closing(opened(folder / f"{number} continued")) as seaway:
            write_manifests(seaway)
            assert expected == objects(seaway)
        state.lose_database(case)
        with closing(opened(case)) as seaway:
            rebuilt = rebuild_site(seaway)
            found = states(seaway)
            assert [] == list(check(seaway))
        assert [] == rebuilt.unreadable == rebuilt.lost
        assert all(found[place] in (before.get(place), after.get(place)) for place in found)
        assert after.keys() & before.keys() <= found.keys()
        for leftover in (case, folder / f"{number} continued"):
            state.forget(leftover)


def test_a_killed_job_leaves_usable_manifests(on_both: str, stepper: Stepper, tmp_path: Path) -> None:
    """Each object is the old or the new one; the next run completes them, and a rebuild in between is consistent."""
    kill_the_job(stepper, tmp_path, _SOME)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_job_killed_at_any_step_leaves_usable_manifests(on_both: str, stepper: Stepper, tmp_path: Path) -> None:
    """The same at every step."""
    kill_the_job(stepper, tmp_path, EVERY_STEP)


def kill_the_rebuild(stepper: Stepper, folder: Path, every: int) -> None:
    _, after = make_changes(folder / "source")
    with closing(opened(folder / "source")) as seaway:
        write_manifests(seaway)
    state.lose_database(folder / "source")
    sites.build(folder / "source", paired=False).close()  # so that every copy has the tables
    state.copy(folder / "source", folder / "whole")
    steps = stepper.run(folder / "whole", "rebuild")
    for number in selected_steps(steps, every):
        case = folder / str(number)
        state.copy(folder / "source", case)
        stepper.run(case, "rebuild", number)
        with closing(opened(case)) as seaway:
            if {} == states(seaway):
                rebuild_site(seaway)
            assert after == states(seaway)
            assert [] == list(check(seaway))
            assert [] == list(seaway.settings.spool_folder.iterdir())
        state.forget(case)


def has_names(seaway: Seaway) -> bool:
    """Return whether the store has the manifest of any name: on a busy machine a run takes as long as the load."""
    places = (keys.manifest_place(stat.key) for stat in seaway.site.blobs.list(keys.MANIFESTS))
    return any(place is not None and place.subdir_id for place in places)


def test_a_killed_rebuild_can_be_run_again(on_both: str, stepper: Stepper, tmp_path: Path) -> None:
    """From_store invariant 1: the database is empty or the rebuild is complete."""
    kill_the_rebuild(stepper, tmp_path, 3 * _SOME)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_rebuild_killed_at_any_step_can_be_run_again(on_both: str, stepper: Stepper, tmp_path: Path) -> None:
    """The same at every step."""
    kill_the_rebuild(stepper, tmp_path, EVERY_STEP)


def test_a_rebuild_after_a_kill_and_a_lost_database(on_both: str, tmp_path: Path) -> None:
    """Published files are restored or their blobs are listed; no other file appears."""
    key = prepare_for_load(tmp_path)
    with serving(tmp_path) as server, closing(opened(tmp_path)) as writer:
        Channel(writer, ROBOTS).put(NEW)  # on a busy machine no other upload may finish before the kill
        load, done = Load(server.address, key), threading.Event()

        def write() -> None:
            while not (done.is_set() and has_names(writer)):
                write_manifests(writer)

        writing = threading.Thread(target=write)
        writing.start()
        load.run(0, server, 700)
        done.set()
        writing.join()
    with closing(opened(tmp_path)) as seaway:
        truth = states(seaway)
    state.lose_database(tmp_path)
    with closing(opened(tmp_path)) as seaway:
        rebuilt = rebuild_site(seaway)
        found = states(seaway)
        assert [] == list(check(seaway))

    listed = {blob.package.rpartition("/")[2] for blob in rebuilt.unnamed}
    assert found.items() <= truth.items()
    assert load.published <= {place.removeprefix(f"{ROBOTS}/") for place in found} | listed
    assert found
    assert [] == rebuilt.unreadable == rebuilt.lost
