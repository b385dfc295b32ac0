"""Email addresses of the account."""

from collections.abc import Callable
from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.errors import ConfirmationRequired, SeawayError
from seaway.http.page_forms import form_of
from seaway.sign_in import email_addresses, sign_up
from seaway.sign_in.parts import AccountParts
from seaway.users import emails
from seaway.users.emails import Email
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import accounts_of, client_of, for_user, show_refusal


@for_user
async def show(request: Request, by: Caller) -> Response:
    """Show all email addresses, the primary one first."""
    found = await to_thread.run_sync(_look, accounts_of(request), by)
    return page(request, "account/emails.html", problem=None, emails=found, email_sent_to="")


@for_user
async def resend_verification(request: Request, by: Caller) -> Response:
    """Send another verification email."""
    accounts = accounts_of(request)
    address = (await form_of(request)).text("address")
    work = partial(sign_up.resend_verification, accounts, by, address, client=client_of(request).address)
    found = await to_thread.run_sync(_look, accounts, by)
    try:
        await to_thread.run_sync(work)
    except SeawayError as error:
        return show_refusal(request, "account/emails.html", error, emails=found, email_sent_to="")
    known = next((email.address for email in found if email.address == address), "")
    return page(request, "account/emails.html", problem=None, emails=found, email_sent_to=known)


@for_user
async def add(request: Request, by: Caller) -> Response:
    """Add an email address; it counts once it is verified."""
    return await _changed(request, by, email_addresses.add)


@for_user
async def remove(request: Request, by: Caller) -> Response:
    """Remove an email address."""
    return await _changed(request, by, email_addresses.remove)


@for_user
async def make_primary(request: Request, by: Caller) -> Response:
    """Make this the email address that emails are sent to."""
    return await _changed(request, by, email_addresses.make_primary)


async def _changed(request: Request, by: Caller, change: Callable[[AccountParts, Caller, str], None]) -> Response:
    accounts = accounts_of(request)
    address = (await form_of(request)).text("address")
    try:
        await to_thread.run_sync(change, accounts, by, address)
    except ConfirmationRequired:
        raise
    except SeawayError as error:
        found = await to_thread.run_sync(_look, accounts, by)
        return show_refusal(request, "account/emails.html", error, emails=found, email_sent_to="")
    return redirect("/account/emails")


def _look(accounts: AccountParts, by: Caller) -> list[Email]:
    assert by.user_id is not None
    with accounts.database.read() as tx:
        return emails.of_user(tx, by.user_id)
