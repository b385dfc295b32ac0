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

from seaway.database.engine import Database
from seaway.database.sqlite import SqliteDatabase
from seaway.errors import BadSetting
from seaway.moving import tar
from seaway.moving.backup import Target
from seaway.moving.restore import Source
from seaway.moving.shelf import Shelf
from seaway.moving.tar import TarTarget
from seaway.storage import keys
from seaway.storage.blobs import Blobs
from seaway.storage.opening import SCHEMES, BucketAccess, open_blobs

_CONNECTIONS = 4


def backup_target(place: str, store_url: str, access: BucketAccess, *, verify: bool = False) -> Target:
    """Return the target of a backup: a file or a repository; with `verify`, blobs already there are read back."""
    is_file = _is_file(place)
    _require_apart(place, store_url)
    if is_file:
        return TarTarget(Path(place))
    shelf = _shelf(place, access, verify=verify)
    shelf.create()
    return shelf


@contextmanager
def backup_source(place: str, at: str | None, store_url: str, access: BucketAccess) -> Iterator[Source]:
    """Open the backup in a file, or the one of this time in a repository; without a time, the newest."""
    is_file = _is_file(place)
    _require_apart(place, store_url)
    if not is_file:
        _require_folder(place)
        yield _shelf(place, access).source(at)
        return
    if at is not None:
        raise BadSetting("A file contains only one backup.", "Leave out --at.")
    with tar.opened(Path(place)) as source:
        yield source


def other_store(url: str, store_url: str, access: BucketAccess) -> Blobs:
    """Open a store other than the current one, and create it if needed."""
    _require_apart(url, store_url)
    store = open_blobs(url, access)
    store.create()
    return store


def other_database(url: str) -> Database:
    """Open the database at `postgresql://...`, or in the file at `sqlite:///path`."""
    try:
        parsed = sqlalchemy.make_url(url)
    except ArgumentError:
        raise _no_database() from None
    if parsed.drivername == "sqlite" and parsed.database:
        path = Path(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return SqliteDatabase(path, path.parent / "locks")
    if parsed.drivername not in ("postgresql", "postgres") or not parsed.database:
        raise _no_database()
    # Imported here, because it takes 100 ms to load and SQLite servers do not need it.
    from seaway.database.postgres import PostgresDatabase

    return PostgresDatabase(url, connections=_CONNECTIONS)


def _shelf(url: str, access: BucketAccess, *, verify: bool = False) -> Shelf:
    backups = open_blobs(f"{url.rstrip('/')}/{keys.BACKUPS}", access)
    return Shelf(open_blobs(url, access), backups, url, verify=verify)


def _is_file(place: str) -> bool:
    if _is_url(place):
        return False
    if place.endswith(tar.SUFFIX):
        return True
    raise BadSetting(f"{place} is not a backup location.", "Use a file name that ends in .tar, or a storage URL.")


def _is_url(place: str) -> bool:
    return place.partition(":")[0] in SCHEMES


def _require_apart(place: str, store_url: str) -> None:
    if place.partition(":")[0] == "memory":
        raise BadSetting("Data in a memory store is lost when this command ends.", "Use a bucket or a folder.")
    if all(one == other for one, other in zip(_steps(place), _steps(store_url), strict=False)):
        raise BadSetting(f"{place} overlaps the store {store_url}.", "Use a location outside the store, such as a bucket.")


def _steps(place: str) -> tuple[str, ...]:
    """Return the path of a location as its parts."""
    parts = urlsplit(place)
    if not _is_url(place) or parts.scheme == "file":
        return ("file", *_folder(place).resolve().parts)
    return (parts.scheme, parts.netloc, *filter(None, parts.path.split("/")))


def _folder(place: str) -> Path:
    return Path(unquote(urlsplit(place).path)) if _is_url(place) else Path(place)


def _require_folder(url: str) -> None:
    if urlsplit(url).scheme == "file" and not _folder(url).is_dir():
        raise BadSetting(f"There is no folder {url}.", "Use the location that `seaway backup` wrote to.")


def _no_database() -> BadSetting:
    return BadSetting(
        "This is not a database URL.", "Use postgresql://user:password@host/name or sqlite:///path."
    )
