"""`seaway file ...`: yank, unyank and delete files of a channel, from beside the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from seaway.cli.context import JsonOption, show

if TYPE_CHECKING:
    from seaway.packages.removal import Act, Selection

app = typer.Typer(help="Yank, unyank and delete files.", no_args_is_help=True)

_Channel = Annotated[str, typer.Argument(metavar="CHANNEL")]
_Files = Annotated[list[str] | None, typer.Argument(metavar="SUBDIR/FILE...", help="Files, or use --package.")]
_Package = Annotated[str, typer.Option(help="All files of this package.")]
_Version = Annotated[str, typer.Option(help="Only those of this version.")]
_Subdir = Annotated[str, typer.Option(help="Only those of this platform.")]


@app.command()
def yank(
    context: typer.Context,
    channel: _Channel,
    files: _Files = None,
    package: _Package = "",
    version: _Version = "",
    subdir: _Subdir = "",
    reason: Annotated[str, typer.Option(help="Why; shown on the pages of the files.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Take files out of what solvers choose from; they stay downloadable."""
    from seaway.packages.removal import Act

    _change(context, channel, Act.YANK, _selected(files, package, version, subdir), as_json, reason)


@app.command()
def unyank(
    context: typer.Context,
    channel: _Channel,
    files: _Files = None,
    package: _Package = "",
    version: _Version = "",
    subdir: _Subdir = "",
    as_json: JsonOption = False,
) -> None:
    """Let solvers choose yanked files again."""
    from seaway.packages.removal import Act

    _change(context, channel, Act.UNYANK, _selected(files, package, version, subdir), as_json)


@app.command()
def delete(
    context: typer.Context,
    channel: _Channel,
    files: _Files = None,
    package: _Package = "",
    version: _Version = "",
    subdir: _Subdir = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete files; this cannot be undone."""
    from seaway.packages.removal import Act

    selection = _selected(files, package, version, subdir)
    if not yes and typer.prompt(f"Type the name of the channel to delete {selection} from {channel}") != channel:
        raise typer.BadParameter("the name does not match; nothing was deleted")
    _change(context, channel, Act.DELETE, selection, as_json)


def _selected(files: list[str] | None, package: str, version: str, subdir: str) -> Selection:
    from seaway.packages.removal import select_files

    return select_files(files=files or [], package=package, version=version, subdir=subdir)


def _change(
    context: typer.Context, channel: str, act: Act, selection: Selection, as_json: bool, reason: str = ""
) -> None:
    from seaway.accounts.principal import OPERATOR
    from seaway.packages import removal

    with context.obj.house() as seaway:
        done = removal.change(seaway.house.removing, OPERATOR, channel, act, selection, reason=reason)
    state = act.state.value
    value = {"channel": channel, "files": list(done.files), "state": state, "unchanged": done.unchanged}
    if act is removal.Act.YANK:
        value["reason"] = reason or None
    count = f"{len(done.files):,} file{'' if len(done.files) == 1 else 's'}"
    show({**value, "revisions": done.revisions}, as_json, f"{channel}: {selection}: {count} {state}.")
