"""Pages to create an account, and the pages that its emails link to."""

from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.errors import NotFound, SeawayError
from seaway.http.caller import caller_of, check_anonymous_form
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.sign_in import first_account, password_sign_in
from seaway.sign_in import sign_up as signing_up
from seaway.sign_in.password_sign_in import BrowserInfo, NeedsSecondFactor, SignedIn
from seaway.site import Site
from seaway.users import email_links, emails, users
from seaway.users.email_links import Link, Purpose
from seaway.web.link_over import link_over
from seaway.web.rendering import page, redirect, redirect_with_message
from seaway.web.sign_in_pages import continue_sign_in
from seaway.web.user_pages import accounts_of, client_of, for_user, show_refusal


async def show(request: Request) -> Response:
    """Show the sign-up form; an invitation to a channel links to it with its email address."""
    if (await caller_of(request)).is_person:
        return redirect("/home")
    return await _form(request, None, name="", address=request.query_params.get("address", "")[:254])


async def sign_up(request: Request) -> Response:
    """Create an account; the response is the same for a new and a known email address (`sign_in.sign_up`)."""
    await check_anonymous_form(request)
    form = await form_of(request)
    name, address = form.text("name").lower(), form.text("address")
    client = client_of(request)
    try:
        user = await signing_up.sign_up(
            accounts_of(request), name, address, form.exact("password"), client=client.address
        )
    except SeawayError as error:
        return await _form(request, error, name=name[:60], address=address[:254])
    # The link of the email needs a session of this account, which this browser has from now on.
    found = await to_thread.run_sync(begin_session, accounts_of(request).site, user.id, client)
    return await continue_sign_in(request, found, "/signup/sent")


async def sent(request: Request) -> Response:
    """Show that the verification email is on its way."""
    by = await caller_of(request)
    address = await to_thread.run_sync(_unverified_address, accounts_of(request).site, by.user_id)
    return page(request, "sent.html", what="verify", address=address)


async def show_verify(request: Request) -> Response:
    """
    Show the page of a verification link: a button, since mail scanners open every link, for the user of its account.

    Other callers see which account the email address would belong to. During sign-in the secret is in `next`: logs mask
    it there (`secret_tokens.mask`), and it is useless without that account.
    """
    by = await caller_of(request)
    secret = request.path_params["secret"]
    link, was_used, account = await to_thread.run_sync(_find_link, accounts_of(request).site, secret)
    if link is None and not was_used:
        error = NotFound("Links expire after 24 hours.", "Sign in to send a new verification email from your account.")
        return link_over(request, error, "Sign in", "/signin?next=/account/emails")
    is_own = link is not None and by.is_person and by.user_id == link.user_id
    return page(request, "verify.html", link=link, account=account, is_own=is_own)


@for_user
async def verify(request: Request, call: RequestContext) -> Response:
    """Verify the email address."""
    try:
        address = await to_thread.run_sync(
            signing_up.verify, accounts_of(request), call.by, request.path_params["secret"]
        )
    except NotFound:
        return await show_verify(request)
    return redirect_with_message(request, "/home", f"Your email address {address} is verified.")


async def show_first(request: Request) -> Response:
    """Show the form of the link that `serve` prints while there are no accounts."""
    await caller_of(request)
    await to_thread.run_sync(first_account.require_valid, accounts_of(request).site, request.path_params["secret"])
    return page(request, "first_account.html", for_anyone=True, problem=None, name="", address="")


async def make_first(request: Request) -> Response:
    """Create the first account, a site admin's."""
    await check_anonymous_form(request)
    form = await form_of(request)
    name, address = form.text("name").lower(), form.text("address")
    secret, client = request.path_params["secret"], client_of(request).address
    try:
        await first_account.make(accounts_of(request), secret, name, address, form.exact("password"), client=client)
    except NotFound:
        raise
    except SeawayError as error:
        values = {"name": name[:60], "address": address[:254]}
        return show_refusal(request, "first_account.html", error, for_anyone=True, **values)
    return redirect_with_message(request, "/signin", f"The account {name} was created. Sign in with its password.")


async def _form(request: Request, problem: SeawayError | None, **typed: str) -> Response:
    """Show the form, or why no account can be created with it."""
    accounts = accounts_of(request)
    values: dict[str, Any] = {
        **typed,
        "is_open": accounts.policy.sign_up_open,
        "is_first": not await to_thread.run_sync(_has_accounts, accounts.site),
        "domains": sorted(accounts.policy.email_domains),
    }
    if problem is None:
        return page(request, "signup.html", for_anyone=True, problem=None, **values)
    return show_refusal(request, "signup.html", problem, for_anyone=True, **values)


def _has_accounts(site: Site) -> bool:
    with site.database.read() as tx:
        return users.any_exist(tx)


def _unverified_address(site: Site, user_id: int | None) -> str:
    if user_id is None:
        return ""
    with site.database.read() as tx:
        return next((email.address for email in emails.of_user(tx, user_id) if email.verified_at_ms is None), "")


def _find_link(site: Site, secret: str) -> tuple[Link | None, bool, str]:
    """Return the link, whether it was used, and the name of its account."""
    with site.database.read() as tx:
        link = email_links.find(tx, site.clock.now_ms(), Purpose.VERIFY, secret)
        name = "" if link is None or link.user_id is None else users.by_id(tx, link.user_id).name
        return link, email_links.was_used(tx, Purpose.VERIFY, secret), name


def begin_session(site: Site, user_id: int, client: BrowserInfo) -> SignedIn | NeedsSecondFactor:
    """Sign in a user who has just proved who they are; a second factor stays required."""
    with site.database.write_user(user_id) as tx:
        return password_sign_in.proceed(tx, site.clock.now_ms(), user_id, client)
