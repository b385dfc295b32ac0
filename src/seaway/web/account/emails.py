"""Email addresses of the account."""

from collections.abc import Callable
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.errors import SeawayError
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.sign_in import email_addresses, sign_up
from seaway.sign_in.parts import AccountParts
from seaway.users import emails
from seaway.web.rendering import page
from seaway.web.user_pages import for_user, show_refusal, submit


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show all email addresses, the primary one first."""
    return page(request, "account/emails.html", problem=None, **await to_thread.run_sync(_values, call))


@for_user
async def resend_verification(request: Request, call: RequestContext) -> Response:
    """Send another verification email."""
    address = (await form_of(request)).text("address")
    work = partial(sign_up.resend_verification, call.parts.accounts, call.by, address, client=call.by.address)
    values = await to_thread.run_sync(_values, call)
    try:
        await to_thread.run_sync(work)
    except SeawayError as error:
        return show_refusal(request, "account/emails.html", error, **values)
    values["email_sent_to"] = next((email.address for email in values["emails"] if email.address == address), "")
    return page(request, "account/emails.html", problem=None, **values)


@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Add an email address; it counts once it is verified."""
    return await _changed(request, call, email_addresses.add)


@for_user
async def remove(request: Request, call: RequestContext) -> Response:
    """Remove an email address."""
    return await _changed(request, call, email_addresses.remove)


@for_user
async def make_primary(request: Request, call: RequestContext) -> Response:
    """Make this the email address that emails are sent to."""
    return await _changed(request, call, email_addresses.make_primary)


async def _changed(
    request: Request, call: RequestContext, change: Callable[[AccountParts, Caller, str], None]
) -> Response:
    work = partial(change, call.parts.accounts, call.by, (await form_of(request)).text("address"))
    return await submit(request, work, "/account/emails", "account/emails.html", partial(_values, call))


def _values(call: RequestContext) -> dict[str, Any]:
    with call.read() as tx:
        return {"emails": emails.of_user(tx, call.by.user_id or 0), "email_sent_to": ""}
