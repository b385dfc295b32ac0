"""
The trusted root as Sigstore's TUF repository has it now: the one thing about attestations that is ever fetched.

1. Nothing is fetched unless the operator switched it on.
2. The way begins at the root of trust that came with the library; what expired, was rolled back or is not signed by
   enough of its keys is refused by TUF's own client, whose memory of versions lies in `folder`.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from seaway.errors import Unavailable

SIGSTORE_URL = "https://tuf-repo-cdn.sigstore.dev"
_TARGET = "trusted_root.json"


@dataclass(frozen=True, slots=True)
class Repository:
    """A TUF repository: where it is, what its client remembers where, and the root it is believed by at first."""

    folder: Path
    url: str = SIGSTORE_URL
    bootstrap: bytes | None = None  # None: that of the public Sigstore, as it came with the library

    def trusted_root(self) -> bytes:
        """The newest root; `Unavailable` when it cannot be had, or not be believed."""
        # Imported here: only the process that refreshes needs it, once a day.
        from tuf.api.exceptions import DownloadError, RepositoryError
        from tuf.ngclient.updater import Updater

        metadata, targets = self.folder / "metadata", self.folder / "targets"
        for one in (metadata, targets):
            one.mkdir(parents=True, exist_ok=True)
        try:
            updater = Updater(
                str(metadata), self.url, str(targets), f"{self.url}/targets/", bootstrap=self.bootstrap or _embedded()
            )
            found = updater.get_targetinfo(_TARGET)
            if found is None:
                raise RepositoryError(f"it has no {_TARGET}")
            return Path(updater.download_target(found)).read_bytes()
        except (DownloadError, RepositoryError) as error:
            raise Unavailable(
                "The trusted root of Sigstore cannot be fetched.", "Look at the network.", cause=str(error)[:500]
            ) from error


def _embedded() -> bytes:
    return (
        resources.files("sigstore")
        .joinpath("_store", "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev", "root.json")
        .read_bytes()
    )
