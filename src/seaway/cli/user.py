"""`seaway user ...`: create and manage accounts, directly in the database."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seaway.cli.context import JsonOption, bytes_of, options, show, show_rows
from seaway.counted_nouns import counted

app = typer.Typer(help="Create and manage accounts.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME")]
_PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command()
def add(
    context: typer.Context,
    name: _Name,
    email: Annotated[str | None, typer.Option(help="Email address.")] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="Make the user a site admin; the first user always is.")
    ] = False,
    password_stdin: _PasswordStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Create an account. A terminal prompts for a password; elsewhere, without --password-stdin, it has none yet."""
    from seaway.api.v1.users import User
    from seaway.callers.caller import OPERATOR
    from seaway.sign_in import passwords
    from seaway.users import users

    obj = options(context)
    password = _password(password_stdin, required=False)
    password_hash = None if password is None else passwords.hash_new(password, about=[name, email or ""])
    with obj.open_site(makes_data=True) as seaway, seaway.site.database.write_site() as tx:
        user = users.add(
            tx, seaway.site.clock.now_ms(), OPERATOR, name, email=email, password_hash=password_hash, is_admin=admin
        )
    kind = "site admin" if user.is_admin else "user"
    show(User.model_validate(user), as_json, f"{user.name} is now a {kind}.")


@app.command()
def invite(
    context: typer.Context,
    name: _Name,
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="Address to send the invitation to.")],
    admin: Annotated[bool, typer.Option("--admin", help="Make the user a site admin.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Create an account, and send an email with a link that sets its password and expires in a week."""
    from seaway.api.v1 import users

    with options(context).open_call() as call:
        user = users.invite_user(call, users.UserInvite.parse({"name": name, "email": email, "admin": admin}))
    show(user, as_json, f"The invitation to {name} was sent to {user.email}.")


@app.command("resend-invitation")
def resend_invitation(context: typer.Context, name: _Name, as_json: JsonOption = False) -> None:
    """Send the invitation again. The link in the earlier email stops working."""
    from seaway.api.v1 import users

    with options(context).open_call() as call:
        users.send_user_invitation(call, name)
    show(None, as_json, f"The invitation to {name} was sent again.")


@app.command()
def quota(
    context: typer.Context,
    name: _Name,
    limit: Annotated[str | None, typer.Argument(metavar="[BYTES]", help="Quota in bytes, or none.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Set the storage quota of all channels of a user together. Without a number, show it."""
    from seaway.api.v1 import quotas

    given = None if limit is None else quotas.QuotaUpdate.parse({"quota": bytes_of(limit)})
    with options(context).open_call() as call:
        usage = quotas.get_user_quota(call, name) if given is None else quotas.change_user_quota(call, name, given)
    quota_text = "unlimited" if usage.quota is None else counted(usage.quota, "byte")
    sentence = f"The channels of {name} hold {counted(usage.used, 'byte')}; the quota is {quota_text}."
    show(usage, as_json, sentence)


@app.command("list")
def list_users(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every account."""
    from seaway.api.v1.users import User
    from seaway.users import users

    with options(context).open_site() as seaway, seaway.site.database.read() as tx:
        found = users.all_users(tx)
    show_rows(
        [User.model_validate(user) for user in found],
        as_json,
        nothing="There are no users yet. Create one: seaway user add NAME",
    )


@app.command()
def password(
    context: typer.Context, name: _Name, password_stdin: _PasswordStdin = False, as_json: JsonOption = False
) -> None:
    """Set a new password, and sign out every browser."""
    from seaway.api.v1.users import User
    from seaway.callers.caller import OPERATOR
    from seaway.sign_in import account_security, passwords, user_access
    from seaway.users import users

    new = _password(password_stdin, required=True)
    assert new is not None
    with options(context).open_site() as seaway:
        with seaway.site.database.read() as tx:
            user = users.get(tx, name)
        password_hash = passwords.hash_new(new, about=[name, user.email or ""])
        with seaway.site.database.write_site() as tx:
            now_ms = seaway.site.clock.now_ms()
            user_access.set_password(tx, now_ms, OPERATOR, name, password_hash)
            what = "The operator of the site has set a new password."
            account_security.end_sessions_and_notify(
                seaway.request_parts.accounts, tx, now_ms, user.id, what, keep=None
            )
    show(User.model_validate(user), as_json, f"{name} has a new password.")


@app.command()
def disable(context: typer.Context, name: _Name, as_json: JsonOption = False) -> None:
    """Disable an account. Its sessions and keys stop working on their next request."""
    _change(context, name, as_json, f"{name} is disabled.", disabled=True)


@app.command()
def enable(context: typer.Context, name: _Name, as_json: JsonOption = False) -> None:
    """Enable a disabled account."""
    _change(context, name, as_json, f"{name} is enabled.", disabled=False)


@app.command("reset-2fa")
def reset_second_factor(context: typer.Context, name: _Name, as_json: JsonOption = False) -> None:
    """Remove all second factors of a user who lost them. It signs out every browser."""
    from seaway.api.v1.users import User
    from seaway.callers.caller import OPERATOR
    from seaway.sign_in import second_factors
    from seaway.users import users

    with options(context).open_site() as seaway, seaway.site.database.write_site() as tx:
        user = users.get(tx, name)
        second_factors.reset_now(seaway.request_parts.accounts, tx, seaway.site.clock.now_ms(), OPERATOR, user.id)
    show(User.model_validate(user), as_json, f"{name} now signs in without a second factor.")


@app.command()
def remove(
    context: typer.Context,
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete an account that owns no channel. Its name is reserved for a year."""
    from seaway.api.v1 import users

    if not yes:
        typer.confirm(f"Delete the account {name} and its keys?", abort=True)
    with options(context).open_call() as call:
        users.delete_user(call, name, confirm=name)
    show(None, as_json, f"{name} was deleted.")


@app.command()
def promote(
    context: typer.Context,
    name: _Name,
    revert: Annotated[bool, typer.Option("--revert", help="Revoke site admin rights.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Grant site admin rights."""
    sentence = f"{name} is {'no longer' if revert else 'now'} a site admin."
    _change(context, name, as_json, sentence, admin=not revert)


def _change(context: typer.Context, name: str, as_json: bool, sentence: str, **fields: bool) -> None:
    from seaway.api.v1 import users

    with options(context).open_call() as call:
        user = users.change_user(call, name, users.UserUpdate(**fields))
    show(user, as_json, sentence)


def _password(from_stdin: bool, *, required: bool) -> str | None:
    """Return a password from standard input or a prompt; every user of the machine could see an argument."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if sys.stdin.isatty():
        prompted = typer.prompt(
            "Password (12 characters or more)" + ("" if required else "; empty for none"),
            hide_input=True,
            default=None if required else "",
            show_default=False,
            confirmation_prompt=required,
        )
        return prompted or None
    if required:
        raise typer.BadParameter("pass --password-stdin and the password on standard input")
    return None
