"""
Build whole documents in a separate process, so that its memory is that of the build.

`bench.documents` runs it with the folder of an instance, a channel name and a number of rounds; it prints JSON.
"""

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil
from sqlalchemy import select

from bench import channels
from bench.synthetic_packages import SUBDIR
from seaway.callers.caller import OPERATOR
from seaway.conda import zstd
from seaway.database.tables import files
from seaway.indexing.documents import REPODATA, Document
from seaway.packages import removal
from seaway.server.wiring import Seaway
from seaway.serving.caller_identification import Secrets
from seaway.serving.resolve import Deferred, resolve
from seaway.storage import keys
from tests.support import sites
from tests.support.packages import zstd as stdlib_zstd

_CHUNK_BYTES = 1024 * 1024
_INDEX = "repodata_shards.msgpack.zst"

T = TypeVar("T")


def main(folder: Path, channel: str, rounds: int) -> None:
    """Change one name, read its shard and build the documents, in the given number of rounds."""
    seaway = sites.build(folder)
    try:
        with seaway.site.database.read() as tx:
            subdir_id = channels.subdir_of(tx, channel).id
        measurements: dict[str, list[float]] = {
            name: [] for name in ("build", "memory", "bound", "index cold", "change", "shard")
        }
        seconds, _ = _timed(lambda: _read(seaway, channel, _INDEX))
        measurements["index cold"].append(seconds)
        for number in range(rounds):
            _one_round(seaway, channel, subdir_id, measurements, number)
    finally:
        seaway.close()
    print(json.dumps(measurements))


def _one_round(seaway: Seaway, channel: str, subdir_id: int, measurements: dict[str, list[float]], number: int) -> None:
    seconds, name = _timed(lambda: _change(seaway, channel, subdir_id, number))
    measurements["change"].append(seconds)
    seconds, _ = _timed(lambda: _read_shard_of(seaway, channel, name))
    measurements["shard"].append(seconds)
    start = _reset_peak()
    seconds, document = _timed(lambda: seaway.documents.build(subdir_id, REPODATA))
    measurements["build"].append(seconds)
    measurements["memory"].append(_peak() - start)
    assert document is not None
    measurements["bound"].append(_bound(seaway, document))


def _timed(do: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = do()
    return time.perf_counter() - started, result


def _change(seaway: Seaway, channel: str, subdir_id: int, number: int) -> str:
    """Yank a file; return the changed package name."""
    with seaway.site.database.read() as tx:
        name: str = tx.execute(
            select(files.c.file_name).where(files.c.subdir_id == subdir_id).order_by(files.c.id).offset(number).limit(1)
        ).scalar_one()
    removal.yank(seaway.site, OPERATOR, channel, SUBDIR, name)
    return name.rsplit("-", 2)[0]


def _read_shard_of(seaway: Seaway, channel: str, name: str) -> None:
    index = msgspec.msgpack.decode(stdlib_zstd.decompress(_read(seaway, channel, _INDEX)))
    _read(seaway, channel, "shards", f"{index['shards'][name].hex()}.msgpack.zst")


def _read(seaway: Seaway, channel: str, *path: str) -> bytes:
    result, _ = resolve(seaway.request_parts.reading, Secrets(), channel, (SUBDIR, *path), ())
    if isinstance(result, Deferred):
        result = result.build()
    assert result.content is not None
    return result.content


def _bound(seaway: Seaway, document: Document) -> float:
    """Read, hash, write, sync and compress the same bytes, the minimal work of a build; return the seconds."""
    target = seaway.settings.data / "bound"
    started = time.perf_counter()
    plain, packed = hashlib.sha256(), hashlib.sha256()
    with seaway.site.blobs.open(keys.blob(document.sha256)) as content, target.open("wb") as file:

        def pieces() -> Iterator[bytes]:
            while chunk := content.read(_CHUNK_BYTES):
                plain.update(chunk)
                file.write(chunk)
                yield chunk

        for piece in zstd.compress_pieces(pieces(), document.size):
            packed.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds


def _reset_peak() -> int:
    """Reset the peak memory, if the system supports it; return the current memory in bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    memory: int = psutil.Process().memory_info().rss
    return memory


def _peak() -> int:
    """Return the peak memory of this process since `_reset_peak`, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError("this system does not report peak memory (VmHWM)")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
