"""`seaway reindex`, `check`, `sweep` and `config`: looking after a store."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from seaway.cli.context import JsonOption, show, show_rows


def reindex(
    context: typer.Context,
    channel: Annotated[
        str | None, typer.Argument(metavar="[CHANNEL]", help="One channel; all if none is named.")
    ] = None,
    from_blobs: Annotated[
        bool, typer.Option("--from-blobs", help="Rebuild file rows from their package files before; reads every byte.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild the index from the file rows; exit code 1 if a part of it could not be rebuilt."""
    from seaway.cli import reindex as reindexing

    with context.obj.house() as seaway:
        result = reindexing.reindex(seaway, channel, from_blobs=from_blobs)
    show(result.value(from_blobs=from_blobs), as_json, "\n".join(result.lines(from_blobs=from_blobs)))
    if result.failed:
        raise typer.Exit(1)


def check(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Compare the sizes of blobs without reading them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove every promise of consistency over the whole store; exit code 1 if one does not hold."""
    from seaway.cli import check as checking

    with context.obj.house() as seaway:
        broken = list(checking.check(seaway, quick=quick))
    value = {"ok": not broken, "broken": [asdict(entry) for entry in broken]}
    lines = [f"{entry.promise} {entry.where}: {entry.what}" for entry in broken]
    show(value, as_json, "\n".join(lines) if broken else "Every promise holds.")
    if broken:
        raise typer.Exit(1)


def sweep(context: typer.Context, as_json: JsonOption = False) -> None:
    """Take away what nothing needs any more: unnamed blobs of yesterday, shards replaced a week ago."""
    from seaway.packages import sweep as sweeping

    with context.obj.house() as seaway:
        swept = sweeping.sweep(seaway.database, seaway.blobs, seaway.spool, seaway.clock)
    sentence = (
        f"{swept.blobs} blobs ({swept.bytes:,} bytes), {swept.shards} old shards, {swept.spool_files} spool files."
    )
    show(asdict(swept), as_json, sentence)


def migrate(context: typer.Context, as_json: JsonOption = False) -> None:
    """Bring the database to the schema of this Seaway; make a backup and stop every worker before."""
    from seaway.database import migrate as schema
    from seaway.server import wiring

    database = wiring.open_database(context.obj.settings())
    try:
        before = schema.migrate(database)
    finally:
        database.close()
    sentence = (
        f"The schema is {schema.NEWEST} already."
        if before == schema.NEWEST
        else f"The schema is {schema.NEWEST} now; it was {before or 'empty'}."
    )
    show({"before": before, "now": schema.NEWEST}, as_json, sentence)


def config(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the settings that apply here."""
    settings = context.obj.settings()
    values = settings.shown()
    if as_json:
        show(values, True, "")
        return
    show_rows([{"setting": name, "value": value} for name, value in values.items()], False, nothing="")
