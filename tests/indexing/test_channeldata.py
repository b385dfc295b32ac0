"""channeldata.json: what a channel says of its packages, across its subdirs (CEP 38)."""

import json
from typing import Any

import pytest

from seaway.channels import channels
from seaway.indexing.channeldata import ChannelDataCache
from seaway.server.wiring import Seaway
from tests.indexing.channel import Channel
from tests.support import packages
from tests.support.house import People
from tests.support.packages import PackageFile, index_json, real_packages

TRAITS = ("activate.d", "binary_prefix", "deactivate.d", "post_link", "pre_link", "pre_unlink", "text_prefix")


def channeldata(channel: Channel) -> Any:
    return json.loads(channel.read("channeldata.json"))


def demo(channel: Channel) -> Any:
    return channeldata(channel)["packages"]["demo"]


def version(text: str, **fields: Any) -> PackageFile:
    about = fields.pop("about", {"summary": f"Version {text}."})
    return packages.conda(index_json(version=text, **fields), about=about)


def test_the_document_of_an_empty_channel(channel: Channel) -> None:
    """A channel without packages has noarch, and says so."""
    assert {"channeldata_version": 1, "packages": {}, "subdirs": ["noarch"]} == channeldata(channel)


def test_what_is_said_of_a_package(channel: Channel) -> None:
    """A package has every field that CEP 38 requires, and of the optional ones those that it knows."""
    about = {
        "summary": "A demo.",
        "home": "https://example.com",
        "description": "Long.",
        "license": "GPL",
        "dev_url": ["a"],
    }
    channel.put(version("1.0", about=about, license="MIT"))
    expected = {
        **dict.fromkeys(TRAITS, False),
        "dev_url": "a",
        "home": "https://example.com",
        "license": "MIT",
        "run_exports": {},
        "subdirs": ["noarch"],
        "summary": "A demo.",
        "timestamp": 1_700_000_000,
        "version": "1.0",
    }
    assert expected == demo(channel)


@pytest.mark.parametrize("order", [("1.9", "1.10"), ("1.10", "1.9")], ids=["newest last", "newest first"])
def test_the_newest_version_speaks_for_the_package(order: tuple[str, str], channel: Channel) -> None:
    """The newest version, in the order of conda and not of text, gives the version and the texts, however the files came."""
    for text in order:
        channel.put(version(text))
    assert ("1.10", "Version 1.10.") == (demo(channel)["version"], demo(channel)["summary"])


@pytest.mark.parametrize("newest", ["2.0", "1.0post1", "1!0.1", "1.0+1"])
def test_versions_are_ordered_as_clients_order_them(newest: str, channel: Channel) -> None:
    """Epochs, posts and local versions count (CEP 33)."""
    for text in ("1.0", "1.0dev1", newest, "0.9"):
        channel.put(version(text))
    assert newest == demo(channel)["version"]


def test_the_latest_build_of_the_newest_version_speaks(channel: Channel) -> None:
    """Of two builds of one version the one that was built later gives the texts."""
    for build, timestamp in (("h1_0", 1_700_000_000_000), ("h2_0", 1_800_000_000_000), ("h3_0", 1_600_000_000_000)):
        channel.put(packages.conda(index_json(build=build, timestamp=timestamp), about={"summary": build}))
    assert ("h2_0", 1_800_000_000) == (demo(channel)["summary"], demo(channel)["timestamp"])


def test_the_latest_time_of_any_file_is_the_time_of_the_package(channel: Channel) -> None:
    """An old version that was built last gives the time, not the version."""
    channel.put(version("2.0", timestamp=1_600_000_000_000))
    channel.put(version("1.0", timestamp=1_700_000_000_000))
    assert ("2.0", 1_700_000_000) == (demo(channel)["version"], demo(channel)["timestamp"])


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [(1_700_000_000_000, 1_700_000_000), (1_700_000_000, 1_700_000_000), (..., 0), (0, 0)],
    ids=["milliseconds", "seconds", "none", "zero"],
)
def test_times_are_in_seconds(timestamp: Any, seconds: int, channel: Channel) -> None:
    """Whether a build tool wrote milliseconds or, as old ones did, seconds: the document has seconds."""
    channel.put(version("1.0", timestamp=timestamp))
    assert seconds == demo(channel)["timestamp"]


def test_a_time_in_seconds_does_not_lose_to_an_earlier_one_in_milliseconds(channel: Channel) -> None:
    """Units are compared as times, not as numbers."""
    channel.put(packages.conda(index_json(build="h1_0", timestamp=1_600_000_000_000), about={"summary": "earlier"}))
    channel.put(packages.conda(index_json(build="h2_0", timestamp=1_700_000_000), about={"summary": "later"}))
    assert (1_700_000_000, "later") == (demo(channel)["timestamp"], demo(channel)["summary"])


def test_a_real_package_of_old_tools_has_its_time(channel: Channel) -> None:
    """A package whose tool wrote seconds is not said to be of 1970."""
    (old,) = [p for p in real_packages() if p.path.match("mamba/noarch/test-package-0.1-0.tar.bz2")]
    channel.put(old.file)
    (package,) = channeldata(channel)["packages"].values()
    assert 1_613_117_294 == package["timestamp"]


def test_exports_are_told_by_version(channel: Channel) -> None:
    """What a version exports stands under it; versions that export nothing are left out."""
    for text, exports in (("1.0", {"weak": ["demo >=1"]}), ("2.0", {}), ("3.0", {"strong": ["demo >=3"]})):
        channel.put(packages.conda(index_json(version=text), run_exports=exports))
    assert {"1.0": {"weak": ["demo >=1"]}, "3.0": {"strong": ["demo >=3"]}} == demo(channel)["run_exports"]


def test_the_subdirs_of_packages_and_channel(channel: Channel) -> None:
    """A package lists the subdirs that it has files in, the channel those of all packages, and noarch."""
    channel.put(packages.conda(index_json("a", subdir="linux-64", noarch=...)))
    channel.put(packages.conda(index_json("a", subdir="osx-arm64", noarch=...)))
    channel.put(packages.conda(index_json("b", subdir="win-64", noarch=...)))
    document = channeldata(channel)
    assert ["linux-64", "osx-arm64"] == document["packages"]["a"]["subdirs"]
    assert ["linux-64", "noarch", "osx-arm64", "win-64"] == document["subdirs"]


SIGNS = {
    "activate.d": {"etc/conda/activate.d/a.sh": b""},
    "deactivate.d": {"etc/conda/deactivate.d/a.sh": b""},
    "post_link": {"bin/.demo-post-link.sh": b""},
    "pre_link": {"Scripts/.demo-pre-link.bat": b""},
    "pre_unlink": {"bin/.demo-pre-unlink.sh": b""},
}


@pytest.mark.parametrize("trait", SIGNS)
def test_a_trait_of_any_version_is_one_of_the_package(trait: str, channel: Channel) -> None:
    """One file that has it is enough, in any version."""
    channel.put(packages.conda(index_json(version="1.0"), files=SIGNS[trait]))
    channel.put(version("2.0"))
    assert [trait] == [name for name in TRAITS if demo(channel)[name]]


@pytest.mark.parametrize("mode", ["text", "binary"])
def test_a_prefix_that_is_replaced_is_told_of(mode: str, channel: Channel) -> None:
    """Files in which the prefix is replaced at install are told of by their mode."""
    files = {"a": b"/old"}
    paths = packages.paths_json(files, file_mode=mode, prefix_placeholder="/old")
    channel.put(packages.conda(files=files, paths=paths))
    assert [f"{mode}_prefix"] == [name for name in TRAITS if demo(channel)[name]]


@pytest.mark.parametrize("act", ["yank", "delete"])
def test_what_solvers_do_not_see_does_not_speak(act: str, channel: Channel) -> None:
    """A yanked or deleted version neither names the version nor gives texts; without any file the package is gone."""
    old, new = version("1.0"), version("2.0")
    for file in (old, new):
        channel.put(file)
    getattr(channel, act)(new)
    assert "1.0" == demo(channel)["version"]
    getattr(channel, act)(old)
    assert {} == channeldata(channel)["packages"]


def test_the_document_follows_every_change(channel: Channel) -> None:
    """Its revision rises with each change in any subdir, and what is asked for next is up to date."""
    revisions = []
    for subdir in ("noarch", "linux-64", "noarch"):
        channel.put(packages.conda(index_json(f"n{len(revisions)}", subdir=subdir, noarch=...)))
        found = channel.ask("channeldata.json")
        revisions.append(found.revision)
        assert len(revisions) == len(json.loads(found.content or b"")["packages"])
    assert revisions == sorted(set(revisions), key=lambda revision: revision or 0)


def test_the_same_state_is_the_same_document(channel: Channel) -> None:
    """Asked twice, the bytes and the ETag are the same."""
    channel.put(version("1.0"))
    assert channel.ask("channeldata.json") == channel.ask("channeldata.json")


def test_documents_in_memory_are_bounded(seaway: Seaway) -> None:
    """The documents that were built last are held; the very last is, whatever its size."""
    names = [People(seaway).channel(name) for name in ("one", "two")]
    with seaway.database.read() as tx:
        ids = [channels.get(tx, name).id for name in names]
    held = ChannelDataCache(max_bytes=1)
    for each in ids:
        held.build(seaway.database, each)
    with seaway.database.read() as tx:
        assert [False, True] == [held.current(tx, each) is not None for each in ids]
