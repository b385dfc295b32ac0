"""Job handlers: what runs in the background, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from seaway.accounts import links, resetting, second_factors, sessions, sign_ins, throttle, tool_codes, tools
from seaway.accounts.parts import Accounts
from seaway.accounts.principal import OPERATOR
from seaway.accounts.resetting import WRITE_RESET
from seaway.channels import channels, invitations, notices, own_keys, transfers
from seaway.clock import DAY_MS, HOUR_MS, MINUTE_MS, Clock, is_behind
from seaway.database.engine import Database
from seaway.errors import Unavailable
from seaway.indexing import relations
from seaway.indexing.change import BUILD_DOCUMENTS
from seaway.indexing.documents import REPODATA, Documents
from seaway.jobs import queue
from seaway.jobs.runner import Handler
from seaway.mail.outbox import SEND_LETTER
from seaway.packages.damage import Keeper
from seaway.packages.manifest_writer import write_changes
from seaway.packages.scrub import scrub
from seaway.packages.sweep import Sweeping, SweepStopped, forget_shards, sweep
from seaway.pairing.pairing import Pairing
from seaway.publishing import resumable
from seaway.storage.reserve import Reserve
from seaway.trust import tokens as workflow_tokens
from seaway.trust import trusted_root
from seaway.trust.trusted_root import TrustedRoots
from seaway.trust.tuf import Repository

log = structlog.get_logger()

SWEEP = "sweep"
EXPIRE = "expire"
WRITE_MANIFESTS = "manifests"
SCRUB = "scrub"  # verifies one batch of files
REFRESH_ROOT = "refresh-root"  # only if the settings enable it

_EXPIRING = (invitations, transfers, notices, sessions, sign_ins, links, throttle, tools, tool_codes, workflow_tokens)

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
class Duties:
    """Dependencies of the job handlers."""

    database: Database
    sweeping: Sweeping
    documents: Documents
    clock: Clock
    accounts: Accounts
    roots: TrustedRoots
    repository: Repository
    reserve: Reserve
    pairing: Pairing
    keeper: Keeper
    scrub_days: int

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handler of each kind of job; each can be repeated safely."""
        return {
            BUILD_DOCUMENTS: self._build_documents,
            channels.DROP_RELATIONS: self._drop_relations,
            SEND_LETTER: self.accounts.outbox.deliver,
            WRITE_RESET: partial(resetting.write, self.accounts),
            SWEEP: self._sweep,
            EXPIRE: self._expire,
            WRITE_MANIFESTS: self._write_manifests,
            SCRUB: self._scrub,
            REFRESH_ROOT: self._refresh_root,
        }

    def _build_documents(self, args: dict[str, Any]) -> None:
        self.documents.build(args["subdir_id"], REPODATA)

    def _drop_relations(self, args: dict[str, Any]) -> None:
        relations.drop(self.database, self.clock, args["channel"], self.documents.limit)

    def _sweep(self, _args: dict[str, Any]) -> None:
        try:
            swept = sweep(self.sweeping, wait=False)
        except SweepStopped as stopped:  # a retry would not help; the admin page shows it too
            log.warning("sweep.stopped", reason=stopped.sentence)
            return
        self.reserve.fill()
        log.info("sweep.done", blobs=swept.blobs, bytes=swept.bytes, spool_files=swept.spool_files)

    def _scrub(self, _args: dict[str, Any]) -> None:
        if self.scrub_days:  # otherwise a worker with other settings scheduled it
            scrub(self.keeper, self.scrub_days)

    def _expire(self, _args: dict[str, Any]) -> None:
        self.reserve.fill()
        now_ms = self.clock.now_ms()
        if is_behind(now_ms):
            log.warning(
                "clock.behind",
                hint="The clock of this machine is behind the release date of this version. Set the correct time.",
            )
        shards = forget_shards(self.database, now_ms)
        with self.database.write_site() as tx:
            queue.correct_times(tx, now_ms)  # one machine with a wrong clock must not corrupt the schedules
            uploads = resumable.expire(tx, now_ms)
            expired = sum(kind.forget_old(tx, now_ms) for kind in _EXPIRING)
            warned = own_keys.warn_of_ends(tx, now_ms, telling=self.accounts)
        second_factors.reset_due(self.accounts, OPERATOR)
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
        log.info("trusted-root.refreshed", sha256=root.sha256)
