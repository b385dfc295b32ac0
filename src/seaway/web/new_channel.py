"""Form to create a channel, and the check whether its name is available."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.rate_limits import Rate
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import channels
from seaway.channels.channel import ChannelSettings
from seaway.errors import SeawayError, TooManyRequests, check_all
from seaway.http.page_forms import accepts_file, form_of
from seaway.http.request_context import RequestContext
from seaway.publishing.logos import NewLogo
from seaway.users import emails, users
from seaway.web.rendering import page, redirect_with_message
from seaway.web.settings.general import given_logo
from seaway.web.user_pages import for_user, show_refusal


@dataclass(frozen=True, slots=True)
class ChannelForm:
    """Values of the form; visibility is private by default."""

    name: str = ""
    description: str = ""
    visibility: str = "private"
    logo_address: str = ""


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show the form; users who cannot create channels yet see what to do first."""
    values = await to_thread.run_sync(_values, call)
    return page(request, "new_channel.html", problem=None, typed=ChannelForm(), **values)


@accepts_file("logo")
@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Create the channel and redirect to it, where the next steps are."""
    form = await form_of(request)
    description = form.text("description").replace("\r\n", "\n")
    typed = ChannelForm(
        form.text("name").lower()[:200], description, form.text("visibility"), form.text("logo_address")[:300]
    )
    try:
        await to_thread.run_sync(_add, call, typed, given_logo(form))
    except SeawayError as error:
        values = await to_thread.run_sync(_values, call)
        return show_refusal(request, "new_channel.html", error, typed=typed, **values)
    return redirect_with_message(request, f"/channels/{typed.name}", f"The channel {typed.name} was created.")


@for_user
async def availability(request: Request, call: RequestContext) -> Response:
    """Show whether a name is available while it is typed; a name that is taken gets no reason."""
    name = request.query_params.get("name", "").strip().lower()[:200]
    is_valid = channels.has_valid_form(name)
    is_free = await to_thread.run_sync(_is_free, call, name) if is_valid else None
    return page(request, "name_free.html", name=name, is_valid=is_valid, is_free=is_free)


def _values(call: RequestContext) -> dict[str, Any]:
    """Return the values of the template, with the email addresses that a user without a verified one can verify."""
    unverified: list[str] = []
    if not call.by.is_verified:
        with call.read() as tx:
            unverified = [email.address for email in emails.of_user(tx, call.by.user_id or 0)]
    return {"fetches_logos": call.parts.logos.can_fetch, "unverified": unverified}


def _add(call: RequestContext, typed: ChannelForm, logo: NewLogo) -> None:
    require_site(call.by, SiteAction.ADD_CHANNEL)
    call.count(Rate.CHANNEL_ADD, str(call.by.user_id))
    png = _check(call, typed, logo)
    with call.write_channel(typed.name, SiteAction.ADD_CHANNEL) as tx:
        owner = users.get(tx, call.by.name)
        is_public = typed.visibility == "public"
        channels.add(tx, call.now_ms, call.by, typed.name, owner, description=typed.description, is_public=is_public)
    if png:
        call.parts.logos.store(call.by, typed.name, png)


def _check(call: RequestContext, typed: ChannelForm, logo: NewLogo | None) -> bytes:
    """Refuse everything that is wrong with the form at once, before the channel exists; return the logo, if any."""
    png = b""

    def encode() -> None:
        nonlocal png
        png = call.parts.logos.encode(call.by, logo) if logo else b""

    def check_description() -> None:
        ChannelSettings.parse({"description": typed.description})

    logo_field = "logo_address" if logo is not None and logo.url else "logo"
    with call.read() as tx:
        check_all(
            partial(channels.require_free, tx, call.now_ms, typed.name, call.by.user_id),
            partial(_naming_field, "description", check_description),
            partial(_naming_field, logo_field, encode),
        )
    return png


def _naming_field(field: str, check: Callable[[], None]) -> None:
    try:
        check()
    except SeawayError as error:
        error.fields = {field: error.full_message}
        raise


def _is_free(call: RequestContext, name: str) -> bool | None:
    """Return whether the name is available, or None over the rate limit: the form checks it again when it is sent."""
    require_site(call.by, SiteAction.ADD_CHANNEL)
    try:
        call.count(Rate.CHANNEL_NAME, str(call.by.user_id))
    except TooManyRequests:
        return None
    with call.read() as tx:
        return channels.is_free(tx, call.now_ms, call.by, name)
