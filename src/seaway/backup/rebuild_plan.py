"""
Read the manifests of a store into a plan, from which `backup.rebuild` restores the database.

The plan holds everything but the records; the objects with these are in the spool, since all together may not fit in
memory. An object that cannot be used is in the plan with the reason. The numbers here are those of the invariants of
`backup.rebuild`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

from seaway.backup.blob_copy import map_concurrently
from seaway.errors import Unavailable
from seaway.packages.channel_manifests import (
    FORMAT,
    MAX_BYTES,
    BadManifest,
    ChannelManifest,
    NameManifest,
    decode_channel,
    decode_name,
)
from seaway.pairing import identity_storage
from seaway.storage import keys
from seaway.storage.blobs import BlobStat, BlobStore
from seaway.storage.keys import ManifestIds


@dataclass(frozen=True, slots=True)
class UnreadableManifest:
    """An object that was not used, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedName:
    """A name object: its position in the spool, and the ids of its rows."""

    place: ManifestIds
    offset: int
    length: int
    package: str
    subdir: str
    revision: int


class _Ids:
    """One-to-one mapping of ids and names in channels, for subdirs or packages."""

    def __init__(self) -> None:
        self.by_id: dict[int, tuple[int, str]] = {}
        self._by_name: dict[tuple[int, str], int] = {}

    def require_free(self, id_: int, named: tuple[int, str]) -> None:
        """Raise `BadManifest` unless both belong together or both are unknown."""
        if self.by_id.get(id_, named) != named or self._by_name.get(named, id_) != id_:
            raise BadManifest("its ids conflict with another manifest")

    def add(self, id_: int, named: tuple[int, str]) -> None:
        self.by_id[id_] = named
        self._by_name[named] = id_


@dataclass(slots=True)
class RebuildPlan:
    """The contents of all manifests, without the records."""

    channels: dict[int, ChannelManifest] = field(default_factory=dict)
    names: list[PlannedName] = field(default_factory=list)
    subdirs: _Ids = field(default_factory=_Ids)
    packages: _Ids = field(default_factory=_Ids)
    blobs: dict[bytes, int] = field(default_factory=dict)  # with their sizes
    deleted: set[bytes] = field(default_factory=set)
    unreadable: list[UnreadableManifest] = field(default_factory=list)
    last_ids: dict[str, int] = field(default_factory=dict)


def id_of_set(listed: Sequence[BlobStat], store_id: str) -> str:
    """Return the id of the set of manifests to read: the store's own, or that of the newest complete set (8)."""
    whole: dict[str, int] = {}
    for stat in listed:
        place, id_ = keys.manifest_place(stat.key), keys.store_id_of(stat.key)
        if place is not None and id_ is not None and place.subdir_id == 0:
            whole[id_] = max(whole.get(id_, 0), stat.modified_ms)
    return store_id if store_id in whole or not whole else max(whole, key=lambda id_: whole[id_])


def read_manifests(
    blobs: BlobStore, listed: Sequence[BlobStat], store_id: str, objects: BinaryIO, now_ms: int
) -> RebuildPlan:
    """Return the plan of the manifests below this store id; write the objects of names to `objects`."""
    plan = RebuildPlan()
    found: list[tuple[ManifestIds, BlobStat]] = []
    for stat in listed:
        if not stat.key.startswith(f"{keys.store_manifests(store_id)}/"):
            continue
        place = keys.manifest_place(stat.key)
        if place is not None:
            found.append((place, stat))
        elif not keys.is_unfinished(stat.key):
            plan.unreadable.append(UnreadableManifest(stat.key, "its key is not that of a manifest"))
    # Channels come before their names.
    found.sort(key=lambda entry: (entry[0].channel_id, entry[0].subdir_id, entry[0].package_id))
    for place, key, content in map_concurrently(partial(_fetch, blobs), found):
        _note_ids(plan, place)
        try:
            if isinstance(content, str):
                raise BadManifest(content)
            if place.subdir_id:
                _add_name(plan, place, decode_name(content), _spool(objects, content), now_ms)
            else:
                _add_channel(plan, place.channel_id, decode_channel(content))
        except BadManifest as error:
            plan.unreadable.append(UnreadableManifest(key, str(error)))
    objects.flush()
    return plan


def _fetch(blobs: BlobStore, entry: tuple[ManifestIds, BlobStat]) -> tuple[ManifestIds, str, bytes | str]:
    """Return an object with its place and key, or the reason why it could not be read."""
    place, stat = entry
    content: bytes | str = "it is too large, or was deleted during the rebuild"
    if stat.size <= MAX_BYTES:
        try:
            with blobs.open(stat.key) as file:
                content = file.read()
        except FileNotFoundError:
            pass
        except (OSError, Unavailable) as error:
            content = unreadable_reason(blobs, error)
    return place, stat.key, content


def unreadable_reason(blobs: BlobStore, error: OSError | Unavailable) -> str:
    """Return the reason for one object that the store cannot read; raise if the store does not respond (5)."""
    identity_storage.of_store(blobs)
    return f"it cannot be read: {error}"


def _spool(objects: BinaryIO, content: bytes) -> tuple[int, int]:
    """Spool an object for the transaction: all objects together may not fit in memory."""
    offset = objects.tell()
    objects.write(content)
    return offset, len(content)


def _note_ids(plan: RebuildPlan, place: ManifestIds) -> None:
    for table, id_ in (("channels", place.channel_id), ("subdirs", place.subdir_id), ("packages", place.package_id)):
        plan.last_ids[table] = max(plan.last_ids.get(table, 0), id_)


def _add_channel(plan: RebuildPlan, channel_id: int, manifest: ChannelManifest) -> None:
    if any(other.name == manifest.name for other in plan.channels.values()):
        raise BadManifest(f"another channel is also named {manifest.name}")
    plan.channels[channel_id] = manifest
    if manifest.logo is not None:
        plan.blobs[manifest.logo] = manifest.logo_size


def _add_name(
    plan: RebuildPlan, place: ManifestIds, manifest: NameManifest, position: tuple[int, int], now_ms: int
) -> None:
    if place.channel_id not in plan.channels:  # channel object missing or damaged; each name object has its name
        _add_channel(plan, place.channel_id, _channel_of_name(manifest.channel, now_ms))
    if plan.channels[place.channel_id].name != manifest.channel:
        raise BadManifest(f"it belongs to channel {manifest.channel} but is stored under another one")
    plan.subdirs.require_free(place.subdir_id, (place.channel_id, manifest.subdir))
    plan.packages.require_free(place.package_id, (place.channel_id, manifest.package))
    plan.subdirs.add(place.subdir_id, (place.channel_id, manifest.subdir))
    plan.packages.add(place.package_id, (place.channel_id, manifest.package))
    plan.names.append(PlannedName(place, *position, manifest.package, manifest.subdir, manifest.revision))
    for file in manifest.files:
        if file.is_there:
            plan.blobs[file.sha256] = file.size
        else:
            plan.deleted.add(file.sha256)


def _channel_of_name(name: str, now_ms: int) -> ChannelManifest:
    return ChannelManifest(
        format=FORMAT,
        name=name,
        settings={},
        owner="",
        quota_bytes=None,
        created_at=now_ms,
        logo=None,
        logo_size=0,
    )
