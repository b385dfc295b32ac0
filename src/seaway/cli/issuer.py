"""`seaway issuer ...`: register and manage issuers of workflow tokens, directly in the database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from seaway.cli.context import JsonOption, options, show, show_rows
from seaway.counted_nouns import counted

app = typer.Typer(help="Register and manage issuers of workflow tokens.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="ISSUER")]


@app.command()
def add(
    context: typer.Context,
    name: _Name,
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Issuer URL; must match the `iss` claim of its tokens exactly.")
    ],
    kind: Annotated[str, typer.Option(help="github, gitlab, google, buildkite, circleci or generic.")],
    rules: Annotated[Path | None, typer.Option(help="JSON file with the rules for tokens of a generic issuer.")] = None,
    keys: Annotated[Path | None, typer.Option(help="JSON Web Key Set to use instead of fetching one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Register an issuer."""
    from seaway.api.v1.issuers import get_issuer
    from seaway.trusted_publishing import issuers

    with options(context).open_call() as call:
        with call.write_site() as tx:
            issuers.add(tx, call.now_ms, call.by, name, kind=kind, issuer=address, rules=_text(rules) if rules else "")
            if keys is not None:
                issuers.set_static_keys(tx, call.now_ms, call.by, name, _text(keys))
        made = get_issuer(call, name)
    show(made, as_json, f"Tokens of {address} can now be exchanged for access to channels that trust them.")


@app.command("list")
def list_issuers(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every issuer, with the state of its keys."""
    from seaway.api.v1 import issuers

    with options(context).open_call() as call:
        found = issuers.list_issuers(call).items
    show_rows(found, as_json, nothing="There are no issuers.")


@app.command()
def remove(context: typer.Context, name: _Name, as_json: JsonOption = False) -> None:
    """Remove an issuer. Its publishers stay, but match nothing."""
    from seaway.api.v1 import issuers

    with options(context).open_call() as call:
        issuers.remove_issuer(call, name)
    show(None, as_json, f"{name} is no longer an issuer.")


@app.command()
def enable(context: typer.Context, name: _Name, as_json: JsonOption = False) -> None:
    """Enable an issuer. Its tokens are exchanged again."""
    _switch(context, name, as_json, enabled=True)


@app.command()
def disable(context: typer.Context, name: _Name, as_json: JsonOption = False) -> None:
    """Disable an issuer. Its tokens are no longer exchanged, and tokens issued for them are revoked."""
    _switch(context, name, as_json, enabled=False)


@app.command()
def keys(
    context: typer.Context,
    name: _Name,
    file: Annotated[
        str | None,
        typer.Option(help="JSON Web Key Set to use instead of fetching one; - reads it from standard input."),
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch the keys now, and stop using a file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the keys of an issuer. The options set them from a file, or fetch them now."""
    from seaway.api.v1.issuers import fetch_issuer_keys, get_issuer
    from seaway.trusted_publishing import issuers

    if file is not None and fetch:
        raise typer.BadParameter("--file and --fetch cannot be combined")
    with options(context).open_call() as call:
        if file is not None:
            text = sys.stdin.read() if file == "-" else _text(Path(file))
            with call.write_site() as tx:
                issuers.set_static_keys(tx, call.now_ms, call.by, name, text)
        found = fetch_issuer_keys(call, name) if fetch else get_issuer(call, name)
    from_file = ", from a file" if found.static_keys else ""
    show(found, as_json, f"{name}: {counted(len(found.keys), 'key')}{from_file}. {found.error}")


def _switch(context: typer.Context, name: str, as_json: bool, *, enabled: bool) -> None:
    from seaway.api.v1 import issuers

    with options(context).open_call() as call:
        changed = issuers.change_issuer(call, name, issuers.IssuerUpdate(enabled=enabled))
    show(changed, as_json, f"Tokens of {name} are {'' if enabled else 'not '}exchanged.")


def _text(path: Path) -> str:
    from seaway.errors import Malformed

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Malformed(f"The file {path} cannot be read.", "Check its path, and that it is UTF-8 text.") from None
