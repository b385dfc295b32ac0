"""`seaway reindex`, `check`, `sweep` and `config`: looking after a store."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from seaway.cli.context import JsonOption, show, show_rows
from seaway.errors import BadSetting

if TYPE_CHECKING:
    from seaway.cli.repair import Repaired
    from seaway.server.wiring import Seaway


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
    repair: Annotated[
        bool, typer.Option("--repair", help="First read every stored file, and take damaged ones out of use.")
    ] = False,
    backup: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Bring good copies back from what `seaway backup` wrote; with --repair."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove every promise of consistency over the whole store; exit code 1 if one does not hold."""
    from seaway.cli import check as checking

    with context.obj.house() as seaway:
        repaired = _repaired(seaway, repair, backup)
        broken = list(checking.check(seaway, quick=quick))
    value: dict[str, object] = {"ok": not broken, "broken": [asdict(entry) for entry in broken]}
    if repaired is not None:
        value["repair"] = asdict(repaired)
    lines = [] if repaired is None else repaired.lines
    lines += [f"{entry.promise} {entry.where}: {entry.what}" for entry in broken] or ["Every promise holds."]
    show(value, as_json, "\n".join(lines))
    if broken:
        raise typer.Exit(1)


def _repaired(seaway: Seaway, repair: bool, backup: str | None) -> Repaired | None:
    """What a repair did, if one is wanted."""
    from seaway.cli import repair as repairing
    from seaway.moving import places
    from seaway.packages.damage import Keeper
    from seaway.server import wiring

    if not repair:
        if backup is not None:
            raise BadSetting("--backup is for a repair.", "Add --repair.")
        return None
    keeper = Keeper(seaway.database, seaway.blobs, seaway.documents, seaway.clock)
    with ExitStack() as stack:
        source = None
        if backup is not None:
            access = wiring.bucket_access(seaway.settings)
            store_url = seaway.settings.effective_storage_url
            source = stack.enter_context(places.backup_source(backup, None, store_url, access))
        return repairing.repair(keeper, seaway.spool, source)


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
