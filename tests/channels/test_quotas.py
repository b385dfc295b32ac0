"""Quotas: what fits comes in, what does not is refused with the figures, and the count is true at every step."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update

from seaway.callers.caller import OPERATOR, Caller, Mode
from seaway.channels import channels, quotas
from seaway.database.tables import audit, files, subdirs
from seaway.errors import Malformed, NotAllowed, SeawayError, TooLarge
from seaway.indexing import rebuild
from seaway.indexing.file_rows import get_subdir
from seaway.packages import removal
from seaway.server.wiring import Seaway
from tests.support.house import People, publish_file
from tests.support.packages import PackageFile, conda, index_json


def package(name: str, content: bytes = b"") -> PackageFile:
    return conda(index_json(name), files={"share/content": content})


@pytest.fixture
def ada(people: People) -> Caller:
    people.channel("boats", owner="ada")
    people.channel("sails", owner="ada")
    return people.by_key(people.key("ada", mode=Mode.MANAGE))


async def upload(seaway: Seaway, by: Caller, file: PackageFile, channel: str = "boats", *, force: bool = False) -> None:
    await publish_file(seaway, channel, file, by=by, force=force)


def used(seaway: Seaway) -> int:
    """What the channel holds by its count, which is what its files say."""
    with seaway.database.read() as tx:
        counted = tx.execute(select(func.coalesce(func.sum(subdirs.c.size), 0))).scalar_one()
        real = tx.execute(
            select(func.coalesce(func.sum(files.c.size), 0)).where(files.c.state != "deleted")
        ).scalar_one()
    assert real == counted
    return int(counted)


def set_quota(seaway: Seaway, quota: int | None, *, user: str | None = None) -> None:
    with seaway.database.write_site() as tx:
        if user is None:
            quotas.set_of_channel(tx, 0, OPERATOR, "boats", quota)
        else:
            quotas.set_of_user(tx, 0, OPERATOR, user, quota)


@pytest.mark.anyio
async def test_the_count_follows_every_change(on_both: str, seaway: Seaway, ada: Caller) -> None:
    """Uploading, overwriting, yanking, deleting and uploading again: the bytes are those of the files that are there."""
    file, other = package("a"), package("b")
    await upload(seaway, ada, file)
    await upload(seaway, ada, other)
    assert len(file.content) + len(other.content) == used(seaway)
    larger = package("a", b"more" * 500)
    await upload(seaway, ada, larger, force=True)
    assert len(larger.content) + len(other.content) == used(seaway)
    removal.yank(seaway.request_parts.removing, ada, "boats", "noarch", file.name)
    assert len(larger.content) + len(other.content) == used(seaway)
    removal.delete(seaway.request_parts.removing, ada, "boats", "noarch", file.name)
    assert len(other.content) == used(seaway)
    await upload(seaway, ada, file, force=True)
    assert len(file.content) + len(other.content) == used(seaway)


@pytest.mark.anyio
async def test_what_does_not_fit_is_refused_with_the_figures(seaway: Seaway, ada: Caller) -> None:
    """To the byte: what fills the quota comes in, one byte more does not, and nothing is left of it."""
    file, other = package("a"), package("b")
    set_quota(seaway, len(file.content) + len(other.content) - 1)
    await upload(seaway, ada, file)
    with pytest.raises(TooLarge, match=f"holds {len(file.content):,} of .* {len(other.content):,} more do not fit"):
        await upload(seaway, ada, other)
    assert len(file.content) == used(seaway)
    set_quota(seaway, len(file.content) + len(other.content))
    await upload(seaway, ada, other)
    with pytest.raises(TooLarge):
        await upload(seaway, ada, package("c"))
    set_quota(seaway, None)
    await upload(seaway, ada, package("c"))


@pytest.mark.anyio
async def test_a_smaller_replacement_always_fits(seaway: Seaway, ada: Caller) -> None:
    """What takes room away is let in, also where the quota was lowered below what is there."""
    large, small = package("a", bytes(range(256)) * 90), package("a")
    await upload(seaway, ada, large)
    set_quota(seaway, 10)
    await upload(seaway, ada, small, force=True)
    assert len(small.content) == used(seaway)


@pytest.mark.anyio
async def test_the_channels_of_an_owner_count_together(seaway: Seaway, people: People, ada: Caller) -> None:
    """The quota of a user is about all channels that they own, whoever uploads; those of others have nothing to do with it."""
    file, other = package("a"), package("b")
    set_quota(seaway, len(file.content), user="ada")
    people.channel("bobs", owner="bob")
    bob = people.by_key(people.key("bob"))
    await upload(seaway, bob, package("big"), "bobs")
    await upload(seaway, ada, file)
    with pytest.raises(TooLarge, match="The channels of the owner of sails hold"):
        await upload(seaway, ada, other, "sails")
    with seaway.database.read() as tx:
        assert quotas.Usage(len(file.content), len(file.content)) == quotas.of_user(tx, ada.user_id or 0, None)


@pytest.mark.both_states
def test_of_two_that_fit_one_by_one_one_comes_in(on_both: str, seaway: Seaway, ada: Caller) -> None:
    """The transaction that records decides: however many come at once, the channel holds no more than it may."""
    files_at_once = [package(f"p{number}") for number in range(6)]
    room = sum(len(file.content) for file in files_at_once[:2]) + 10
    set_quota(seaway, room)

    def attempt(file: PackageFile) -> bool:
        try:
            asyncio.run(upload(seaway, ada, file))
        except SeawayError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        came_in = sum(threads.map(attempt, files_at_once))
    assert 1 <= came_in <= 2
    assert used(seaway) <= room


@pytest.mark.anyio
async def test_a_wrong_count_is_found_and_put_right(seaway: Seaway, ada: Caller) -> None:
    """`check` tells that the bytes are not those of the files, and `reindex` counts again."""
    await upload(seaway, ada, package("a"))
    right = used(seaway)
    with seaway.database.write_site() as tx:
        tx.execute(update(subdirs).values(size=7))
        subdir = get_subdir(tx, tx.execute(select(subdirs.c.id)).scalar_one())
        assert subdir is not None
        assert ["the subdir counts 7 bytes"] == [
            one.description.partition(" but")[0] for one in rebuild.differences(tx, subdir)
        ]
        rebuild.rebuild(tx, subdir, 0, 100)
    assert right == used(seaway)


def test_only_admins_set_quotas(seaway: Seaway, people: People, ada: Caller) -> None:
    """Not the owner, nor a key of an admin; and a quota is a number of bytes."""
    people.user("boss", admin=True)
    for by in (people.person("ada"), ada, people.by_key(people.key("boss", mode=Mode.MANAGE))):
        with seaway.database.write_site() as tx, pytest.raises(NotAllowed):
            quotas.set_of_channel(tx, 0, by, "boats", 1)
        with seaway.database.write_site() as tx, pytest.raises(NotAllowed):
            quotas.set_of_user(tx, 0, by, "ada", 1)
    boss = people.person("boss")
    with seaway.database.write_site() as tx:
        quotas.set_of_channel(tx, 0, boss, "boats", 1)
        quotas.set_of_user(tx, 0, boss, "ada", None)
        with pytest.raises(Malformed):
            quotas.set_of_channel(tx, 0, boss, "boats", -1)
        found = channels.get(tx, "boats")
        assert quotas.Usage(1, 0) == quotas.of_channel(tx, found.id)
        assert (
            2
            == tx.execute(
                select(func.count()).where(audit.c.action == "quota.changed", audit.c.actor == "boss")
            ).scalar_one()
        )
