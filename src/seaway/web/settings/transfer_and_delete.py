"""Transfer and deletion of a channel, which cannot be undone."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.channels import channels, members, transfers
from seaway.channels.channel import Channel
from seaway.channels.roles import Action, Role
from seaway.channels.transfers import Transfer
from seaway.counted_nouns import counted
from seaway.errors import at_field
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, change, show
from seaway.web.user_pages import for_user


def _read_values(context: SettingsContext) -> Mapping[str, Any]:
    all_members = members.all_members(context.tx, context.channel_id)
    return {
        "offer": transfers.of_channel(context.tx, context.now_ms, context.channel_id),
        "others": [(member.user, member.user) for member in all_members if member.role is not Role.OWNER],
        "typed": {"to": "", "name": ""},
    }


SECTION = SettingsPage("danger", Action.MANAGE, _read_values)


@for_user
async def view(request: Request, call: RequestContext) -> Response:
    """Show the page."""
    return await show(request, call, SECTION)


@for_user
async def offer(request: Request, call: RequestContext) -> Response:
    """Offer the ownership of the channel to a user."""
    form = await form_of(request)
    return await change(
        request,
        call,
        SECTION,
        partial(_offer, form),
        message=_offered,
        requires=Action.TRANSFER,
        typed={"to": form.text("to")[:60], "name": ""},
    )


@for_user
async def cancel(request: Request, call: RequestContext) -> Response:
    """Withdraw the offer."""
    return await change(request, call, SECTION, _cancel, message=_canceled, requires=Action.TRANSFER)


@for_user
async def remove(request: Request, call: RequestContext) -> Response:
    """Delete the channel if its name was typed to confirm."""
    form = await form_of(request)
    typed = {"to": "", "name": form.text("name")[:128]}
    act = partial(_remove, form)
    return await change(
        request,
        call,
        SECTION,
        act,
        message=_deleted,
        requires=Action.REMOVE,
        then="/channels",
        uses_reserve=True,
        typed=typed,
    )


def _offer(form: Form, context: SettingsContext) -> Transfer:
    tx, now_ms, by, outbox = context.tx, context.now_ms, context.by, context.parts.accounts.outbox
    return at_field("to", lambda: transfers.offer(tx, now_ms, by, context.channel, form.text("to"), outbox=outbox))


def _offered(offered: Transfer) -> str:
    return f"{offered.channel} was offered to {offered.to_user}. Accepting makes {offered.to_user} the owner."


def _cancel(context: SettingsContext) -> Transfer:
    return transfers.cancel(context.tx, context.now_ms, context.by, context.channel)


def _canceled(offered: Transfer) -> str:
    return f"The offer of {offered.channel} to {offered.to_user} was withdrawn."


def _remove(form: Form, context: SettingsContext) -> Channel:
    return channels.remove(context.tx, context.now_ms, context.by, context.channel, typed=form.text("name"))


def _deleted(channel: Channel) -> str:
    return f"The channel {channel.name} and its {counted(channel.package_count, 'package')} were deleted."
