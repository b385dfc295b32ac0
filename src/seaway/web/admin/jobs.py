"""Background jobs, and those that failed."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import site
from seaway.database.engine import Tx
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.jobs import queue
from seaway.web.admin.admin_pages import PER_PAGE, change, for_admin, require_recent_confirmation, show
from seaway.web.channel_pages import number_of

_STATES = (
    (queue.FAILED, "Failed", "Jobs that failed ten times. They stay here until an admin retries them."),
    (queue.RUNNING, "Running", "Jobs that a worker is running now."),
    (queue.READY, "Waiting", "Jobs that are due now, or later after a failed attempt."),
)


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show the jobs in one state by age; by default the failed ones, since they need an admin."""
    state_name, after = request.query_params.get("state", ""), number_of(request, "after") or 0
    return await show(request, call, "jobs", partial(_read_values, state_name, after))


@for_admin
async def retry(request: Request, call: RequestContext) -> Response:
    """Retry one failed job, or all of them."""
    form = await form_of(request)
    require_recent_confirmation(call.by)
    job_id = form.number("job") if form.is_set("job") else None
    work = partial(site.retry_jobs, call) if job_id is None else partial(site.retry_job, call, job_id)
    return await change(request, call, "jobs", partial(_read_values, queue.FAILED, 0), work, then="/admin/jobs")


def _read_values(state_name: str, after: int, tx: Tx) -> Mapping[str, Any]:
    state = next((state for state in _STATES if state[0] == state_name), _STATES[0])
    found = queue.list_jobs(tx, state[0], after=after, limit=PER_PAGE + 1)
    return {
        "states": _STATES,
        "state": state,
        "counts": queue.count_jobs(tx),
        "jobs": found[:PER_PAGE],
        "after": after,
        "more": found[PER_PAGE - 1].id if len(found) > PER_PAGE else None,
    }
