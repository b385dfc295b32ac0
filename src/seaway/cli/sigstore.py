"""`seaway sigstore ...`: the trusted root that attestations are verified with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seaway.cli.context import JsonOption, options, show

if TYPE_CHECKING:
    from seaway.attestations.trusted_root import Root

app = typer.Typer(help="Show and update the trusted root of Sigstore.", no_args_is_help=True)


@app.command("show")
def show_root(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the trusted root that attestations are verified with."""
    with options(context).open_site() as seaway:
        root = seaway.request_parts.publishing.attesting.roots.current()
    _show_root(root, as_json)


@app.command()
def update(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option(help="Path of a Sigstore trusted_root.json.", exists=True)] = None,
    embedded: Annotated[bool, typer.Option("--embedded", help="Use the trusted root that came with Seaway.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Replace the trusted root, for every worker."""
    from seaway.attestations import trusted_root
    from seaway.callers.caller import OPERATOR

    if (file is None) != embedded:
        raise typer.BadParameter("give either --file or --embedded")
    with options(context).open_site() as seaway:
        content = None if file is None else trusted_root.read_file(file)
        with seaway.site.database.write_site() as tx:
            now_ms = seaway.site.clock.now_ms()
            root = (
                trusted_root.forget(tx, now_ms, OPERATOR)
                if content is None
                else trusted_root.keep(tx, now_ms, OPERATOR, content)
            )
    _show_root(root, as_json)


def _show_root(root: Root, as_json: bool) -> None:
    parties: dict[str, Any] = root.parties()
    value = {"origin": root.origin.value, "sha256": root.sha256, **parties}
    names = ", ".join([*parties["logs"], *parties["authorities"]])
    show(value, as_json, f"The trusted root is from the {root.origin.value}, sha256 {root.sha256}: {names}.")
