"""
Locations that an operator names as the other side of a copy: a file, a store, a database.

A location inside the store, or around it, is refused: the sweep would delete files there that it does not know.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from seaway.backup import tar
from seaway.backup.backup import BackupTarget
from seaway.backup.repository import BackupRepository
from seaway.backup.restore import BackupSource
from seaway.backup.tar import TarTarget
from seaway.database.engine import Database
from seaway.database.sqlite import SqliteDatabase
from seaway.errors import BadSetting
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from seaway.storage.open_store import SCHEMES, BucketAccess, open_blobs

_CONNECTIONS = 4


def backup_target(location: str, store_url: str, access: BucketAccess, *, verify: bool = False) -> BackupTarget:
    """Return the target of a backup: a file or a repository; with `verify`, blobs already there are read back."""
    is_file = _is_file(location)
    _require_no_overlap(location, store_url)
    if is_file:
        return TarTarget(Path(location))
    repository = _repository(location, access, verify=verify)
    repository.create()
    return repository


@contextmanager
def backup_source(location: str, at: str | None, store_url: str, access: BucketAccess) -> Iterator[BackupSource]:
    """Open the backup in a file, or the one of this time in a repository; without a time, the newest."""
    is_file = _is_file(location)
    _require_no_overlap(location, store_url)
    if not is_file:
        _require_folder(location)
        yield _repository(location, access).source(at)
        return
    if at is not None:
        raise BadSetting("A file contains only one backup.", "Leave out --at.")
    with tar.open_backup(Path(location)) as source:
        yield source


def other_store(url: str, store_url: str, access: BucketAccess) -> BlobStore:
    """Open a store other than the current one, and create it if needed."""
    _require_no_overlap(url, store_url)
    store = open_blobs(url, access)
    store.create()
    return store


def other_database(url: str) -> Database:
    """Open the database at `postgresql://...`, or in a file at `sqlite:////path/to/seaway.db`."""
    try:
        parsed = sqlalchemy.make_url(url)
    except ArgumentError:
        raise _not_a_database_url() from None
    if parsed.drivername == "sqlite" and parsed.database:
        path = Path(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return SqliteDatabase(path, path.parent / "locks")
    if parsed.drivername not in ("postgresql", "postgres") or not parsed.database:
        raise _not_a_database_url()
    # Imported here, because it takes 100 ms to load and SQLite servers do not need it.
    from seaway.database.postgres import PostgresDatabase

    return PostgresDatabase(url, connections=_CONNECTIONS)


def _repository(url: str, access: BucketAccess, *, verify: bool = False) -> BackupRepository:
    backups = open_blobs(f"{url.rstrip('/')}/{keys.BACKUPS}", access)
    return BackupRepository(open_blobs(url, access), backups, url, verify=verify)


def _is_file(location: str) -> bool:
    if _is_url(location):
        return False
    if location.endswith(tar.SUFFIX):
        return True
    raise BadSetting(f"{location} is not a backup location.", "Use a file name that ends in .tar, or a storage URL.")


def _is_url(location: str) -> bool:
    return location.partition(":")[0] in SCHEMES


def _require_no_overlap(location: str, store_url: str) -> None:
    if location.partition(":")[0] == "memory":
        raise BadSetting("Data in a memory store is lost when this command ends.", "Use a bucket or a folder.")
    if all(part == store_part for part, store_part in zip(_path_parts(location), _path_parts(store_url), strict=False)):
        raise BadSetting(
            f"{location} overlaps the store {store_url}.", "Use a location outside the store, such as a bucket."
        )


def _path_parts(location: str) -> tuple[str, ...]:
    """Return the path of a location as its parts."""
    parts = urlsplit(location)
    if not _is_url(location) or parts.scheme == "file":
        return ("file", *_folder(location).resolve().parts)
    return (parts.scheme, parts.netloc, *filter(None, parts.path.split("/")))


def _folder(location: str) -> Path:
    return Path(unquote(urlsplit(location).path)) if _is_url(location) else Path(location)


def _require_folder(url: str) -> None:
    if urlsplit(url).scheme == "file" and not _folder(url).is_dir():
        raise BadSetting(f"There is no folder {url}.", "Use the location that `seaway backup` wrote to.")


def _not_a_database_url() -> BadSetting:
    return BadSetting(
        "This is not a database URL.", "Use postgresql://user:password@host/name or sqlite:////path/to/seaway.db."
    )
