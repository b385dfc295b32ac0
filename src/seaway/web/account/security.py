"""Password and second factor. What is secret stands on the answer to the form that made it, and nowhere else."""

from functools import partial
from typing import Any

import segno
from anyio import to_thread
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts import passkeys, recovery, resetting, second_factors, totp
from seaway.accounts.parts import Accounts
from seaway.accounts.permissions import SiteAction, require_site
from seaway.accounts.principal import Principal
from seaway.errors import NotConfirmed, SeawayError
from seaway.http.forms import form_of
from seaway.web.asking import accounts_of, for_person, refused
from seaway.web.shell import page, see

_PAGE = "/account/security"


@for_person
async def show(request: Request, by: Principal) -> Response:
    """What protects the account."""
    values = await to_thread.run_sync(_look, accounts_of(request), by)
    return page(request, "account/security.html", problem=None, failed="", **values)


@for_person
async def set_password(request: Request, by: Principal) -> Response:
    """Another password; every other browser is signed out."""
    password = (await form_of(request)).exact("password")
    try:
        await resetting.change(accounts_of(request), by, password)
    except NotConfirmed:
        raise
    except SeawayError as error:
        return await _again(request, by, error, "password")
    return see(_PAGE)


@for_person
async def begin_totp(request: Request, by: Principal) -> Response:
    """A seed for an app, as a picture and as text."""
    made = await to_thread.run_sync(totp.begin, accounts_of(request), by)
    return page(request, "account/totp.html", problem=None, seed=_grouped(made.seed), code=_picture(made.uri))


@for_person
async def confirm_totp(request: Request, by: Principal) -> Response:
    """The first code of the app: from now on it is asked for."""
    code = (await form_of(request)).text("code")
    try:
        codes = await totp.confirm(accounts_of(request), by, code)
    except NotConfirmed:
        raise
    except SeawayError as error:
        return refused(request, "account/totp.html", error, seed="", code="")
    return page(request, "account/recovery.html", codes=codes) if codes else see(_PAGE)


@for_person
async def remove_totp(request: Request, by: Principal) -> Response:
    """Ask for no codes of an app any more."""
    await to_thread.run_sync(totp.remove, accounts_of(request), by)
    return see(_PAGE)


@for_person
async def renew_recovery(request: Request, by: Principal) -> Response:
    """New recovery codes; the old ones are good for nothing."""
    house = accounts_of(request)
    require_site(by, SiteAction.OPEN_ACCOUNT)
    return page(request, "account/recovery.html", codes=await recovery.renew(house, by))


@for_person
async def passkey_question(request: Request, by: Principal) -> Response:
    """What a browser needs to make a passkey."""
    options = await to_thread.run_sync(passkeys.ask_new, accounts_of(request), by)
    return Response(options, media_type="application/json")


@for_person
async def add_passkey(request: Request, by: Principal) -> Response:
    """Keep the passkey that the browser made; recovery codes come with the first."""
    house, form = accounts_of(request), await form_of(request)
    work = partial(passkeys.add, house, by, form.exact("credential"), form.text("passkey_name"))
    try:
        await to_thread.run_sync(work)
    except NotConfirmed:
        raise
    except SeawayError as error:
        return await _again(request, by, error, "passkey")
    codes = await recovery.make_first(house, by)
    return page(request, "account/recovery.html", codes=codes) if codes else see(_PAGE)


@for_person
async def remove_passkey(request: Request, by: Principal) -> Response:
    """Take a passkey out of the account."""
    number = (await form_of(request)).number("passkey")
    await to_thread.run_sync(passkeys.remove, accounts_of(request), by, number)
    return see(_PAGE)


@for_person
async def keep_factors(request: Request, by: Principal) -> Response:
    """Stop what an admin was asked for: that the second factors are taken away."""
    await to_thread.run_sync(_stop_reset, accounts_of(request), by)
    return see(_PAGE)


async def _again(request: Request, by: Principal, error: SeawayError, form: str) -> Response:
    values = await to_thread.run_sync(_look, accounts_of(request), by)
    return refused(request, "account/security.html", error, failed=form, **values)


def _look(house: Accounts, by: Principal) -> dict[str, Any]:
    assert by.user_id is not None
    with house.database.read() as tx:
        return {
            "passkeys": passkeys.of_user(tx, by.user_id),
            "factors": second_factors.of_user(tx, by.user_id),
            "ends_at_ms": second_factors.ends_at(tx, by.user_id),
        }


def _stop_reset(house: Accounts, by: Principal) -> None:
    assert by.user_id is not None
    with house.database.write_user(by.user_id) as tx:
        second_factors.stop_reset(house, tx, house.clock.now_ms(), by, by.user_id)


def _picture(uri: str) -> Markup:
    """A QR code as an SVG in the page: made of numbers by us, without a style of its own."""
    drawn = segno.make(uri, error="m").svg_inline(omitsize=True, svgclass="qr", lineclass=None, border=1)
    return Markup(drawn)  # noqa: S704


def _grouped(seed: str) -> str:
    return " ".join(seed[start : start + 4] for start in range(0, len(seed), 4))
