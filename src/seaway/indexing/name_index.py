"""
What the index holds of one package name: its shard, and the fragments of it that whole documents are joined from.

1. It is derived from the file rows of the name and nothing else (`derive`).
2. A splice of what was derived gives the bytes that deriving again would give, without decoding the records that
   did not change: a name of 5,000 builds is 2.5 MB of JSON, and takes a tenth of the time so.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from seaway.conda import filename
from seaway.conda.record import Section, key_of
from seaway.conda.refusals import Refused
from seaway.conda.repodata import join_names, join_records, split_records
from seaway.conda.shards import ShardEntry, build_shard, pack_shard, to_shard_record, unpack_shard
from seaway.conda.zstd import ZstdError
from seaway.errors import DamagedRecord
from seaway.indexing.rows import FileRecord, State

RECORDS = "records"
RUN_EXPORTS = "run_exports"
REMOVED = "removed"


# What reading a record raises that is not the JSON of a record, whatever bytes it has.
UNREADABLE = (
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    Refused,
)


@contextmanager
def reading(file: FileRecord) -> Iterator[None]:
    """Name the file whose record cannot be read."""
    try:
        yield
    except UNREADABLE as error:
        raise DamagedRecord(f"The record of {file.file_name}", cause=f"{type(error).__name__}: {error}") from error


CHECKSUMS = 2**32  # how many there are


class DamagedIndex(Exception):
    """What is stored of a name is not what we wrote: it has to be derived again."""


def fragment_kind(what: str, section: Section) -> str:
    """The key under which the fragments of one map are kept."""
    return f"{what}:{section.value}"


KINDS = (REMOVED, *(fragment_kind(what, section) for section in Section for what in (RECORDS, RUN_EXPORTS)))


@dataclass(frozen=True, slots=True)
class NameIndex:
    """The derived state of one name."""

    shard: bytes | None
    fragments: dict[str, bytes]
    record_count: int
    v3_times_ms: tuple[int, ...]

    @property
    def sha256(self) -> bytes | None:
        """The address of the shard; None when nothing of the name is left to see."""
        return None if self.shard is None else hashlib.sha256(self.shard).digest()

    @property
    def checksum(self) -> int:
        """Checksum by which the stored fragments are verified later."""
        return checksum_of(self.fragments)


def checksum_of(fragments: Mapping[str, bytes]) -> int:
    """
    Checksum of the fragments of one name, the sum of their own checksums in whatever order they are read.

    CRC-32 finds accidental damage; whoever can write a fragment can write the database.
    """
    return sum(checksum_of_fragment(kind, content) for kind, content in fragments.items()) % CHECKSUMS


def checksum_of_fragment(kind: str, content: bytes) -> int:
    """Checksum of one fragment."""
    return zlib.crc32(content, zlib.crc32(kind.encode()))


def is_whole(sha256: object, content: object) -> bool:
    """Return whether the content of a shard has the sha256 of its address."""
    return isinstance(content, bytes) and hashlib.sha256(content).digest() == sha256


def derive(records: Sequence[FileRecord]) -> NameIndex:
    """The shard and the fragments that these files of one name make; `DamagedRecord` names one that cannot be read."""
    try:
        return _derive(records)
    except UNREADABLE:
        for record in records:
            with reading(record):
                _derive([record])
        raise


def _derive(records: Sequence[FileRecord]) -> NameIndex:
    if not records:
        return NameIndex(None, {}, 0, ())
    listed = [record for record in records if record.state is State.LISTED]
    removed = [record.file_name for record in records if record.state is State.YANKED]
    entries = [
        ShardEntry(key_of(filename.parse(record.file_name), record.section), record.section, record.record)
        for record in listed
    ]
    kept: dict[str, bytes] = {}
    for section in Section:
        in_section = [(entry.key, entry.record) for entry in entries if entry.section is section]
        if in_section:
            kept[fragment_kind(RECORDS, section)] = join_records(in_section)
            kept[fragment_kind(RUN_EXPORTS, section)] = join_records(_exports(in_section))
    if removed:
        kept[REMOVED] = join_names(removed)
    v3_times_ms = tuple(record.indexed_at_ms for record in listed if record.section.is_v3)
    return NameIndex(build_shard(entries, removed), kept, len(listed), v3_times_ms)


class Splice:
    """The index of a name without v3 records, taken apart so that single files can be changed in it."""

    def __init__(
        self, shard: Mapping[Section, dict[str, msgspec.Raw]], removed: Iterable[str], fragments: Mapping[str, bytes]
    ) -> None:
        self._shard = shard
        self._removed = set(removed)
        self._maps = {
            (what, section): split_records(fragments.get(fragment_kind(what, section), b""))
            for what in (RECORDS, RUN_EXPORTS)
            for section in _PLAIN
        }

    @classmethod
    def of_nothing(cls) -> "Splice":
        """Of a name that has nothing to see."""
        return cls({section: {} for section in _PLAIN}, (), {})

    @classmethod
    def of(cls, shard: bytes | None, fragments: Mapping[str, bytes], record_count: int) -> "Splice":
        """Of what is stored of a name; `DamagedIndex` when that cannot be read or does not agree."""
        if shard is None and not fragments:
            return cls.of_nothing()
        try:
            splice = cls(*unpack_shard(shard or b""), fragments)
        except (ZstdError, *UNREADABLE) as error:
            raise DamagedIndex(str(error)) from error
        if splice._counts() != {record_count}:
            raise DamagedIndex(f"its parts hold {splice._counts()} records, and {record_count} were counted")
        return splice

    def _counts(self) -> set[int]:
        """How many records the shard and the fragments hold; one number, if they agree."""
        of_fragments = {sum(len(self._maps[what, section]) for section in _PLAIN) for what in (RECORDS, RUN_EXPORTS)}
        return {sum(map(len, self._shard.values())), *of_fragments}

    def put(self, file: FileRecord) -> None:
        """Replace a file by its current state; `DamagedRecord` when its record cannot be read."""
        with reading(file):
            self._put(file)

    def _put(self, file: FileRecord) -> None:
        for records in (*self._shard.values(), *self._maps.values()):
            records.pop(file.file_name, None)
        self._removed.discard(file.file_name)
        if file.state is State.YANKED:
            self._removed.add(file.file_name)
        elif file.state is State.LISTED:
            self._shard[file.section][file.file_name] = msgspec.Raw(to_shard_record(file.record))
            for what, content in ((RECORDS, file.record), (RUN_EXPORTS, _export(file.record))):
                self._maps[what, file.section][file.file_name] = msgspec.Raw(content)

    def index(self) -> NameIndex:
        """The index that this has become."""
        record_count = sum(map(len, self._shard.values()))
        removed = sorted(self._removed)
        if not record_count and not removed:
            return NameIndex(None, {}, 0, ())
        kept = {
            fragment_kind(what, section): join_records(sorted(records.items()))
            for (what, section), records in self._maps.items()
            if records
        }
        if removed:
            kept[REMOVED] = join_names(removed)
        return NameIndex(pack_shard(self._shard, removed), kept, record_count, ())


_PLAIN = tuple(section for section in Section if not section.is_v3)


class _RunExportsOnly(msgspec.Struct):
    run_exports: msgspec.Raw


_run_exports_decoder = msgspec.json.Decoder(_RunExportsOnly)


def _exports(records: Iterable[tuple[str, bytes]]) -> Iterable[tuple[str, bytes]]:
    return ((key, _export(record)) for key, record in records)


def _export(record: bytes) -> bytes:
    return b'{"run_exports":%b}' % bytes(_run_exports_decoder.decode(record).run_exports)
