"""`seaway backup`, `restore`, `move-storage` and `move-database`: copy a complete site."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seaway.cli.context import JsonOption, options, require_data, show
from seaway.counted_nouns import counted
from seaway.errors import Unavailable

if TYPE_CHECKING:
    from seaway.backup.manifest import BackupManifest
    from seaway.database.engine import Database
    from seaway.settings import Settings

_SET_DATABASE_URL = "set database_url to its URL"


def backup(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A file name that ends in .tar, or a storage URL.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Read back and hash blobs that are already at the storage URL.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Back up everything consistently while servers run. A storage URL keeps many backups, which share their blobs."""
    from seaway.backup import backup as backing_up
    from seaway.backup import locations
    from seaway.clock import SystemClock
    from seaway.server import wiring
    from seaway.storage.spool import Spool

    settings = options(context).settings()
    with disk_errors(), _unmigrated_database(settings) as database:
        place = locations.backup_target(
            target, settings.effective_storage_url, wiring.bucket_access(settings), verify=verify
        )
        made = backing_up.backup(
            database, wiring.open_store(settings), Spool(settings.spool_folder), SystemClock(), place
        )
    show(
        _value(made.manifest, made.sent),
        as_json,
        f"The backup {made.manifest.time} is in {target}: {_sentence(made.manifest, made.sent)}",
    )


def restore(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The .tar file or storage URL of the backup.")],
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time of a backup at a storage URL; default: the newest.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into an empty database. Its blobs are written to the configured store."""
    from seaway.backup import locations
    from seaway.backup import restore as restoring
    from seaway.pairing.identity import PairingVerdict
    from seaway.server import wiring

    with disk_errors(), options(context).open_site(paired=False, makes_data=True) as seaway:
        settings = seaway.settings
        with locations.backup_source(
            source, at, settings.effective_storage_url, wiring.bucket_access(settings)
        ) as found:
            sent = restoring.restore(seaway.site, found)
            manifest = found.manifest
        seaway.pairing.write_to_store()
        is_behind = seaway.pairing.check() is PairingVerdict.BEHIND
    behind = (
        " The store is newer than the backup, so nothing is deleted until `seaway adopt` is run." if is_behind else ""
    )
    sentence = (
        f"The backup {manifest.time} is restored: {_sentence(manifest, sent)} Run `seaway check` to verify it.{behind}"
    )
    show({**_value(manifest, sent), "behind": is_behind}, as_json, sentence)


def move_storage(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="URL of the new store.")],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--quick", help="Read back and hash blobs that are already there, or compare only their size."
        ),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Copy the store to another location. It continues where the last run stopped; servers can run meanwhile."""
    from seaway.backup import locations
    from seaway.backup import move_storage as moving
    from seaway.server import wiring

    with disk_errors(), options(context).open_site() as seaway:
        target = locations.other_store(
            url, seaway.settings.effective_storage_url, wiring.bucket_access(seaway.settings)
        )
        moved = moving.move_storage(seaway.site, target, verify=verify)
    value = {"storage_url": url, "blobs": moved.blobs, "bytes": moved.bytes, "sent": moved.sent}
    sentence = (
        f"{url} now has {counted(moved.blobs, 'blob')} ({counted(moved.bytes, 'byte')}), {moved.sent:,} newly copied. "
        f"Stop the servers, run this once more, and set storage_url to {url}."
    )
    show(value, as_json, sentence)


def move_database(
    context: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="postgresql://user:password@host/name or sqlite:////path/to/seaway.db.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Copy the database into another, empty one. Stop the servers first, or uploads wait and then fail."""
    from seaway.backup import locations
    from seaway.backup import move_database as moving

    with disk_errors(), options(context).open_site() as seaway:
        target = locations.other_database(url)
        try:
            counts = moving.move_database(seaway.site.database, target)
        finally:
            target.close()
    rows = sum(counts.values())
    next_step = (
        "leave database_url empty, with the file as seaway.db in data"
        if url.startswith("sqlite")
        else _SET_DATABASE_URL
    )
    sentence = f"The new database has {counted(rows, 'row')}, like the old one. Now {next_step}."
    show({"rows": rows, "tables": counts}, as_json, sentence)


@contextmanager
def _unmigrated_database(settings: Settings) -> Iterator[Database]:
    """Open the database, also with an older schema: a backup is made before migrating."""
    from seaway import logs
    from seaway.server import wiring

    logs.set_up("text", "warning")
    require_data(settings)
    database = wiring.open_database(settings)
    try:
        yield database
    finally:
        database.close()


def _value(manifest: BackupManifest, sent: int) -> dict[str, Any]:
    return {
        "time": manifest.time,
        "rows": manifest.rows,
        "blobs": manifest.blobs,
        "bytes": manifest.blob_bytes,
        "sent": sent,
    }


def _sentence(manifest: BackupManifest, sent: int) -> str:
    return (
        f"{counted(manifest.rows, 'row')} and {counted(manifest.blobs, 'blob')} "
        f"({counted(manifest.blob_bytes, 'byte')}), {sent:,} newly written."
    )


@contextmanager
def disk_errors() -> Iterator[None]:
    """Convert disk errors (full, no permission) into `Unavailable`, which is printed as a sentence."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise Unavailable(
            f"The files cannot be copied ({error.strerror or error}{where}).", "Fix this and try again."
        ) from error
