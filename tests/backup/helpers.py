"""The sample site and its contents, and stores and databases that fail at a chosen step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

import anyio
import httpx
import msgspec
from sqlalchemy import select

from seaway.backup import tables
from seaway.backup.backup import BackupResult, BackupTarget, backup
from seaway.backup.blob_copy import CHUNK_BYTES
from seaway.backup.restore import BackupSource, restore
from seaway.backup.rows import by_key
from seaway.callers.caller import OPERATOR
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.database.engine import Database, Tx
from seaway.database.tables import files, logos, metadata
from seaway.indexing.file_rows import FileState
from seaway.packages import metadata_corrections
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.storage import keys
from seaway.storage.blobs import BlobStat, BlobStore
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import images, sites
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, conda, index_json, real_packages
from tests.support.sites import Factory, publish_file
from tests.support.workflows import Attester

PUBLIC, PRIVATE = "tools", "secret"
LARGE = conda(index_json("large"), files={"share/large": Random(1).randbytes(CHUNK_BYTES * 3 // 2)})  # two chunks


class SimulatedKill(Exception):
    """Stands for a killed process; no code under test catches it."""


def open_site(folder: Path, clock: ManualClock | None = None, **settings: Any) -> Seaway:
    return with_in_process_examiners(
        sites.build(folder, clock or ManualClock(), **({"downloads": "direct"} | settings))
    )


def some_real_packages() -> list[PackageFile]:
    """Every tenth valid package."""
    valid = [package for package in real_packages() if package.is_good and package.path.parts[-2] != "no-subdir"]
    return [package.file for package in valid[::10] if package.path.parts[-4:-2] != ("packages", "conda")]


def add_sample_data(seaway: Seaway) -> str:
    """Add data of every kind to a site; return an API key that can read the private channel."""
    factory = Factory(seaway)
    tools, secret = (Channel(seaway, factory.channel(name, public=name == PUBLIC)) for name in (PUBLIC, PRIVATE))
    factory.member(PRIVATE, "friend", Role.VIEWER)
    for file in (*some_real_packages(), LARGE):
        tools.put(file)
    secret.put(LARGE)
    secret.put(conda(index_json("inside")))
    for name in ("yanked", "deleted", "replaced"):
        tools.put(conda(index_json(name)))
    tools.yank(conda(index_json("yanked")))
    tools.delete(conda(index_json("deleted")))
    tools.put(conda(index_json("replaced"), files={"share/x": b"other"}), force=True)
    attested = conda(index_json("attested"))
    _attest(seaway, attested)
    metadata_corrections.correct(seaway.site, OPERATOR, PUBLIC, "noarch", attested.name, {"license": "ISC"}, "wrong")
    seaway.request_parts.logos.store(OPERATOR, PRIVATE, images.png())
    tools.read("noarch", "repodata.json")
    Channel(seaway, factory.channel("gone")).remove()  # the highest channel id; it must not be used again
    return factory.key("friend", only=[PRIVATE])


def _attest(seaway: Seaway, file: PackageFile) -> None:
    attester = Attester.trusted_by(seaway)
    caller, bundle = attester.caller(PUBLIC), attester.bundle(file, PUBLIC)
    anyio.run(partial(publish_file, seaway, PUBLIC, file, by=caller, attestation=bundle))


WRITTEN_AT_START = ("store-identity", "secret-key-made")  # a copy has its own identity


def rows(
    database: Database,
    *,
    skip_tables: frozenset[str] = tables.LEFT_OUT,
    skip_rows: Sequence[str] = WRITTEN_AT_START,
) -> dict[str, list[Any]]:
    """The rows of all tables by table name, except skipped tables and rows whose first column is in `skip_rows`."""
    with database.read() as tx:
        return {
            table.name: [tuple(row) for row in tx.execute(by_key(tx, table)) if row[0] not in skip_rows]
            for table in metadata.sorted_tables
            if table.name not in skip_tables
        }


def count_rows(database: Database) -> int:
    return sum(map(len, rows(database, skip_rows=()).values()))


def referenced_blobs(seaway: Seaway) -> dict[bytes, int]:
    """Sizes of the blobs that files and logos refer to, by hash."""
    with seaway.site.database.read() as tx:
        found = tx.execute(select(files).where(files.c.state != FileState.DELETED.value)).all()
        return {row.sha256: row.size for row in (*found, *tx.execute(select(logos)))}


def responses(seaway: Seaway, key: str) -> dict[str, bytes]:
    """Response bodies by path: the repodata of both channels and all files in it; the key is for the private channel."""
    private = {"Authorization": f"Bearer {key}"}

    async def download() -> dict[str, bytes]:
        transport = httpx.ASGITransport(app=create_app(seaway))
        bodies: dict[str, bytes] = {}
        async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test") as client:

            async def get(path: str) -> bytes:
                response = await client.get(path, headers=private if path.startswith(f"/{PRIVATE}") else {})
                assert response.status_code == 200, path
                bodies[path] = response.content
                return response.content

            for channel, subdir in ((PUBLIC, "noarch"), (PUBLIC, "linux-64"), (PRIVATE, "noarch")):
                await get(f"/{channel}/{subdir}/repodata_shards.msgpack.zst")
                repodata = msgspec.json.decode(await get(f"/{channel}/{subdir}/repodata.json"))
                for file, record in (repodata["packages"] | repodata["packages.conda"]).items():
                    await get(f"/{channel}/{subdir}/{file}")
                    if "attestations_sha256" in record:
                        await get(f"/{channel}/{subdir}/{file}.sigs")
        return bodies

    return anyio.run(download)


def status_without_key(seaway: Seaway) -> int:
    async def request_index() -> int:
        transport = httpx.ASGITransport(app=create_app(seaway))
        async with httpx.AsyncClient(transport=transport, base_url="http://seaway.test") as client:
            return (await client.get(f"/{PRIVATE}/noarch/repodata.json")).status_code

    return anyio.run(request_index)


def back_up(seaway: Seaway, target: BackupTarget, blobs: BlobStore | None = None) -> BackupResult:
    return backup(seaway.site.database, blobs or seaway.site.blobs, seaway.site.spool, seaway.site.clock, target)


def restore_into(seaway: Seaway, source: BackupSource, blobs: BlobStore | None = None) -> int:
    return restore(replace(seaway.site, blobs=blobs or seaway.site.blobs), source)


def is_empty(seaway: Seaway) -> bool:
    return not any(rows(seaway.site.database).values()) and list(seaway.settings.spool_folder.iterdir()) == []


def next_day(clock: object) -> None:
    assert isinstance(clock, ManualClock)
    clock.move(DAY_MS)


def blob_key(file: PackageFile) -> str:
    return keys.blob(bytes.fromhex(file.sha256))


class HookedStore:
    """A store that calls a function before each put, and can store other bytes than the given ones."""

    def __init__(self, blobs: BlobStore, before_put: Callable[[int], object], *, stores: bytes | None = None) -> None:
        self._blobs, self._before_put, self._stores = blobs, before_put, stores
        self.puts = 0

    def prepare_file(self, path: Path) -> None:
        self._blobs.prepare_file(path)

    def put_file(self, key: str, path: Path) -> bool:
        self.puts += 1
        self._before_put(self.puts)
        if self._stores is not None:
            path.write_bytes(self._stores)
        return self._blobs.put_file(key, path)

    def put_files(self, files: Mapping[str, Path]) -> set[str]:
        return {key for key, path in files.items() if self.put_file(key, path)}

    def create(self) -> None:
        self._blobs.create()

    def write(self, key: str, content: bytes) -> None:
        self._blobs.write(key, content)

    def open(self, key: str, start: int = 0) -> BinaryIO:
        return self._blobs.open(key, start)

    def stat(self, key: str) -> BlobStat | None:
        return self._blobs.stat(key)

    def local_path(self, key: str) -> Path | None:
        return self._blobs.local_path(key)

    def signed_url(self, key: str, seconds: int) -> str | None:
        return self._blobs.signed_url(key, seconds)

    def delete(self, key: str) -> None:
        self._blobs.delete(key)

    def copy(self, key: str, target: str) -> None:
        self._blobs.copy(key, target)

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        return self._blobs.list(folder)


def kill_at(number: int) -> Callable[[int], None]:
    """Return a hook that raises `SimulatedKill` from the given put or write on."""

    def hook(current: int) -> None:
        if current >= number:
            raise SimulatedKill

    return hook


@dataclass
class HookedDatabase:
    """A database that calls a function before each write transaction."""

    database: Database
    before_write: Callable[[int], object]
    writes: int = 0

    @contextmanager
    def write_site(self) -> Iterator[Tx]:
        self.writes += 1
        self.before_write(self.writes)
        with self.database.write_site() as tx:
            yield tx

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)
