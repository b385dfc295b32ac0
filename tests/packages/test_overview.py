"""Package overviews: one line for each package of a channel, updated with every change."""

import pytest

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.packages import removal, versions
from seaway.packages.overview import PackageLine, PackageOverviews, name_of_spec
from seaway.server.wiring import Seaway
from tests.support.packages import conda, index_json, tar_bz2
from tests.support.sites import Factory, publish_file
from tests.support.statements import record_statements

pytestmark = pytest.mark.anyio


def package_lines(seaway: Seaway, overviews: PackageOverviews, channel: str = "chan") -> dict[str, PackageLine] | None:
    with seaway.site.database.read() as tx:
        found = overviews.of(tx, channels.get(tx, channel).id)
    return None if found is None else dict(found)


async def test_line_shows_the_newest_version(seaway: Seaway, factory: Factory, on_both: str) -> None:
    """2.0 is older than 10.0, a yanked version counts only if there is no other, and each subdir is listed."""
    factory.channel("chan")
    for version in ("2.0", "10.0", "11.0"):
        await publish_file(seaway, "chan", conda(index_json("tool", version), about={"summary": f"Version {version}."}))
    old = index_json("tool", "1.0", subdir="linux-64", noarch=..., depends=["python >=3.9", "zlib"])
    await publish_file(seaway, "chan", tar_bz2(old))
    removal.yank(seaway.site, OPERATOR, "chan", "noarch", "tool-11.0-h1_0.conda")
    found = package_lines(seaway, PackageOverviews())
    assert found is not None
    assert found["tool"] == PackageLine(
        name="tool",
        version="10.0",
        summary="Version 10.0.",
        license="MIT",
        subdirs=("linux-64", "noarch"),
        files=3,
        uploaded_at_ms=seaway.site.clock.now_ms(),
        dependencies=frozenset({"python", "zlib"}),
    )


async def test_version_order_ignores_case(seaway: Seaway, factory: Factory) -> None:
    """1.0RC1 is newer than 1.0b2 and older than 1.0, keeps its capitals, and is found in either spelling."""
    factory.channel("chan")
    for version in ("1.0b2", "1.0RC1", "1.0", "5.4_22Jul22.46e"):
        await publish_file(seaway, "chan", conda(index_json("tool", version)))
    with seaway.site.database.read() as tx:
        found = versions.of_package(tx, channels.get(tx, "chan").id, "tool")
    assert [version.version for version in found] == ["5.4_22Jul22.46e", "1.0", "1.0RC1", "1.0b2"]
    assert [found[2], found[2], None] == [versions.named(found, text) for text in ("1.0RC1", "1.0rc1", "1.0rc2")]


async def test_changes_are_visible_at_once(seaway: Seaway, factory: Factory) -> None:
    """The next read has each upload, yank and delete, and queries only the names that changed."""
    factory.channel("chan")
    overviews = PackageOverviews()
    assert package_lines(seaway, overviews) == {}
    for name in ("a", "b", "c"):
        await publish_file(seaway, "chan", conda(index_json(name)))
    assert list(package_lines(seaway, overviews) or ()) == ["a", "b", "c"]
    await publish_file(seaway, "chan", conda(index_json("a", "2.0")))
    with record_statements(seaway.site.database) as statements:
        assert (package_lines(seaway, overviews) or {})["a"].version == "2.0"
    assert len(statements) == 6  # channel, subdirs, changes, their ids, rows, summaries
    removal.delete(seaway.site, OPERATOR, "chan", "noarch", "a-2.0-h1_0.conda")
    assert (package_lines(seaway, overviews) or {})["a"].version == "1.0"
    removal.delete(seaway.site, OPERATOR, "chan", "noarch", "b-1.0-h1_0.conda")
    assert set(package_lines(seaway, overviews) or ()) == {"a", "c"}
    with record_statements(seaway.site.database) as statements:
        package_lines(seaway, overviews)
    assert len(statements) == 2  # the channel, its subdirs


async def test_overview_cache_is_bounded(seaway: Seaway, factory: Factory) -> None:
    """A channel with too many packages is not cached; of several channels, the last used stay cached."""
    for channel in ("one", "two"):
        factory.channel(channel)
        for name in ("a", "b"):
            await publish_file(seaway, channel, conda(index_json(name)))
    assert package_lines(seaway, PackageOverviews(max_packages=1), "one") is None
    small = PackageOverviews(max_lines=3)
    package_lines(seaway, small, "one")
    package_lines(seaway, small, "two")
    assert [len(known.lines) for known in small._channels.values()] == [2]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("python", "python"),
        ("python >=3.9,<4", "python"),
        ("numpy[version='>=2']", "numpy"),
        ("conda-forge::zlib 1.2.*", "zlib"),
        ("__glibc >=2.17", "__glibc"),
        ("libgcc=13", "libgcc"),
    ],
)
def test_package_name_is_parsed_from_a_spec(spec: str, name: str) -> None:
    assert name_of_spec(spec) == name
