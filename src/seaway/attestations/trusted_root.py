"""
The trusted root: the keys of Sigstore's logs and certificate authorities, in one JSON document (`trusted_root.json`).

1. The root that an update stored in the database is used, or else the one included in the program, so that an offline
   server works from the start.
2. A root is stored only after it was parsed successfully: an invalid file cannot disable verification.
3. Every worker uses the stored root from the next attestation on.
"""

import hashlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Lock

from seaway import audit, strict_json
from seaway.attestations.bundles import BundleVerifier
from seaway.attestations.tuf import library_file
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.database import site_values
from seaway.database.engine import Database, Tx
from seaway.errors import BadSetting

MAX_ROOT_BYTES = 1024 * 1024
_KEPT = "sigstore_trusted_root"


class RootSource(Enum):
    """The source of a trusted root."""

    DATABASE = "database"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class Root:
    """A trusted root and its source."""

    origin: RootSource
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def parties(self) -> dict[str, list[str]]:
        """Return the URLs of the logs and certificate authorities in this root."""
        root = strict_json.decode(self.content)
        return {
            "logs": [log["baseUrl"] for log in root["tlogs"]],
            "authorities": list(dict.fromkeys(authority["uri"] for authority in root["certificateAuthorities"])),
        }


class TrustedRoots:
    """The current root and a verifier for it, created when the first attestation arrives; safe in any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._cached: tuple[bytes, BundleVerifier] | None = None

    def current(self) -> Root:
        """Return the current root (invariant 1)."""
        with self._database.read() as tx:
            stored = site_values.get(tx, _KEPT)
        return Root(RootSource.PROGRAM, embedded()) if stored is None else Root(RootSource.DATABASE, stored)

    def verifier(self) -> BundleVerifier:
        """Return a verifier for the current root."""
        content = self.current().content
        with self._lock:
            if self._cached is None or self._cached[0] != content:
                self._cached = content, verifier_of(content)
            return self._cached[1]


def keep(tx: Tx, now_ms: int, by: Caller, content: bytes) -> Root:
    """Store this root in the database, for every worker; `BadSetting` if it is not a trusted root."""
    verifier_of(content)
    site_values.put(tx, _KEPT, content)
    return _changed(tx, now_ms, by, Root(RootSource.DATABASE, content))


def forget(tx: Tx, now_ms: int, by: Caller) -> Root:
    """Delete the stored root; return the one included in the program."""
    site_values.remove(tx, _KEPT)
    return _changed(tx, now_ms, by, Root(RootSource.PROGRAM, embedded()))


def _changed(tx: Tx, now_ms: int, by: Caller, root: Root) -> Root:
    audit.write(tx, now_ms, by.actor, Event.TRUSTED_ROOT_CHANGED, target=root.origin.value, sha256=root.sha256)
    return root


def read_file(path: Path) -> bytes:
    """Read a trusted root from the operator's file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadSetting(f"The trusted root {path} cannot be read: {error.strerror}.", "Check the file.") from None
    if len(content) > MAX_ROOT_BYTES:
        raise BadSetting(f"{path} is too large for a trusted root.", "Use a trusted_root.json of Sigstore.")
    return content


def embedded() -> bytes:
    """Return the root of the public Sigstore instance that the installed library includes."""
    return library_file("trusted_root.json")


def verifier_of(content: bytes) -> BundleVerifier:
    """Return a verifier for this root; `BadSetting` if it is not a trusted root."""
    # Imported here because sigstore takes seconds to load, and a site without attestations does not need it.
    from seaway.attestations.sigstore_verifier import NotARoot, SigstoreVerifier

    try:
        return SigstoreVerifier(content)
    except NotARoot as error:
        raise BadSetting(f"This is not a trusted root of Sigstore: {error}.", "Use its trusted_root.json.") from None
