"""
The pool of examiner processes, each limited in time and memory.

1. A process that exceeds a limit is killed and replaced; its upload is refused, the others continue.
2. Waiting for a process does not count as examination time. Callers hold one of `Examiners.slots` during a call;
   a sender that has slots cannot get the last one, so a sender of slow files does not delay others.
3. If a process dies, the file is examined again; if the second process dies too, the archive is the cause.
"""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import structlog

from seaway.conda.filename import FileName
from seaway.conda.limits import ArchiveLimits
from seaway.conda.record import FileDigest
from seaway.conda.refusals import RefusalReason, Refused
from seaway.errors import Invalid, Unavailable
from seaway.fair_slots import FairSlots
from seaway.publishing.examine import Candidate
from seaway.publishing.examiner import (
    DiskFailed,
    ExaminerResult,
    ExaminerSettings,
    OutOfMemory,
    PackageExamined,
    PackageRefused,
    PackageTask,
    PictureEncoded,
    PictureRefused,
    PictureTask,
    ReaderFailed,
)

log = structlog.get_logger()

_ATTEMPTS = 2
_IN_A_MESSAGE = 32
_MAX_RESPONSE_BYTES = 256 * 1024 * 1024
_SECONDS_TO_START = 60.0
_SECONDS_TO_END = 5.0
_PICTURE_SECONDS = 3.0  # the slowest normal picture takes 0.4 s; a JPEG with a thousand scans would take minutes

_results = msgspec.msgpack.Decoder(list[ExaminerResult])


class Died(Exception):
    """An examiner process ended before it answered."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this machine to copy to `path`, hash and examine."""

    source: Path
    path: str
    file_name: FileName
    size: int


class Examiners:
    """
    Pool that examines up to `processes` files at once.

    Its methods are called in worker threads by callers that hold one of its `slots`.
    """

    def __init__(
        self, limits: ArchiveLimits, *, processes: int, refuse_escaping_links: bool, interpreter: str = sys.executable
    ) -> None:
        self._settings = ExaminerSettings(limits, refuse_escaping_links)
        self._interpreter = interpreter
        self.processes = processes  # how many files can be examined at once
        self.slots = FairSlots(processes, share=max(processes - 1, 1))
        self._lock = threading.Lock()
        self._idle: list[_Examiner] = []

    def warm_up(self) -> None:
        """Start the processes and wait for their imports, so that the first uploads need not wait."""
        with self._lock:
            self._idle += [
                _Examiner(self._settings, self._interpreter) for _ in range(self.processes - len(self._idle))
            ]
            for examiner in self._idle:
                examiner.wait_until_ready()

    def examine(self, path: Path, file_name: FileName, hashes: FileDigest) -> Candidate:
        """Return the candidate; raise `Refused` for the archive's content or if examining it exceeds a limit."""
        outcome = self._examine_one(PackageTask(str(path), file_name, hashes, ""), hashes.size)
        if isinstance(outcome, Refused | OSError):
            raise outcome
        return outcome

    def copy_and_examine(self, files: Sequence[LocalFile]) -> list[Candidate | Refused | OSError]:
        """Copy and examine files in batches, since a message costs as much as a small file; return ordered outcomes."""
        parts = (files[start : start + _IN_A_MESSAGE] for start in range(0, len(files), _IN_A_MESSAGE))
        return [outcome for part in parts for outcome in self._examine_many(part)]

    def encode_picture(self, path: Path) -> bytes:
        """Return the picture re-encoded as a PNG; raise `Invalid` if it is refused, unreadable or exceeds a limit."""
        try:
            with self._examiner() as examiner:
                result = examiner.run([PictureTask(str(path))], _PICTURE_SECONDS)[0]
        except (Died, TimeoutError) as error:
            log.warning("picture.not_encoded", error=str(error) or "it took too long")
            raise _not_encoded() from None
        match result:
            case PictureEncoded(png):
                return png
            case PictureRefused(message, hint):
                raise Invalid(message, hint)
            case DiskFailed(number, text):
                raise OSError(number, text, str(path))
            case ReaderFailed(traceback):
                log.error("picture.not_encoded", traceback=traceback)
        raise _not_encoded()

    def close(self) -> None:
        """End the idle processes; a busy one ends with this process."""
        with self._lock:
            ending, self._idle = self._idle, []
        for examiner in ending:
            examiner.end()

    def _examine_many(self, files: Sequence[LocalFile]) -> list[Candidate | Refused | OSError]:
        tasks = [PackageTask(file.path, file.file_name, None, str(file.source)) for file in files]
        sizes = [file.size for file in files]
        try:
            with self._examiner() as examiner:
                results = examiner.run(tasks, sum(map(self._settings.limits.seconds, sizes)))
        except (Died, TimeoutError):
            # One of the files caused this; examined one by one, only that file is refused.
            return [self._examine_one(task, size) for task, size in zip(tasks, sizes, strict=True)]
        return [
            self._examine_one(task, size) if isinstance(result, OutOfMemory) else _outcome(task, result)
            for task, size, result in zip(tasks, sizes, results, strict=True)
        ]

    def _examine_one(self, task: PackageTask, size: int) -> Candidate | Refused | OSError:
        seconds = self._settings.limits.seconds(size)
        for attempt in range(_ATTEMPTS):
            try:
                with self._examiner() as examiner:
                    result = examiner.run([task], seconds)[0]
            except TimeoutError:
                return Refused(
                    RefusalReason.TOOK_TOO_LONG,
                    f"Reading {task.file_name} took longer than {seconds:.0f} seconds, the limit for its size.",
                    "Build it with fewer or smaller files.",
                )
            except Died as error:
                log.warning("examiner.died", file=str(task.file_name), attempt=attempt, error=str(error))
                continue
            if not isinstance(result, OutOfMemory):
                return _outcome(task, result)
        return Refused(
            RefusalReason.TOOK_TOO_MUCH_MEMORY,
            f"Reading {task.file_name} took more than {self._settings.limits.memory_bytes:,} bytes of memory, the limit.",
            "Build it with fewer or smaller files.",
        )

    @contextmanager
    def _examiner(self) -> "Iterator[_Examiner]":
        """Yield an idle process or a new one; kill it if the task fails."""
        with self._lock:
            examiner = self._idle.pop() if self._idle else None
        examiner = examiner or _Examiner(self._settings, self._interpreter)
        try:
            examiner.wait_until_ready()
            yield examiner
        except BaseException:  # after any error the state of the process is unknown
            examiner.kill()
            raise
        with self._lock:
            self._idle.append(examiner)


class _Examiner:
    """A process of the pool; used by one thread at a time."""

    def __init__(self, settings: ExaminerSettings, interpreter: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as stack:
            stack.callback(ours.close)  # if the process cannot be started: nothing else closes the socket then
            self._process = subprocess.Popen(  # noqa: S603  a module of Seaway, in this interpreter
                [interpreter, "-m", "seaway.publishing.examiner", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # so that Ctrl-C does not reach it; it ends when the socket is closed
            )
            stack.pop_all()
        self._connection = Connection(ours.detach())
        self._is_ready = False
        self._send(msgspec.msgpack.encode(settings))

    def wait_until_ready(self) -> None:
        """Wait once until a new process has loaded its modules; a failure is `Unavailable`, not a refusal."""
        if self._is_ready:
            return
        try:
            self._receive(_SECONDS_TO_START)
        except (Died, TimeoutError) as error:
            raise Unavailable(
                "The server cannot examine packages now.", "Try again in a moment.", cause=f"an examiner: {error}"
            ) from error
        self._is_ready = True

    def run(self, tasks: Sequence[PackageTask | PictureTask], seconds: float) -> list[ExaminerResult]:
        """Return the results; raise `TimeoutError` if they take longer, `Died` if the process has ended."""
        self._send(msgspec.msgpack.encode(tasks))
        try:
            results = _results.decode(self._receive(seconds))
        except msgspec.MsgspecError as error:
            raise Died(f"sent an invalid result: {error}") from error
        if len(results) != len(tasks):
            raise Died(f"sent {len(results)} results to {len(tasks)} tasks")
        return results

    def kill(self) -> None:
        """Kill the process at once."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Close the socket, which ends the process."""
        self._connection.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, content: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has ended: `_receive` will raise `Died`
            self._connection.send_bytes(content)

    def _receive(self, seconds: float) -> bytes:
        try:
            if not self._connection.poll(seconds):
                raise TimeoutError
            return self._connection.recv_bytes(_MAX_RESPONSE_BYTES)
        except (EOFError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Died(str(error) or "the process ended") from error


def _not_encoded() -> Invalid:
    return Invalid("The picture cannot be read within the limits of time and memory.", "Use another picture.")


def _outcome(task: PackageTask, result: ExaminerResult) -> Candidate | Refused | OSError:
    match result:
        case PackageExamined(candidate):
            return candidate
        case PackageRefused(reason, message, hint):
            return Refused(reason, message, hint)
        case DiskFailed(number, text):
            return OSError(number, text, task.source or task.path)
        case ReaderFailed(traceback):
            log.error("examiner.failed", file=str(task.file_name), path=task.source, traceback=traceback)
    return Refused(
        RefusalReason.READER_FAILED,
        f"{task.file_name} cannot be read: the package reader of the server failed.",
        "Ask the operator of the server, whose log has the details.",
    )
