"""`seaway reindex`, `check`, `sweep`, `adopt`, `migrate` and `config`: maintenance of a site."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from seaway.cli.context import JsonOption, options, show, show_rows
from seaway.counted_nouns import counted
from seaway.errors import BadSetting

if TYPE_CHECKING:
    from seaway.maintenance.repair import Repaired
    from seaway.server.wiring import Seaway


def reindex(
    context: typer.Context,
    channel: Annotated[str | None, typer.Argument(metavar="[CHANNEL]", help="One channel; all if not given.")] = None,
    from_blobs: Annotated[
        bool, typer.Option("--from-blobs", help="First rebuild file rows from their package files; reads every byte.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild the index from the file rows. The exit code is 1 if any part could not be rebuilt."""
    from seaway.maintenance import reindex as reindexing

    with options(context).open_site() as seaway:
        result = reindexing.reindex(seaway, channel, from_blobs=from_blobs)
    show(result.value(from_blobs=from_blobs), as_json, "\n".join(result.lines(from_blobs=from_blobs)))
    if result.failed:
        raise typer.Exit(1)


def check(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Compare the sizes of blobs without reading them.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="First read every stored file and take damaged ones out of use.")
    ] = False,
    backup: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="With --repair: restore damaged files from this backup."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify the consistency of the database and the store. The exit code is 1 if there are problems."""
    from seaway.maintenance import check as checking

    with options(context).open_site() as seaway:
        repaired = _repaired(seaway, repair, backup)
        broken = list(checking.check(seaway, quick=quick))
    value: dict[str, object] = {"ok": not broken, "broken": [asdict(entry) for entry in broken]}
    if repaired is not None:
        value["repair"] = asdict(repaired)
    lines = [] if repaired is None else repaired.lines
    lines += [f"{entry.check} {entry.where}: {entry.what}" for entry in broken] or ["No problems found."]
    show(value, as_json, "\n".join(lines))
    if broken:
        raise typer.Exit(1)


def _repaired(seaway: Seaway, repair: bool, backup: str | None) -> Repaired | None:
    """Repair what is damaged if `repair` is set; return what was done."""
    from seaway.backup import locations
    from seaway.maintenance import repair as repairing
    from seaway.packages.damaged_blobs import BlobVerifier
    from seaway.server import wiring

    if not repair:
        if backup is not None:
            raise BadSetting("--backup needs --repair.", "Add --repair.")
        return None
    keeper = BlobVerifier(seaway.site, seaway.documents)
    with ExitStack() as stack:
        source = None
        if backup is not None:
            access = wiring.bucket_access(seaway.settings)
            store_url = seaway.settings.effective_storage_url
            source = stack.enter_context(locations.backup_source(backup, None, store_url, access))
        return repairing.repair(keeper, source)


def sweep(
    context: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", help="Allow deleting more than sweep_max_percent of the store.")
    ] = False,
    kept: Annotated[bool, typer.Option("--kept", help="Also delete the blobs that a rebuild kept.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete data that is no longer used. New blobs are kept for a day, and replaced shards for a week."""
    from seaway.packages import sweep as sweeping

    with options(context).open_site() as seaway:
        if kept:
            sweeping.release_kept(seaway.site.database)
        swept = sweeping.sweep(
            seaway.site, seaway.pairing, max_percent=100 if yes else seaway.settings.sweep_max_percent
        )
    sentence = (
        f"Deleted: {counted(swept.blobs, 'blob')} ({counted(swept.bytes, 'byte')}), "
        f"{counted(swept.shards, 'old shard')} and {counted(swept.spool_files, 'spool file')}."
    )
    show(asdict(swept), as_json, sentence)


def adopt(context: typer.Context, as_json: JsonOption = False) -> None:
    """Pair this database with this store as they are now. Earlier pairings of either are replaced."""
    from seaway import audit
    from seaway.audit import Event
    from seaway.callers.caller import OPERATOR
    from seaway.encryption import secret_key
    from seaway.packages import storage_usage
    from seaway.pairing.identity_storage import UnreadableIdentity
    from seaway.storage import keys

    with options(context).open_site(paired=False, makes_database=True) as seaway:
        try:
            before = seaway.pairing.check().value
        except UnreadableIdentity:
            before = "has an identity that cannot be read"
        seaway.pairing.adopt()
        with seaway.site.database.write_site() as tx:
            secret_key.forget_lost(tx, seaway.site.blobs)
            audit.write(tx, seaway.site.clock.now_ms(), OPERATOR.actor, Event.STORE_ADOPTED, before=before)
            usage = storage_usage.count(tx, seaway.site.clock.now_ms())
        stored = sum(1 for _ in seaway.site.blobs.list(keys.BLOBS))
    sentence = (
        f"The database and the store are now paired. The store has {counted(stored, 'blob')}, and the database names {usage.blobs:,}; "
        "sweeps delete the others when they are older than a day. Run `seaway check` now."
    )
    show({"before": before, "stored_blobs": stored, "named_blobs": usage.blobs}, as_json, sentence)


def migrate(context: typer.Context, as_json: JsonOption = False) -> None:
    """Update the database schema to this version. Make a backup and stop every worker first."""
    from seaway.database import migrate as schema
    from seaway.server import wiring

    settings = options(context).settings()
    wiring.make_data_folder(settings)
    database = wiring.open_database(settings)
    try:
        before = schema.migrate(database)
    finally:
        database.close()
    sentence = (
        f"The schema is already {schema.NEWEST}."
        if before == schema.NEWEST
        else f"The schema is now {schema.NEWEST}; it was {before or 'empty'}."
    )
    show({"before": before, "now": schema.NEWEST}, as_json, sentence)


def config(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the effective settings."""
    settings = options(context).settings()
    values = settings.without_secrets()
    if as_json:
        show(values, True, "")
        return
    show_rows([{"setting": name, "value": value} for name, value in values.items()], False, nothing="")
