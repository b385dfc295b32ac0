"""`seaway`: every command, and how errors are told."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from seaway.cli import (
    channel,
    group,
    issuer,
    jobs,
    key,
    maintenance,
    member,
    moving,
    notice,
    publisher,
    rebuild,
    sigstore,
    uploading,
    uploads,
    user,
)
from seaway.cli.context import Context
from seaway.cli.serve import serve, work
from seaway.errors import SeawayError, Unavailable

app = typer.Typer(
    name="seaway",
    help="Host conda packages: publish with pixi or rattler-build, install with pixi, conda or mamba.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.command()(serve)
app.add_typer(user.app, name="user")
app.add_typer(channel.app, name="channel")
app.add_typer(member.app, name="member")
app.add_typer(group.app, name="group")
app.add_typer(notice.app, name="notice")
app.add_typer(key.app, name="key")
app.add_typer(issuer.app, name="issuer")
app.add_typer(publisher.app, name="publisher")
app.command("upload")(uploading.upload)
app.add_typer(uploads.app, name="uploads")
app.add_typer(sigstore.app, name="sigstore")
app.add_typer(jobs.app, name="jobs")
app.command("work")(work)
app.command("migrate")(maintenance.migrate)
app.command("reindex")(maintenance.reindex)
app.command("check")(maintenance.check)
app.command("sweep")(maintenance.sweep)
app.command("backup")(moving.backup)
app.command("restore")(moving.restore)
app.command("rebuild")(rebuild.rebuild)
app.command("move-storage")(moving.move_storage)
app.command("move-database")(moving.move_database)
app.command("config")(maintenance.config)


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="The settings file; seaway.toml here if it exists.", envvar="SEAWAY_CONFIG")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The data folder; instead of the setting.")] = None,
) -> None:
    context.obj = Context(config, data)


def run() -> None:
    """Run one command; exit code 1 when it could not be done, 2 when the command line is wrong."""
    try:
        app()
    except SeawayError as error:
        if "--json" in sys.argv:
            told = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
            print(json.dumps(told), file=sys.stderr)
        else:
            cause = f" ({error.cause})" if isinstance(error, Unavailable) and error.cause else ""
            print(f"seaway: {error.sentence}{cause}", file=sys.stderr)
        raise SystemExit(1) from None
