"""
Changes killed at a selected step: run as a program, it makes a fork for each task and kills it at the step.

A step is every statement sent to the database, every commit, every call to the store, and every change of a name in
the data folder. They are recorded in the order in which they happen, so code added later is covered too. Steps are
observed from outside: the server is built with wrapped parts, and audit events of the interpreter report file changes.
"""

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import anyio
from sqlalchemy import event
from sqlalchemy.engine import Engine

from seaway import logs
from seaway.attestations.bundles import BundleVerifier, VerifiedBundle
from seaway.attestations.trusted_root import TrustedRoots
from seaway.backup.rebuild import rebuild
from seaway.callers.caller import OPERATOR
from seaway.database.engine import Database
from seaway.errors import FileExists
from seaway.indexing.documents import REPODATA, REPODATA_GZ
from seaway.indexing.updates import enqueue_document_build
from seaway.packages import removal
from seaway.packages.manifest_writer import write_changes
from seaway.packages.removal import FileAction, Selection
from seaway.packages.sweep import sweep
from seaway.publishing.publish import publish
from seaway.publishing.verify_attestation import AttestationParts
from seaway.server import wiring
from seaway.server.wiring import Seaway
from seaway.settings import Settings
from seaway.storage.blobs import BlobStat, BlobStore
from tests.indexing.channel import Channel, with_in_process_examiners
from tests.support import images, packages
from tests.support.packages import PackageFile, index_json
from tests.support.sigstore import GITHUB_CLAIMS, PAYLOAD_TYPE, statement
from tests.support.sites import IncomingFile
from tests.support.workflows import workflow_caller

CHANNEL = "demo"
OLD = packages.conda(index_json("a"))
NEW = packages.conda(index_json("a"), files={"share/demo.txt": b"other bytes"})
OTHER = packages.conda(index_json("b"))
OTHER_BYTES = packages.conda(index_json("b"), files={"share/demo.txt": b"other bytes"})
GONE = packages.conda(index_json("gone"))
LATE = packages.conda(index_json("late"))

_FILE_EVENTS = {"os.rename", "os.link", "os.remove", "os.mkdir"}
_ANY_AGE = -(1 << 60)


class Steps:
    """Count steps, and kill the process just before the selected one."""

    def __init__(self, folder: Path, kill_at: int | None) -> None:
        self._folder = str(folder)
        self._kill_at = kill_at
        self.names: list[str] = []
        self._counting = False
        self._lock = threading.Lock()  # some changes use several threads

    def __call__(self, name: str) -> None:
        if not self._counting:
            return
        with self._lock:
            if len(self.names) == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.names.append(name)

    def of_statement(self, _connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        self(" ".join(text.split()[:3]))

    def of_audit(self, event_name: str, arguments: tuple[Any, ...]) -> None:
        if self._counting and event_name in _FILE_EVENTS and self._folder in str(arguments[0]):
            self(event_name)

    def count(self, change: Callable[[], object]) -> None:
        self._counting = True
        change()
        self._counting = False


class SteppedBlobs:
    """A store in which every call is a step, and the end of every change another."""

    def __init__(self, blobs: BlobStore, step: Steps) -> None:
        self._blobs, self._step = blobs, step

    def create(self) -> None:
        self._blobs.create()

    def write(self, key: str, content: bytes) -> None:
        self._step("write object")
        self._blobs.write(key, content)
        self._step("object was written")

    def prepare_file(self, path: Path) -> None:
        self._blobs.prepare_file(path)

    def put_file(self, key: str, path: Path) -> bool:
        self._step("put blob")
        is_new = self._blobs.put_file(key, path)
        self._step("blob was put")
        return is_new

    def put_files(self, files: Mapping[str, Path]) -> set[str]:
        self._step("put blobs")
        new = self._blobs.put_files(files)
        self._step("blobs were put")
        return new

    def delete(self, key: str) -> None:
        self._step("delete blob")
        self._blobs.delete(key)
        self._step("blob was deleted")

    def copy(self, key: str, target: str) -> None:
        self._step("copy blob")
        self._blobs.copy(key, target)
        self._step("blob was copied")

    def open(self, key: str, start: int = 0) -> BinaryIO:
        return self._blobs.open(key, start)

    def stat(self, key: str) -> BlobStat | None:
        self._step("stat blob")
        return self._blobs.stat(key)

    def local_path(self, key: str) -> Path | None:
        return self._blobs.local_path(key)

    def signed_url(self, key: str, seconds: int) -> str | None:
        return self._blobs.signed_url(key, seconds)

    def list(self, folder: str = "") -> Iterator[BlobStat]:
        self._step("list blobs")
        return self._blobs.list(folder)


def prepare(seaway: Seaway) -> None:
    """Create the state before each change: files, documents of an older revision and unreferenced blobs."""
    channel = Channel(with_in_process_examiners(seaway), CHANNEL)
    for file in (OLD, GONE):
        channel.put(file)
    channel.repodata()
    channel.shard_index()
    channel.delete(GONE)  # leaves an unreferenced blob, and a retired shard that a served index named
    put_attested(channel, OTHER)
    seaway.request_parts.logos.store(OPERATOR, CHANNEL, images.png())


class _AcceptingRoots(TrustedRoots):
    """Accept every bundle: these tests are about storage, and the processes share no keys."""

    def __init__(self, signed: VerifiedBundle) -> None:
        self._signed = signed

    def verifier(self) -> BundleVerifier:
        return self

    def verify(self, bundle: bytes) -> VerifiedBundle:
        return self._signed


def put_attested(channel: Channel, file: PackageFile, *, force: bool = False) -> None:
    """Publish a file as a workflow that signed it."""
    seaway = channel.seaway
    payload = json.dumps(statement(file, channel=None)).encode()
    attesting = AttestationParts(_AcceptingRoots(VerifiedBundle(PAYLOAD_TYPE, payload, dict(GITHUB_CLAIMS), 0)), ())
    publishing = replace(seaway.request_parts.publishing, attesting=attesting)
    by = workflow_caller(seaway, channel.name)
    incoming = IncomingFile(file, attestation=json.dumps({"signs": file.sha256}).encode())
    anyio.run(partial(publish, publishing, channel.name, incoming, by=by, force=force))


def _refused(channel: Channel, file: PackageFile) -> None:
    try:
        channel.put(file)
    except FileExists:
        return
    raise AssertionError("the upload was not refused")


def _subdir_id(channel: Channel) -> int:
    with channel.seaway.site.database.read() as tx:
        return channel.subdir(tx).id


def _sweep(seaway: Seaway) -> None:
    sweep(seaway.site, seaway.pairing, max_percent=100, grace_ms=_ANY_AGE)


def job(channel: Channel) -> None:
    seaway = channel.seaway
    with seaway.site.database.write_unlocked() as tx:
        enqueue_document_build(tx, seaway.site.clock.now_ms(), channel.subdir(tx).id)
    seaway.runner.run_due()


def _write_manifests(channel: Channel) -> None:
    seaway = channel.seaway
    write_changes(seaway.site, seaway.pairing.store_id())


def _rebuild(channel: Channel) -> None:
    seaway = channel.seaway
    rebuild(seaway.site, "admin")


def _import_files(channel: Channel, files: list[PackageFile]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        channel.bring([file.write_to(Path(folder)) for file in files])


def _delete_both(channel: Channel) -> None:
    selection = Selection(tuple(f"noarch/{file.name}" for file in (OLD, OTHER)))
    removal.change(channel.seaway.site, OPERATOR, channel.name, FileAction.DELETE, selection)


CHANGES: dict[str, Callable[[Channel], object]] = {
    "upload": lambda channel: channel.put(LATE),
    "upload of a new name to a new subdir": lambda channel: channel.put(
        packages.conda(index_json("far", subdir="linux-64", noarch=...))
    ),
    "import": lambda channel: _import_files(channel, [LATE, NEW, packages.conda(index_json("later"))]),
    "overwrite": lambda channel: channel.put(NEW, force=True),
    "attested upload": lambda channel: put_attested(channel, LATE),
    "attested overwrite": lambda channel: put_attested(channel, OTHER_BYTES, force=True),
    "overwrite of an attested file": lambda channel: channel.put(OTHER_BYTES, force=True),
    "delete of an attested file": lambda channel: channel.delete(OTHER),
    "refused upload": lambda channel: _refused(channel, NEW),
    "yank": lambda channel: channel.yank(OLD),
    "delete": lambda channel: channel.delete(OLD),
    "delete of two files": _delete_both,
    "build": lambda channel: channel.seaway.documents.build(_subdir_id(channel), REPODATA),
    "build of gzip": lambda channel: channel.seaway.documents.build(_subdir_id(channel), REPODATA_GZ),
    "logo": lambda channel: channel.seaway.request_parts.logos.store(OPERATOR, CHANNEL, images.png(color=(1, 2, 3))),
    "sweep": lambda channel: _sweep(channel.seaway),
    "job": job,
    "removal of the channel": lambda channel: channel.remove(),
    "manifests": _write_manifests,
    "first read of the shard index": lambda channel: channel.shard_index(),
}

ON_A_LOST_DATABASE: dict[str, Callable[[Channel], object]] = {"rebuild": _rebuild}


def change(folder: Path, settings: dict[str, Any], name: str, kill_at: int | None) -> list[str]:
    """Make a change; return its steps."""
    steps = Steps(folder, kill_at)
    settings_of_run = Settings(data=folder / "data", sweep_max_percent=100, **settings)
    database = wiring.open_database(settings_of_run)
    _watch(database, steps)
    blobs, paired = SteppedBlobs(wiring.open_store(settings_of_run), steps), name not in ON_A_LOST_DATABASE
    seaway = wiring.build(settings_of_run, database=database, blobs=blobs, checks_pairing=paired)
    sys.addaudithook(steps.of_audit)
    steps.count(partial({**CHANGES, **ON_A_LOST_DATABASE}[name], Channel(with_in_process_examiners(seaway), CHANNEL)))
    return steps.names


def _watch(database: Database, steps: Steps) -> None:
    engine: Engine = database.engine
    event.listen(engine, "before_cursor_execute", steps.of_statement)
    event.listen(engine, "commit", lambda _connection: steps("COMMIT"))


def _run_task(task: dict[str, Any]) -> None:
    """Run a task in a fork; print its steps unless it is killed."""
    logs.set_up("text", "error")
    names = change(Path(task["folder"]), task["settings"], task["change"], task["kill_at"])
    print(json.dumps(names), flush=True)
    os._exit(0)


def main() -> None:
    """Read tasks, one JSON line each; print the steps of the fork and its exit code."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run_task(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
