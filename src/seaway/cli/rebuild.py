"""`seaway rebuild --from-store`: rebuild a lost database from the manifests and blobs of its store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from seaway.cli.backup import disk_errors
from seaway.cli.context import JsonOption, options, show
from seaway.counted_nouns import counted

if TYPE_CHECKING:
    from seaway.backup.rebuild import RebuiltSite

_NOT_RESTORED = (
    "Not restored, because the store does not hold it: accounts other than the site admin, keys, members, groups, "
    "publishers, notices, download counts, the upload log, the audit log and the names of deleted channels."
)


def rebuild(
    context: typer.Context,
    from_store: Annotated[
        bool, typer.Option("--from-store", help="Read the manifests and blobs of the store; required.")
    ] = False,
    admin: Annotated[
        str, typer.Option(metavar="NAME", help="Site admin to create if there is none; owns all channels.")
    ] = "admin",
    as_json: JsonOption = False,
) -> None:
    """Rebuild a lost database from the store."""
    from seaway.backup import rebuild as rebuilding

    if not from_store:
        raise typer.BadParameter("add --from-store")
    with disk_errors(), options(context).open_site(paired=False, makes_database=True) as seaway:
        rebuilt = rebuilding.rebuild(
            seaway.database,
            seaway.blobs,
            seaway.spool,
            seaway.clock,
            admin,
            seaway.settings.whole_document_limit,
        )
        seaway.pairing.write_to_store()
        seaway.pairing.raise_counter()
    value = {
        **asdict(rebuilt),
        "unnamed": [
            {
                "sha256": entry.sha256.hex(),
                "size": entry.size,
                "package": entry.package or None,
                "problem": entry.problem or None,
            }
            for entry in rebuilt.unnamed
        ],
    }
    show(value, as_json, "\n".join(_lines(rebuilt)))


def _lines(rebuilt: RebuiltSite) -> Iterator[str]:
    """Yield the report: what was restored, what was not, and what needs attention."""
    yield (
        f"Restored: {counted(rebuilt.channels, 'private channel')} with {counted(rebuilt.files, 'file')}, owned by "
        f"{rebuilt.admin}. The names of {counted(rebuilt.deleted, 'deleted file')} stay reserved."
    )
    yield _NOT_RESTORED
    if rebuilt.earlier_store_id is not None:
        yield (
            "The manifests under the current id of the store are not complete, so those under its earlier id "
            f"{rebuilt.earlier_store_id} were used."
        )
    if rebuilt.is_new_admin:
        yield f"The account {rebuilt.admin} is new: `seaway user password {rebuilt.admin}` sets its password."
    yield from _listed(
        "Manifests that could not be used:", [f"{entry.key}: {entry.reason}" for entry in rebuilt.unreadable]
    )
    yield from _listed(
        "Lost files, whose names stay reserved:",
        [f"{entry.where}: its blob {entry.sha256} is {entry.reason}" for entry in rebuilt.lost],
    )
    yield from _listed(
        "Blobs that no manifest names; they are kept until `seaway sweep --kept`:",
        [
            f"{entry.sha256.hex()} {counted(entry.size, 'byte')}, {entry.package or entry.problem or 'no package'}"
            for entry in rebuilt.unnamed
        ],
    )


def _listed(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield title
        yield from (f"  {line}" for line in lines)
