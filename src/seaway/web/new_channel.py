"""Form to create a channel, and the check whether its name is available."""

from dataclasses import dataclass

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.rate_limits import Rate
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import channels
from seaway.errors import SeawayError, TooManyRequests
from seaway.http.page_forms import accepts_file, form_of
from seaway.http.request_context import RequestContext
from seaway.publishing.logos import NewLogo
from seaway.users import users
from seaway.web.rendering import page, redirect
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
    """Show the form."""
    fetches = call.parts.logos.can_fetch
    return page(request, "new_channel.html", problem=None, typed=ChannelForm(), fetches_logos=fetches)


@accepts_file("logo")
@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Create the channel and redirect to it."""
    form = await form_of(request)
    description = form.text("description").replace("\r\n", "\n")
    typed = ChannelForm(
        form.text("name").lower()[:200], description, form.text("visibility"), form.text("logo_address")[:300]
    )
    try:
        await to_thread.run_sync(_add, call, typed, given_logo(form))
    except SeawayError as error:
        return show_refusal(request, "new_channel.html", error, typed=typed, fetches_logos=call.parts.logos.can_fetch)
    return redirect(f"/channels/{typed.name}")


@for_user
async def availability(request: Request, call: RequestContext) -> Response:
    """Show whether a name is available while it is typed, without giving a reason."""
    name = request.query_params.get("name", "").strip().lower()[:200]
    is_free = await to_thread.run_sync(_is_free, call, name) if name else None
    return page(request, "name_free.html", name=name, is_free=is_free)


def _add(call: RequestContext, typed: ChannelForm, logo: NewLogo) -> None:
    require_site(call.by, SiteAction.ADD_CHANNEL)
    call.count(Rate.CHANNEL_ADD, str(call.by.user_id))
    png = call.parts.logos.encode(call.by, logo) if logo else b""  # refuse a bad logo before the channel exists
    with call.write_channel(typed.name, SiteAction.ADD_CHANNEL) as tx:
        owner = users.get(tx, call.by.name)
        is_public = typed.visibility == "public"
        channels.add(tx, call.now_ms, call.by, typed.name, owner, description=typed.description, is_public=is_public)
    if png:
        call.parts.logos.store(call.by, typed.name, png)


def _is_free(call: RequestContext, name: str) -> bool | None:
    """Return whether the name is available, or None over the rate limit: the form checks it again when it is sent."""
    require_site(call.by, SiteAction.ADD_CHANNEL)
    try:
        call.count(Rate.CHANNEL_NAME, str(call.by.user_id))
    except TooManyRequests:
        return None
    with call.read() as tx:
        return channels.is_free(tx, call.now_ms, call.by, name)
