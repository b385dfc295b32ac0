"""`seaway notice ...`: notices to users of a channel, directly in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from seaway.cli.context import JsonOption, options, show, show_rows
from seaway.clock import format_time

if TYPE_CHECKING:
    from seaway.channels.notices import Notice

app = typer.Typer(help="Post notices for users of a channel.", no_args_is_help=True)

_Channel = Annotated[str, typer.Argument(metavar="CHANNEL")]


@app.command()
def add(
    context: typer.Context,
    channel: _Channel,
    message: Annotated[str, typer.Argument(metavar="MESSAGE")],
    level: Annotated[str, typer.Option(help="info, warning or critical.")] = "info",
    days: Annotated[int, typer.Option(min=1, max=366, help="Days until the notice expires.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Post a notice for users of a channel. Conda and pixi show it."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import notices
    from seaway.channels.notices import Level
    from seaway.clock import DAY_MS

    if level not in {known.value for known in Level}:
        raise typer.BadParameter("--level must be info, warning or critical")
    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        now_ms = seaway.site.clock.now_ms()
        made = notices.add(tx, now_ms, OPERATOR, channel, Level(level), message, expires_at_ms=now_ms + days * DAY_MS)
    show(_described(channel, made), as_json, f"Users of {channel} see notice {made.id} for {days} days.")


@app.command("list")
def list_notices(context: typer.Context, channel: _Channel, as_json: JsonOption = False) -> None:
    """List the current notices of a channel."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import notices

    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        found = notices.list_current(tx, seaway.site.clock.now_ms(), OPERATOR, channel)
    rows = [_described(channel, notice) for notice in found]
    show_rows(rows, as_json, nothing=f"{channel} has no notices. Post one: seaway notice add {channel} MESSAGE")


@app.command()
def remove(
    context: typer.Context,
    channel: _Channel,
    notice: Annotated[int, typer.Argument(metavar="NOTICE", help="Id, as `notice list` shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Withdraw a notice."""
    from seaway.callers.caller import OPERATOR
    from seaway.channels import notices

    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        notices.remove(tx, seaway.site.clock.now_ms(), OPERATOR, channel, notice)
    show({"channel": channel, "id": notice}, as_json, f"Notice {notice} of {channel} was withdrawn.")


def _described(channel: str, notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "channel": channel,
        "level": notice.level.value,
        "message": notice.message,
        "created_at": format_time(notice.created_at_ms),
        "expires_at": format_time(notice.expires_at_ms),
    }
