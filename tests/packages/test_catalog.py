"""The package list of a channel."""

import pytest

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.packages import catalog, removal
from seaway.packages.catalog import PackageSummary
from seaway.server.wiring import Seaway
from tests.support.packages import conda, index_json, tar_bz2
from tests.support.sites import Factory, publish_file

pytestmark = pytest.mark.anyio


async def test_packages_are_listed_with_subdirs_and_files(seaway: Seaway, factory: Factory) -> None:
    """A package is one entry with its subdirs and the number of listed files."""
    factory.channel("chan")
    package_files = [
        conda(index_json("b")), tar_bz2(index_json("b")), conda(index_json("b", subdir="linux-64", noarch=...)),
        conda(index_json("a")), conda(index_json("a", version="2.0")), conda(index_json("c")), conda(index_json("d")),
    ]  # fmt: skip
    for file in package_files:
        await publish_file(seaway, "chan", file)
    removal.yank(seaway.site, OPERATOR, "chan", "noarch", "a-2.0-h1_0.conda")
    removal.yank(seaway.site, OPERATOR, "chan", "noarch", "c-1.0-h1_0.conda")
    removal.delete(seaway.site, OPERATOR, "chan", "noarch", "d-1.0-h1_0.conda")
    with seaway.site.database.read() as tx:
        channel = channels.get(tx, "chan")
        packages = catalog.list_packages(tx, channel.id)
        assert 4 == catalog.count_files(tx, channel.id)
        assert ["b", "c"] == [package.name for package in catalog.list_packages(tx, channel.id, after="a")]
    assert packages == [
        PackageSummary("a", ("noarch",), 1),
        PackageSummary("b", ("linux-64", "noarch"), 3),
        PackageSummary("c", ("noarch",), 0),
    ]
    assert 3 == channel.package_count


def test_empty_channel_has_no_packages(seaway: Seaway, factory: Factory) -> None:
    factory.channel("chan")
    with seaway.site.database.read() as tx:
        channel = channels.get(tx, "chan")
        assert ([], 0) == (catalog.list_packages(tx, channel.id), catalog.count_files(tx, channel.id))
