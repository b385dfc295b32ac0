"""The trusted root, refreshed from a TUF repository on the loopback; and that nobody asks for it unless told to."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from seaway.attestations.trusted_root import RootSource, TrustedRoots
from seaway.attestations.tuf import TufRepository as Repository
from seaway.clock import DAY_MS
from seaway.errors import BadSetting, Unavailable
from seaway.jobs.runner import JobHandler
from seaway.packages.damaged_blobs import BlobVerifier
from seaway.server.job_handlers import JobHandlers, RefreshRoot
from seaway.server.wiring import Seaway
from seaway.settings import Settings
from tests.support import tuf
from tests.support.jobs import run_job
from tests.support.sigstore import MiniSigstore
from tests.support.tuf import TufRepository


@dataclass(frozen=True)
class Refreshing:
    """A house, the repository, and the job."""

    seaway: Seaway
    made: TufRepository
    repository: Repository

    @property
    def roots(self) -> TrustedRoots:
        return self.seaway.request_parts.publishing.attesting.roots

    def refresh(self) -> None:
        run_job(self.handlers(refreshes_root=True), RefreshRoot())

    def handlers(self, *, refreshes_root: bool) -> tuple[JobHandler[Any], ...]:
        parts = self.seaway
        return JobHandlers(
            parts.database, parts.sweeping, parts.documents, parts.clock, parts.request_parts.accounts, self.roots,
            self.repository, parts.request_parts.publishing.reserve, parts.pairing,
            BlobVerifier(parts.database, parts.blobs, parts.documents, parts.clock), scrub_days=0, refreshes_root=refreshes_root,
        ).table()  # fmt: skip


@pytest.fixture
def refreshing(seaway: Seaway, tmp_path: Path) -> Iterator[Refreshing]:
    made = TufRepository(tmp_path / "repository")
    with tuf.serving(made.folder) as url:
        yield Refreshing(seaway, made, Repository(tmp_path / "memory", url, made.bootstrap))


def test_a_newer_root_is_kept(refreshing: Refreshing) -> None:
    """Fetched, verified, kept for every worker; and again when there is another."""
    for version in (1, 2):
        root = MiniSigstore().trusted_root
        refreshing.made.publish(root, version)
        refreshing.refresh()
        assert (RootSource.DATABASE, root) == (refreshing.roots.current().origin, refreshing.roots.current().content)


def test_what_cannot_be_believed_is_not_kept(refreshing: Refreshing) -> None:
    """Invariant 2: rolled back, expired, by a foreign key, or no root at all."""
    good = MiniSigstore().trusted_root
    refreshing.made.publish(good, 5)
    refreshing.refresh()
    evil, long_ago = MiniSigstore().trusted_root, datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    refreshing.made.publish(evil, 4)
    with pytest.raises(Unavailable):
        refreshing.refresh()
    refreshing.made.publish(evil, 6, signer=CryptoSigner.generate_ed25519())
    with pytest.raises(Unavailable):
        refreshing.refresh()
    refreshing.made.publish(evil, 7, expires=long_ago)
    with pytest.raises(Unavailable):
        refreshing.refresh()
    refreshing.made.publish(b"{}", 8)
    with pytest.raises(BadSetting):
        refreshing.refresh()

    assert good == refreshing.roots.current().content


def test_no_answer_changes_nothing(refreshing: Refreshing, tmp_path: Path) -> None:
    """An offline server goes on with the root that it has."""
    nowhere = Repository(tmp_path / "other", "http://127.0.0.1:1", refreshing.made.bootstrap)
    with pytest.raises(Unavailable):
        nowhere.trusted_root()
    assert RootSource.PROGRAM is refreshing.roots.current().origin


def test_it_is_done_only_where_the_settings_say_so(refreshing: Refreshing) -> None:
    """Invariant 1: by default no job that asks anybody is ever due."""
    by_default = Settings.model_fields["sigstore_refresh"].default

    for refreshes_root, periods in ((by_default, [None]), (True, [DAY_MS])):
        handlers = refreshing.handlers(refreshes_root=refreshes_root)
        assert periods == [handler.period_ms for handler in handlers if handler.args is RefreshRoot]
