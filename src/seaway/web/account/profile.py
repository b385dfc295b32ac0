"""Profile of the user, and deletion of the account."""

from collections.abc import Callable
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import channels
from seaway.errors import ConfirmationRequired, Malformed, SeawayError
from seaway.http.caller import cookies_of
from seaway.http.page_forms import form_of
from seaway.sign_in import account_deletion
from seaway.sign_in.parts import AccountParts
from seaway.users import emails, users
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import accounts_of, for_user, show_refusal


@for_user
async def show(request: Request, by: Caller) -> Response:
    """Show the user's names, channels and open tasks."""
    values = await to_thread.run_sync(_look, accounts_of(request), by)
    return page(request, "account/profile.html", problem=None, failed="", **values)


@for_user
async def change(request: Request, by: Caller) -> Response:
    """Change the display name."""
    typed = (await form_of(request)).text("display_name")
    return await _apply(request, by, partial(_rename, accounts_of(request), by, typed), "name", "/account")


@for_user
async def delete_account(request: Request, by: Caller) -> Response:
    """Delete the account if its name was typed to confirm."""
    typed = (await form_of(request)).text("typed_name")
    response = await _apply(request, by, partial(_leave, accounts_of(request), by, typed), "leave", "/")
    if response.status_code == 303:
        cookies_of(request).delete_session(response)
    return response


async def _apply(request: Request, by: Caller, work: Callable[[], None], form: str, next_path: str) -> Response:
    try:
        await to_thread.run_sync(work)
    except ConfirmationRequired:
        raise
    except SeawayError as error:
        values = await to_thread.run_sync(_look, accounts_of(request), by)
        return show_refusal(request, "account/profile.html", error, failed=form, **values)
    return redirect(next_path)


def _rename(accounts: AccountParts, by: Caller, typed: str) -> None:
    assert by.user_id is not None
    with accounts.database.write_user(by.user_id) as tx:
        users.set_display_name(tx, accounts.clock.now_ms(), by, by.name, typed)


def _leave(accounts: AccountParts, by: Caller, typed: str) -> None:
    if typed != by.name:
        raise Malformed("This is not the name of the account.", f"Type {by.name} to confirm.")
    with accounts.database.read() as tx:
        user = users.get(tx, by.name)
    account_deletion.remove(accounts, by, user)


def _look(accounts: AccountParts, by: Caller) -> dict[str, Any]:
    assert by.user_id is not None
    with accounts.database.read() as tx:
        return {
            "user": users.by_id(tx, by.user_id),
            "channels": channels.with_role_of(tx, by.user_id),
            "addresses": emails.of_user(tx, by.user_id),
        }
