"""Background jobs and storage use, for site admins."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from seaway.api.v1.api_request import DEFAULT_LIMIT, After, ApiRequestDep, Id, Limit
from seaway.api.v1.schemas import Moment, Page, ResponseBody, id_cursor, page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.clock import format_time
from seaway.jobs import queue
from seaway.jobs.queue import Job
from seaway.packages import storage_usage, sweep
from seaway.packages.storage_usage import ChannelUsage, Usage
from seaway.sign_in import site_admin

router = APIRouter(tags=["administration"])

OfState = Annotated[Literal["ready", "running", "dead"] | None, Query(description="Only jobs in this state.")]


class JobShown(ResponseBody):
    """A background job; finished jobs are not kept."""

    id: int
    kind: str = Field(examples=["send-letter"])
    state: Literal["ready", "running", "dead"] = Field(description="`dead`: failed, with no attempts left.")
    attempt: int = Field(description="Number of attempts so far.")
    asked_at: Moment = Field(description="When it was created.")
    run_at: Moment = Field(description="When it is or was due.")
    worker: str | None
    error: str = Field(description="Error of the last attempt; empty if none failed.")


class Retried(ResponseBody):
    """The result of a retry."""

    retried: int = Field(description="Number of jobs that will be retried.")


class Held(ResponseBody):
    """Number and total size of blobs; equal contents count once."""

    blobs: int
    bytes: int


class SweepShown(ResponseBody):
    """The result of a sweep of unreferenced blobs."""

    at: Moment
    taken: Held = Field(description="Deleted blobs.")
    waiting: Held = Field(description="Unreferenced blobs that were kept because they were less than a day old.")
    stopped: str = Field(description="Why no blob was deleted, if an operator must act first; otherwise empty.")


class Storage(ResponseBody):
    """Storage use of the site."""

    packages: Held = Field(description="Package files.")
    documents: Held = Field(description="Index documents.")
    named_bytes: int = Field(description="Total size of package files, counting equal contents in each channel.")
    saved_bytes: int = Field(description="Bytes saved by storing equal contents once.")
    spool: Held = Field(description="Files being received by the machine that responds.")
    sweep: SweepShown | None = Field(description="The last sweep; null before the first one.")


class ChannelHeld(ResponseBody):
    """Storage use of a channel; contents shared with other channels count in each."""

    channel: str
    files: int = Field(description="Number of files that are not yanked.")
    bytes: int = Field(description="Total size of its package files.")
    documents: int = Field(description="Number of index documents.")
    documents_bytes: int


@router.get("/jobs", operation_id="listJobs")
def list_jobs(
    call: ApiRequestDep, state: OfState = None, after: After = "", limit: Limit = DEFAULT_LIMIT
) -> Page[JobShown]:
    """List waiting, running and failed jobs, oldest first. Site admins only; requires a session."""
    start = id_cursor(after)
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        found = queue.list_jobs(tx, state, after=start or 0, limit=limit + 1)
    return page(found, limit, _job, lambda job: job.id)


@router.post("/jobs/retry", operation_id="retryJobs")
def retry_jobs(call: ApiRequestDep) -> Retried:
    """Retry all failed jobs. Site admins only; requires a recent sign-in."""
    with call.write_unlocked(SiteAction.CHANGE_SITE) as tx:
        return Retried(retried=site_admin.retry_jobs(tx, call.now_ms, call.by))


@router.post("/jobs/{job}/retry", operation_id="retryJob")
def retry_job(call: ApiRequestDep, job: Id) -> Retried:
    """Retry a failed job. Site admins only; requires a recent sign-in."""
    with call.write_unlocked(SiteAction.CHANGE_SITE) as tx:
        return Retried(retried=site_admin.retry_jobs(tx, call.now_ms, call.by, job))


@router.get("/storage", operation_id="getStorage")
def get_storage(call: ApiRequestDep) -> Storage:
    """Return the storage use of the site and the result of the last sweep. Site admins only; requires a session."""
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        packages, documents, last = storage_usage.of_packages(tx), storage_usage.of_documents(tx), sweep.last(tx)
        named_bytes = storage_usage.bytes_of_packages(tx)
    spool_blobs, spool_bytes = call.parts.publishing.spool.usage()
    return Storage(
        packages=_held(packages),
        documents=_held(documents),
        named_bytes=named_bytes,
        saved_bytes=named_bytes - packages.size,
        spool=Held(blobs=spool_blobs, bytes=spool_bytes),
        sweep=None
        if last is None
        else SweepShown(
            at=format_time(last.at_ms),
            taken=Held(blobs=last.swept.blobs, bytes=last.swept.bytes),
            waiting=Held(blobs=last.swept.waiting_blobs, bytes=last.swept.waiting_bytes),
            stopped=last.stopped,
        ),
    )


@router.get("/storage/channels", operation_id="listStorageOfChannels")
def list_storage_by_channel(call: ApiRequestDep, after: After = "", limit: Limit = DEFAULT_LIMIT) -> Page[ChannelHeld]:
    """List the storage use of channels, largest first. Site admins only; requires a session."""
    skip = id_cursor(after) or 0
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        found = storage_usage.by_channel(tx, skip=skip, limit=limit + 1)
    return page(found, limit, _channel, lambda _last: skip + limit)


def _held(found: Usage) -> Held:
    return Held(blobs=found.blobs, bytes=found.size)


def _job(job: Job) -> JobShown:
    return JobShown(
        id=job.id,
        kind=job.kind,
        state=job.state,
        attempt=job.attempt,
        asked_at=format_time(job.created_at_ms),
        run_at=format_time(job.run_at_ms),
        worker=job.lease_owner,
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
