"""What is done in the background, and what the store holds, for site admins who are signed in."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from seaway.accounts.permissions import SiteAction, require_site
from seaway.api.v1.asking import DEFAULT_LIMIT, After, Asked, Id, Limit
from seaway.api.v1.shapes import Moment, Page, Shown, numbered, page
from seaway.channels import administration
from seaway.clock import moment
from seaway.jobs import queue
from seaway.jobs.queue import Job
from seaway.packages import sweep, usage
from seaway.packages.usage import ChannelUsage, Usage

router = APIRouter(tags=["administration"])

OfState = Annotated[Literal["ready", "running", "dead"] | None, Query(description="Only jobs in this state.")]


class JobShown(Shown):
    """A job; one that is done leaves nothing."""

    id: int
    kind: str = Field(examples=["send-letter"])
    state: Literal["ready", "running", "dead"]
    attempt: int = Field(description="How often it was tried.")
    asked_at: Moment
    run_at: Moment = Field(description="When it is due, or was.")
    worker: str | None
    error: str = Field(description="Why the last try failed; empty when none did.")


class Retried(Shown):
    """How many jobs get all their tries again."""

    retried: int


class Held(Shown):
    """Contents, each counted once, and their bytes."""

    blobs: int
    bytes: int


class SweepShown(Shown):
    """What a sweep took, and what it left for the next one."""

    at: Moment
    taken: Held
    waiting: Held = Field(description="What no row named then, and was younger than a day.")
    stopped: str = Field(description="Why it deleted no blob, if an operator has to decide first; else empty.")


class Storage(Shown):
    """What the store has to hold."""

    packages: Held
    documents: Held
    named_bytes: int = Field(description="Bytes of package files, as often as channels have them.")
    saved_bytes: int = Field(description="What is saved since equal contents are kept once.")
    spool: Held = Field(description="Files on their way in, on the machine that answers.")
    sweep: SweepShown | None = Field(description="The last one; null before it.")


class ChannelHeld(Shown):
    """What a channel holds; what other channels hold too counts in each."""

    channel: str
    files: int = Field(description="How many files solvers choose from.")
    bytes: int = Field(description="Of all its package files.")
    documents: int
    documents_bytes: int


@router.get("/jobs", operation_id="listJobs")
def list_jobs(call: Asked, state: OfState = None, after: After = "", limit: Limit = DEFAULT_LIMIT) -> Page[JobShown]:
    """Jobs that wait, run, or failed for good, by age."""
    behind = numbered(after)
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        found = queue.list_jobs(tx, state, after=behind or 0, limit=limit + 1)
    return page(found, limit, _job, lambda job: job.id)


@router.post("/jobs/retry", operation_id="retryJobs")
def retry_all(call: Asked) -> Retried:
    """Try all dead jobs again; for a site admin, signed in just now."""
    require_site(call.by, SiteAction.CHANGE_SITE)
    with call.write_part() as tx:
        return Retried(retried=administration.retry_jobs(tx, call.now_ms, call.by))


@router.post("/jobs/{job}/retry", operation_id="retryJob")
def retry(call: Asked, job: Id) -> Retried:
    """Try a dead job again; for a site admin, signed in just now."""
    require_site(call.by, SiteAction.CHANGE_SITE)
    with call.write_part() as tx:
        return Retried(retried=administration.retry_jobs(tx, call.now_ms, call.by, job))


@router.get("/storage", operation_id="getStorage")
def get_storage(call: Asked) -> Storage:
    """How much there is to hold, by what the database says, and what the last sweep found."""
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        packages, documents, last = usage.of_packages(tx), usage.of_documents(tx), sweep.last(tx)
        named = usage.named_by_packages(tx)
    spooled = call.house.publishing.spool.usage()
    return Storage(
        packages=_held(packages),
        documents=_held(documents),
        named_bytes=named,
        saved_bytes=named - packages.size,
        spool=Held(blobs=spooled[0], bytes=spooled[1]),
        sweep=None
        if last is None
        else SweepShown(
            at=moment(last.at_ms),
            taken=Held(blobs=last.swept.blobs, bytes=last.swept.bytes),
            waiting=Held(blobs=last.swept.waiting_blobs, bytes=last.swept.waiting_bytes),
            stopped=last.stopped,
        ),
    )


@router.get("/storage/channels", operation_id="listStorageOfChannels")
def list_channels(call: Asked, after: After = "", limit: Limit = DEFAULT_LIMIT) -> Page[ChannelHeld]:
    """What each channel holds, the largest first."""
    skip = numbered(after) or 0
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        found = usage.by_channel(tx, skip=skip, limit=limit + 1)
    return page(found, limit, _channel, lambda _last: skip + limit)


def _held(found: Usage) -> Held:
    return Held(blobs=found.blobs, bytes=found.size)


def _job(job: Job) -> JobShown:
    return JobShown(
        id=job.id,
        kind=job.kind,
        state=job.state,
        attempt=job.attempt,
        asked_at=moment(job.created_at_ms),
        run_at=moment(job.run_at_ms),
        worker=job.owner,
        error=job.error,
    )


def _channel(found: ChannelUsage) -> ChannelHeld:
    return ChannelHeld(
        channel=found.channel,
        files=found.files,
        bytes=found.size,
        documents=found.documents,
        documents_bytes=found.documents_size,
    )
