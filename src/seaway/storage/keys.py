"""
The layout of the store. Only this module builds keys, and only from a hash, a time, an id or a fixed name.

    blobs/ab/abcdef...      content named by its sha256: package files, whole index documents
    quarantine/abcdef...    a damaged blob that was taken out of use, kept for inspection (`packages.damaged_blobs`)
    identity                the identity shared with the database (`pairing`)
    secret-key              the key that encrypts the secrets in the database (`encryption.secret_key`)
    manifests/<store id>/<channel id>/channel                   data for rebuilding the database: a channel, and the
    manifests/<store id>/<channel id>/<subdir id>/<package id>  files of one package (`packages.channel_manifests`)

A backup repository has the same blobs, and each backup in its folder `backups`:

    <time>/rows/<table>, <time>/contents    the rows, and the list of blobs that belong to them
    <time>/manifest                         written last

User input is never part of a key, so no name can escape from the store (path traversal).
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
UNFINISHED = ".near-"  # prefix of temporary files that replace another file when complete

_CHANNEL = "channel"
_MANIFEST = "manifest"
_MANIFEST_KEY = re.compile(
    rf"{MANIFESTS}/[0-9a-f]{{32}}/([1-9][0-9]{{0,17}})/(?:{_CHANNEL}|([1-9][0-9]{{0,17}})/([1-9][0-9]{{0,17}}))"
)
_TIME = re.compile(r"\d{8}T\d{6}\.\d{3}Z")


def blob(sha256: bytes) -> str:
    """Return the key of the blob with this sha256."""
    digest = sha256.hex()
    return f"{BLOBS}/{digest[:2]}/{digest}"


def quarantine(sha256: bytes) -> str:
    """Return the key under which the damaged bytes of a blob are kept."""
    return f"{QUARANTINE}/{sha256.hex()}"


def is_swept(key: str) -> bool:
    """Return whether the sweep handles this key: a blob, or a partial file left by a killed process."""
    return key.startswith(f"{BLOBS}/") or is_unfinished(key)


def sha256_of(key: str) -> bytes | None:
    """Return the hash in a blob's key, or None for any other key."""
    parts = key.split("/")
    try:
        sha256 = bytes.fromhex(parts[-1])
    except ValueError:
        return None
    return sha256 if len(sha256) == 32 and key == blob(sha256) else None


@dataclass(frozen=True, slots=True)
class ManifestIds:
    """The ids in the key of a manifest object; 0 for subdir and package means the manifest of the channel itself."""

    channel_id: int
    subdir_id: int = 0
    package_id: int = 0


def store_manifests(store_id: str) -> str:
    """Return the folder of all manifest objects of a store."""
    return f"{MANIFESTS}/{store_id}"


def channel_manifests(store_id: str, channel_id: int) -> str:
    """Return the folder of all manifest objects of a channel."""
    return f"{MANIFESTS}/{store_id}/{channel_id}"


def manifest(store_id: str, place: ManifestIds) -> str:
    """Return the key of a manifest object."""
    rest = f"{place.subdir_id}/{place.package_id}" if place.subdir_id else _CHANNEL
    return f"{channel_manifests(store_id, place.channel_id)}/{rest}"


def manifest_place(key: str) -> ManifestIds | None:
    """Return the ids in the key of a manifest object, or None for any other key."""
    found = _MANIFEST_KEY.fullmatch(key)
    return None if found is None else ManifestIds(*(int(part or 0) for part in found.groups()))


def store_id_of(key: str) -> str | None:
    """Return the store id in the key of a manifest object, or None for any other key."""
    return None if _MANIFEST_KEY.fullmatch(key) is None else key.split("/")[1]


def is_unfinished(key: str) -> bool:
    """Return whether this is the key of a partial file left by a killed process."""
    return key.rpartition("/")[2].startswith(UNFINISHED)


def backup_time(milliseconds: int) -> str:
    """Return the name of a backup made at this time; names sort by time."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{milliseconds % 1000:03}Z"


def backup_part(time: str, part: str) -> str:
    """Return the key of a part of a backup, in the folder of backups."""
    return f"{time}/{part}"


def backup_manifest(time: str) -> str:
    """Return the key of a backup's manifest, in the folder of backups; a backup without it is incomplete."""
    return f"{time}/{_MANIFEST}"


def backup_time_of(key: str) -> str | None:
    """Return the name of the backup in the key of a manifest, or None for any other key."""
    time, _, rest = key.partition("/")
    return time if rest == _MANIFEST and _TIME.fullmatch(time) else None
