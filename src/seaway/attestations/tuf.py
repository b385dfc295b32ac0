"""
Fetch the current trusted root from Sigstore's TUF repository; no other attestation data is ever fetched.

1. Nothing is fetched unless the operator enables it.
2. Verification starts at the root of trust that the library includes. The TUF client refuses metadata that is expired,
   rolled back or not signed by enough keys; it stores the versions that it has verified in `folder`.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from seaway.errors import Unavailable

SIGSTORE_URL = "https://tuf-repo-cdn.sigstore.dev"
_TARGET = "trusted_root.json"


@dataclass(frozen=True, slots=True)
class TufRepository:
    """A TUF repository: its URL, the folder with the state of the client, and the initial root of trust."""

    folder: Path
    url: str = SIGSTORE_URL
    bootstrap: bytes | None = None  # None: the root of the public Sigstore instance that the library includes

    def trusted_root(self) -> bytes:
        """Return the newest root; `Unavailable` if it cannot be fetched or verified."""
        # Imported here because only the process that refreshes needs it, once a day.
        from tuf.api.exceptions import DownloadError, RepositoryError
        from tuf.ngclient.updater import Updater

        metadata, targets = self.folder / "metadata", self.folder / "targets"
        for folder in (metadata, targets):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            updater = Updater(
                str(metadata),
                self.url,
                str(targets),
                f"{self.url}/targets/",
                bootstrap=self.bootstrap or library_file("root.json"),
            )
            found = updater.get_targetinfo(_TARGET)
            if found is None:
                raise RepositoryError(f"it has no {_TARGET}")
            return Path(updater.download_target(found)).read_bytes()
        except (DownloadError, RepositoryError) as error:
            raise Unavailable(
                "The trusted root of Sigstore cannot be fetched.", "Check the network.", cause=str(error)[:500]
            ) from error


def library_file(name: str) -> bytes:
    """Return a file of the public Sigstore instance that the installed library includes."""
    folder = resources.files("sigstore").joinpath("_store", "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev")
    return folder.joinpath(name).read_bytes()
