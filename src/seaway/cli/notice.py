"""`seaway notice ...`: notices to users of a channel, directly in the database."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from seaway.cli.context import JsonOption, options, show, show_rows
from seaway.counted_nouns import counted

app = typer.Typer(help="Post notices for users of a channel.", no_args_is_help=True)

_Channel = Annotated[str, typer.Argument(metavar="CHANNEL")]


@app.command()
def add(
    context: typer.Context,
    channel: _Channel,
    message: Annotated[str, typer.Argument(metavar="MESSAGE")],
    level: Annotated[Literal["info", "warning", "critical"], typer.Option(help="Severity of the notice.")] = "info",
    days: Annotated[int, typer.Option(min=1, max=366, help="Days until the notice expires.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Post a notice for users of a channel. Conda and pixi show it."""
    from seaway.api.v1 import notices

    given = notices.NoticeCreate.parse({"level": level, "message": message, "days": days})
    with options(context).open_call() as call:
        made = notices.post_notice(call, channel, given)
    show(made, as_json, f"Users of {channel} see notice {made.id} for {counted(days, 'day')}.")


@app.command("list")
def list_notices(context: typer.Context, channel: _Channel, as_json: JsonOption = False) -> None:
    """List the current notices of a channel."""
    from seaway.api.v1 import notices

    with options(context).open_call() as call:
        found = notices.list_notices(call, channel).items
    show_rows(found, as_json, nothing=f"{channel} has no notices. Post one: seaway notice add {channel} MESSAGE")


@app.command()
def remove(
    context: typer.Context,
    channel: _Channel,
    notice: Annotated[int, typer.Argument(metavar="NOTICE", help="Id, as `notice list` shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Withdraw a notice."""
    from seaway.api.v1 import notices

    with options(context).open_call() as call:
        notices.withdraw_notice(call, channel, notice)
    show(None, as_json, f"Notice {notice} of {channel} was withdrawn.")
