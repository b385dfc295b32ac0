"""A TUF repository on loopback with one target."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

TARGET = "trusted_root.json"


class TufRepository:
    """A folder that TUF clients read; `publish` adds a version of the target."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "targets").mkdir(parents=True)
        self._signer = CryptoSigner.generate_ed25519()
        root = Root(expires=_later())
        for role in ("root", "timestamp", "snapshot", "targets"):
            root.add_key(self._signer.public_key, role)
        self.bootstrap = self._write("1.root", root)

    def publish(self, content: bytes, version: int, *, signer: Any = None, expires: datetime | None = None) -> None:
        """Publish a version of the target, and metadata of the same version."""
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "targets" / f"{digest}.{TARGET}").write_bytes(content)
        targets = Targets(version, expires=_later(), targets={TARGET: TargetFile.from_data(TARGET, content)})
        snapshot = Snapshot(version, expires=_later(), meta={"targets.json": MetaFile(version)})
        timestamp = Timestamp(version, expires=expires or _later(), snapshot_meta=MetaFile(version))
        self._write(f"{version}.targets", targets, signer)
        self._write(f"{version}.snapshot", snapshot)
        self._write("timestamp", timestamp)

    def _write(self, name: str, signed: Any, signer: Any = None) -> bytes:
        metadata: Metadata[Any] = Metadata(signed)
        metadata.sign(signer or self._signer)
        content: bytes = metadata.to_bytes()
        (self.folder / f"{name}.json").write_bytes(content)
        return content


def _later() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
