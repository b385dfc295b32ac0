"""Email addresses of the account."""

from collections.abc import Callable
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.http.next_page import local_path
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.sign_in import email_addresses, sign_up
from seaway.sign_in.parts import AccountParts
from seaway.users import emails
from seaway.web.page_message import Message
from seaway.web.rendering import page
from seaway.web.user_pages import for_user, submit

_PAGE, _TEMPLATE = "/account/emails", "account/emails.html"


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show all email addresses, the primary one first."""
    return page(request, _TEMPLATE, problem=None, typed="", **await to_thread.run_sync(_values, call))


@for_user
async def resend_verification(request: Request, call: RequestContext) -> Response:
    """Send another verification email, and return to the page that has the button."""
    form = await form_of(request)
    back = local_path(form.text("back")) if form.is_set("back") else _PAGE
    work = partial(
        sign_up.resend_verification, call.parts.accounts, call.by, form.text("address"), client=call.by.address
    )
    return await submit(request, work, back, _TEMPLATE, partial(_values, call), message=_resent, typed="")


@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Add an email address; it counts once it is verified."""
    return await _change(request, call, email_addresses.add, "We sent a verification email to {}.", keep_typed=True)


@for_user
async def remove(request: Request, call: RequestContext) -> Response:
    """Remove an email address."""
    return await _change(request, call, email_addresses.remove, "{} was removed from your account.")


@for_user
async def make_primary(request: Request, call: RequestContext) -> Response:
    """Make this the email address that emails are sent to."""
    done, unchanged = "{} is now your primary email address.", "{} is already your primary email address."
    return await _change(request, call, email_addresses.make_primary, done, unchanged=unchanged)


async def _change(
    request: Request,
    call: RequestContext,
    change: Callable[[AccountParts, Caller, str], bool | None],
    message: str,
    *,
    unchanged: str = "",
    keep_typed: bool = False,
) -> Response:
    address = (await form_of(request)).text("address")
    work = partial(change, call.parts.accounts, call.by, address)

    def report(is_changed: bool | None) -> Message:
        text = unchanged if is_changed is False else message
        return Message(text.replace("{}", address), is_change=is_changed is not False)

    typed = address[: emails.MAX_CHARS] if keep_typed else ""
    return await submit(request, work, _PAGE, _TEMPLATE, partial(_values, call), message=report, typed=typed)


def _resent(address: str) -> Message:
    if address:
        return Message(f"We sent a verification email to {address}.")
    return Message("Your email address is already verified.", is_change=False)


def _values(call: RequestContext) -> dict[str, Any]:
    with call.read() as tx:
        return {"emails": emails.of_user(tx, call.by.user_id or 0)}
