"""Job handlers: what runs in the background, and how often."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog

from seaway.attestations import trusted_root
from seaway.attestations.trusted_root import TrustedRoots
from seaway.attestations.tuf import TufRepository
from seaway.callers import rate_limits
from seaway.callers.caller import OPERATOR
from seaway.channels import invitations, notices, transfers
from seaway.channels.channels import RemoveRelations
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS, is_before_release
from seaway.database.engine import Tx
from seaway.errors import Unavailable
from seaway.indexing import relations
from seaway.indexing.documents import REPODATA, Documents
from seaway.indexing.updates import BuildDocuments
from seaway.jobs import queue
from seaway.jobs.queue import JobArgs
from seaway.jobs.runner import JobHandler
from seaway.keys import account_keys
from seaway.mail.outbox import SendEmail
from seaway.oauth import codes, grants
from seaway.packages import downloads, storage_usage
from seaway.packages.damaged_blobs import BlobVerifier
from seaway.packages.manifest_writer import write_changes
from seaway.packages.scrub import scrub
from seaway.packages.sweep import SweepStopped, forget_shards, sweep
from seaway.pairing.pairing import Pairing
from seaway.publishing import resumable
from seaway.sign_in import password_reset, pending_sign_ins, second_factors, sessions
from seaway.sign_in.parts import AccountParts
from seaway.sign_in.password_reset import SendResetEmail
from seaway.site import Site
from seaway.trusted_publishing import tokens as workflow_tokens
from seaway.users import email_links

log = structlog.get_logger()

_EXPIRING: tuple[Callable[[Tx, int], int], ...] = (
    invitations.delete_expired,
    transfers.delete_expired,
    notices.delete_expired,
    sessions.delete_expired,
    pending_sign_ins.delete_expired,
    email_links.delete_expired,
    rate_limits.delete_expired,
    grants.delete_expired,
    codes.delete_expired,
    workflow_tokens.delete_expired,
)


class Sweep(JobArgs, frozen=True):
    """Delete unreferenced blobs and spool files."""

    kind: ClassVar = "sweep"


class Expire(JobArgs, frozen=True):
    """Delete expired rows, and warn of keys that expire soon."""

    kind: ClassVar = "expire"


class SampleUsage(JobArgs, frozen=True):
    """Note the usage of the site, and once a day the size of each channel; add up the downloads of the last 30 days."""

    kind: ClassVar = "sample-usage"


class WriteManifests(JobArgs, frozen=True):
    """Write changed manifests to the store."""

    kind: ClassVar = "manifests"


class Scrub(JobArgs, frozen=True):
    """Verify one batch of files."""

    kind: ClassVar = "scrub"


class RefreshRoot(JobArgs, frozen=True):
    """Fetch Sigstore's trusted root."""

    kind: ClassVar = "refresh-root"


@dataclass(frozen=True, slots=True)
class JobHandlers:
    """Dependencies of the job handlers."""

    site: Site
    pairing: Pairing
    documents: Documents
    accounts: AccountParts
    roots: TrustedRoots
    repository: TufRepository | None  # None if Sigstore's root is not refreshed
    sweep_max_percent: int
    scrub_days: int

    def table(self) -> tuple[JobHandler[Any], ...]:
        """Return the handler of each kind of job, and its period if it recurs."""
        return (
            JobHandler(BuildDocuments, lambda args: self.documents.build(args.subdir_id, REPODATA)),
            JobHandler(RemoveRelations, lambda args: relations.drop(self.site, args.channel)),
            JobHandler(SendEmail, self.accounts.outbox.deliver),
            JobHandler(SendResetEmail, lambda args: password_reset.send_email(self.accounts, args)),
            JobHandler(Sweep, self._sweep, DAY_MS),
            JobHandler(Expire, self._expire, HOUR_MS),
            JobHandler(SampleUsage, self._sample_usage, HOUR_MS),
            JobHandler(WriteManifests, self._write_manifests, MINUTE_MS),
            JobHandler(Scrub, self._scrub, 5 * MINUTE_MS if self.scrub_days else None),
            JobHandler(RefreshRoot, self._refresh_root, DAY_MS if self.repository else None),
        )

    def _sweep(self, _job: Sweep) -> None:
        try:
            swept = sweep(self.site, self.pairing, max_percent=self.sweep_max_percent, wait=False)
        except SweepStopped as stopped:  # a retry would not help; the admin page shows it too
            log.warning("sweep.stopped", reason=stopped.full_message)
            return
        self.site.reserve.fill()
        log.info("sweep.done", blobs=swept.blobs, bytes=swept.bytes, spool_files=swept.spool_files)

    def _scrub(self, _job: Scrub) -> None:
        if self.scrub_days:  # otherwise a worker with other settings scheduled it
            scrub(BlobVerifier(self.site, self.documents), self.scrub_days)

    def _expire(self, _job: Expire) -> None:
        self.site.reserve.fill()
        now_ms = self.site.clock.now_ms()
        if is_before_release(now_ms):
            log.warning(
                "clock.behind",
                hint="The clock of this machine is behind the release date of this version. Set the correct time.",
            )
        shards = forget_shards(self.site.database, now_ms)
        with self.site.database.write_site() as tx:
            queue.reset_future_times(tx, now_ms)  # one machine with a wrong clock must not corrupt the schedules
            uploads = resumable.expire(tx, now_ms)
            expired = sum(delete_expired(tx, now_ms) for delete_expired in _EXPIRING)
            warned = account_keys.warn_of_expiry(tx, now_ms, outbox=self.accounts.outbox)
        second_factors.run_due_resets(self.accounts, OPERATOR)
        log.info("expire.done", shards=shards, uploads=uploads, accounts=expired, warned=warned)

    def _sample_usage(self, _job: SampleUsage) -> None:
        database, now_ms = self.site.database, self.site.clock.now_ms()
        today = downloads.day_of(now_ms)
        with database.read() as tx:
            usage = storage_usage.count(tx, now_ms)
        with database.write_unlocked() as tx:
            storage_usage.note(tx, usage)
            storage_usage.sample(tx, today)
        has_more = True
        while has_more:
            with database.write_unlocked() as tx:
                has_more = downloads.add_up_recent(tx, today)

    def _write_manifests(self, _job: WriteManifests) -> None:
        try:
            written = write_changes(self.site, self.pairing.store_id(), self.pairing.require_match)
        except (Unavailable, OSError) as error:  # the next run is in a minute; a failed job would wait longer
            log.warning("manifests.not_written", error=str(error))
            return
        if written.objects or written.deleted:
            log.info("manifests.written", objects=written.objects, bytes=written.bytes, deleted=written.deleted)

    def _refresh_root(self, _job: RefreshRoot) -> None:
        if self.repository is None:  # a worker with other settings scheduled it
            return
        content = self.repository.trusted_root()
        if content == self.roots.current().content:
            return
        with self.site.database.write_site() as tx:
            root = trusted_root.keep(tx, self.site.clock.now_ms(), OPERATOR, content)
        log.info("trusted_root.refreshed", sha256=root.sha256)
