"""`seaway key ...`: create and revoke API keys, directly in the database."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from seaway.cli.context import JsonOption, options, show, show_rows
from seaway.counted_nouns import counted

app = typer.Typer(help="Create and revoke API keys.", no_args_is_help=True)

_User = Annotated[str, typer.Argument(metavar="USER")]
_Name = Annotated[str, typer.Argument(metavar="KEY")]

DEFAULT_DAYS = 90


@app.command()
def add(
    context: typer.Context,
    user: _User,
    name: _Name,
    mode: Annotated[
        Literal["READ", "READ_WRITE", "READ_WRITE_DELETE", "MANAGE"], typer.Option(help="Access mode.")
    ] = "READ_WRITE",
    channel: Annotated[list[str] | None, typer.Option(help="Limit the key to this channel; can be repeated.")] = None,
    package: Annotated[
        list[str] | None,
        typer.Option(help="Limit the key to this package, or to a prefix that ends in *; can be repeated."),
    ] = None,
    days: Annotated[int, typer.Option(min=0, max=36_500, help="Days until it expires; 0 for never.")] = DEFAULT_DAYS,
    as_json: JsonOption = False,
) -> None:
    """Create a key and print its secret. It cannot be shown again."""
    from seaway.api.v1.keys import key_with_secret
    from seaway.callers.caller import OPERATOR, Mode
    from seaway.channels import channels
    from seaway.clock import DAY_MS
    from seaway.keys import api_keys
    from seaway.users import users

    with options(context).open_site() as seaway, seaway.database.write_site() as tx:
        now_ms = seaway.clock.now_ms()
        made, secret = api_keys.add(
            tx, now_ms, OPERATOR, users.get(tx, user), name,
            mode=Mode[mode],
            channel_ids=None if not channel else [channels.get(tx, entry).id for entry in channel],
            expires_at_ms=None if days == 0 else now_ms + days * DAY_MS,
            patterns=package or (),
        )  # fmt: skip
    show(key_with_secret(made, secret), as_json, secret)


@app.command("list")
def list_keys(context: typer.Context, user: _User, as_json: JsonOption = False) -> None:
    """List the keys of a user, without their secrets."""
    from seaway.api.v1.keys import key_of
    from seaway.keys import api_keys
    from seaway.users import users

    with options(context).open_site() as seaway, seaway.database.read() as tx:
        found = [key_of(key) for key in api_keys.all_keys(tx, users.get(tx, user).id)]
    show_rows(found, as_json, nothing=f"{user} has no keys yet. Create one: seaway key add {user} NAME")


@app.command()
def revoke(
    context: typer.Context,
    user: Annotated[str | None, typer.Argument(metavar="USER")] = None,
    name: Annotated[str | None, typer.Argument(metavar="KEY")] = None,
    leaked: Annotated[
        bool,
        typer.Option("--stdin", help="Revoke the secrets on standard input, one per line, and notify their owners."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key. Its next request is refused."""
    from seaway.api.v1.keys import key_of
    from seaway.callers.caller import OPERATOR
    from seaway.keys import api_keys
    from seaway.users import users

    if leaked:
        _revoke_leaked(context, as_json)
        return
    if user is None or name is None:
        raise typer.BadParameter("give USER and KEY, or --stdin")
    with options(context).open_site() as seaway, seaway.database.write_site() as tx:
        revoked = api_keys.revoke(tx, seaway.clock.now_ms(), OPERATOR, users.get(tx, user), name)
    show(key_of(revoked), as_json, f"The key {name} of {user} was revoked.")


def _revoke_leaked(context: typer.Context, as_json: bool) -> None:
    """Revoke secrets from standard input: every user of the machine could see arguments in the process list."""
    from seaway.callers.caller import OPERATOR
    from seaway.secret_scanning import leaked_secrets

    found = [leaked_secrets.ReportedSecret(line.strip(), "stdin") for line in sys.stdin if line.strip()]
    with options(context).open_site() as seaway, seaway.database.write_site() as tx:
        labels = leaked_secrets.revoke(
            seaway.database, tx, seaway.clock.now_ms(), OPERATOR, found, notifications=seaway.request_parts.accounts
        )
    ours = sum(label.is_ours for label in labels)
    value = {"revoked": ours, "unknown": len(labels) - ours}
    show(value, as_json, f"{ours} of {counted(len(labels), 'secret')} belonged to this Seaway, and were revoked.")
