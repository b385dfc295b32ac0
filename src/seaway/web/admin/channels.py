"""Channels of the site, with their owners, sizes and quotas."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1.quotas import change_channel_quota
from seaway.channels import channels, quotas
from seaway.database.engine import Tx
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.packages import catalog
from seaway.web.admin.admin_pages import PER_PAGE, after_of, change, for_admin, require_recent_confirmation, show
from seaway.web.admin.byte_sizes import format_quota, parse_quota
from seaway.web.channel_pages import search_text_of


@for_admin
async def listing(request: Request, call: RequestContext) -> Response:
    """Show all channels by name."""
    words, after = search_text_of(request), after_of(request)

    def read_values(tx: Tx) -> Mapping[str, Any]:
        found = channels.visible_to(tx, call.by, words, after=after, limit=PER_PAGE + 1)
        shown = found[:PER_PAGE]
        return {
            "channels": shown,
            "storage": quotas.of_channels(tx, [channel.id for channel in shown]),
            "words": words,
            "after": after,
            "more": shown[-1].name if len(found) > PER_PAGE else "",
        }

    return await show(request, call, "channels", read_values)


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show one channel."""
    return await show(request, call, "channel", partial(_read_values, request.path_params["channel"]))


@for_admin
async def limit(request: Request, call: RequestContext) -> Response:
    """Set the quota of a channel."""
    name, text = request.path_params["channel"], (await form_of(request)).text("quota")
    require_recent_confirmation(call.by)

    def work() -> None:
        change_channel_quota(call, name, parse_quota(text))

    return await change(request, call, "channel", partial(_read_values, name), work, then=f"/admin/channels/{name}")


def _read_values(name: str, tx: Tx) -> Mapping[str, Any]:
    channel = channels.get(tx, name)
    storage = quotas.of_channel(tx, channel.id)
    return {
        "channel": channel,
        "storage": storage,
        "quota": format_quota(storage.quota),
        "files": catalog.count_files(tx, channel.id),
    }
