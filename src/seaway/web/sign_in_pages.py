"""
Pages for signing in, signing out and confirming the user's identity.

1. Each sign-in and each confirmation gives the session a new secret and invalidates the previous one (`sessions`).
2. An unknown name and a wrong password give the same error.
"""

from collections.abc import Awaitable
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.errors import SeawayError
from seaway.http.caller import caller_of, check_anonymous_form, cookies_of, signed_in_user
from seaway.http.next_page import local_path, with_next
from seaway.http.page_forms import carries_form, form_of
from seaway.http.parts import parts_of
from seaway.http.request_context import RequestContext
from seaway.sign_in import passkeys, password_sign_in, sessions
from seaway.sign_in.password_sign_in import NeedsSecondFactor, SignedIn
from seaway.site import Site
from seaway.web import confirmation, kept_form
from seaway.web.rendering import page, redirect, redirect_with_message
from seaway.web.user_pages import accounts_of, client_of, for_user, show_refusal


async def show(request: Request) -> Response:
    """Show the sign-in form."""
    by = await caller_of(request)
    next_path = local_path(request.query_params.get("next", ""))
    if by.is_person:
        return redirect(next_path)
    values = _sign_in_values(request, next_path)
    return page(request, "signin.html", for_anyone=True, problem=None, **values)


async def sign_in(request: Request) -> Response:
    """Sign in with a user name or email address and a password."""
    await check_anonymous_form(request)
    form = await form_of(request)
    login, next_path = form.text("login"), local_path(form.text("next"))
    attempt = password_sign_in.sign_in(accounts_of(request), login, form.exact("password"), client_of(request))
    return await _try(request, attempt, "signin.html", **_sign_in_values(request, next_path, login[:254]))


async def second_factor(request: Request) -> Response:
    """Complete a sign-in with a second-factor code."""
    await check_anonymous_form(request)
    form = await form_of(request)
    flow, next_path = form.text("flow"), local_path(form.text("next"))
    attempt = password_sign_in.second_factor(accounts_of(request), flow, form.text("code"), client_of(request))
    factors = {"has_totp": form.is_set("has_totp"), "has_passkeys": form.is_set("has_passkeys")}
    return await _try(request, attempt, "second_factor.html", flow=flow, next_path=next_path, **factors)


async def passkey_options(request: Request) -> Response:
    """Return the WebAuthn options for signing in with a passkey only."""
    await check_anonymous_form(request)
    return _json(await to_thread.run_sync(passkeys.sign_in_options, accounts_of(request).site, client_of(request)))


async def passkey(request: Request) -> Response:
    """Sign in with a passkey only."""
    await check_anonymous_form(request)
    form = await form_of(request)
    next_path = local_path(form.text("next"))
    credential = form.exact("credential")
    attempt = to_thread.run_sync(passkeys.sign_in, accounts_of(request).site, credential, client_of(request))
    return await _try(request, attempt, "signin.html", **_sign_in_values(request, next_path))


async def second_passkey_options(request: Request) -> Response:
    """Return the WebAuthn options for a sign-in that waits for a second factor."""
    await check_anonymous_form(request)
    flow = (await form_of(request)).text("flow")
    return _json(
        await to_thread.run_sync(passkeys.second_factor_options, accounts_of(request).site, flow, client_of(request))
    )


async def second_passkey(request: Request) -> Response:
    """Complete a sign-in with a passkey as the second factor."""
    await check_anonymous_form(request)
    form = await form_of(request)
    flow, next_path = form.text("flow"), local_path(form.text("next"))
    credential = form.exact("credential")
    attempt = to_thread.run_sync(
        passkeys.second_factor, accounts_of(request).site, flow, credential, client_of(request)
    )
    factors = {"has_totp": form.is_set("has_totp"), "has_passkeys": True}
    return await _try(request, attempt, "second_factor.html", flow=flow, next_path=next_path, **factors)


async def _try(
    request: Request, attempt: Awaitable[SignedIn | NeedsSecondFactor], template: str, *, next_path: str, **values: Any
) -> Response:
    """Continue the sign-in; if it is refused, show the form again."""
    try:
        found = await attempt
    except SeawayError as error:
        return show_refusal(request, template, error, for_anyone=True, next_path=next_path, **values)
    return await continue_sign_in(request, found, next_path)


async def continue_sign_in(request: Request, found: SignedIn | NeedsSecondFactor, next_path: str) -> Response:
    """Continue after the first factor, whatever it was: redirect to `next_path`, or ask for the second factor."""
    if isinstance(found, NeedsSecondFactor):
        return page(
            request,
            "second_factor.html",
            for_anyone=True,
            problem=None,
            flow=found.flow,
            next_path=next_path,
            has_totp=found.has_totp,
            has_passkeys=found.has_passkeys,
        )
    before = await signed_in_user(request)
    if before is not None:
        await to_thread.run_sync(_end, accounts_of(request).site, before)
    response = redirect(next_path if next_path != "/" else "/home")
    cookies_of(request).set_session(response, found.secret)
    return response


@for_user
async def sign_out(request: Request, call: RequestContext) -> Response:
    """End this session, which also invalidates copies of its cookie. `next` leads to signing in to another account."""
    next_path = local_path((await form_of(request)).text("next"))
    await to_thread.run_sync(_end, accounts_of(request).site, call.by)
    then = "/" if next_path == "/" else with_next("/signin", next_path)
    response = redirect_with_message(request, then, "You are signed out.", session="")
    cookies_of(request).delete_session(response)
    return response


@for_user
async def show_confirm(request: Request, call: RequestContext) -> Response:
    """Ask the user to confirm with the password, a passkey or an identity provider."""
    next_path = local_path(request.query_params.get("next", ""))
    return page(
        request,
        "confirm.html",
        problem=None,
        next_path=next_path,
        kept=None,
        **await confirmation.methods_of(request, call.by),
    )


@carries_form
@for_user
async def confirm(request: Request, call: RequestContext) -> Response:
    """Confirm with the password, or with a code if the account has none; the session gets a new secret."""
    proof, secret = (await form_of(request)).exact("proof"), cookies_of(request).session_of(request)
    attempt = password_sign_in.confirm(accounts_of(request), call.by, secret, proof, client_of(request))
    return await _try_confirm(request, call, attempt)


@carries_form
@for_user
async def confirm_passkey_options(request: Request, call: RequestContext) -> Response:
    """Return the WebAuthn options for confirming with a passkey."""
    return _json(await to_thread.run_sync(passkeys.confirm_options, accounts_of(request).site, call.by))


@carries_form
@for_user
async def confirm_passkey(request: Request, call: RequestContext) -> Response:
    """Confirm with a passkey; the session gets a new secret."""
    credential, secret = (await form_of(request)).exact("credential"), cookies_of(request).session_of(request)
    work = partial(passkeys.confirm, accounts_of(request).site, call.by, secret, credential, client_of(request))
    return await _try_confirm(request, call, to_thread.run_sync(work))


async def _try_confirm(request: Request, call: RequestContext, attempt: Awaitable[str]) -> Response:
    """
    Continue with the kept form or the next page, with the new secret of the session in its cookie.

    If the proof is refused, show the form again.
    """
    form = await form_of(request)
    next_path, kept = local_path(form.text("next")), kept_form.kept_in(form)
    try:
        secret = await attempt
    except SeawayError as error:
        methods = await confirmation.methods_of(request, call.by)
        return show_refusal(request, "confirm.html", error, next_path=next_path, kept=kept, **methods)
    if kept is None:
        response = redirect(next_path)
    else:
        response = kept_form.sending_page(request, kept, call.by, kept_form.token_of(secret))
    cookies_of(request).set_session(response, secret)
    return response


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")


def _sign_in_values(request: Request, next_path: str, login: str = "") -> dict[str, Any]:
    parts = parts_of(request)
    return {
        "login": login,
        "next_path": next_path,
        "providers": list(parts.external_login.providers),
    }


def _end(site: Site, by: Caller) -> None:
    assert by.session_id is not None
    with site.database.write_unlocked() as tx:
        sessions.end(tx, by.session_id)
