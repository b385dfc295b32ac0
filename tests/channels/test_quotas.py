"""Quotas: refusals, accounting and concurrency."""

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
from tests.support.packages import PackageFile, conda, index_json
from tests.support.sites import Factory, publish_file


def package(name: str, content: bytes = b"") -> PackageFile:
    return conda(index_json(name), files={"share/content": content})


@pytest.fixture
def ada(factory: Factory) -> Caller:
    factory.channel("boats", owner="ada")
    factory.channel("sails", owner="ada")
    return factory.caller_of_key(factory.key("ada", mode=Mode.MANAGE))


async def upload(seaway: Seaway, by: Caller, file: PackageFile, channel: str = "boats", *, force: bool = False) -> None:
    await publish_file(seaway, channel, file, by=by, force=force)


def used(seaway: Seaway) -> int:
    """Return the bytes that the channel counts, which must equal the sum of its files."""
    with seaway.site.database.read() as tx:
        counted = tx.execute(select(func.coalesce(func.sum(subdirs.c.size), 0))).scalar_one()
        actual = tx.execute(
            select(func.coalesce(func.sum(files.c.size), 0)).where(files.c.state != "deleted")
        ).scalar_one()
    assert actual == counted
    return int(counted)


def set_quota(seaway: Seaway, quota: int | None, *, user: str | None = None) -> None:
    with seaway.site.database.write_site() as tx:
        if user is None:
            quotas.set_of_channel(tx, 0, OPERATOR, "boats", quota)
        else:
            quotas.set_of_user(tx, 0, OPERATOR, user, quota)


@pytest.mark.anyio
async def test_usage_follows_every_change(on_both: str, seaway: Seaway, ada: Caller) -> None:
    """Uploading, overwriting, yanking, deleting and uploading again."""
    first, second = package("a"), package("b")
    await upload(seaway, ada, first)
    await upload(seaway, ada, second)
    assert len(first.content) + len(second.content) == used(seaway)
    larger = package("a", b"more" * 500)
    await upload(seaway, ada, larger, force=True)
    assert len(larger.content) + len(second.content) == used(seaway)
    removal.yank(seaway.site, ada, "boats", "noarch", first.name)
    assert len(larger.content) + len(second.content) == used(seaway)
    removal.delete(seaway.site, ada, "boats", "noarch", first.name)
    assert len(second.content) == used(seaway)
    await upload(seaway, ada, first, force=True)
    assert len(first.content) + len(second.content) == used(seaway)


@pytest.mark.anyio
async def test_upload_over_quota_is_refused_with_the_numbers(seaway: Seaway, ada: Caller) -> None:
    """Exact to the byte: an upload that fills the quota is accepted, one byte more is refused and leaves nothing."""
    first, second = package("a"), package("b")
    set_quota(seaway, len(first.content) + len(second.content) - 1)
    await upload(seaway, ada, first)
    with pytest.raises(TooLarge, match=f"holds {len(first.content):,} of .* {len(second.content):,} more do not fit"):
        await upload(seaway, ada, second)
    assert len(first.content) == used(seaway)
    set_quota(seaway, len(first.content) + len(second.content))
    await upload(seaway, ada, second)
    with pytest.raises(TooLarge):
        await upload(seaway, ada, package("c"))
    set_quota(seaway, None)
    await upload(seaway, ada, package("c"))


@pytest.mark.anyio
async def test_smaller_replacement_is_always_accepted(seaway: Seaway, ada: Caller) -> None:
    """It is accepted even if the quota was lowered below the current usage."""
    large, small = package("a", bytes(range(256)) * 90), package("a")
    await upload(seaway, ada, large)
    set_quota(seaway, 10)
    await upload(seaway, ada, small, force=True)
    assert len(small.content) == used(seaway)


@pytest.mark.anyio
async def test_user_quota_covers_all_channels_of_the_owner(seaway: Seaway, factory: Factory, ada: Caller) -> None:
    """For every uploader; channels of other owners do not count."""
    first, second = package("a"), package("b")
    set_quota(seaway, len(first.content), user="ada")
    factory.channel("bobs", owner="bob")
    bob = factory.caller_of_key(factory.key("bob"))
    await upload(seaway, bob, package("big"), "bobs")
    await upload(seaway, ada, first)
    with pytest.raises(TooLarge, match="The channels of the owner of sails hold"):
        await upload(seaway, ada, second, "sails")
    with seaway.site.database.read() as tx:
        assert quotas.QuotaUsage(len(first.content), len(first.content)) == quotas.of_user(tx, ada.user_id or 0, None)


@pytest.mark.both_states
def test_concurrent_uploads_do_not_exceed_the_quota(on_both: str, seaway: Seaway, ada: Caller) -> None:
    """The transaction that records a file checks the quota."""
    files_at_once = [package(f"p{number}") for number in range(6)]
    quota = sum(len(file.content) for file in files_at_once[:2]) + 10
    set_quota(seaway, quota)

    def attempt(file: PackageFile) -> bool:
        try:
            asyncio.run(upload(seaway, ada, file))
        except SeawayError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        accepted = sum(threads.map(attempt, files_at_once))
    assert 1 <= accepted <= 2
    assert used(seaway) <= quota


@pytest.mark.anyio
async def test_wrong_usage_is_detected_and_repaired(seaway: Seaway, ada: Caller) -> None:
    """`check` reports the difference, and `reindex` counts again."""
    await upload(seaway, ada, package("a"))
    expected = used(seaway)
    with seaway.site.database.write_site() as tx:
        tx.execute(update(subdirs).values(size=7))
        subdir = get_subdir(tx, tx.execute(select(subdirs.c.id)).scalar_one())
        assert subdir is not None
        assert ["the subdir counts 7 bytes"] == [
            difference.description.partition(" but")[0] for difference in rebuild.differences(tx, subdir)
        ]
        rebuild.rebuild(tx, subdir, 0, 100)
    assert expected == used(seaway)


def test_only_signed_in_admins_set_quotas(seaway: Seaway, factory: Factory, ada: Caller) -> None:
    """Neither the owner nor a key of an admin can; a negative quota is refused."""
    factory.user("boss", admin=True)
    for by in (factory.signed_in("ada"), ada, factory.caller_of_key(factory.key("boss", mode=Mode.MANAGE))):
        with seaway.site.database.write_site() as tx, pytest.raises(NotAllowed):
            quotas.set_of_channel(tx, 0, by, "boats", 1)
        with seaway.site.database.write_site() as tx, pytest.raises(NotAllowed):
            quotas.set_of_user(tx, 0, by, "ada", 1)
    admin = factory.signed_in("boss")
    with seaway.site.database.write_site() as tx:
        quotas.set_of_channel(tx, 0, admin, "boats", 1)
        quotas.set_of_user(tx, 0, admin, "ada", None)
        with pytest.raises(Malformed):
            quotas.set_of_channel(tx, 0, admin, "boats", -1)
        channel = channels.get(tx, "boats")
        assert quotas.QuotaUsage(1, 0) == quotas.of_channel(tx, channel.id)
        assert (
            2
            == tx.execute(
                select(func.count()).where(audit.c.action == "quota.changed", audit.c.actor == "boss")
            ).scalar_one()
        )
