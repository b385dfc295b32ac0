"""Refreshing the trusted root from a TUF repository on the loopback interface, only if the setting is on."""

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
from seaway.server.job_handlers import JobHandlers, RefreshRoot
from seaway.server.wiring import Seaway
from seaway.settings import Settings
from tests.support import tuf
from tests.support.jobs import run_job
from tests.support.sigstore import MiniSigstore
from tests.support.tuf import TufRepository


@dataclass(frozen=True)
class RootRefresh:
    """A Seaway instance, the TUF repository, and the refresh job."""

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
            parts.site, parts.pairing, parts.documents, parts.request_parts.accounts, self.roots,
            self.repository if refreshes_root else None, sweep_max_percent=100, scrub_days=0,
        ).table()  # fmt: skip


@pytest.fixture
def root_refresh(seaway: Seaway, tmp_path: Path) -> Iterator[RootRefresh]:
    made = TufRepository(tmp_path / "repository")
    with tuf.serving(made.folder) as url:
        yield RootRefresh(seaway, made, Repository(tmp_path / "memory", url, made.bootstrap))


def test_newer_root_is_stored(root_refresh: RootRefresh) -> None:
    """Each new version is fetched, verified and stored for all workers."""
    for version in (1, 2):
        root = MiniSigstore().trusted_root
        root_refresh.made.publish(root, version)
        root_refresh.refresh()
        assert (RootSource.DATABASE, root) == (
            root_refresh.roots.current().origin,
            root_refresh.roots.current().content,
        )


def test_unverified_root_is_not_stored(root_refresh: RootRefresh) -> None:
    """Invariant 2: rolled back, signed with a foreign key, expired, or not a root."""
    valid_root = MiniSigstore().trusted_root
    root_refresh.made.publish(valid_root, 5)
    root_refresh.refresh()
    forged_root, past = MiniSigstore().trusted_root, datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    root_refresh.made.publish(forged_root, 4)
    with pytest.raises(Unavailable):
        root_refresh.refresh()
    root_refresh.made.publish(forged_root, 6, signer=CryptoSigner.generate_ed25519())
    with pytest.raises(Unavailable):
        root_refresh.refresh()
    root_refresh.made.publish(forged_root, 7, expires=past)
    with pytest.raises(Unavailable):
        root_refresh.refresh()
    root_refresh.made.publish(b"{}", 8)
    with pytest.raises(BadSetting):
        root_refresh.refresh()

    assert valid_root == root_refresh.roots.current().content


def test_unreachable_repository_changes_nothing(root_refresh: RootRefresh, tmp_path: Path) -> None:
    """An offline server continues with its current root."""
    unreachable = Repository(tmp_path / "other", "http://127.0.0.1:1", root_refresh.made.bootstrap)
    with pytest.raises(Unavailable):
        unreachable.trusted_root()
    assert RootSource.PROGRAM is root_refresh.roots.current().origin


def test_root_is_refreshed_only_if_the_setting_is_on(root_refresh: RootRefresh) -> None:
    """Invariant 1: by default the refresh job is never due."""
    by_default = Settings.model_fields["sigstore_refresh"].default

    for refreshes_root, periods in ((by_default, [None]), (True, [DAY_MS])):
        handlers = root_refresh.handlers(refreshes_root=refreshes_root)
        assert periods == [handler.period_ms for handler in handlers if handler.args is RefreshRoot]
