"""`seaway uploads ...`: the log of every uploaded file."""

from __future__ import annotations

from typing import Annotated

import typer

from seaway.cli.context import JsonOption, options
from seaway.clock import format_time

app = typer.Typer(help="Read the upload log.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the name of the only command: without a callback, Typer drops it."""


@app.command()
def export(
    context: typer.Context, channel: Annotated[str, typer.Argument(metavar="CHANNEL")], as_json: JsonOption = False
) -> None:
    """Print the uploads to a channel, or to a deleted one of this name. With --json, one JSON object per line."""
    from seaway.channels import upload_log

    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        for row in upload_log.rows(tx, channel):
            if as_json:
                typer.echo(upload_log.as_json(row))
            else:
                at = format_time(row["at"])
                typer.echo(
                    f"{row['number']} {at} {row['subdir']}/{row['file_name']} {row['sha256']} {row['principal']}"
                )
