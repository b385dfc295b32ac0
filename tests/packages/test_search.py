"""Search finds packages by name, purpose and match spec, and nothing that the asker may not read."""

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
from tests.support.house import People, publish_file
from tests.support.packages import conda, index_json

pytestmark = pytest.mark.anyio


async def publish(seaway: Seaway, channel: str, name: str, version: str = "1.0", summary: str = "") -> None:
    await publish_file(seaway, channel, conda(index_json(name, version=version), about={"summary": summary}))


def found(seaway: Seaway, question: str, by: Caller = ANONYMOUS, **more: str) -> list[tuple[str, str]]:
    with seaway.database.read() as tx:
        hits, following = search(tx, by, question, limit=50, **more)
    assert following is None
    return [(hit.channel, hit.package) for hit in hits]


def person(seaway: Seaway, name: str) -> Caller:
    with seaway.database.read() as tx:
        return Caller(name=name, user_id=users.get(tx, name).id, credential=CredentialKind.PERSON)


async def test_the_very_name_comes_first(seaway: Seaway, people: People) -> None:
    """Then names that begin so, names that hold it, summaries that hold it; `_`, `-` and case make no difference."""
    people.channel("chan")
    for name, summary in [
        ("zz", "Arrays for robots"), ("my_robots", ""), ("robots-base", ""), ("robots", ""), ("other", "Nothing"),
    ]:  # fmt: skip
        await publish(seaway, "chan", name, summary=summary)
    assert [("chan", name) for name in ("robots", "robots-base", "my_robots", "zz")] == found(seaway, "robots")
    assert [("chan", "my_robots")] == found(seaway, "My-Robots")
    assert [("chan", "zz")] == found(seaway, "ROBOTS arrays")
    assert [] == found(seaway, "robots nothing")
    assert [] == found(seaway, "rob%")


async def test_a_match_spec_takes_versions(seaway: Seaway, people: People) -> None:
    """A package of which no file fits is left out, and the newest version that fits is named."""
    people.channel("chan")
    for version in ("1.9", "1.10", "2.0"):
        await publish(seaway, "chan", "demo", version)
    with seaway.database.read() as tx:
        hits, _ = search(tx, ANONYMOUS, "demo <2", limit=10)
    assert [Hit("chan", "demo", "", "1.10", ("noarch",))] == hits
    assert [] == found(seaway, "demo >2")
    assert [] == found(seaway, "demo >=")
    assert [("chan", "demo")] == found(seaway, "demo 2.0 h1_0")


async def test_a_channel_that_may_not_be_read_is_not_searched(seaway: Seaway, people: People) -> None:
    """Not for strangers, not by name, not by its own name; for its members, and for nobody else (P4)."""
    people.channel("closed", public=False)
    people.member("closed", "friend", Role.VIEWER)
    people.user("stranger")
    await publish(seaway, "closed", "secret-thing", summary="A hidden purpose")
    for by in (ANONYMOUS, person(seaway, "stranger"), replace(person(seaway, "friend"), channel_ids=frozenset())):
        for question in ("secret-thing", "hidden", "secret-thing >=1"):
            assert [] == found(seaway, question, by)
            assert [] == found(seaway, question, by, channel="closed")
    assert [("closed", "secret-thing")] == found(seaway, "hidden", person(seaway, "friend"))


async def test_what_is_gone_is_not_found(seaway: Seaway, people: People) -> None:
    """A package whose files were deleted or yanked is nothing that one could install."""
    people.channel("chan")
    await publish(seaway, "chan", "gone")
    await publish(seaway, "chan", "yanked")
    removal.delete(seaway.request_parts.removing, OPERATOR, "chan", "noarch", "gone-1.0-h1_0.conda")
    removal.yank(seaway.request_parts.removing, OPERATOR, "chan", "noarch", "yanked-1.0-h1_0.conda")
    assert [] == found(seaway, "gone") + found(seaway, "yanked")


async def test_the_summary_is_that_of_the_last_file(seaway: Seaway, people: People) -> None:
    """What a new file says replaces what the one before said."""
    people.channel("chan")
    await publish(seaway, "chan", "demo", "1.0", "The  old\npurpose")
    assert [("chan", "demo")] == found(seaway, "old purpose")
    await publish(seaway, "chan", "demo", "2.0", "A new one")
    assert [] == found(seaway, "old")
    assert [("chan", "demo")] == found(seaway, "new")


async def test_pages_follow_each_other_in_two_statements_each(seaway: Seaway, people: People) -> None:
    """Every hit is on one page, and a page costs the same whatever it holds."""
    names = [f"part-{number:02}" for number in range(7)]
    for channel in ("one", "two"):
        people.channel(channel)
        for name in names:
            await publish(seaway, channel, name)
    statements: list[str] = []
    event.listen(seaway.database.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    pages: list[Sequence[Hit]] = []
    after: str | None = ""
    while after is not None:
        with seaway.database.read() as tx:
            statements.clear()
            hits, after = search(tx, ANONYMOUS, "part", after=after, limit=4)
        assert 2 == len(statements)
        pages.append(hits)
    assert [4, 4, 4, 2] == [len(page) for page in pages]
    assert [(name, channel) for name in names for channel in ("one", "two")] == [
        (hit.package, hit.channel) for page in pages for hit in page
    ]


@pytest.mark.parametrize("after", ["x", "9 a b", "0 a", "0 a b c"])
def test_a_cursor_that_no_answer_gave_is_refused(seaway: Seaway, after: str) -> None:
    """It is no place in the list."""
    with seaway.database.read() as tx, pytest.raises(Malformed):
        search(tx, ANONYMOUS, "x", after=after, limit=1)


@pytest.mark.parametrize("question", [" ", "a b c d e f g h i"])
def test_a_search_has_a_few_words(seaway: Seaway, question: str) -> None:
    """None is no search, and many are slow."""
    with seaway.database.read() as tx, pytest.raises(Malformed):
        search(tx, ANONYMOUS, question, limit=1)
