"""`seaway jobs ...`: list background jobs, and retry failed ones."""

from __future__ import annotations

from typing import Annotated

import typer

from seaway.cli.context import JsonOption, options, show, show_rows
from seaway.clock import format_time

app = typer.Typer(help="List background jobs, and retry failed ones.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state: ready, running or failed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List waiting, running and failed jobs. Finished jobs are not listed."""
    from seaway.errors import Malformed
    from seaway.jobs import queue

    if state not in (None, queue.READY, queue.RUNNING, queue.FAILED):
        raise Malformed(f"There is no job state {state!r}.", "Use ready, running or failed.")
    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        jobs = queue.list_jobs(tx, state)
    rows = [
        {
            "id": job.id,
            "kind": job.kind,
            "state": job.state,
            "attempt": job.attempt,
            "run_at": format_time(job.run_at_ms),
            "worker": job.lease_owner,
            "error": job.error,
        }
        for job in jobs
    ]
    show_rows(rows, as_json, nothing="There are no jobs.")


@app.command()
def retry(
    context: typer.Context,
    job_id: Annotated[
        int | None, typer.Argument(metavar="[JOB]", help="Id of one failed job; all if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Retry failed jobs."""
    from seaway.callers.caller import OPERATOR
    from seaway.sign_in import site_admin

    with options(context).open_site() as seaway, seaway.site.database.write_unlocked() as tx:
        count = site_admin.retry_jobs(tx, seaway.site.clock.now_ms(), OPERATOR, job_id)
    show({"retried": count}, as_json, f"{count} failed jobs will be retried.")
