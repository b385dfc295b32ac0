"""Pages to reset a forgotten password."""

from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.errors import NotFound, SeawayError
from seaway.http.caller import caller_of, check_anonymous_form
from seaway.http.page_forms import form_of
from seaway.sign_in import password_reset
from seaway.site import Site
from seaway.users import email_links
from seaway.users.email_links import Purpose
from seaway.web.link_over import link_over
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import accounts_of, client_of, show_refusal


async def show(request: Request) -> Response:
    """Show the form that requests a reset email."""
    await caller_of(request)
    return page(request, "reset_request.html", for_anyone=True, problem=None, address="")


async def ask(request: Request) -> Response:
    """Request a reset email; the response is the same whether or not an account has this email address."""
    await check_anonymous_form(request)
    address = (await form_of(request)).text("address")
    work = partial(password_reset.request, accounts_of(request), address, client=client_of(request).address)
    try:
        await to_thread.run_sync(work)
    except SeawayError as error:
        return show_refusal(request, "reset_request.html", error, for_anyone=True, address=address[:254])
    return redirect("/reset/sent")


async def sent(request: Request) -> Response:
    """Show that an email is on its way if an account has the address."""
    await caller_of(request)
    return page(request, "sent.html", what="reset", address="")


async def show_new(request: Request) -> Response:
    """Show the form for a new password, which the link in the email opens."""
    await caller_of(request)
    if not await to_thread.run_sync(_is_valid, accounts_of(request).site, request.path_params["secret"]):
        return _over(request)
    return page(request, "reset.html", for_anyone=True, problem=None)


async def reset(request: Request) -> Response:
    """Set the password without signing in, since a second factor may be required."""
    await check_anonymous_form(request)
    password = (await form_of(request)).exact("password")
    secret = request.path_params["secret"]
    try:
        await password_reset.reset(accounts_of(request), secret, password, client=client_of(request).address)
    except NotFound:
        return _over(request)
    except SeawayError as error:
        return show_refusal(request, "reset.html", error, for_anyone=True)
    return page(request, "reset_done.html")


def _over(request: Request) -> Response:
    error = NotFound("Links expire after an hour and work once.", "Request a new one.")
    return link_over(request, error, "Request a new link", "/reset")


def _is_valid(site: Site, secret: str) -> bool:
    with site.database.read() as tx:
        return email_links.find(tx, site.clock.now_ms(), Purpose.RESET, secret) is not None
