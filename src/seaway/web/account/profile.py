"""Profile of the user, and deletion of the account."""

from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1.account import AccountUpdate, change_account
from seaway.channels import channels
from seaway.errors import Malformed, SeawayError
from seaway.http.caller import cookies_of
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.sign_in import account_deletion
from seaway.users import emails, users
from seaway.web.rendering import page, redirect_with_message
from seaway.web.user_pages import for_user, show_refusal, submit

_TEMPLATE = "account/profile.html"


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show the user's names, channels and open tasks."""
    values = await to_thread.run_sync(_read_values, call)
    return page(request, _TEMPLATE, problem=None, display_name=None, **values)


@for_user
async def change(request: Request, call: RequestContext) -> Response:
    """Change the display name."""
    typed = (await form_of(request)).text("display_name")
    return await submit(
        request, partial(_rename, call, typed), "/account", _TEMPLATE, partial(_read_values, call),
        message="Your profile was saved.", display_name=typed[:200],
    )  # fmt: skip


@for_user
async def delete_account(request: Request, call: RequestContext) -> Response:
    """Delete the account if its name was typed to confirm."""
    typed = (await form_of(request)).text("typed_name")
    try:
        await to_thread.run_sync(_leave, call, typed)
    except SeawayError as error:
        values = await to_thread.run_sync(_read_values, call)
        return show_refusal(request, _TEMPLATE, error, display_name=None, **values)
    response = redirect_with_message(request, "/", f"Your account {call.by.name} was deleted.", session="")
    cookies_of(request).delete_session(response)
    return response


def _rename(call: RequestContext, typed: str) -> None:
    change_account(call, AccountUpdate.parse({"display_name": typed}))


def _leave(call: RequestContext, typed: str) -> None:
    if typed != call.by.name:
        raise Malformed("This is not the name of the account.", f"Type {call.by.name} to confirm.", field="typed_name")
    with call.read() as tx:
        user = users.get(tx, call.by.name)
    account_deletion.remove(call.parts.accounts, call.by, user)


def _read_values(call: RequestContext) -> dict[str, Any]:
    user_id = call.by.user_id or 0
    with call.read() as tx:
        return {
            "user": users.by_id(tx, user_id),
            "channels": channels.with_role_of(tx, user_id),
            "addresses": emails.of_user(tx, user_id),
        }
