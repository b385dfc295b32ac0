"""
A process of the pool that opens untrusted packages and pictures. It receives tasks and sends results over a socket,
and ends when the socket is closed.

1. Results are data with known fields (msgpack), never code: an attacker who takes over this process with an archive can
   return a wrong record, but cannot attack the server. With pickle that would be code execution in the server.
2. Its memory is bounded, and only closing the socket ends it: Ctrl-C and stopping the service signal every process of
   the group, and uploads in progress still need this one.
"""

import contextlib
import gc
import hashlib
import io
import resource
import signal
import socket
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

import msgspec

from seaway.conda.filename import FileName
from seaway.conda.limits import ArchiveLimits
from seaway.conda.record import FileDigest
from seaway.conda.refusals import RefusalReason, Refused
from seaway.errors import Invalid
from seaway.publishing.examine import Candidate, examine

_COPY_BYTES = 1024 * 1024


class PackageTask(msgspec.Struct, array_like=True, tag=0):
    """A file to examine: at `path` with these hashes, or to copy there from `source` and hash on the way."""

    path: str
    file_name: FileName
    hashes: FileDigest | None
    source: str


class PictureTask(msgspec.Struct, array_like=True, tag=1):
    """A picture at `path` to re-encode."""

    path: str


class ExaminerSettings(msgspec.Struct, array_like=True):
    """Settings of a process for all its tasks; sent as the first message."""

    limits: ArchiveLimits
    refuse_escaping_links: bool


class PackageExamined(msgspec.Struct, array_like=True, tag=0):
    """A well-formed package."""

    candidate: Candidate


class PackageRefused(msgspec.Struct, array_like=True, tag=1):
    """The fields of a `Refused`."""

    reason: RefusalReason
    message: str
    hint: str


class DiskFailed(msgspec.Struct, array_like=True, tag=2):
    """The fields of an OSError: the file could not be read or copied."""

    number: int
    text: str


class ReaderFailed(msgspec.Struct, array_like=True, tag=3):
    """The reader, or a library that it uses, crashed on this file."""

    traceback: str


class OutOfMemory(msgspec.Struct, array_like=True, tag=4):
    """The memory limit was reached."""


class PictureEncoded(msgspec.Struct, array_like=True, tag=5):
    """The picture re-encoded as a PNG."""

    png: bytes


class PictureRefused(msgspec.Struct, array_like=True, tag=6):
    """The fields of an `Invalid`."""

    message: str
    hint: str


ExaminerResult = (
    PackageExamined | PackageRefused | DiskFailed | ReaderFailed | OutOfMemory | PictureEncoded | PictureRefused
)


def run_tasks(connection: Connection) -> None:
    """Run the tasks of each message and send their results, until the socket is closed."""
    settings = msgspec.msgpack.decode(connection.recv_bytes(), type=ExaminerSettings)
    _bound_memory(settings.limits.memory_bytes)
    gc.freeze()  # a garbage collection that scans the modules takes 5% of the time for a small package
    connection.send_bytes(b"")  # ready
    decoder, encoder = msgspec.msgpack.Decoder(list[PackageTask | PictureTask]), msgspec.msgpack.Encoder()
    while True:
        tasks = decoder.decode(connection.recv_bytes())
        connection.send_bytes(encoder.encode([msgspec.Raw(_run(task, settings, encoder)) for task in tasks]))


def _run(task: PackageTask | PictureTask, settings: ExaminerSettings, encoder: msgspec.msgpack.Encoder) -> bytes:
    result: ExaminerResult
    try:
        if isinstance(task, PictureTask):
            return encoder.encode(PictureEncoded(_encode_picture(task)))
        return encoder.encode(PackageExamined(_examined(task, settings)))
    except Refused as error:
        result = PackageRefused(error.reason, error.message, error.hint)
    except Invalid as error:
        result = PictureRefused(error.message, error.hint)
    except OSError as error:
        result = DiskFailed(error.errno or 0, error.strerror or str(error))
    except MemoryError:
        result = OutOfMemory()
    except BaseException:  # noqa: BLE001  a panic in Rust code is not an Exception
        result = ReaderFailed(traceback.format_exc())
    return encoder.encode(result)


def _examined(task: PackageTask, settings: ExaminerSettings) -> Candidate:
    hashes = task.hashes or _copy_file(task.source, task.path)
    refuse = settings.refuse_escaping_links
    return examine(Path(task.path), task.file_name, hashes, settings.limits, refuse_escaping_links=refuse)


def _encode_picture(task: PictureTask) -> bytes:
    # Imported at the first picture: most examiners never get one, and the import would delay every start.
    from seaway.publishing import images

    return images.encode_png(Path(task.path))


def _copy_file(source: str, target: str) -> FileDigest:
    with open(source, "rb", buffering=0) as original, open(target, "wb", buffering=0) as copy:  # noqa: PTH123  faster
        return copy_hashed(original, copy)


def copy_hashed(source: BinaryIO | io.FileIO, target: BinaryIO | io.FileIO) -> FileDigest:
    """Copy a file and return the hashes of its content."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    while chunk := source.read(_COPY_BYTES):
        sha256.update(chunk)
        md5.update(chunk)
        size += target.write(chunk)
    return FileDigest(sha256.digest(), md5.digest(), size)


def _bound_memory(limit: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY or soft > limit:
        with contextlib.suppress(ValueError, OSError):  # systems without this limit
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _main(descriptor: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError), Connection(socket.socket(fileno=descriptor).detach()) as connection:
        run_tasks(connection)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
