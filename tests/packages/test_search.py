"""Search finds packages by name, summary and match spec, and only in channels that the caller can read."""

from dataclasses import replace
from typing import Any

import pytest

from seaway.callers.caller import ANONYMOUS, OPERATOR, Caller, CredentialKind
from seaway.channels import channels
from seaway.channels.roles import Role
from seaway.errors import Malformed
from seaway.packages import downloads, metadata_corrections, removal, search, versions
from seaway.packages.client_families import ClientFamily
from seaway.packages.downloads import DownloadKey
from seaway.packages.search import FilterChoices, Hit, PackageQuery, Sort
from seaway.server.wiring import Seaway
from seaway.users import users
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.sites import Factory, publish_file
from tests.support.statements import record_statements

pytestmark = pytest.mark.anyio


async def publish(seaway: Seaway, channel: str, name: str, version: str = "1.0", summary: str = "") -> None:
    await publish_file(seaway, channel, conda(index_json(name, version=version), about={"summary": summary}))


def full_hits(seaway: Seaway, text: str, by: Caller = ANONYMOUS, **filters: Any) -> list[Hit]:
    with seaway.site.database.read() as tx:
        found = search.search(tx, by, PackageQuery(text, **filters), limit=50)
    assert found.next is None
    return found.hits


def search_hits(seaway: Seaway, text: str, by: Caller = ANONYMOUS, **filters: Any) -> list[tuple[str, str]]:
    return [(hit.channel, hit.package) for hit in full_hits(seaway, text, by, **filters)]


def names(seaway: Seaway, text: str, **filters: Any) -> list[str]:
    return [hit.package for hit in full_hits(seaway, text, **filters)]


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
    (hit,) = full_hits(seaway, "demo <2")
    assert ("chan", "demo", "1.10", ("noarch",), 3) == (hit.channel, hit.package, hit.version, hit.subdirs, hit.files)
    assert [] == search_hits(seaway, "demo >2")
    assert [("chan", "demo")] == search_hits(seaway, "demo 2.0 h1_0")
    with seaway.site.database.read() as tx:
        assert [0, 1] == [search.choices(tx, ANONYMOUS, PackageQuery(text)).total for text in ("demo >2", "demo >=2")]


@pytest.mark.parametrize("text", ["demo >", "demo >=", "demo >=1,", "demo >=1,<", "demo[", "demo >=1,!", "demo ~="])
async def test_match_spec_that_is_being_typed_finds_what_it_says_so_far(
    seaway: Seaway, factory: Factory, text: str
) -> None:
    factory.channel("chan")
    await publish(seaway, "chan", "demo", "1.0")
    assert [("chan", "demo")] == search_hits(seaway, text)


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


async def test_summary_of_the_newest_file_is_searched(seaway: Seaway, factory: Factory) -> None:
    """It replaces the earlier one."""
    factory.channel("chan")
    await publish(seaway, "chan", "demo", "1.0", "The  old\npurpose")
    assert [("chan", "demo")] == search_hits(seaway, "old purpose")
    await publish(seaway, "chan", "demo", "2.0", "A new one")
    assert [] == search_hits(seaway, "old")
    assert [("chan", "demo")] == search_hits(seaway, "new")


async def test_page_takes_two_statements_in_every_order(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """Every package is on exactly one page."""
    parts = [f"part-{number:02}" for number in range(7)]
    for channel in ("one", "two"):
        factory.channel(channel)
        for name in parts:
            await publish(seaway, channel, name)
            clock.move(1)
    for order in Sort:
        query = PackageQuery("part", sort=order)
        pages: list[list[Hit]] = []
        after, previous = "", []
        while after is not None:
            with seaway.site.database.read() as tx, record_statements(seaway.site.database) as statements:
                results = search.search(tx, ANONYMOUS, query, after=after, limit=4)
            assert 2 == len(statements)
            pages.append(results.hits)
            previous.append(results.previous)
            after = results.next
        assert [4, 4, 4, 2] == [len(page) for page in pages]
        assert previous[0] is None
        for number in range(1, 4):
            with seaway.site.database.read() as tx:
                back = search.search(tx, ANONYMOUS, query, after=previous[number] or "", limit=4)
            assert back.hits == pages[number - 1]
            assert (back.previous is None) == (number == 1)
            assert back.next is not None
        found = [(hit.package, hit.channel) for page in pages for hit in page]
        in_time = [(name, channel) for channel in ("two", "one") for name in reversed(parts)]
        by_name = [(name, channel) for name in parts for channel in ("one", "two")]
        assert found == (in_time if order is Sort.UPDATED else by_name)


async def test_packages_are_sorted_and_filtered(seaway: Seaway, factory: Factory, clock: ManualClock) -> None:
    """By name, latest upload and downloads; by platform, license and channel."""
    factory.channel("chan")
    await publish(seaway, "chan", "b")
    clock.move(1)
    linux = index_json("a", subdir="linux-64", noarch=..., license="Apache-2.0")
    await publish_file(seaway, "chan", conda(linux))
    clock.move(1)
    await publish(seaway, "chan", "b-c", summary="Motion PLANNING")
    factory.channel("other")
    await publish(seaway, "other", "b")
    with seaway.site.database.write_site() as tx:
        (build,) = versions.of_package(tx, channels.get(tx, "chan").id, "b")[0].builds
        downloads.add(tx, {DownloadKey(build.id, 20_000, ClientFamily.CONDA): 3}, today=20_000)
    assert names(seaway, "", channel="chan") == ["a", "b", "b-c"]
    assert names(seaway, "", channel="chan", sort=Sort.UPDATED) == ["b-c", "a", "b"]
    assert names(seaway, "", channel="chan", sort=Sort.DOWNLOADS) == ["b", "a", "b-c"]
    assert names(seaway, "", subdir="linux-64") == names(seaway, "", license="Apache-2.0") == ["a"]
    assert names(seaway, "demo", subdir="noarch") == names(seaway, "", subdir="linux-64", license="MIT") == []
    assert names(seaway, "b_c") == names(seaway, "planning motion") == names(seaway, "c") == ["b-c"]
    assert [hit.downloads for hit in full_hits(seaway, "b", channel="chan")] == [3, 0]
    with seaway.site.database.read() as tx:
        found = search.choices(tx, ANONYMOUS, PackageQuery("b", "other", "noarch"))
        licenses = search.licenses_of(tx, channels.get(tx, "chan").id)
    assert found == FilterChoices(1, ("chan", "other"), ("noarch",), ("MIT",))
    assert licenses == ["MIT", "Apache-2.0"]


async def test_choices_name_only_readable_channels(seaway: Seaway, factory: Factory) -> None:
    """A private channel adds no count, license or platform either (P4)."""
    factory.channel("open")
    factory.channel("closed", public=False)
    factory.member("closed", "friend", Role.VIEWER)
    await publish(seaway, "open", "lib")
    await publish_file(seaway, "closed", conda(index_json("lib", subdir="linux-64", noarch=..., license="Secret")))
    with seaway.site.database.read() as tx:
        anonymous = search.choices(tx, ANONYMOUS, PackageQuery("lib"))
        friend = search.choices(tx, session_caller(seaway, "friend"), PackageQuery("lib"))
    assert anonymous == FilterChoices(1, ("open",), ("noarch",), ("MIT",))
    assert friend == FilterChoices(2, ("closed", "open"), ("linux-64", "noarch"), ("MIT", "Secret"))


async def test_license_follows_the_newest_file_and_its_corrections(
    seaway: Seaway, factory: Factory, clock: ManualClock
) -> None:
    """Newest file invariant 2: a correction of an older file changes nothing."""
    factory.channel("chan")
    for version, license_name in (("1.0", "MIT"), ("2.0", "GPL-3.0-only")):
        await publish_file(seaway, "chan", conda(index_json("demo", version, license=license_name)))
        clock.move(1)
    assert [hit.license for hit in full_hits(seaway, "demo")] == ["GPL-3.0-only"]
    for version, license_name in (("2.0", "Zlib"), ("1.0", "ISC")):
        file_name, reason = f"demo-{version}-h1_0.conda", "It was wrong."
        metadata_corrections.correct(
            seaway.site, OPERATOR, "chan", "noarch", file_name, {"license": license_name}, reason
        )
    assert [hit.license for hit in full_hits(seaway, "demo")] == ["Zlib"]


async def test_packages_with_only_yanked_files_are_listed_on_demand(seaway: Seaway, factory: Factory) -> None:
    factory.channel("chan")
    await publish(seaway, "chan", "yanked")
    removal.yank(seaway.site, OPERATOR, "chan", "noarch", "yanked-1.0-h1_0.conda")
    assert [] == full_hits(seaway, "")
    (hit,) = full_hits(seaway, "", with_yanked=True)
    assert (hit.version, hit.files, hit.size, hit.subdirs) == ("1.0", 0, 0, ("noarch",))


async def test_packages_of_a_channel_are_read_from_an_index(seaway: Seaway, factory: Factory) -> None:
    """By name and by time, no page reads the whole channel or sorts it."""
    if seaway.site.database.engine.dialect.name != "sqlite":
        pytest.skip("The plan of PostgreSQL depends on the size of the tables.")
    factory.channel("chan")
    for sort, search_step in ((Sort.NAME, "channel_id=? AND name>"), (Sort.UPDATED, "channel_id=? AND updated_at<")):
        query = PackageQuery("", "chan", sort=sort, with_yanked=True)
        with seaway.site.database.read() as tx:
            page = search._page(
                search._matches(tx, ANONYMOUS, query), query, search._parse_cursor("7 name chan")
            ).limit(50)
            compiled = page.compile(tx.engine, compile_kwargs={"literal_binds": True})
            plan = [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]
        assert any(search_step in step for step in plan), plan
        assert not any(step == "USE TEMP B-TREE FOR ORDER BY" for step in plan), plan


@pytest.mark.parametrize("after", ["x", "+9 a b", "0 a", "0 a b c"])
def test_invalid_cursor_is_refused(seaway: Seaway, after: str) -> None:
    with seaway.site.database.read() as tx, pytest.raises(Malformed):
        search.search(tx, ANONYMOUS, PackageQuery("x"), after=after, limit=1)


def test_search_with_too_many_words_is_refused(seaway: Seaway) -> None:
    """Many words make a search slow."""
    with seaway.site.database.read() as tx, pytest.raises(Malformed):
        search.search(tx, ANONYMOUS, PackageQuery("a b c d e f g h i"), limit=1)


async def test_letters_match_in_any_case_and_encoding(seaway: Seaway, factory: Factory) -> None:
    """Also letters outside ASCII, which the databases compare in different ways."""
    factory.channel("chan")
    await publish(seaway, "chan", "demo", summary="\u00c4PFEL und Stra\u00dfe")
    for text in ("\u00c4pfel", "\u00e4pfel", "A\u0308PFEL", "STRASSE", "stra\u00dfe"):
        assert ["demo"] == names(seaway, text)


async def test_channel_before_a_package_limits_the_search_to_it(seaway: Seaway, factory: Factory) -> None:
    """As conda spells it, with words and match specs; a private channel is found only by its members (P4)."""
    for channel in ("robots", "other"):
        factory.channel(channel)
        await publish(seaway, channel, "gripper")
    factory.channel("closed", public=False)
    factory.member("closed", "friend", Role.VIEWER)
    await publish(seaway, "closed", "gripper")
    url = "https://seaway.test/robots"
    for text in ("robots::gripper", "robots::grip", "Robots/noarch::gripper >=1", "robots::", f"{url}/noarch::gripper"):
        assert [("robots", "gripper")] == search_hits(seaway, text), text
    for text in ("robots/linux-64::gripper", "robots::gripper >=2", "closed::gripper", "closed::", "robots::demo"):
        assert [] == search_hits(seaway, text), text
    assert [] == search_hits(seaway, "robots::gripper", channel="other")
    assert [("closed", "gripper")] == search_hits(seaway, "closed::gripper", session_caller(seaway, "friend"))


async def test_packages_named_by_a_match_spec_that_none_of_their_versions_matches(
    seaway: Seaway, factory: Factory
) -> None:
    """Only in channels that the caller can read (P4)."""
    factory.channel("chan")
    factory.channel("closed", public=False)
    for channel in ("chan", "closed"):
        await publish(seaway, channel, "gripper", "1.2")
    with seaway.site.database.read() as tx:
        (hit,) = search.named_by_spec(tx, ANONYMOUS, PackageQuery("gripper >=99"), limit=3)
        assert ("chan", "gripper", "1.2") == (hit.channel, hit.package, hit.version)
        for text in ("gripper", "other >=99", "closed::gripper >=99"):
            assert [] == search.named_by_spec(tx, ANONYMOUS, PackageQuery(text), limit=3)
