"""A channel for these tests, changed through the functions for uploads and read through those for readers."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import msgspec
from sqlalchemy import Column, Table, event, select

from seaway.callers.caller import OPERATOR
from seaway.channels import channels
from seaway.conda.filename import FileName
from seaway.conda.limits import ArchiveLimits
from seaway.conda.record import FileDigest
from seaway.conda.refusals import Refused
from seaway.database.engine import Tx
from seaway.errors import SeawayError
from seaway.indexing.file_rows import Subdir, find_subdir
from seaway.packages import removal
from seaway.publishing.examine import Candidate, examine
from seaway.publishing.examiners import Examiners, LocalFile
from seaway.publishing.import_files import import_files
from seaway.publishing.publish import Published
from seaway.server.wiring import Seaway
from seaway.serving.caller_identification import Secrets
from seaway.serving.channel_response import ChannelResponse
from seaway.serving.resolve import resolve_cached
from seaway.serving.response_cache import CacheKey
from seaway.storage.blobs import BlobStat, BlobStore
from tests.support import packages
from tests.support.packages import PackageFile, index_json, zstd
from tests.support.sites import publish_file

A = packages.conda(index_json("a"))
A2 = packages.conda(index_json("a", version="2.0"))
B = packages.conda(index_json("b"))
OLD = packages.tar_bz2(index_json("old"))
NEW = packages.conda(index_json("new", flags=["cuda"]))
GONE = packages.conda(index_json("gone"))


class _InProcessExaminers(Examiners):
    """Examiners that run in this process."""

    def examine(self, path: Path, file_name: FileName, hashes: FileDigest) -> Candidate:
        return examine(path, file_name, hashes, ArchiveLimits(), refuse_escaping_links=False)

    def copy_and_examine(self, files: Sequence[LocalFile]) -> list[Candidate | Refused | OSError]:
        return [self._copy_and_examine(file) for file in files]

    def _copy_and_examine(self, file: LocalFile) -> Candidate | Refused | OSError:
        try:
            content = file.source.read_bytes()
            Path(file.path).write_bytes(content)
            hashes = FileDigest(hashlib.sha256(content).digest(), hashlib.md5(content).digest(), len(content))
            return self.examine(Path(file.path), file.file_name, hashes)
        except (Refused, OSError) as error:
            return error


def with_in_process_examiners(seaway: Seaway) -> Seaway:
    """Return the same server with examiners that need no processes."""
    examiners = _InProcessExaminers(ArchiveLimits(), processes=1, refuse_escaping_links=False)
    publishing = replace(seaway.request_parts.publishing, examiners=examiners)
    return replace(seaway, request_parts=replace(seaway.request_parts, publishing=publishing))


@dataclass(frozen=True)
class Channel:
    """A channel of a server in this process."""

    seaway: Seaway
    name: str

    def put(self, file: PackageFile, *, force: bool = False) -> Published:
        return anyio.run(partial(publish_file, self.seaway, self.name, file, force=force))

    def bring(self, paths: Sequence[Path], *, force: bool = False) -> list[Published | SeawayError]:
        """Import local files; return the result for each."""
        publishing = self.seaway.request_parts.publishing
        return [result for _, result in import_files(publishing, self.name, paths, by=OPERATOR, force=force)]

    def yank(self, file: PackageFile, subdir: str = "noarch") -> int:
        return removal.yank(self.seaway.site, OPERATOR, self.name, subdir, file.name)

    def unyank(self, file: PackageFile, subdir: str = "noarch") -> int:
        return removal.unyank(self.seaway.site, OPERATOR, self.name, subdir, file.name)

    def delete(self, file: PackageFile, subdir: str = "noarch") -> int:
        return removal.delete(self.seaway.site, OPERATOR, self.name, subdir, file.name)

    def remove(self) -> None:
        with self.seaway.site.database.write_site() as tx:
            channels.remove(tx, self.seaway.site.clock.now_ms(), OPERATOR, self.name)

    def subdir(self, tx: Tx, name: str = "noarch") -> Subdir:
        found = find_subdir(tx, channels.get(tx, self.name).id, name)
        assert found is not None
        return found

    def revision(self, subdir: str = "noarch") -> int:
        with self.seaway.site.database.read() as tx:
            return self.subdir(tx, subdir).revision

    def request(self, *path: str, encodings: tuple[str, ...] = ()) -> ChannelResponse:
        """Return the response to a reader, with its content."""
        response = anyio.run(
            resolve_cached, self.seaway.request_parts.reading, CacheKey(Secrets(), self.name, path, encodings)
        ).response
        if response.content is not None:
            return response
        with self.seaway.site.blobs.open(response.blob_key) as file:
            return replace(response, content=file.read())

    def read(self, *path: str, encodings: tuple[str, ...] = ()) -> bytes:
        content = self.request(*path, encodings=encodings).content
        assert content is not None
        return content

    def repodata(self, subdir: str = "noarch") -> Any:
        return json.loads(self.read(subdir, "repodata.json"))

    def shard_index(self, subdir: str = "noarch") -> Any:
        return msgspec.msgpack.decode(zstd.decompress(self.read(subdir, "repodata_shards.msgpack.zst")))

    def shard(self, digest: bytes, subdir: str = "noarch") -> Any:
        content = self.read(subdir, "shards", f"{digest.hex()}.msgpack.zst")
        return msgspec.msgpack.decode(zstd.decompress(content))

    def rows(self, table: Table) -> list[tuple[Any, ...]]:
        """Return every row of a table."""
        with self.seaway.site.database.read() as tx:
            return sorted((tuple(row) for row in tx.execute(select(table))), key=repr)

    def column(self, column: Column[Any]) -> list[Any]:
        """Return every value of a column."""
        with self.seaway.site.database.read() as tx:
            return list(tx.execute(select(column)).scalars())


def fill_with_all_states(channel: Channel) -> None:
    for file in (A, A2, B, OLD, NEW, GONE):
        channel.put(file)
    channel.shard_index()
    channel.yank(OLD)
    channel.delete(GONE)
    channel.read("noarch", "repodata.json", encodings=("gzip",))


@dataclass
class Statements:
    """Statements sent to the database."""

    texts: list[str]
    parameters: list[Any]
    blob_bytes: int = 0

    def record(self, _connection: Any, _cursor: Any, text: str, parameters: Any, _context: Any, many: bool) -> None:
        self.texts.append(text)
        self.parameters.append(parameters)
        # An INSERT of many rows that returns values is one statement with the parameters of all rows.
        for values in parameters if many and isinstance(parameters, list) else [parameters]:
            arguments = [
                getattr(value, "obj", value) for value in (values.values() if isinstance(values, dict) else values)
            ]
            self.blob_bytes += sum(len(value) for value in arguments if isinstance(value, (bytes, memoryview)))

    def writing(self) -> list[str]:
        return [text for text in self.texts if text.startswith(("INSERT", "UPDATE", "DELETE"))]


@contextmanager
def recorded_statements(seaway: Seaway) -> Iterator[Statements]:
    """Record every statement that is sent to the database in this block."""
    statements = Statements([], [])
    event.listen(seaway.site.database.engine, "before_cursor_execute", statements.record)
    try:
        yield statements
    finally:
        event.remove(seaway.site.database.engine, "before_cursor_execute", statements.record)


class RacingStore:
    """A store that runs an action once, before or after the first put, to simulate a race."""

    def __init__(
        self,
        blobs: BlobStore,
        *,
        before_put: Callable[[], object] | None = None,
        after_put: Callable[[], object] | None = None,
    ) -> None:
        self._blobs = blobs
        self._before, self._after = before_put, after_put

    def prepare_file(self, path: Path) -> None:
        self._blobs.prepare_file(path)

    def put_file(self, key: str, path: Path) -> bool:
        before, self._before = self._before, None
        if before is not None:
            before()
        is_new = self._blobs.put_file(key, path)
        after, self._after = self._after, None
        if after is not None:
            after()
        return is_new

    def put_files(self, files: Mapping[str, Path]) -> set[str]:
        return {key for key, path in files.items() if self.put_file(key, path)}

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        return self._blobs.open(key)

    def stat(self, key: str) -> BlobStat | None:
        return self._blobs.stat(key)

    def local_path(self, key: str) -> Path | None:
        return self._blobs.local_path(key)

    def delete(self, key: str) -> None:
        self._blobs.delete(key)

    def copy(self, key: str, target: str) -> None:
        self._blobs.copy(key, target)

    def list(self) -> Iterator[BlobStat]:
        return self._blobs.list()
