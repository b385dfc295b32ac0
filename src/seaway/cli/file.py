"""`seaway file ...`: yank, unyank, delete and correct files of a channel, directly in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from seaway.cli.context import JsonOption, options, show
from seaway.counted_nouns import counted

if TYPE_CHECKING:
    from seaway.packages.removal import FileAction, Selection

app = typer.Typer(help="Yank, unyank, delete and correct files.", no_args_is_help=True)

_Channel = Annotated[str, typer.Argument(metavar="CHANNEL")]
_Files = Annotated[
    list[str] | None, typer.Argument(metavar="SUBDIR/FILE...", help="Files; alternatively, use --package.")
]
_File = Annotated[str, typer.Argument(metavar="SUBDIR/FILE")]
_Package = Annotated[str | None, typer.Option(help="All files of this package.")]
_Version = Annotated[str | None, typer.Option(help="Only files of this version.")]
_Subdir = Annotated[str | None, typer.Option(help="Only files of this platform.")]


@app.command()
def yank(
    context: typer.Context,
    channel: _Channel,
    files: _Files = None,
    package: _Package = None,
    version: _Version = None,
    subdir: _Subdir = None,
    reason: Annotated[str, typer.Option(help="Reason; shown on the pages of the files.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Hide files from solvers. They stay downloadable."""
    from seaway.packages.removal import FileAction

    _change(context, channel, FileAction.YANK, _selected(files, package, version, subdir), as_json, reason)


@app.command()
def unyank(
    context: typer.Context,
    channel: _Channel,
    files: _Files = None,
    package: _Package = None,
    version: _Version = None,
    subdir: _Subdir = None,
    as_json: JsonOption = False,
) -> None:
    """Let solvers choose yanked files again."""
    from seaway.packages.removal import FileAction

    _change(context, channel, FileAction.UNYANK, _selected(files, package, version, subdir), as_json)


@app.command()
def delete(
    context: typer.Context,
    channel: _Channel,
    files: _Files = None,
    package: _Package = None,
    version: _Version = None,
    subdir: _Subdir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete files. This cannot be undone."""
    from seaway.packages.removal import FileAction

    selection = _selected(files, package, version, subdir)
    if not yes and typer.prompt(f"Type the name of the channel to delete {selection} from {channel}") != channel:
        raise typer.BadParameter("the name does not match; nothing was deleted")
    _change(context, channel, FileAction.DELETE, selection, as_json)


@app.command()
def correct(
    context: typer.Context,
    channel: _Channel,
    file: _File,
    reason: Annotated[str, typer.Option(help="Reason; shown on the page of the file.")],
    depends: Annotated[
        list[str] | None, typer.Option(help="Match spec of depends; repeat the option for all of them.")
    ] = None,
    constrains: Annotated[
        list[str] | None, typer.Option(help="Match spec of constrains; repeat the option for all of them.")
    ] = None,
    license_: Annotated[str | None, typer.Option("--license", help="The license.")] = None,
    track_features: Annotated[str | None, typer.Option(help="The tracked features.")] = None,
    clear: Annotated[list[str] | None, typer.Option(help="Field to clear.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Correct the metadata of a file in repodata. Fields that are not given stay unchanged."""
    from seaway.api.v1 import corrections

    given = {"depends": depends, "constrains": constrains, "license": license_, "track_features": track_features}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None and value != []}
    changes |= {name: [] if name in ("depends", "constrains") else "" for name in clear or []}
    update = corrections.MetadataCorrectionUpdate.parse({**changes, "reason": reason})
    subdir, _, file_name = file.partition("/")
    with options(context).open_call() as call:
        done = corrections.correct_file(call, channel, subdir, file_name, update)
    show(done, as_json, "\n".join([f"{channel}/{file} was corrected (revision {done.revision}).", *done.warnings]))


@app.command()
def restore(context: typer.Context, channel: _Channel, file: _File, as_json: JsonOption = False) -> None:
    """Restore the original metadata of a corrected file."""
    from seaway.api.v1 import corrections

    subdir, _, file_name = file.partition("/")
    with options(context).open_call() as call:
        corrections.remove_correction(call, channel, subdir, file_name)
    show(None, as_json, f"{channel}/{file} has its original metadata again.")


def _selected(files: list[str] | None, package: str | None, version: str | None, subdir: str | None) -> Selection:
    from seaway.packages.removal import select_files

    return select_files(files=files or [], package=package, version=version, subdir=subdir)


def _change(
    context: typer.Context, channel: str, act: FileAction, selection: Selection, as_json: bool, reason: str = ""
) -> None:
    from seaway.api.v1.file_changes import change_files

    with options(context).open_call() as call:
        done = change_files(call, channel, act, selection, reason)
    show(done, as_json, f"{channel}: {selection}: {counted(len(done.files), 'file')} {act.state.value}.")
