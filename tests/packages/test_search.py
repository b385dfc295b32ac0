"""Search finds packages by name, summary and match spec, and only in channels that the caller can read."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import event

from seaway.callers.caller import ANONYMOUS, OPERATOR, Caller, CredentialKind
from seaway.channels.roles import Role
from seaway.errors import Malformed
from seaway.packages import removal
from seaway.packages.search import Hit, search
from seaway.server.wiring import Seaway
from seaway.users import users
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio


async def publish(seaway: Seaway, channel: str, name: str, version: str = "1.0", summary: str = "") -> None:
    await publish_file(seaway, channel, conda(index_json(name, version=version), about={"summary": summary}))


def search_hits(seaway: Seaway, query: str, by: Caller = ANONYMOUS, **more: str) -> list[tuple[str, str]]:
    with seaway.site.database.read() as tx:
        hits, next_page = search(tx, by, query, limit=50, **more)
    assert next_page is None
    return [(hit.channel, hit.package) for hit in hits]


def session_caller(seaway: Seaway, name: str) -> Caller:
    with seaway.site.database.read() as tx:
        return Caller(name=name, user_id=users.get(tx, name).id, credential=CredentialKind.PERSON)


async def test_exact_name_comes_first(seaway: Seaway, factory: Factory) -> None:
    """Then names by prefix, names by substring and summaries; `_`, `-` and case make no difference."""
    factory.channel("chan")
    for name, summary in [
        ("zz", "Arrays for robots"), ("my_robots", ""), ("robots-base", ""), ("robots", ""), ("other", "Nothing"),
    ]:  # fmt: skip
        await publish(seaway, "chan", name, summary=summary)
    assert [("chan", name) for name in ("robots", "robots-base", "my_robots", "zz")] == search_hits(seaway, "robots")
    assert [("chan", "my_robots")] == search_hits(seaway, "My-Robots")
    assert [("chan", "zz")] == search_hits(seaway, "ROBOTS arrays")
    assert [] == search_hits(seaway, "robots nothing")
    assert [] == search_hits(seaway, "rob%")


async def test_match_spec_selects_versions(seaway: Seaway, factory: Factory) -> None:
    """A package without a matching file is left out; a hit names its newest matching version."""
    factory.channel("chan")
    for version in ("1.9", "1.10", "2.0"):
        await publish(seaway, "chan", "demo", version)
    with seaway.site.database.read() as tx:
        hits, _ = search(tx, ANONYMOUS, "demo <2", limit=10)
    assert [Hit("chan", "demo", "", "1.10", ("noarch",))] == hits
    assert [] == search_hits(seaway, "demo >2")
    assert [] == search_hits(seaway, "demo >=")
    assert [("chan", "demo")] == search_hits(seaway, "demo 2.0 h1_0")


async def test_private_channel_is_searched_only_for_its_members(seaway: Seaway, factory: Factory) -> None:
    """Naming the channel does not help (P4)."""
    factory.channel("closed", public=False)
    factory.member("closed", "friend", Role.VIEWER)
    factory.user("nonmember")
    await publish(seaway, "closed", "secret-thing", summary="A hidden purpose")
    for by in (
        ANONYMOUS,
        session_caller(seaway, "nonmember"),
        replace(session_caller(seaway, "friend"), channel_ids=frozenset()),
    ):
        for query in ("secret-thing", "hidden", "secret-thing >=1"):
            assert [] == search_hits(seaway, query, by)
            assert [] == search_hits(seaway, query, by, channel="closed")
    assert [("closed", "secret-thing")] == search_hits(seaway, "hidden", session_caller(seaway, "friend"))


async def test_deleted_and_yanked_packages_are_not_found(seaway: Seaway, factory: Factory) -> None:
    """They cannot be installed."""
    factory.channel("chan")
    await publish(seaway, "chan", "gone")
    await publish(seaway, "chan", "yanked")
    removal.delete(seaway.site, OPERATOR, "chan", "noarch", "gone-1.0-h1_0.conda")
    removal.yank(seaway.site, OPERATOR, "chan", "noarch", "yanked-1.0-h1_0.conda")
    assert [] == search_hits(seaway, "gone") + search_hits(seaway, "yanked")


async def test_summary_of_the_last_upload_is_searched(seaway: Seaway, factory: Factory) -> None:
    """It replaces the earlier one."""
    factory.channel("chan")
    await publish(seaway, "chan", "demo", "1.0", "The  old\npurpose")
    assert [("chan", "demo")] == search_hits(seaway, "old purpose")
    await publish(seaway, "chan", "demo", "2.0", "A new one")
    assert [] == search_hits(seaway, "old")
    assert [("chan", "demo")] == search_hits(seaway, "new")


async def test_each_page_of_hits_takes_two_statements(seaway: Seaway, factory: Factory) -> None:
    """Every hit is on exactly one page."""
    names = [f"part-{number:02}" for number in range(7)]
    for channel in ("one", "two"):
        factory.channel(channel)
        for name in names:
            await publish(seaway, channel, name)
    statements: list[str] = []
    event.listen(seaway.site.database.engine, "before_cursor_execute", lambda *event: statements.append(event[2]))
    pages: list[Sequence[Hit]] = []
    after: str | None = ""
    while after is not None:
        with seaway.site.database.read() as tx:
            statements.clear()
            hits, after = search(tx, ANONYMOUS, "part", after=after, limit=4)
        assert 2 == len(statements)
        pages.append(hits)
    assert [4, 4, 4, 2] == [len(page) for page in pages]
    assert [(name, channel) for name in names for channel in ("one", "two")] == [
        (hit.package, hit.channel) for page in pages for hit in page
    ]


@pytest.mark.parametrize("after", ["x", "9 a b", "0 a", "0 a b c"])
def test_invalid_cursor_is_refused(seaway: Seaway, after: str) -> None:
    with seaway.site.database.read() as tx, pytest.raises(Malformed):
        search(tx, ANONYMOUS, "x", after=after, limit=1)


@pytest.mark.parametrize("query", [" ", "a b c d e f g h i"])
def test_search_without_words_or_with_too_many_is_refused(seaway: Seaway, query: str) -> None:
    """Many words make a search slow."""
    with seaway.site.database.read() as tx, pytest.raises(Malformed):
        search(tx, ANONYMOUS, query, limit=1)
