"""Channels of the site, with their owners, sizes and quotas."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1.channels import delete_channel
from seaway.api.v1.quotas import change_channel_quota
from seaway.channels import channel_list, channels, members, quotas
from seaway.channels.channel_list import ChannelFilter, ChannelOrder
from seaway.counted_nouns import counted
from seaway.database.engine import Tx
from seaway.http.page_forms import form_of
from seaway.http.parts import parts_of
from seaway.http.request_context import RequestContext, in_transaction
from seaway.packages import catalog
from seaway.trusted_publishing import publishers
from seaway.web.action_confirmation import Confirmation
from seaway.web.admin.admin_pages import PER_PAGE, change, for_admin, require_recent_confirmation, show
from seaway.web.admin.byte_sizes import format_quota, parse_quota
from seaway.web.admin.confirming import quota_confirmation
from seaway.web.admin.listing import option_of, query_of, text_of
from seaway.web.channel_pages import pages_of
from seaway.web.formats import size

_ORDERS = (
    (ChannelOrder.NAME, "Name"),
    (ChannelOrder.SIZE, "Storage used"),
    (ChannelOrder.PACKAGES, "Packages"),
    (ChannelOrder.CHANGED, "Last change"),
)
_VISIBILITY = {"public": True, "private": False}


@for_admin
async def listing(request: Request, call: RequestContext) -> Response:
    """Show the channels that match the filters."""
    chosen = ChannelFilter(
        words=text_of(request, "q"),
        owner=text_of(request, "owner"),
        is_public=_VISIBILITY.get(text_of(request, "visibility")),
        over_quota=bool(text_of(request, "over")),
    )
    order = option_of(request, "sort", ChannelOrder.NAME)

    def read_values(tx: Tx) -> Mapping[str, Any]:
        pages = pages_of(request, channel_list.count(tx, chosen), PER_PAGE)
        return {
            "channels": channel_list.find(tx, chosen, order, skip=pages.start, limit=PER_PAGE),
            "pages": pages,
            "query": query_of(request, "q", "owner", "visibility", "over", "sort"),
            "chosen": chosen,
            "chosen_visibility": text_of(request, "visibility"),
            "orders": [(option.value, label) for option, label in _ORDERS],
            "order": order.value,
        }

    return await show(request, call, "channels", read_values, parts_of(request).search_slots)


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show one channel."""
    return await show(request, call, "channel", partial(_read_values, request.path_params["channel"], None))


@for_admin
async def limit(request: Request, call: RequestContext) -> Response:
    """Set the quota of a channel; one below its size is confirmed first."""
    name, form = request.path_params["channel"], await form_of(request)
    require_recent_confirmation(call.by)
    typed, then = form.text("quota"), f"/admin/channels/{name}"

    def work() -> str:
        given = parse_quota(typed)
        change_channel_quota(call, name, given)
        return "unlimited" if given.quota is None else size(given.quota)

    if not form.is_set("confirmed"):
        used = await in_transaction(call.read(), partial(_used, name))
        confirmation = quota_confirmation(typed, used, f"the channel {name}", request.url.path, then)
        if confirmation is not None:
            return await show(request, call, "confirm", lambda _tx: {"confirmation": confirmation})
    return await change(
        request,
        call,
        "channel",
        partial(_read_values, name, typed),
        work,
        then=then,
        message=lambda text: f"The quota of {name} is {text}.",
    )


@for_admin
async def confirm_delete(request: Request, call: RequestContext) -> Response:
    """Show what is deleted with a channel, and the button that confirms it."""
    require_recent_confirmation(call.by)
    return await show(request, call, "confirm", partial(_confirmation, request))


@for_admin
async def delete(request: Request, call: RequestContext) -> Response:
    """Delete a channel if its name was typed to confirm."""
    name, form = request.path_params["channel"], await form_of(request)
    require_recent_confirmation(call.by)
    work = partial(delete_channel, call, name, form.text("name"))
    message = f"The channel {name} was deleted with its packages."
    read_values = partial(_confirmation, request)
    return await change(request, call, "confirm", read_values, work, then="/admin/channels", message=message)


def _used(name: str, tx: Tx) -> int:
    return quotas.of_channel(tx, channels.get(tx, name).id).used


def _read_values(name: str, typed_quota: str | None, tx: Tx) -> Mapping[str, Any]:
    channel = channels.get(tx, name)
    storage = quotas.of_channel(tx, channel.id)
    return {
        "channel": channel,
        "storage": storage,
        "quota": format_quota(storage.quota) if typed_quota is None else typed_quota,
        "files": catalog.count_files(tx, channel.id),
    }


def _confirmation(request: Request, tx: Tx) -> Mapping[str, Confirmation]:
    name = request.path_params["channel"]
    channel = channels.get(tx, name)
    files, people = catalog.count_files(tx, channel.id), members.all_members(tx, channel.id)
    others = sum(member.user != channel.owner for member in people)
    reuse = (
        f"Only {channel.owner} can use the name {name} within a year."
        if channel.allows_overwrite
        else f"The name {name} cannot be used for a year, because the channel never overwrites files."
    )
    return {
        "confirmation": Confirmation(
            question=f"Delete the channel {name}?",
            effects=[
                (
                    f"{counted(channel.package_count, 'package')} with {counted(files, 'file')} are deleted immediately and "
                    f"cannot be restored; the next sweep frees up to {size(quotas.of_channel(tx, channel.id).used)}."
                ),
                f"{channel.owner} and {counted(others, 'other member')} lose access.",
                (
                    f"{counted(len(publishers.in_channel(tx, channel.id)), 'trusted publisher')} and the API keys that are "
                    "only for this channel stop working."
                ),
                reuse,
            ],
            button="Delete this channel",
            back=f"/admin/channels/{name}",
            action=request.url.path,
            typed=name,
        )
    }
