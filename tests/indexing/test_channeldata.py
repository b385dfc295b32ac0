"""channeldata.json: metadata of the packages of a channel, across its subdirs (CEP 38)."""

import json
from typing import Any

import pytest

from seaway.channels import channels
from seaway.indexing.channeldata import ChannelDataCache
from seaway.server.wiring import Seaway
from tests.indexing.channel import Channel
from tests.support import packages
from tests.support.packages import PackageFile, index_json, real_packages
from tests.support.sites import Factory

TRAITS = ("activate.d", "binary_prefix", "deactivate.d", "post_link", "pre_link", "pre_unlink", "text_prefix")


def channeldata(channel: Channel) -> Any:
    return json.loads(channel.read("channeldata.json"))


def demo(channel: Channel) -> Any:
    return channeldata(channel)["packages"]["demo"]


def version(text: str, **fields: Any) -> PackageFile:
    about = fields.pop("about", {"summary": f"Version {text}."})
    return packages.conda(index_json(version=text, **fields), about=about)


def test_the_document_of_an_empty_channel(channel: Channel) -> None:
    """An empty channel lists only the subdir noarch."""
    assert {"channeldata_version": 1, "packages": {}, "subdirs": ["noarch"]} == channeldata(channel)


def test_the_fields_of_a_package(channel: Channel) -> None:
    """A package has every field that CEP 38 requires, and the optional fields with a value."""
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
def test_the_newest_version_gives_the_texts(order: tuple[str, str], channel: Channel) -> None:
    """Versions are ordered as conda orders them, independent of the order of uploads."""
    for text in order:
        channel.put(version(text))
    assert ("1.10", "Version 1.10.") == (demo(channel)["version"], demo(channel)["summary"])


@pytest.mark.parametrize("newest", ["2.0", "1.0post1", "1!0.1", "1.0+1"])
def test_versions_are_ordered_as_clients_order_them(newest: str, channel: Channel) -> None:
    """Epochs, post releases and local versions count (CEP 33)."""
    for text in ("1.0", "1.0dev1", newest, "0.9"):
        channel.put(version(text))
    assert newest == demo(channel)["version"]


def test_the_latest_build_of_the_newest_version_gives_the_texts(channel: Channel) -> None:
    for build, timestamp in (("h1_0", 1_700_000_000_000), ("h2_0", 1_800_000_000_000), ("h3_0", 1_600_000_000_000)):
        channel.put(packages.conda(index_json(build=build, timestamp=timestamp), about={"summary": build}))
    assert ("h2_0", 1_800_000_000) == (demo(channel)["summary"], demo(channel)["timestamp"])


def test_the_latest_time_of_any_file_is_the_time_of_the_package(channel: Channel) -> None:
    """An old version that was built last sets the time but not the version."""
    channel.put(version("2.0", timestamp=1_600_000_000_000))
    channel.put(version("1.0", timestamp=1_700_000_000_000))
    assert ("2.0", 1_700_000_000) == (demo(channel)["version"], demo(channel)["timestamp"])


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [(1_700_000_000_000, 1_700_000_000), (1_700_000_000, 1_700_000_000), (..., 0), (0, 0)],
    ids=["milliseconds", "seconds", "none", "zero"],
)
def test_times_are_in_seconds(timestamp: Any, seconds: int, channel: Channel) -> None:
    """Build tools write milliseconds, old ones wrote seconds; the document has seconds."""
    channel.put(version("1.0", timestamp=timestamp))
    assert seconds == demo(channel)["timestamp"]


def test_times_in_seconds_and_milliseconds_are_compared_as_times(channel: Channel) -> None:
    channel.put(packages.conda(index_json(build="h1_0", timestamp=1_600_000_000_000), about={"summary": "earlier"}))
    channel.put(packages.conda(index_json(build="h2_0", timestamp=1_700_000_000), about={"summary": "later"}))
    assert (1_700_000_000, "later") == (demo(channel)["timestamp"], demo(channel)["summary"])


def test_a_real_package_with_a_time_in_seconds(channel: Channel) -> None:
    """A package whose build tool wrote seconds is not dated 1970."""
    (old,) = [p for p in real_packages() if p.path.match("mamba/noarch/test-package-0.1-0.tar.bz2")]
    channel.put(old.file)
    (package,) = channeldata(channel)["packages"].values()
    assert 1_613_117_294 == package["timestamp"]


def test_run_exports_are_listed_by_version(channel: Channel) -> None:
    """Versions without run exports are left out."""
    for text, exports in (("1.0", {"weak": ["demo >=1"]}), ("2.0", {}), ("3.0", {"strong": ["demo >=3"]})):
        channel.put(packages.conda(index_json(version=text), run_exports=exports))
    assert {"1.0": {"weak": ["demo >=1"]}, "3.0": {"strong": ["demo >=3"]}} == demo(channel)["run_exports"]


def test_the_subdirs_of_packages_and_channel(channel: Channel) -> None:
    """A package lists the subdirs with its files, the channel those of all packages and noarch."""
    channel.put(packages.conda(index_json("a", subdir="linux-64", noarch=...)))
    channel.put(packages.conda(index_json("a", subdir="osx-arm64", noarch=...)))
    channel.put(packages.conda(index_json("b", subdir="win-64", noarch=...)))
    document = channeldata(channel)
    assert ["linux-64", "osx-arm64"] == document["packages"]["a"]["subdirs"]
    assert ["linux-64", "noarch", "osx-arm64", "win-64"] == document["subdirs"]


TRAIT_FILES = {
    "activate.d": {"etc/conda/activate.d/a.sh": b""},
    "deactivate.d": {"etc/conda/deactivate.d/a.sh": b""},
    "post_link": {"bin/.demo-post-link.sh": b""},
    "pre_link": {"Scripts/.demo-pre-link.bat": b""},
    "pre_unlink": {"bin/.demo-pre-unlink.sh": b""},
}


@pytest.mark.parametrize("trait", TRAIT_FILES)
def test_a_trait_of_any_version_is_a_trait_of_the_package(trait: str, channel: Channel) -> None:
    """A single file with the trait is enough."""
    channel.put(packages.conda(index_json(version="1.0"), files=TRAIT_FILES[trait]))
    channel.put(version("2.0"))
    assert [trait] == [name for name in TRAITS if demo(channel)[name]]


@pytest.mark.parametrize("mode", ["text", "binary"])
def test_a_prefix_placeholder_is_a_trait(mode: str, channel: Channel) -> None:
    """Files with a prefix placeholder give a trait for their mode."""
    files = {"a": b"/old"}
    paths = packages.paths_json(files, file_mode=mode, prefix_placeholder="/old")
    channel.put(packages.conda(files=files, paths=paths))
    assert [f"{mode}_prefix"] == [name for name in TRAITS if demo(channel)[name]]


@pytest.mark.parametrize("act", ["yank", "delete"])
def test_files_hidden_from_solvers_are_ignored(act: str, channel: Channel) -> None:
    """A yanked or deleted version gives neither version nor texts; a package without listed files is left out."""
    old, new = version("1.0"), version("2.0")
    for file in (old, new):
        channel.put(file)
    getattr(channel, act)(new)
    assert "1.0" == demo(channel)["version"]
    getattr(channel, act)(old)
    assert {} == channeldata(channel)["packages"]


def test_the_document_is_updated_after_every_change(channel: Channel) -> None:
    """The revision increases with each change in any subdir, and the next response is up to date."""
    revisions = []
    for subdir in ("noarch", "linux-64", "noarch"):
        channel.put(packages.conda(index_json(f"n{len(revisions)}", subdir=subdir, noarch=...)))
        response = channel.request("channeldata.json")
        revisions.append(response.revision)
        assert len(revisions) == len(json.loads(response.content or b"")["packages"])
    assert revisions == sorted(set(revisions), key=lambda revision: revision or 0)


def test_the_document_is_deterministic(channel: Channel) -> None:
    """Two requests return the same bytes and ETag."""
    channel.put(version("1.0"))
    assert channel.request("channeldata.json") == channel.request("channeldata.json")


def test_the_document_cache_is_limited(seaway: Seaway) -> None:
    """The cache keeps the most recent documents; the last one always, independent of its size."""
    names = [Factory(seaway).channel(name) for name in ("one", "two")]
    with seaway.site.database.read() as tx:
        ids = [channels.get(tx, name).id for name in names]
    cache = ChannelDataCache(max_bytes=1)
    for each in ids:
        cache.build(seaway.site.database, each)
    with seaway.site.database.read() as tx:
        assert [False, True] == [cache.current(tx, each) is not None for each in ids]
