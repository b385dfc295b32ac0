"""
Import package files from this machine into a channel, for operators who move a channel to this server.

1. The rules of uploads apply: every file is copied, hashed, examined, admitted and recorded as by `publishing.publish`,
   whose invariants hold, and files succeed or fail independently.
2. Files share the steps whose cost does not depend on their number: an examiner message, a disk sync, a commit.
3. The spool space is bounded: it holds a few lots of files at a time, however many files the folder has.
"""

import errno
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from seaway.callers.caller import Caller
from seaway.conda import filename
from seaway.errors import Malformed, SeawayError, Unavailable
from seaway.indexing.blob_references import BlobSwept, discard
from seaway.publishing.examine import Candidate
from seaway.publishing.examiners import LocalFile
from seaway.publishing.publish import (
    Published,
    PublishingParts,
    count_failure,
    count_success,
    result_of,
    store_and_record,
)
from seaway.publishing.receive import too_large
from seaway.publishing.record import Recorded, Submission, require_upload
from seaway.publishing.upload_rates import sender_of
from seaway.storage import keys

# Creating a file waits for a running sync: with lots of 128 files an import took twice as long on a busy disk.
_MAX_LOT = 512
_MIN_LOT = 16
_LOTS_FOR_EACH = 4  # at least this many for each examiner, so that none is idle for long

_Result = Published | SeawayError


@dataclass(slots=True)
class _Lot:
    """A group of files that are imported together: their spool files, candidates and results."""

    paths: Sequence[Path]
    spooled: ExitStack = field(default_factory=ExitStack)
    found: list[tuple[int, Path, Candidate]] = field(default_factory=list)
    new_blobs: set[str] = field(default_factory=set)
    results: dict[int, _Result] = field(default_factory=dict)


def import_files(
    parts: PublishingParts, channel: str, paths: Sequence[Path], *, by: Caller, force: bool
) -> Iterator[tuple[Path, _Result]]:
    """Import the files into the channel; yield the result of each, in order."""
    try:
        with parts.site.database.read() as tx:
            require_upload(tx, channel, by)
        parts.site.reserve.require_room()
    except SeawayError as error:  # refuses every file, before any of them is read
        yield from _reported(parts, channel, _Lot(paths, results=dict.fromkeys(range(len(paths)), error)))
        return
    at_once = parts.examiners.processes + 1  # the extra one syncs its files meanwhile
    lots = _lots(paths, parts.examiners.processes)
    ahead: deque[Future[_Lot]] = deque()
    with ThreadPoolExecutor(at_once, thread_name_prefix="importing") as threads:
        try:
            ahead += [threads.submit(_prepare, parts, lot, by) for lot in islice(lots, at_once)]
            while ahead:
                lot = ahead.popleft().result()
                ahead += [threads.submit(_prepare, parts, lot, by) for lot in islice(lots, 1)]
                with lot.spooled:
                    _record(parts, channel, lot, by, force)
                yield from _reported(parts, channel, lot)
        finally:
            for future in ahead:
                if future.exception() is None:
                    future.result().spooled.close()


def _lots(paths: Sequence[Path], examiners: int) -> Iterator[_Lot]:
    size = min(max(len(paths) // (examiners * _LOTS_FOR_EACH), _MIN_LOT), _MAX_LOT)
    return (_Lot(paths[start : start + size]) for start in range(0, len(paths), size))


def _prepare(parts: PublishingParts, lot: _Lot, by: Caller) -> _Lot:
    """Copy the files into the spool, examine them and store the accepted ones."""
    with ExitStack() as undo:
        undo.push(lot.spooled.__exit__)
        files = _spooled(parts, lot)
        with parts.examiners.slots.acquire_in_thread(sender_of(by)):
            outcomes = parts.examiners.copy_and_examine([file for _, file in files]) if files else []
        for (number, file), outcome in zip(files, outcomes, strict=True):
            if isinstance(outcome, Candidate):
                lot.found.append((number, Path(file.path), outcome))
            else:
                lot.results[number] = _as_seaway_error(file.source, outcome)
        by_key = {keys.blob(candidate.hashes.sha256): path for _, path, candidate in lot.found}
        lot.new_blobs = parts.site.blobs.put_files(by_key)
        undo.pop_all()
    return lot


def _spooled(parts: PublishingParts, lot: _Lot) -> list[tuple[int, LocalFile]]:
    """Return a spool path for each file with a valid name and size; record the errors of the others."""
    folder = lot.spooled.enter_context(parts.site.spool.folder())
    files = []
    for number, path in enumerate(lot.paths):
        try:
            file_name = filename.parse(path.name)
            size = path.stat().st_size
            if size > parts.upload_limit:
                raise too_large(parts.upload_limit)
        except (SeawayError, OSError) as error:
            lot.results[number] = _as_seaway_error(path, error)
        else:
            files.append((number, LocalFile(path, f"{folder}/{number}", file_name, size)))
    return files


def _record(parts: PublishingParts, channel: str, lot: _Lot, by: Caller, force: bool) -> None:
    """Record the stored files in one transaction; delete the new blobs of refused files."""
    submissions = [Submission(candidate, by, force) for _, _, candidate in lot.found]
    hashes = [candidate.hashes.sha256 for _, _, candidate in lot.found]
    outcomes = parts.batches.record_many(channel, list(zip(hashes, submissions, strict=True)))
    unnamed = []
    for (number, path, candidate), submission, outcome in zip(lot.found, submissions, outcomes, strict=True):
        result = _store_again(parts, channel, path, submission) if isinstance(outcome, BlobSwept) else outcome
        if isinstance(result, Recorded):
            lot.results[number] = result_of(channel, candidate, result)
        elif isinstance(result, SeawayError):
            lot.results[number] = result
            if keys.blob(candidate.hashes.sha256) in lot.new_blobs:
                unnamed.append(candidate.hashes.sha256)
        else:
            raise result
    if unnamed:
        discard(parts.site, unnamed)


def _store_again(parts: PublishingParts, channel: str, path: Path, submission: Submission) -> Recorded | SeawayError:
    """Store and record the file again, after a sweep deleted its blob between storing and recording."""
    try:
        return store_and_record(parts, channel, path, submission)
    except SeawayError as error:
        return error


def _reported(parts: PublishingParts, channel: str, lot: _Lot) -> Iterator[tuple[Path, _Result]]:
    for number, path in enumerate(lot.paths):
        result = lot.results[number]
        if isinstance(result, Published):
            count_success(parts.counts, result)
        else:
            count_failure(parts.counts, channel, path.name, result)
        yield path, result


def _as_seaway_error(path: Path, error: SeawayError | OSError) -> SeawayError:
    if isinstance(error, SeawayError):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"There is no disk space to copy {path.name}.", "Free some space and upload again.")
    return Malformed(f"{path.name} cannot be read: {error.strerror}.", "Check the file and its permissions.")
