"""
Pages for signing in with an identity provider, and for linking one to an account.

1. Signing in starts with GET, because the CSP of our pages lets no form end at another site. Another site can therefore
   start a sign-in in a user's browser; its only effect is that the user is signed in as themselves.
2. Linking starts with a form in the account settings, sent by a user who has recently confirmed their identity.
"""

from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from seaway.errors import SeawayError
from seaway.http.caller import caller_of, check_anonymous_form, cookies_of
from seaway.http.next_page import local_path, with_next
from seaway.http.page_forms import form_of
from seaway.http.parts import parts_of
from seaway.http.request_context import RequestContext, in_transaction
from seaway.sign_in import external_identities, external_login
from seaway.sign_in.external_login import Linked, PendingSignUp
from seaway.sign_in.identity_providers import suggested_name
from seaway.sign_in.password_sign_in import SignedIn
from seaway.web.rendering import page, redirect, redirect_with_message
from seaway.web.sign_in_pages import continue_sign_in
from seaway.web.user_pages import accounts_of, client_of, for_user, show_refusal

_IDENTITIES = "/account/identities"
_SECURITY = "/account/security"  # a first factor is set up there, which requires only a new sign-in


async def begin(request: Request) -> Response:
    """Redirect to an identity provider, to sign in or to confirm the user's identity."""
    by = await caller_of(request)
    name, next_path = request.path_params["provider"], local_path(request.query_params.get("next", ""))
    begun = await to_thread.run_sync(
        partial(external_login.begin, parts_of(request).external_login, name, by, next_path=next_path)
    )
    response = RedirectResponse(begun.url, 303)
    cookies_of(request).keep_flow(response, begun.secret)
    return response


@for_user
async def link(request: Request, call: RequestContext) -> Response:
    """Start linking a provider. The CSP lets no form end at another site, so the response has a link to it."""
    name = (await form_of(request)).text("provider")
    start = partial(
        external_login.begin, parts_of(request).external_login, name, call.by, next_path=_IDENTITIES, link=True
    )
    begun = await to_thread.run_sync(start)
    response = page(request, "external_login_continue.html", url=begun.url)
    cookies_of(request).keep_flow(response, begun.secret)
    return response


async def callback(request: Request) -> Response:
    """Handle the redirect back from an identity provider."""
    by = await caller_of(request)
    finish = partial(
        external_login.finish,
        parts_of(request).external_login,
        request.path_params["provider"],
        dict(request.query_params),
        cookies_of(request).flow_of(request),
        by,
        client_of(request),
    )
    found = await to_thread.run_sync(finish)
    if isinstance(found, PendingSignUp):
        response: Response = redirect("/signup/external")
        cookies_of(request).keep_flow(response, found.secret)
        return response
    if isinstance(found, Linked):
        title = parts_of(request).external_login.providers.title_of(request.path_params["provider"])
        sentence = f"Your {title} account is linked. You can sign in with it."
        response = redirect_with_message(request, local_path(found.next_path), sentence)
    elif by.is_person and isinstance(found.found, SignedIn) and not found.is_fresh and found.next_path != _SECURITY:
        response = await continue_sign_in(request, found.found, with_next("/confirm", found.next_path))
    else:
        response = await continue_sign_in(request, found.found, local_path(found.next_path))
    cookies_of(request).drop_flow(response)
    return response


async def show_user_name_form(request: Request) -> Response:
    """Show the form for the user name of a new account."""
    await caller_of(request)
    found = await to_thread.run_sync(
        external_login.pending_sign_up, parts_of(request).external_login, cookies_of(request).flow_of(request)
    )
    if found.is_address_taken:
        taken = external_login.address_taken(_title(request, found))
        return show_refusal(request, "external_login_name.html", taken, for_anyone=True, **_form_values(request, found))
    return page(request, "external_login_name.html", for_anyone=True, problem=None, **_form_values(request, found))


async def create_account(request: Request) -> Response:
    """Create the account."""
    await check_anonymous_form(request)
    form = await form_of(request)
    secret = cookies_of(request).flow_of(request)
    found = await to_thread.run_sync(external_login.pending_sign_up, parts_of(request).external_login, secret)
    name, address = form.text("name").lower(), form.text("address")
    make = partial(
        external_login.make_account, parts_of(request).external_login, secret, name, address, client_of(request)
    )
    try:
        entered, next_path = await to_thread.run_sync(make)
    except SeawayError as error:
        values = _form_values(request, found) | {"name": name[:60], "address": address[:254]}
        return show_refusal(request, "external_login_name.html", error, for_anyone=True, **values)
    response = await continue_sign_in(request, entered, local_path(next_path))
    cookies_of(request).drop_flow(response)
    return response


@for_user
async def show_identities(request: Request, call: RequestContext) -> Response:
    """Show the identity providers linked to the account."""
    return await _identities_page(request, call, None)


@for_user
async def unlink(request: Request, call: RequestContext) -> Response:
    """Unlink an identity provider."""
    number = (await form_of(request)).number("id")
    try:
        unlinked = await to_thread.run_sync(external_login.unlink, call.parts.external_login, call.by, number)
    except SeawayError as error:
        return await _identities_page(request, call, error)
    title = call.parts.external_login.providers.title_of(unlinked.provider)
    sentence = f"Your {title} account {unlinked.login} was unlinked. You can no longer sign in with it."
    return redirect_with_message(request, _IDENTITIES, sentence)


async def _identities_page(request: Request, call: RequestContext, problem: SeawayError | None) -> Response:
    providers = call.parts.external_login.providers
    values: dict[str, Any] = {
        "linked": await in_transaction(call.read(), lambda tx: external_identities.of_user(tx, call.by.user_id or 0)),
        "providers": list(providers),
        "title_of": providers.title_of,
    }
    if problem is not None:
        return show_refusal(request, "account/identities.html", problem, **values)
    return page(request, "account/identities.html", problem=None, **values)


def _title(request: Request, found: PendingSignUp) -> str:
    return parts_of(request).external_login.providers.title_of(found.external_account.provider)


def _form_values(request: Request, found: PendingSignUp) -> dict[str, Any]:
    policy = accounts_of(request).policy
    return {
        "title": _title(request, found),
        "login": found.external_account.login,
        "verified_address": found.external_account.address,
        "name": suggested_name(found.external_account.login),
        "address": "",
        "is_open": policy.sign_up_open,
        "is_taken": found.is_address_taken,
        "domains": sorted(policy.email_domains),
    }
