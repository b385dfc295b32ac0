"""Form to create a channel, and the check whether its name is available."""

from dataclasses import dataclass

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.callers.rate_limits import Rate, count_attempt
from seaway.callers.site_permissions import SiteAction, require_site, require_verified
from seaway.channels import channels
from seaway.errors import ConfirmationRequired, SeawayError, TooManyRequests
from seaway.http.page_forms import accepts_file, form_of
from seaway.http.parts import RequestParts
from seaway.publishing.logos import NewLogo
from seaway.sign_in.parts import AccountParts
from seaway.users import users
from seaway.web.channel_pages import parts_of
from seaway.web.rendering import page, redirect
from seaway.web.settings.general import given_logo
from seaway.web.user_pages import accounts_of, for_user, show_refusal


@dataclass(frozen=True, slots=True)
class ChannelForm:
    """Values of the form; visibility is private by default."""

    name: str = ""
    description: str = ""
    visibility: str = "private"
    logo_address: str = ""


@for_user
async def show(request: Request, _by: Caller) -> Response:
    """Show the form."""
    fetches = parts_of(request).logos.can_fetch
    return page(request, "new_channel.html", problem=None, typed=ChannelForm(), fetches_logos=fetches)


@accepts_file("logo")
@for_user
async def add(request: Request, by: Caller) -> Response:
    """Create the channel and redirect to it."""
    form = await form_of(request)
    description = form.text("description").replace("\r\n", "\n")
    typed = ChannelForm(
        form.text("name").lower()[:200], description, form.text("visibility"), form.text("logo_address")[:300]
    )
    parts = parts_of(request)
    try:
        await to_thread.run_sync(_add, parts, by, typed, given_logo(form))
    except ConfirmationRequired:
        raise
    except SeawayError as error:
        return show_refusal(request, "new_channel.html", error, typed=typed, fetches_logos=parts.logos.can_fetch)
    return redirect(f"/channels/{typed.name}")


@for_user
async def availability(request: Request, by: Caller) -> Response:
    """Show whether a name is available while it is typed, without giving a reason."""
    name = request.query_params.get("name", "").strip().lower()[:200]
    is_free = await to_thread.run_sync(_is_free, accounts_of(request), by, name) if name else None
    return page(request, "name_free.html", name=name, is_free=is_free)


def _add(parts: RequestParts, by: Caller, typed: ChannelForm, logo: NewLogo) -> None:
    require_verified(by)
    database, clock = parts.accounts.database, parts.accounts.clock
    count_attempt(database, clock.now_ms(), Rate.CHANNEL_ADD, str(by.user_id))
    png = parts.logos.draw(by, logo) if logo else b""  # refuse a bad logo before the channel exists
    with database.write_channel(typed.name) as tx:
        channels.add(
            tx,
            clock.now_ms(),
            by,
            typed.name,
            users.get(tx, by.name),
            description=typed.description,
            is_public=typed.visibility == "public",
        )
    if png:
        parts.logos.store(by, typed.name, png)


def _is_free(accounts: AccountParts, by: Caller, name: str) -> bool | None:
    """Return whether the name is available, or None over the rate limit: the form checks it again when it is sent."""
    require_site(by, SiteAction.ADD_CHANNEL)
    try:
        count_attempt(accounts.database, accounts.clock.now_ms(), Rate.CHANNEL_NAME, str(by.user_id))
    except TooManyRequests:
        return None
    with accounts.database.read() as tx:
        return channels.is_free(tx, accounts.clock.now_ms(), by, name)
