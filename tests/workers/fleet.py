"""Several servers on one state, and requests to all of them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from seaway.maintenance.check import Violation, check
from tests.support import postgres, sites, state
from tests.support.packages import zstd
from tests.support.server import Server, start
from tests.support.sites import Factory

REPODATA = "noarch/repodata.json"
REPODATA_ZST = "noarch/repodata.json.zst"
SHARD_INDEX = "noarch/repodata_shards.msgpack.zst"

_BARRIER_SECONDS = 60

_numbers = count(1)

T = TypeVar("T")


@dataclass(frozen=True)
class Owned:
    """A channel and its owner's key."""

    channel: str
    key: str

    def path(self, within: str) -> str:
        return f"/{self.channel}/{within}"


@dataclass(frozen=True)
class Fleet:
    """Running servers that share one state, which this process has open too; every test creates its own channel."""

    servers: Sequence[Server]
    factory: Factory

    def new_channel(self, *, public: bool = True) -> Owned:
        owner = self.factory.user(f"owner-{next(_numbers)}")
        return Owned(
            self.factory.channel(f"channel-{next(_numbers)}", owner=owner, public=public), self.factory.key(owner)
        )

    @contextmanager
    def clients(self, key: str | None = None, number: int | None = None) -> Iterator[list[httpx.Client]]:
        """Yield a client per server, or `number` clients spread over the servers."""
        with ExitStack() as stack:
            client_count = len(self.servers) if number is None else number
            yield [
                stack.enter_context(self.servers[each % len(self.servers)].client(key)) for each in range(client_count)
            ]

    def broken(self) -> list[Violation]:
        """Return the violations that a check of the whole state finds."""
        return list(check(self.factory.seaway))


@contextmanager
def fleet_of(folder: Path, number: int, **settings: object) -> Iterator[Fleet]:
    """
    Start servers at the same time on an empty state.

    On PostgreSQL and S3 each server has its own data folder, as on several machines.
    """
    shared = state.settings(folder)
    if shared:
        shared["database_url"] = postgres.shared().new_database()  # the existing database already has tables
    folders = [folder / str(each) if shared else folder for each in range(number)]
    for each in folders:
        each.mkdir(exist_ok=True)
    with ExitStack() as stack:
        stack.callback(state.forget, folder)
        with state.choose(state.SQLITE_DISK):  # which adds no settings
            servers = at_once([partial(start, each, **shared, **settings) for each in folders])
        for server in servers:
            stack.callback(server.kill)
        yield Fleet(servers, Factory(stack.enter_context(closing(sites.build(folder)))))


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run all calls at the same time; return their results."""
    barrier = threading.Barrier(len(calls))

    def do(call: Callable[[], T]) -> T:
        barrier.wait(_BARRIER_SECONDS)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(do, calls))


# Content of the index documents


def in_repodata(http: httpx.Client, owned: Owned) -> dict[str, str]:
    """Return the files and their hashes according to repodata.json."""
    return _hashes(http.get(owned.path(REPODATA)).raise_for_status().json())


def in_repodata_zst(http: httpx.Client, owned: Owned) -> dict[str, str]:
    """Return the same according to repodata.json.zst."""
    return _hashes(msgspec.json.decode(zstd.decompress(http.get(owned.path(REPODATA_ZST)).raise_for_status().content)))


def in_shards(http: httpx.Client, owned: Owned) -> dict[str, str]:
    """Return the same according to the shard index and every shard."""
    index = _unpacked(http.get(owned.path(SHARD_INDEX)).raise_for_status().content)
    files: dict[str, str] = {}
    for digest in index["shards"].values():
        shard = http.get(owned.path(f"noarch/shards/{digest.hex()}.msgpack.zst")).raise_for_status()
        records = _unpacked(shard.content)["packages.conda"]
        files |= {name: record["sha256"].hex() for name, record in records.items()}
    return files


def shard_path(http: httpx.Client, owned: Owned, name: str) -> str:
    """Return the path of the shard of a package in its channel."""
    index = _unpacked(http.get(owned.path(SHARD_INDEX)).raise_for_status().content)
    return f"noarch/shards/{index['shards'][name].hex()}.msgpack.zst"


INDEXES = (in_repodata, in_repodata_zst, in_shards)


def _hashes(repodata: dict[str, Any]) -> dict[str, str]:
    return {name: record["sha256"] for name, record in repodata["packages.conda"].items()}


def _unpacked(content: bytes) -> dict[str, Any]:
    unpacked: dict[str, Any] = msgspec.msgpack.decode(zstd.decompress(content))
    return unpacked
