"""Search: by words, by match spec, and never in what the asker may not read."""

import pytest

from seaway.accounts.principal import ANONYMOUS, Principal
from seaway.channels import channels
from seaway.channels.roles import Role
from seaway.packages import finding, recent
from seaway.packages.finding import Sort
from seaway.packages.overview import Overviews
from seaway.server.wiring import Seaway
from tests.support.house import People, publish_file
from tests.support.packages import conda, index_json
from tests.support.statements import counted

pytestmark = pytest.mark.anyio


def found(seaway: Seaway, text: str, by: Principal = ANONYMOUS) -> list[tuple[str, str]]:
    with seaway.database.read() as tx:
        return [(hit.channel, hit.name) for hit in finding.search(tx, Overviews(), by, text, 20)]


async def publish(seaway: Seaway, channel: str, name: str, version: str = "1.0", summary: str = "") -> None:
    await publish_file(seaway, channel, conda(index_json(name, version), about={"summary": summary}))


async def test_names_come_before_summaries(seaway: Seaway, people: People, on_both: str) -> None:
    """The very name first, then names that begin so, then names that hold it, then summaries; all words must be there."""
    people.channel("chan")
    for name, summary in (("xarray-map", ""), ("map", ""), ("mapper", ""), ("zebra", "Draws a map"), ("other", "")):
        await publish(seaway, "chan", name, summary=summary)
    assert [name for _, name in found(seaway, "map")] == ["map", "mapper", "xarray-map", "zebra"]
    assert found(seaway, "draws map") == [("chan", "zebra")]
    assert found(seaway, "%") == found(seaway, "_") == found(seaway, "  ") == []


async def test_a_match_spec_finds_what_a_solver_would(seaway: Seaway, people: People, on_both: str) -> None:
    """`numpy >=2` finds numpy only where there is such a version, and says the newest that fits."""
    people.channel("old")
    people.channel("fresh")
    await publish(seaway, "old", "numpy", "1.9")
    for version in ("1.26", "2.0", "2.10", "3.0"):
        await publish(seaway, "fresh", "numpy", version)
    with seaway.database.read() as tx:
        hits = finding.search(tx, Overviews(), ANONYMOUS, "numpy >=2,<3", 20)
    assert [(hit.channel, hit.version, hit.builds) for hit in hits] == [("fresh", "2.10", 2)]
    assert found(seaway, "numpy 1.9 h1_*") == [("old", "numpy")]
    assert found(seaway, "numpy >=4") == found(seaway, "numpy >=2,<") == []


async def test_nothing_of_a_private_channel_is_found(seaway: Seaway, people: People) -> None:
    """By name, by summary, by match spec, among the newest: only who may read it meets it (P4)."""
    people.channel("open")
    people.channel("hidden", public=False)
    people.member("hidden", "reader", Role.VIEWER)
    await publish(seaway, "open", "plain")
    await publish(seaway, "hidden", "secret-tool", summary="unheard of")
    reader, stranger = people.person("reader"), people.person("stranger")
    for text in ("secret", "unheard", "secret-tool >=1"):
        assert found(seaway, text) == found(seaway, text, stranger) == []
        assert found(seaway, text, reader) == [("hidden", "secret-tool")]
    with seaway.database.read() as tx:
        assert [one.package for one in recent.packages_for(tx, stranger, 9)] == ["plain"]
        assert {one.package for one in recent.packages_for(tx, reader, 9)} == {"plain", "secret-tool"}


async def test_a_search_asks_no_more_of_many_channels_than_of_one(seaway: Seaway, people: People) -> None:
    """Once a worker knows the channels, their number does not count."""
    overviews = Overviews()
    counts = []
    for number in range(3):
        people.channel(f"chan-{number}")
        await publish(seaway, f"chan-{number}", "tool", summary="of use")
        with seaway.database.read() as tx:
            finding.search(tx, overviews, ANONYMOUS, "use", 20)
            with counted(seaway.database) as asked:
                assert len(finding.search(tx, overviews, ANONYMOUS, "use", 20)) == number + 1
        counts.append(len(asked))
    assert counts == [3, 3, 3]  # which channels, which names, which changed


async def test_a_channel_is_sorted_and_filtered(seaway: Seaway, people: People) -> None:
    """By name, by the last upload, by downloads, of one platform."""
    people.channel("chan")
    await publish(seaway, "chan", "b")
    await publish_file(seaway, "chan", conda(index_json("a", subdir="linux-64", noarch=...)))
    with seaway.database.read() as tx:
        known = Overviews().of(tx, channels.get(tx, "chan").id)
    assert known is not None

    def names(words: str = "", subdir: str = "", sort: Sort = Sort.NAME) -> list[str]:
        return [line.name for line in finding.choose(known.values(), words, subdir, sort, lambda: {"b": 3})]

    assert names() == ["a", "b"]
    assert names(sort=Sort.DOWNLOADS) == ["b", "a"]
    assert names(subdir="linux-64") == ["a"]
    assert names("demo", "noarch") == []


async def test_the_newest_come_first_and_once(seaway: Seaway, people: People) -> None:
    """Each package once, with its last file; a feed has every file; neither cost grows with the channel."""
    people.channel("chan")
    for name, version in (("a", "1.0"), ("b", "1.0"), ("a", "2.0")):
        await publish(seaway, "chan", name, version, summary=f"{name} {version}")
    with seaway.database.read() as tx:
        newest = recent.packages_for(tx, ANONYMOUS, 10)
        with counted(seaway.database) as asked:
            feed = recent.files_of(tx, channels.get(tx, "chan").id, "chan", 2)
    assert [(one.package, one.version, one.summary) for one in newest] == [("a", "2.0", "a 2.0"), ("b", "1.0", "b 1.0")]
    assert [one.file_name for one in feed] == ["a-2.0-h1_0.conda", "b-1.0-h1_0.conda"]
    assert len(asked) == 5
