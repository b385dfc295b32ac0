"""`seaway issuer ...`: register and manage issuers of workflow tokens, directly in the database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seaway.cli.context import JsonOption, options, show, show_rows
from seaway.clock import format_time

if TYPE_CHECKING:
    from seaway.site import Site
    from seaway.trusted_publishing.issuer_states import IssuerState

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
    from seaway.callers.caller import OPERATOR
    from seaway.trusted_publishing import issuers

    with options(context).open_site() as seaway:
        with seaway.site.database.write_site() as tx:
            now_ms = seaway.site.clock.now_ms()
            issuers.add(tx, now_ms, OPERATOR, name, kind=kind, issuer=address, rules=_text(rules) if rules else "")
            if keys is not None:
                issuers.set_static_keys(tx, now_ms, OPERATOR, name, _text(keys))
        value = _described(seaway.site, name)
    show(value, as_json, f"Tokens of {address} can now be exchanged for access to channels that trust them.")


@app.command("list")
def list_issuers(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every issuer, with the state of its keys."""
    from seaway.trusted_publishing import issuer_states

    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        rows = [_row(state) for state in issuer_states.states(tx)]
    show_rows(rows, as_json, nothing="There are no issuers.")


@app.command()
def remove(context: typer.Context, name: _Name, as_json: JsonOption = False) -> None:
    """Remove an issuer. Its publishers stay, but match nothing."""
    from seaway.callers.caller import OPERATOR
    from seaway.trusted_publishing import issuers

    with options(context).open_site() as seaway:
        value = _described(seaway.site, name)
        with seaway.site.database.write_site() as tx:
            issuers.remove(tx, seaway.site.clock.now_ms(), OPERATOR, name)
    show(value, as_json, f"{name} is no longer an issuer.")


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
    from seaway.callers.caller import OPERATOR
    from seaway.trusted_publishing import issuers

    if file is not None and fetch:
        raise typer.BadParameter("--file and --fetch cannot be combined")
    with options(context).open_site() as seaway:
        if file is not None or fetch:
            text = None if file is None else (sys.stdin.read() if file == "-" else _text(Path(file)))
            with seaway.site.database.write_site() as tx:
                found = issuers.set_static_keys(tx, seaway.site.clock.now_ms(), OPERATOR, name, text)
            if fetch:
                seaway.request_parts.exchanging.key_sets.refresh(found.key_source)
        value = _described(seaway.site, name)
    show(
        value,
        as_json,
        f"{name}: {len(value['keys'])} keys{', from a file' if value['static_keys'] else ''}. {value['error']}",
    )


def _switch(context: typer.Context, name: str, as_json: bool, *, enabled: bool) -> None:
    from seaway.callers.caller import OPERATOR
    from seaway.trusted_publishing import issuers

    with options(context).open_site() as seaway:
        with seaway.site.database.write_site() as tx:
            issuers.set_enabled(tx, seaway.site.clock.now_ms(), OPERATOR, name, enabled=enabled)
        value = _described(seaway.site, name)
    show(value, as_json, f"Tokens of {name} are {'' if enabled else 'not '}exchanged.")


def _text(path: Path) -> str:
    from seaway.errors import Malformed

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Malformed(f"The file {path} cannot be read.", "Check its path, and that it is UTF-8 text.") from None


def _described(site: Site, name: str) -> dict[str, Any]:
    from seaway.trusted_publishing import issuer_states

    with site.database.read() as tx:
        return _row(issuer_states.state(tx, name))


def _row(state: IssuerState) -> dict[str, Any]:
    issuer = state.issuer
    return {
        "name": issuer.name,
        "kind": issuer.kind.name,
        "issuer": issuer.issuer,
        "enabled": issuer.is_enabled,
        "built_in": issuer.is_builtin,
        "static_keys": state.has_static_keys,
        "keys": list(state.keys),
        "fetched_at": format_time(state.fetched_at_ms),
        "error": state.error,
        "publishers": state.publishers,
    }
