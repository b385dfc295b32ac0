"""`seaway file ...`: yank and unyank files of a channel, from beside the data."""

from __future__ import annotations

from typing import Annotated

import typer

from seaway.cli.context import JsonOption, show
from seaway.errors import Malformed

app = typer.Typer(help="Yank and unyank files.", no_args_is_help=True)

_Channel = Annotated[str, typer.Argument(metavar="CHANNEL")]
_File = Annotated[str, typer.Argument(metavar="SUBDIR/FILE")]


@app.command()
def yank(
    context: typer.Context,
    channel: _Channel,
    file: _File,
    reason: Annotated[str, typer.Option(help="Why; shown on the page of the file.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Take a file out of what solvers choose from; it stays downloadable."""
    from seaway.accounts.principal import OPERATOR
    from seaway.packages import removal

    subdir, file_name = _split(file)
    with context.obj.house() as seaway:
        revision = removal.yank(seaway.house.removing, OPERATOR, channel, subdir, file_name, reason=reason)
    value = {"channel": channel, "file": file, "state": "yanked", "reason": reason or None, "revision": revision}
    show(value, as_json, f"{channel}/{file} was yanked, revision {revision}.")


@app.command()
def unyank(context: typer.Context, channel: _Channel, file: _File, as_json: JsonOption = False) -> None:
    """Let solvers choose a yanked file again."""
    from seaway.accounts.principal import OPERATOR
    from seaway.packages import removal

    subdir, file_name = _split(file)
    with context.obj.house() as seaway:
        revision = removal.unyank(seaway.house.removing, OPERATOR, channel, subdir, file_name)
    value = {"channel": channel, "file": file, "state": "listed", "revision": revision}
    show(value, as_json, f"{channel}/{file} is listed again, revision {revision}.")


def _split(file: str) -> tuple[str, str]:
    subdir, slash, file_name = file.partition("/")
    if not slash:
        raise Malformed(f"{file!r} is not SUBDIR/FILE.", "Write noarch/demo-1.0-0.conda, for example.")
    return subdir, file_name
