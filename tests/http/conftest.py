"""Fixtures of the HTTP tests."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from seaway.channels.roles import Role
from tests.conftest import Site
from tests.support import packages, sites
from tests.support.packages import PackageFile
from tests.support.server import serving
from tests.support.sites import Factory


@pytest.fixture(scope="session")
def http(site: Site) -> Iterator[httpx.Client]:
    """A client without a key; requests that need one pass it in their headers."""
    with site.client() as client:
        yield client


@dataclass(frozen=True)
class Channel:
    """A channel with one key for each kind of caller."""

    name: str
    owner: str
    contributor: str
    viewer: str
    nonmember: str


_KINDS = ("owner", "contributor", "viewer", "nonmember")


def make_channel(site: Site, *, public: bool = True) -> Channel:
    """Create a channel. Its members are the same users each time, since only the channel matters."""
    factory = site.factory
    name = factory.channel(site.new_name(), owner="the-owner", public=public)
    factory.member(name, "the-contributor", Role.CONTRIBUTOR)
    factory.member(name, "the-viewer", Role.VIEWER)
    return Channel(name, **{kind: _key_of(site, f"the-{kind}") for kind in _KINDS})


_keys: dict[tuple[str, str], str] = {}


def _key_of(site: Site, user: str) -> str:
    known = (site.server.address, user)
    if known not in _keys:
        _keys[known] = site.factory.key(user)
    return _keys[known]


@pytest.fixture
def channel(site: Site) -> Channel:
    """A new public channel."""
    return make_channel(site)


@pytest.fixture
def private_channel(site: Site) -> Channel:
    """A new private channel."""
    return make_channel(site, public=False)


@dataclass(frozen=True)
class LimitedSite(Site):
    """A server that accepts files up to the size of `largest`, with an index `max-age` of one minute."""

    largest: PackageFile


@pytest.fixture(scope="session")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LimitedSite]:
    folder = tmp_path_factory.mktemp("limited")
    largest = packages.conda()
    with serving(folder, examiners=1, upload_limit=len(largest.content), index_max_age=60) as server:
        parts = sites.build(folder)
        yield LimitedSite(server, Factory(parts), largest)
        parts.close()
