"""Database and store of the instances of a test: SQLite and a folder, or a real PostgreSQL and a real S3 server."""

import atexit
import functools
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore

from seaway.database import migrate
from seaway.database.postgres import PostgresDatabase
from seaway.database.sqlite import SqliteDatabase
from seaway.pairing.paired_blobs import PairedBlobs
from seaway.server import wiring
from seaway.settings import Settings
from seaway.storage import keys
from seaway.storage.blobs import BlobStat, BlobStore
from seaway.storage.bucket import BucketBlobs
from seaway.storage.disk import DiskBlobs
from tests.support import postgres, s3
from tests.support.state_names import NAMES, POSTGRES_S3, SQLITE_DISK  # noqa: F401 - tests use state.POSTGRES_S3

_chosen = [SQLITE_DISK]
_settings_by_folder: dict[Path, dict[str, Any]] = {}


def chosen_state() -> str:
    """Return the state of new instances."""
    return _chosen[-1]


@contextmanager
def choose(name: str) -> Iterator[None]:
    """Use this state for instances that are created in the block."""
    assert name in NAMES
    _chosen.append(name)
    try:
        yield
    finally:
        _chosen.pop()


def settings(folder: Path) -> dict[str, Any]:
    """Return the settings of instances in this folder, the same for all of them."""
    if folder not in _settings_by_folder:
        _settings_by_folder[folder] = {} if chosen_state() == SQLITE_DISK else _new_shared_state()
    return _settings_by_folder[folder]


def variables(folder: Path) -> dict[str, str]:
    """Return the settings of instances in this folder as environment variables."""
    return {f"SEAWAY_{name.upper()}": str(value) for name, value in settings(folder).items()}


def forget(folder: Path) -> None:
    """Drop the databases of the instances in this folder."""
    for known in [known for known in _settings_by_folder if known.is_relative_to(folder)]:
        url = _settings_by_folder.pop(known).get("database_url")
        if url is not None:
            postgres.shared().drop_database(url)


def copy(folder: Path, target: Path) -> None:
    """Copy an instance that is not open, with its database and store."""
    shutil.copytree(folder, target)
    source = settings(folder)
    if not source:
        _settings_by_folder[target] = {}
        return
    copied = _settings_by_folder[target] = _new_shared_state(template=source["database_url"])
    store = s3.shared().store(_bucket())
    old, new = (urlsplit(each["storage_url"]).path.strip("/") for each in (source, copied))
    for entry in obstore.list(store, old).collect():
        obstore.copy(store, entry["path"], new + entry["path"].removeprefix(old))


def copy_rows(folder: Path, target: Path) -> dict[str, Any]:
    """Copy the database of an instance that is not open; return the settings of the copy on the same store."""
    source = settings(folder)
    if source:
        return {**source, "database_url": postgres.shared().new_database(template=source["database_url"])}
    (target / "data").mkdir(parents=True)
    shutil.copyfile(folder / "data" / "seaway.db", target / "data" / "seaway.db")
    return {"storage_url": (folder / "data" / "store").as_uri()}


def raw(blobs: BlobStore) -> BlobStore:
    """Return the store without the checks of the pairing."""
    return blobs.inner if isinstance(blobs, PairedBlobs) else blobs


def lose_database(folder: Path) -> None:
    """Replace the database of an instance that is not open by an empty one."""
    known = settings(folder)
    if known:
        postgres.shared().drop_database(known["database_url"])
        known["database_url"] = postgres.shared().new_database(template=_template())
    for path in (folder / "data").glob("seaway.db*"):
        path.unlink()


def folder_store(folder: Path) -> DiskBlobs:
    """Create a store in a folder."""
    blobs = DiskBlobs(folder)
    blobs.create()
    return blobs


def overwrite_blob(blobs: BlobStore, key: str, content: bytes) -> None:
    """Damage a blob: store other bytes under its key."""
    blobs = raw(blobs)
    path = blobs.local_path(key)
    if path is not None:
        path.write_bytes(content)
    else:
        assert isinstance(blobs, BucketBlobs)
        obstore.put(blobs._store, key, content)


def _new_shared_state(*, template: str = "") -> dict[str, Any]:
    server = s3.shared()
    return {
        "database_url": postgres.shared().new_database(template=template or _template()),
        "storage_url": f"s3://{_bucket()}/{next(_numbers)}",
        "s3_endpoint": server.endpoint,
        "s3_region": "us-east-1",
        "s3_access_key": server.access_key,
        "s3_secret_key": server.secret_key,
    }


_numbers = count(1)
_copying = threading.RLock()


@functools.cache
def _bucket() -> str:
    return s3.shared().new_bucket()


def copy_migrated_database(settings: Settings) -> None:
    """Copy a migrated SQLite database for a new instance, because migrating takes longer."""
    if settings.database_url.get_secret_value() or settings.database_file.exists():
        return
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _copying:
        shutil.copyfile(_migrated_folder() / "seaway.db", settings.database_file)


def copy_paired_data(settings: Settings) -> None:
    """
    Copy a migrated SQLite database and its paired store for a new instance, if both are in the data folder.

    All copies have one identity; a test of two instances gives one of them another (`Pairing.adopt`).
    """
    store = settings.data / "store"
    with _copying:  # a test may create instances concurrently
        if settings.database_file.exists():
            return
        if (
            settings.storage_url
            or settings.secret_key.get_secret_value()
            or settings.database_url.get_secret_value()
            or store.exists()
        ):
            copy_migrated_database(settings)
            return
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(_paired_folder() / "store", store)
        shutil.copyfile(_paired_folder() / "seaway.db", settings.database_file)


@functools.cache
def _migrated_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="seaway-migrated-"))
    atexit.register(shutil.rmtree, folder)
    with closing(SqliteDatabase(folder / "seaway.db", folder / "locks")) as database:
        migrate.prepare(database)
    return folder


@functools.cache
def _paired_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="seaway-paired-"))
    atexit.register(shutil.rmtree, folder)
    settings = Settings(data=folder)
    copy_migrated_database(settings)
    wiring.build(settings).close()
    return folder


@functools.cache
def _template() -> str:
    """Return a migrated database to copy, because migrating takes longer."""
    url = postgres.shared().new_database()
    with closing(PostgresDatabase(url, connections=4)) as database:
        migrate.prepare(database)
    return url


def stored_blobs(blobs: BlobStore) -> list[BlobStat]:
    """Return the objects in the store except those that background jobs write at every start."""
    written_at_start = (keys.SECRET_KEY, keys.IDENTITY)
    return [
        stat
        for stat in blobs.list()
        if stat.key not in written_at_start and not stat.key.startswith(f"{keys.MANIFESTS}/")
    ]
