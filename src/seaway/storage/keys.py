"""
The drawing of the store. Only this module builds a key, and only from a hash, a time or a name of ours.

    blobs/ab/abcdef...      any content, named by its sha256: package files, whole index documents
    quarantine/abcdef...    a damaged blob that was taken out of use, kept for a look (`packages.damage`)
    identity                which database belongs to this store (`pairing`)
    secret-key              what the secrets in the database are encrypted with (`accounts.secret_key`)
    manifests/<store id>/<channel id>/channel                       what the database can be rebuilt from: a channel,
    manifests/<store id>/<channel id>/<subdir id>/<package id>      and the files of one name (`packages.channel_manifests`)

A store for backups has the same blobs, and in its folder `backups` what each backup is:

    <time>/rows/<table>, <time>/contents    the rows, and which blobs belong to them
    <time>/manifest                         the last one to be written

Nothing that a stranger typed is ever part of a key, so no name can climb out of the store.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

BACKUPS = "backups"
SECRET_KEY = "secret-key"
IDENTITY = "identity"
BLOBS = "blobs"
MANIFESTS = "manifests"
QUARANTINE = "quarantine"
UNFINISHED = ".near-"  # begins the name of a file that is about to replace another one

_CHANNEL = "channel"
_MANIFEST = "manifest"
_MANIFEST_KEY = re.compile(
    rf"{MANIFESTS}/[0-9a-f]{{32}}/([1-9][0-9]{{0,17}})/(?:{_CHANNEL}|([1-9][0-9]{{0,17}})/([1-9][0-9]{{0,17}}))"
)
_TIME = re.compile(r"\d{8}T\d{6}\.\d{3}Z")


def blob(sha256: bytes) -> str:
    """The key of the content with this hash."""
    digest = sha256.hex()
    return f"{BLOBS}/{digest[:2]}/{digest}"


def quarantine(sha256: bytes) -> str:
    """The key under which the damaged bytes of a blob are kept."""
    return f"{QUARANTINE}/{sha256.hex()}"


def is_ours(key: str) -> bool:
    """Whether the sweep may look at this key: a blob, or a half-written file that a killed process left."""
    return key.startswith(f"{BLOBS}/") or is_unfinished(key)


def sha256_of(key: str) -> bytes | None:
    """The hash that a key names, or None for a key that this module did not draw."""
    parts = key.split("/")
    try:
        sha256 = bytes.fromhex(parts[-1])
    except ValueError:
        return None
    return sha256 if len(sha256) == 32 and key == blob(sha256) else None


@dataclass(frozen=True, slots=True)
class ManifestPlace:
    """The ids in the key of a manifest object; the object of a channel itself has no subdir and no package."""

    channel_id: int
    subdir_id: int = 0
    package_id: int = 0


def store_manifests(store_id: str) -> str:
    """The folder of all manifest objects of a store."""
    return f"{MANIFESTS}/{store_id}"


def channel_manifests(store_id: str, channel_id: int) -> str:
    """The folder of all manifest objects of a channel."""
    return f"{MANIFESTS}/{store_id}/{channel_id}"


def manifest(store_id: str, place: ManifestPlace) -> str:
    """The key of a manifest object."""
    rest = f"{place.subdir_id}/{place.package_id}" if place.subdir_id else _CHANNEL
    return f"{channel_manifests(store_id, place.channel_id)}/{rest}"


def manifest_place(key: str) -> ManifestPlace | None:
    """The ids in this key, or None if it is not the key of a manifest object."""
    found = _MANIFEST_KEY.fullmatch(key)
    return None if found is None else ManifestPlace(*(int(part or 0) for part in found.groups()))


def store_id_of(key: str) -> str | None:
    """The id of the store in this key, or None if it is not the key of a manifest object."""
    return None if _MANIFEST_KEY.fullmatch(key) is None else key.split("/")[1]


def is_unfinished(key: str) -> bool:
    """Whether this is a half-written file that a killed process left."""
    return key.rpartition("/")[2].startswith(UNFINISHED)


def backup_time(milliseconds: int) -> str:
    """The name of the backup of this moment; names sort as moments do."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{milliseconds % 1000:03}Z"


def is_backup_time(text: str) -> bool:
    """Whether this may be the name of a backup."""
    return _TIME.fullmatch(text) is not None


def backup_part(time: str, part: str) -> str:
    """The key of a part of a backup, in the folder of backups."""
    return f"{time}/{part}"


def backup_manifest(time: str) -> str:
    """The key of what makes a backup one, in the folder of backups."""
    return f"{time}/{_MANIFEST}"


def backup_time_of(key: str) -> str | None:
    """The backup that a manifest belongs to, or None for any other key."""
    time, _, rest = key.partition("/")
    return time if rest == _MANIFEST and is_backup_time(time) else None
