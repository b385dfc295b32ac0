"""`seaway jobs ...`: list background jobs, and retry failed ones."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from seaway.cli.context import JsonOption, options, show, show_rows
from seaway.counted_nouns import counted

app = typer.Typer(help="List background jobs, and retry failed ones.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[
        Literal["ready", "running", "failed"] | None, typer.Option(help="Only jobs in this state.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List waiting, running and failed jobs. Finished jobs are not listed."""
    from seaway.api.v1.site import Job
    from seaway.jobs import queue

    with options(context).open_site() as seaway, seaway.database.read() as tx:
        jobs = queue.list_jobs(tx, state)
    show_rows([Job.model_validate(job) for job in jobs], as_json, nothing="There are no jobs.")


@app.command()
def retry(
    context: typer.Context,
    job_id: Annotated[
        int | None, typer.Argument(metavar="[JOB]", help="Id of one failed job; all if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Retry failed jobs."""
    from seaway.api.v1 import site

    with options(context).open_call() as call:
        result = site.retry_jobs(call) if job_id is None else site.retry_job(call, job_id)
    show(result, as_json, f"{counted(result.retried, 'failed job')} will be retried.")
