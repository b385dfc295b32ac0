"""
The pages for signing in and out, and for proving again to be there.

1. A session's secret is new each time somebody signs in or proves again; the one before is dead (`sessions`).
2. What was wrong is said in one way for an unknown name and for a wrong password.
"""

from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts import identities, passkeys, second_factors, sessions, signing_in
from seaway.accounts.parts import Accounts
from seaway.accounts.principal import Principal
from seaway.accounts.providers import Dialect
from seaway.accounts.signing_in import NeedsSecondFactor, SignedIn
from seaway.errors import SeawayError
from seaway.http.forms import form_of
from seaway.http.house import House
from seaway.http.identity import check_own_form, cookies_of, person_beside, principal_of
from seaway.http.next_page import local, with_next
from seaway.web.asking import accounts_of, client_of, for_person, refused
from seaway.web.shell import page, see


async def show(request: Request) -> Response:
    """Sign in."""
    by = await principal_of(request)
    go_to = local(request.query_params.get("next", ""))
    if by.is_person:
        return see(go_to)
    return page(request, "signin.html", for_anyone=True, problem=None, login="", go_to=go_to, **_ways(request))


async def sign_in(request: Request) -> Response:
    """A name and a password."""
    await check_own_form(request)
    form = await form_of(request)
    login, go_to = form.text("login"), local(form.text("next"))
    try:
        found = await signing_in.sign_in(accounts_of(request), login, form.exact("password"), client_of(request))
    except SeawayError as error:
        return refused(request, "signin.html", error, for_anyone=True, login=login[:254], go_to=go_to, **_ways(request))
    return await go_on(request, found, go_to)


async def second_factor(request: Request) -> Response:
    """A code for a sign-in that waits for it."""
    await check_own_form(request)
    form = await form_of(request)
    flow, go_to = form.text("flow"), local(form.text("next"))
    try:
        found = await signing_in.second_factor(accounts_of(request), flow, form.text("code"), client_of(request))
    except SeawayError as error:
        factors = {"has_totp": form.is_set("has_totp"), "has_passkeys": form.is_set("has_passkeys")}
        return refused(request, "second_factor.html", error, for_anyone=True, flow=flow, go_to=go_to, **factors)
    return await go_on(request, found, go_to)


async def passkey_question(request: Request) -> Response:
    """What a browser asks its passkey, to sign in by that alone."""
    await check_own_form(request)
    return _json(await to_thread.run_sync(passkeys.ask_sign_in, accounts_of(request), client_of(request)))


async def passkey(request: Request) -> Response:
    """Sign in by a passkey alone."""
    await check_own_form(request)
    form = await form_of(request)
    go_to = local(form.text("next"))
    work = partial(passkeys.sign_in, accounts_of(request), form.exact("credential"), client_of(request))
    try:
        found = await to_thread.run_sync(work)
    except SeawayError as error:
        return refused(request, "signin.html", error, for_anyone=True, login="", go_to=go_to, **_ways(request))
    return await go_on(request, found, go_to)


async def second_passkey_question(request: Request) -> Response:
    """The same for a sign-in that waits for a second factor."""
    await check_own_form(request)
    flow = (await form_of(request)).text("flow")
    return _json(await to_thread.run_sync(passkeys.ask_second, accounts_of(request), flow, client_of(request)))


async def second_passkey(request: Request) -> Response:
    """A passkey for a sign-in that waits for it."""
    await check_own_form(request)
    form = await form_of(request)
    flow, go_to = form.text("flow"), local(form.text("next"))
    work = partial(passkeys.second_factor, accounts_of(request), flow, form.exact("credential"), client_of(request))
    try:
        found = await to_thread.run_sync(work)
    except SeawayError as error:
        factors = {"has_totp": form.is_set("has_totp"), "has_passkeys": True}
        return refused(request, "second_factor.html", error, for_anyone=True, flow=flow, go_to=go_to, **factors)
    return await go_on(request, found, go_to)


async def go_on(request: Request, found: SignedIn | NeedsSecondFactor, go_to: str) -> Response:
    """After a first proof, by whichever way: to where the person wanted, or to the second factor."""
    if isinstance(found, NeedsSecondFactor):
        return page(
            request,
            "second_factor.html",
            for_anyone=True,
            problem=None,
            flow=found.flow,
            go_to=go_to,
            has_totp=found.has_totp,
            has_passkeys=found.has_passkeys,
        )
    before = await person_beside(request)
    if before is not None:
        await to_thread.run_sync(_end, accounts_of(request), before)
    response = see(go_to if go_to != "/" else "/account")
    cookies_of(request).keep_session(response, found.secret)
    return response


@for_person
async def sign_out(request: Request, by: Principal) -> Response:
    """End this session; the cookie opens nothing any more, wherever it was copied to. `next` is for another account."""
    go_to = local((await form_of(request)).text("next"))
    await to_thread.run_sync(_end, accounts_of(request), by)
    response = see("/" if go_to == "/" else with_next("/signin", go_to))
    cookies_of(request).drop_session(response)
    return response


@for_person
async def show_confirm(request: Request, by: Principal) -> Response:
    """Ask for the password again, for a passkey, or for another sign-in elsewhere."""
    go_to = local(request.query_params.get("next", ""))
    return page(request, "confirm.html", problem=None, go_to=go_to, **await _own_ways(request, by))


@for_person
async def confirm(request: Request, by: Principal) -> Response:
    """The password again, or a code where there is none: a new secret for the same session."""
    form = await form_of(request)
    go_to = local(form.text("next"))
    cookies = cookies_of(request)
    prove = partial(signing_in.confirm, accounts_of(request), by, cookies.session_of(request))
    try:
        secret = await prove(form.exact("proof"), client_of(request))
    except SeawayError as error:
        return refused(request, "confirm.html", error, go_to=go_to, **await _own_ways(request, by))
    response = see(go_to)
    cookies.keep_session(response, secret)
    return response


@for_person
async def confirm_question(request: Request, by: Principal) -> Response:
    """What a browser asks the passkey of who is signed in."""
    return _json(await to_thread.run_sync(passkeys.ask_confirm, accounts_of(request), by))


@for_person
async def confirm_passkey(request: Request, by: Principal) -> Response:
    """A fresh proof by passkey."""
    form, cookies = await form_of(request), cookies_of(request)
    go_to = local(form.text("next"))
    house, secret = accounts_of(request), cookies.session_of(request)
    work = partial(passkeys.confirm, house, by, secret, form.exact("credential"), client_of(request))
    try:
        fresh = await to_thread.run_sync(work)
    except SeawayError as error:
        return refused(request, "confirm.html", error, go_to=go_to, **await _own_ways(request, by))
    response = see(go_to)
    cookies.keep_session(response, fresh)
    return response


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")


def _ways(request: Request) -> dict[str, Any]:
    house: House = request.app.state.house
    return {"sign_up_open": house.accounts.policy.sign_up_open, "providers": list(house.outside.providers)}


async def _own_ways(request: Request, by: Principal) -> dict[str, Any]:
    """What this person can prove themselves by: `provers` may say when they last did so, other providers never do."""
    house: House = request.app.state.house
    has_proof, has_passkeys, names = await to_thread.run_sync(_proofs, house.accounts, by)
    providers = [provider for provider in house.outside.providers if provider.name in names]
    return {
        "has_proof": has_proof,
        "has_passkeys": has_passkeys,
        "provers": [one for one in providers if one.dialect is Dialect.OPENID],
        "providers": providers,
    }


def _proofs(house: Accounts, by: Principal) -> tuple[bool, bool, set[str]]:
    assert by.user_id is not None
    with house.database.read() as tx:
        names = {identity.provider for identity in identities.of_user(tx, by.user_id)}
        return second_factors.has_own_proof(tx, by.user_id), bool(passkeys.of_user(tx, by.user_id)), names


def _end(house: Accounts, by: Principal) -> None:
    assert by.session_id is not None
    with house.database.write_part() as tx:
        sessions.end(tx, by.session_id)
