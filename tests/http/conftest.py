"""Fixtures of the tests that speak HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from seaway.channels.roles import Role
from tests.conftest import Site
from tests.support import house, packages
from tests.support.house import People
from tests.support.packages import PackageFile
from tests.support.server import serving


@pytest.fixture(scope="session")
def http(site: Site) -> Iterator[httpx.Client]:
    """A client without a key: a request that needs one says so."""
    with site.client() as client:
        yield client


@dataclass(frozen=True)
class Channel:
    """A channel with one key of each kind of member."""

    name: str
    owner: str
    contributor: str
    viewer: str
    stranger: str


_KINDS = ("owner", "contributor", "viewer", "stranger")


def make_channel(site: Site, *, public: bool = True) -> Channel:
    """A new channel; its people are the same ones each time, since nothing but the channel is looked at."""
    people = site.people
    name = people.channel(site.new_name(), owner="the-owner", public=public)
    people.member(name, "the-contributor", Role.CONTRIBUTOR)
    people.member(name, "the-viewer", Role.VIEWER)
    return Channel(name, **{kind: _key_of(site, f"the-{kind}") for kind in _KINDS})


_keys: dict[tuple[str, str], str] = {}


def _key_of(site: Site, user: str) -> str:
    known = (site.server.address, user)
    if known not in _keys:
        _keys[known] = site.people.key(user)
    return _keys[known]


@pytest.fixture
def channel(site: Site) -> Channel:
    """A public channel of this test's own."""
    return make_channel(site)


@pytest.fixture
def private_channel(site: Site) -> Channel:
    """A private channel of this test's own."""
    return make_channel(site, public=False)


@dataclass(frozen=True)
class LimitedSite(Site):
    """A server that takes files of at most the size of `largest`, and lets readers keep its index for a minute."""

    largest: PackageFile


@pytest.fixture(scope="session")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LimitedSite]:
    folder = tmp_path_factory.mktemp("limited")
    largest = packages.conda()
    with serving(folder, examiners=1, upload_limit=len(largest.content), index_max_age=60) as server:
        beside = house.build(folder)
        yield LimitedSite(server, People(beside), largest)
        beside.close()
