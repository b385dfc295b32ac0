"""Background jobs, and those that failed."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import site
from seaway.api.v1.site import RetryResult
from seaway.counted_nouns import counted
from seaway.database.engine import Tx
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.jobs import queue
from seaway.web.admin.admin_pages import PER_PAGE, change, for_admin, require_recent_confirmation, show
from seaway.web.admin.listing import ListQuery, query_of, text_of
from seaway.web.channel_pages import number_of

_STATES = (
    (queue.FAILED, "Failed", "Jobs that failed ten times. They stay here until an admin retries them."),
    (queue.RUNNING, "Running", "Jobs that a worker is running now."),
    (queue.READY, "Waiting", "Jobs that are due now, or later after a failed attempt."),
)


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show the jobs in one state by age; by default the failed ones, since they need an admin."""
    query, after = query_of(request, "state", "kind"), number_of(request, "after") or 0
    return await show(request, call, "jobs", partial(_read_values, query, text_of(request, "kind"), after))


@for_admin
async def retry(request: Request, call: RequestContext) -> Response:
    """Retry one failed job, or all of a kind, or all."""
    form = await form_of(request)
    require_recent_confirmation(call.by)
    job_id = form.number("job") if form.is_set("job") else None
    work = (
        partial(site.retry_jobs, call, form.text("kind")) if job_id is None else partial(site.retry_job, call, job_id)
    )
    read_values = partial(_read_values, ListQuery("/admin/jobs", {}), "", 0)
    return await change(request, call, "jobs", read_values, work, then="/admin/jobs", message=partial(_message, job_id))


def _message(job_id: int | None, result: RetryResult) -> str:
    if job_id is not None:
        return f"Job {job_id} runs again now."
    if not result.retried:
        return "There was no failed job to retry."
    return f"{counted(result.retried, 'failed job')} {'runs' if result.retried == 1 else 'run'} again now."


def _read_values(query: ListQuery, kind: str, after: int, tx: Tx) -> Mapping[str, Any]:
    state = next((state for state in _STATES if state[0] == query.given.get("state")), _STATES[0])
    counts = queue.count_by_kind(tx)
    found = queue.list_jobs(tx, state[0], kind=kind, after=after, limit=PER_PAGE + 1)
    return {
        "states": [(name, label, sum(n for (of, _), n in counts.items() if of == name)) for name, label, _ in _STATES],
        "state": state,
        "kinds": sorted({of_kind for _, of_kind in counts} | ({kind} if kind else set())),
        "kind": kind,
        "failed": sum(number for (of, name), number in counts.items() if of == queue.FAILED and kind in ("", name)),
        "jobs": found[:PER_PAGE],
        "query": query,
        "after": after,
        "more": found[PER_PAGE - 1].id if len(found) > PER_PAGE else None,
    }
