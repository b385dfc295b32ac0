"""Job handlers: what runs in the background, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from seaway.attestations import trusted_root
from seaway.attestations.trusted_root import TrustedRoots
from seaway.attestations.tuf import TufRepository
from seaway.callers import rate_limits
from seaway.callers.caller import OPERATOR
from seaway.channels import channels, invitations, notices, transfers
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS, Clock, is_before_release
from seaway.database.engine import Database
from seaway.errors import Unavailable
from seaway.indexing import relations
from seaway.indexing.documents import REPODATA, Documents
from seaway.indexing.updates import BUILD_DOCUMENTS
from seaway.jobs import queue
from seaway.jobs.runner import Handler
from seaway.keys import account_keys
from seaway.mail.outbox import SEND_EMAIL
from seaway.oauth import codes, grants
from seaway.packages.damaged_blobs import BlobVerifier
from seaway.packages.manifest_writer import write_changes
from seaway.packages.scrub import scrub
from seaway.packages.sweep import SweepParts, SweepStopped, forget_shards, sweep
from seaway.pairing.pairing import Pairing
from seaway.publishing import resumable
from seaway.sign_in import password_reset, pending_sign_ins, second_factors, sessions
from seaway.sign_in.parts import AccountParts
from seaway.sign_in.password_reset import SEND_RESET_EMAIL
from seaway.storage.disk_reserve import Reserve
from seaway.trusted_publishing import tokens as workflow_tokens
from seaway.users import email_links

log = structlog.get_logger()

SWEEP = "sweep"
EXPIRE = "expire"
WRITE_MANIFESTS = "manifests"
SCRUB = "scrub"  # verifies one batch of files
REFRESH_ROOT = "refresh-root"  # only if the settings enable it

_EXPIRING = (
    invitations,
    transfers,
    notices,
    sessions,
    pending_sign_ins,
    email_links,
    rate_limits,
    grants,
    codes,
    workflow_tokens,
)

PERIODS_MS = {SWEEP: DAY_MS, EXPIRE: HOUR_MS, WRITE_MANIFESTS: MINUTE_MS}


def periods_ms(*, refreshes_root: bool, scrubs: bool) -> Mapping[str, int]:
    """Return the period of each recurring job; jobs with outbound requests only if they are enabled."""
    periods = dict(PERIODS_MS)
    if scrubs:
        periods[SCRUB] = 5 * MINUTE_MS
    if refreshes_root:
        periods[REFRESH_ROOT] = DAY_MS
    return periods


@dataclass(frozen=True, slots=True)
class JobHandlers:
    """Dependencies of the job handlers."""

    database: Database
    sweeping: SweepParts
    documents: Documents
    clock: Clock
    accounts: AccountParts
    roots: TrustedRoots
    repository: TufRepository
    reserve: Reserve
    pairing: Pairing
    keeper: BlobVerifier
    scrub_days: int

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handler of each kind of job; each can be repeated safely."""
        return {
            BUILD_DOCUMENTS: self._build_documents,
            channels.REMOVE_RELATIONS_JOB: self._drop_relations,
            SEND_EMAIL: self.accounts.outbox.deliver,
            SEND_RESET_EMAIL: partial(password_reset.send_email, self.accounts),
            SWEEP: self._sweep,
            EXPIRE: self._expire,
            WRITE_MANIFESTS: self._write_manifests,
            SCRUB: self._scrub,
            REFRESH_ROOT: self._refresh_root,
        }

    def _build_documents(self, args: dict[str, Any]) -> None:
        self.documents.build(args["subdir_id"], REPODATA)

    def _drop_relations(self, args: dict[str, Any]) -> None:
        relations.drop(self.database, self.clock, args["channel"], self.documents.whole_document_limit)

    def _sweep(self, _args: dict[str, Any]) -> None:
        try:
            swept = sweep(self.sweeping, wait=False)
        except SweepStopped as stopped:  # a retry would not help; the admin page shows it too
            log.warning("sweep.stopped", reason=stopped.full_message)
            return
        self.reserve.fill()
        log.info("sweep.done", blobs=swept.blobs, bytes=swept.bytes, spool_files=swept.spool_files)

    def _scrub(self, _args: dict[str, Any]) -> None:
        if self.scrub_days:  # otherwise a worker with other settings scheduled it
            scrub(self.keeper, self.scrub_days)

    def _expire(self, _args: dict[str, Any]) -> None:
        self.reserve.fill()
        now_ms = self.clock.now_ms()
        if is_before_release(now_ms):
            log.warning(
                "clock.behind",
                hint="The clock of this machine is behind the release date of this version. Set the correct time.",
            )
        shards = forget_shards(self.database, now_ms)
        with self.database.write_site() as tx:
            queue.reset_future_times(tx, now_ms)  # one machine with a wrong clock must not corrupt the schedules
            uploads = resumable.expire(tx, now_ms)
            expired = sum(kind.forget_old(tx, now_ms) for kind in _EXPIRING)
            warned = account_keys.warn_of_expiry(tx, now_ms, telling=self.accounts)
        second_factors.run_due_resets(self.accounts, OPERATOR)
        log.info("expire.done", shards=shards, uploads=uploads, accounts=expired, warned=warned)

    def _write_manifests(self, _args: dict[str, Any]) -> None:
        try:
            written = write_changes(
                self.database, self.sweeping.blobs, self.pairing.store_id(), self.pairing.require_match
            )
        except (Unavailable, OSError) as error:  # the next run is in a minute; a failed job would wait longer
            log.warning("manifests.not_written", error=str(error))
            return
        if written.objects or written.deleted:
            log.info("manifests.written", objects=written.objects, bytes=written.bytes, deleted=written.deleted)

    def _refresh_root(self, _args: dict[str, Any]) -> None:
        content = self.repository.trusted_root()
        if content == self.roots.current().content:
            return
        with self.database.write_site() as tx:
            root = trusted_root.keep(tx, self.clock.now_ms(), OPERATOR, content)
        log.info("trusted_root.refreshed", sha256=root.sha256)
