"""Password and second factors. A secret is only in the response to the form that created it."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import segno
from anyio import to_thread
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.site_permissions import SiteAction, require_site
from seaway.errors import SeawayError
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.sign_in import passkeys, password_reset, recovery, second_factors, totp, user_access
from seaway.web.rendering import page, redirect_with_message
from seaway.web.user_pages import for_user, show_refusal, submit

T = TypeVar("T")

_PAGE, _TEMPLATE = "/account/security", "account/security.html"


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show the sign-in methods of the account."""
    values = await to_thread.run_sync(_read_values, call)
    return page(request, _TEMPLATE, problem=None, passkey_name="", **values)


@for_user
async def set_password(request: Request, call: RequestContext) -> Response:
    """Change the password, and sign out every other browser."""
    password = (await form_of(request)).exact("password")
    try:
        await password_reset.change(call.parts.accounts, call.by, password)
    except SeawayError as error:
        return await _show_error(request, call, error)
    return redirect_with_message(request, _PAGE, "Your password was changed. Your other browsers were signed out.")


@for_user
async def begin_totp(request: Request, call: RequestContext) -> Response:
    """Create a TOTP seed, and show it as a QR code and as text."""
    made = await to_thread.run_sync(totp.begin, call.parts.accounts, call.by)
    return page(request, "account/totp.html", problem=None, seed=_grouped(made.seed), code=_picture(made.uri))


@for_user
async def confirm_totp(request: Request, call: RequestContext) -> Response:
    """Check the first TOTP code; from then on signing in requires one."""
    code = (await form_of(request)).text("code")
    try:
        codes = await totp.confirm(call.parts.accounts, call.by, code)
    except SeawayError as error:
        return show_refusal(request, "account/totp.html", error, seed="", code="")
    return _added(request, "Your authenticator app was added. Signing in now requires a second factor.", codes)


@for_user
async def remove_totp(request: Request, call: RequestContext) -> Response:
    """Remove TOTP from the account."""
    work = partial(totp.remove, call.parts.accounts, call.by)
    return await _change(
        request, call, work, "Your authenticator app was removed. Your other browsers were signed out."
    )


@for_user
async def renew_recovery(request: Request, call: RequestContext) -> Response:
    """Create new recovery codes; the old ones stop working."""
    require_site(call.by, SiteAction.OPEN_ACCOUNT)
    codes = await recovery.renew(call.parts.accounts, call.by)
    return _added(request, "New recovery codes were created. The previous codes no longer work.", codes)


@for_user
async def passkey_options(_request: Request, call: RequestContext) -> Response:
    """Return the WebAuthn options for creating a passkey."""
    options = await to_thread.run_sync(passkeys.creation_options, call.parts.site, call.by)
    return Response(options, media_type="application/json")


@for_user
async def add_passkey(request: Request, call: RequestContext) -> Response:
    """Add the passkey that the browser created; with the first one, show recovery codes."""
    form = await form_of(request)
    name = form.text("passkey_name")
    try:
        await to_thread.run_sync(passkeys.add, call.parts.accounts, call.by, form.exact("credential"), name)
    except SeawayError as error:
        return await _show_error(request, call, error, passkey_name=name[:200])
    codes = await recovery.make_first(call.parts.accounts, call.by)
    return _added(request, f"The passkey {name} was added.", codes)


@for_user
async def remove_passkey(request: Request, call: RequestContext) -> Response:
    """Remove a passkey from the account."""
    number = (await form_of(request)).number("passkey")
    work = partial(passkeys.remove, call.parts.accounts, call.by, number)
    return await _change(request, call, work, _without_passkey)


@for_user
async def cancel_factor_reset(request: Request, call: RequestContext) -> Response:
    """Cancel a pending second-factor reset."""

    def cancel() -> None:
        with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
            second_factors.cancel_reset(call.parts.accounts, tx, call.now_ms, call.by, call.by.user_id or 0)

    return await _change(request, call, cancel, "The removal of your second factors was canceled.")


def _added(request: Request, sentence: str, codes: list[str]) -> Response:
    """Report what was added, with the recovery codes if there are new ones, which are shown only once."""
    if codes:
        return page(request, "account/recovery.html", sentence=sentence, codes=codes)
    return redirect_with_message(request, _PAGE, sentence)


def _without_passkey(name: str) -> str:
    return f"The passkey {name} was removed. Your other browsers were signed out."


async def _change(
    request: Request, call: RequestContext, work: Callable[[], T], message: str | Callable[[T], str]
) -> Response:
    return await submit(request, work, _PAGE, _TEMPLATE, partial(_read_values, call), message=message, passkey_name="")


async def _show_error(
    request: Request, call: RequestContext, error: SeawayError, *, passkey_name: str = ""
) -> Response:
    values = await to_thread.run_sync(_read_values, call)
    return show_refusal(request, _TEMPLATE, error, passkey_name=passkey_name, **values)


def _read_values(call: RequestContext) -> dict[str, Any]:
    user_id = call.by.user_id or 0
    with call.read() as tx:
        return {
            "passkeys": passkeys.of_user(tx, user_id),
            "has_password": user_access.has_password(tx, user_id),
            "factors": second_factors.of_user(tx, user_id),
            "ends_at_ms": second_factors.ends_at(tx, user_id),
        }


def _picture(uri: str) -> Markup:
    """Return a QR code as inline SVG. It is safe markup: it is generated from numbers and has no style."""
    drawn = segno.make(uri, error="m").svg_inline(omitsize=True, svgclass="qr", lineclass=None, border=1)
    return Markup(drawn)  # noqa: S704


def _grouped(seed: str) -> str:
    return " ".join(seed[start : start + 4] for start in range(0, len(seed), 4))
