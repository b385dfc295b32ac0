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
    as_json: JsonOption = False,
) -> None:
    """Make the index again from the file rows; readers see the old state or the new one."""
    from seaway.channels import channels
    from seaway.indexing import rebuild
    from seaway.indexing.rows import get_subdir

    with context.obj.house() as seaway:
        with seaway.database.read() as tx:
            channel_id = None if channel is None else channels.get(tx, channel).id
            pairs = rebuild.all_subdirs(tx, channel_id)
        changed = 0
        for _, subdir_id in pairs:
            with seaway.database.write() as tx:
                subdir = get_subdir(tx, subdir_id)
                if subdir is not None:
                    changed += rebuild.rebuild(tx, subdir, seaway.clock.now_ms(), seaway.settings.whole_document_limit)
    sentence = f"{len(pairs)} subdirs were indexed again; {changed} names were not what their files say."
    show({"subdirs": len(pairs), "names_changed": changed}, as_json, sentence)


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


def sweep(
    context: typer.Context,
    kept: Annotated[bool, typer.Option("--kept", help="Also delete the blobs that a rebuild kept.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take away what nothing needs any more: unnamed blobs of yesterday, shards replaced a week ago."""
    from seaway.packages import sweep as sweeping

    with context.obj.house() as seaway:
        if kept:
            sweeping.release_kept(seaway.database)
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
