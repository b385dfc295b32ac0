"""
Lists of the files that a package installs: read from its archive on request, and cached.

1. An archive is read with the reader that examined it at upload, within narrower limits, and never unpacked to disk.
   An archive beyond the limits has no list, and `Listing.problem` says so.
2. From a bucket, only the directory and the info part of the archive are fetched, with range requests.
3. Cached lists are keyed by the sha256 of the archive, so they are never out of date; the cache is bounded in bytes.
   Callers get the sha256 from rows that they are allowed to read.
4. Few archives are read at a time, and few lists are searched or compared at a time, in separate threads. A caller has
   at most one slot for each, and a cached list needs no slot: searches and comparisons of other callers do not delay
   the page of a file.
"""

import io
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import BinaryIO, ParamSpec, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread
from cachetools import LRUCache

from seaway.conda import archive, filename
from seaway.conda.limits import MIB, ArchiveLimits
from seaway.conda.refusals import Refused
from seaway.fair_slots import FairSlots
from seaway.packages.damaged_blobs import BlobProblem, refusal
from seaway.search_terms import fold, search_terms
from seaway.storage import keys
from seaway.storage.blobs import BlobStore

_LIMITS = ArchiveLimits(
    info_bytes=64 * MIB, paths_json_bytes=16 * MIB, max_unpacked_bytes=128 * MIB, unpacked_bytes_per_byte=64
)
MAX_ENTRIES = 200_000
_MAX_CACHE_BYTES = 32 * MIB
_CONCURRENCY = 2
_TAIL_BYTES = 64 * 1024

P = ParamSpec("P")
T = TypeVar("T")


class ListedPath(msgspec.Struct, frozen=True):
    """A file, link or folder that a package installs, as listed in paths.json."""

    path: str = msgspec.field(name="_path")
    path_type: str | None = None
    file_mode: str | None = None
    prefix_placeholder: str | None = None
    sha256: str | None = None
    size_in_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries that a package installs, by path; without them, `problem` is the reason."""

    entries: tuple[ListedPath, ...] = ()
    problem: str = ""
    size: int = field(init=False)  # installed bytes, as far as paths.json states them

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", sum(entry.size_in_bytes or 0 for entry in self.entries))

    def search(self, words: str) -> list[ListedPath]:
        """Return the entries whose path contains all of the words; only the first few words are used."""
        terms = search_terms(words)
        return [entry for entry in self.entries if _has_all(fold(entry.path), terms)]


def _has_all(path: str, terms: Sequence[str]) -> bool:
    return all(word in path for word in terms)


_TOO_LONG_LISTING = Listing(problem="The file list is too long to show.")


class ListingCache:
    """Cache of the listings that this process has read."""

    def __init__(self, blobs: BlobStore, max_bytes: int = _MAX_CACHE_BYTES) -> None:
        self._read_slots, self._work_slots = FairSlots(_CONCURRENCY, share=1), FairSlots(_CONCURRENCY, share=1)
        self._reading_threads, self._working_threads = CapacityLimiter(_CONCURRENCY), CapacityLimiter(_CONCURRENCY)
        self._blobs = blobs
        self._lock = threading.Lock()
        self._listings: LRUCache[bytes, tuple[Listing, int]] = LRUCache(max_bytes, getsizeof=itemgetter(1))

    async def run(self, caller: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work on listings in a thread once the caller has a slot; return its result."""
        with await self._work_slots.acquire(caller):
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._working_threads)

    async def read(self, caller: str, sha256: bytes, size: int, file_name: str) -> Listing:
        """Like `read_blocking`, in a thread once the caller has a slot; immediately if the listing is cached."""
        cached = self._cached(sha256)
        if cached is not None:
            return cached
        with await self._read_slots.acquire(caller):
            return await to_thread.run_sync(self.read_blocking, sha256, size, file_name, limiter=self._reading_threads)

    def _cached(self, sha256: bytes) -> Listing | None:
        with self._lock:
            return self._listings.get(sha256, (None, 0))[0]

    def read_blocking(self, sha256: bytes, size: int, file_name: str) -> Listing:
        """Return what the package file with these bytes installs; block while its archive is read."""
        cached = self._cached(sha256)
        if cached is not None:
            return cached
        listing = self._read(sha256, size, file_name)
        with self._lock, suppress(ValueError):  # larger than the whole cache
            self._listings[sha256] = listing
        return listing[0]

    def _read(self, sha256: bytes, size: int, file_name: str) -> tuple[Listing, int]:
        name = filename.parse(file_name)
        try:
            with open_seekable(self._blobs, keys.blob(sha256), size) as file:
                info = archive.read_info(file, size, name, _LIMITS, until=archive.PATHS_JSON).info
        except Refused:
            return _TOO_LONG_LISTING, 1_000
        except FileNotFoundError:
            raise refusal(file_name, BlobProblem.MISSING) from None
        return _listing(info)


def _listing(info: dict[str, bytes]) -> tuple[Listing, int]:
    if archive.PATHS_JSON in info:
        content = info[archive.PATHS_JSON]
        entries = _paths.decode(content).paths
    elif archive.FILES in info:
        content = info[archive.FILES]
        entries = [ListedPath(path) for path in content.decode().splitlines() if path]
    else:
        return Listing(problem="The package does not list its files."), 1_000
    if len(entries) > MAX_ENTRIES:
        return _TOO_LONG_LISTING, 1_000
    by_path = sorted(entries, key=lambda entry: entry.path)
    return Listing(tuple(by_path)), 1_000 + 2 * len(content)  # measured: objects take twice the memory of their JSON


class _Paths(msgspec.Struct):
    paths: list[ListedPath]


_paths = msgspec.json.Decoder(_Paths)


def open_seekable(blobs: BlobStore, key: str, size: int) -> BinaryIO:
    """Open a blob as a seekable file."""
    path = blobs.local_path(key)
    if path is not None:
        return path.open("rb")
    return io.BufferedReader(_BucketFile(blobs, key, size), _TAIL_BYTES)


class _BucketFile(io.RawIOBase):
    """Seekable file for a blob in a bucket: the first read after a seek is one request for the rest of the blob."""

    def __init__(self, blobs: BlobStore, key: str, size: int) -> None:
        self._blobs = blobs
        self._key = key
        self._size = size
        self._position = 0
        self._stream: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset != self._position:
            self._close_stream()
        self._position = start + offset
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        if self._position >= self._size:
            return 0
        if self._stream is None:
            self._stream = self._blobs.open(self._key, self._position)
        piece = self._stream.read(len(view))
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        self._close_stream()
        super().close()

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
