"""Background jobs and storage use, for site admins."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from seaway.api.v1.api_request import DEFAULT_LIMIT, After, ApiRequestDep, Id, Limit
from seaway.api.v1.schemas import Moment, Page, ResponseBody, id_cursor, page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.clock import format_time
from seaway.jobs import queue
from seaway.packages import storage_usage, sweep
from seaway.sign_in import site_admin

router = APIRouter(tags=["administration"])

OfState = Annotated[Literal["ready", "running", "failed"] | None, Query(description="Only jobs in this state.")]
OfKind = Annotated[str, Query(description="Only jobs of this kind.", max_length=32)]


class Job(ResponseBody):
    """A background job; finished jobs are not kept."""

    id: int
    kind: str = Field(examples=["send-email"])
    state: Literal["ready", "running", "failed"] = Field(description="`failed`: no attempts left.")
    attempt: int = Field(description="Number of attempts so far.")
    created_at: Moment = Field(description="When it was created.")
    run_at: Moment = Field(description="When it is or was due.")
    worker: str | None = Field(validation_alias="lease_owner")
    error: str = Field(description="Error of the last attempt; empty if none failed.")


class RetryResult(ResponseBody):
    """The result of a retry."""

    retried: int = Field(description="Number of jobs that will be retried.")


class BlobUsage(ResponseBody):
    """Number and total size of blobs; equal contents count once."""

    blobs: int
    bytes: int = Field(validation_alias="size")


class Sweep(ResponseBody):
    """The result of a sweep of unreferenced blobs."""

    at: Moment
    deleted: BlobUsage = Field(description="Deleted blobs.")
    kept: BlobUsage = Field(description="Unreferenced blobs that were kept because they were less than a day old.")
    blocked_reason: str = Field(description="Why no blob was deleted, if an operator must act first; otherwise empty.")


class Storage(ResponseBody):
    """Storage use of the site."""

    counted_at: str = Field(description="When the four values below were counted: on a large site every hour.")
    packages: BlobUsage = Field(description="Package files.")
    documents: BlobUsage = Field(description="Index documents.")
    named_bytes: int = Field(description="Total size of package files, counting equal contents in each channel.")
    saved_bytes: int = Field(description="Bytes saved by storing equal contents once.")
    spool: BlobUsage = Field(description="Files being received by the machine that responds.")
    sweep: Sweep | None = Field(description="The last sweep; null before the first one.")


class ChannelStorage(ResponseBody):
    """Storage use of a channel; contents shared with other channels count in each."""

    channel: str
    files: int = Field(description="Number of files that are not yanked.")
    bytes: int = Field(validation_alias="size", description="Total size of its package files.")
    documents: int = Field(description="Number of index documents.")
    documents_bytes: int = Field(validation_alias="documents_size")


@router.get("/jobs", operation_id="listJobs")
def list_jobs(call: ApiRequestDep, state: OfState = None, after: After = "", limit: Limit = DEFAULT_LIMIT) -> Page[Job]:
    """List waiting, running and failed jobs, oldest first. Site admins only; requires a session."""
    start = id_cursor(after)
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        found = queue.list_jobs(tx, state, after=start or 0, limit=limit + 1)
    return page(found, limit, Job.model_validate, lambda job: job.id)


@router.post("/jobs/retry", operation_id="retryJobs")
def retry_jobs(call: ApiRequestDep, kind: OfKind = "") -> RetryResult:
    """Retry all failed jobs, or those of one kind. Site admins only; requires a recent sign-in."""
    with call.write_unlocked(SiteAction.CHANGE_SITE) as tx:
        return RetryResult(retried=site_admin.retry_jobs(tx, call.now_ms, call.by, kind=kind))


@router.post("/jobs/{job}/retry", operation_id="retryJob")
def retry_job(call: ApiRequestDep, job: Id) -> RetryResult:
    """Retry a failed job. Site admins only; requires a recent sign-in."""
    with call.write_unlocked(SiteAction.CHANGE_SITE) as tx:
        return RetryResult(retried=site_admin.retry_jobs(tx, call.now_ms, call.by, job))


@router.get("/storage", operation_id="getStorage")
def get_storage(call: ApiRequestDep) -> Storage:
    """Return the storage use of the site and the result of the last sweep. Site admins only; requires a session."""
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        usage, last = storage_usage.of_site(tx, call.now_ms), sweep.last(tx)
    spool_blobs, spool_bytes = call.parts.site.spool.usage()
    return Storage(
        counted_at=format_time(usage.at_ms),
        packages=BlobUsage.model_validate(usage.packages),
        documents=BlobUsage.model_validate(usage.documents),
        named_bytes=usage.named_bytes,
        saved_bytes=usage.saved_bytes,
        spool=BlobUsage(blobs=spool_blobs, bytes=spool_bytes),
        sweep=None
        if last is None
        else Sweep(
            at=format_time(last.at_ms),
            deleted=BlobUsage(blobs=last.swept.blobs, bytes=last.swept.bytes),
            kept=BlobUsage(blobs=last.swept.kept_blobs, bytes=last.swept.kept_bytes),
            blocked_reason=last.blocked_reason,
        ),
    )


@router.get("/storage/channels", operation_id="listStorageByChannel")
def list_storage_by_channel(
    call: ApiRequestDep, after: After = "", limit: Limit = DEFAULT_LIMIT
) -> Page[ChannelStorage]:
    """List the storage use of channels, largest first. Site admins only; requires a session."""
    skip = id_cursor(after) or 0
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        found = storage_usage.by_channel(tx, skip=skip, limit=limit + 1)
    return page(found, limit, ChannelStorage.model_validate, lambda _last: skip + limit)
