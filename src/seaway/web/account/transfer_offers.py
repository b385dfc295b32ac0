"""Channels whose ownership is offered to the user."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from seaway.channels import transfers
from seaway.channels.transfers import Transfer
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext, in_transaction
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import for_user


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show the pending offers."""
    offers = await in_transaction(call.read(), lambda tx: transfers.pending_for(tx, call.now_ms, call.by.user_id or 0))
    return page(request, "account/offers.html", offers=offers)


@for_user
async def accept(request: Request, call: RequestContext) -> Response:
    """Accept an offer: the user becomes the owner of the channel."""
    found = await _respond(request, call, to_accept=True)
    return redirect(f"/channels/{found.channel}")


@for_user
async def decline(request: Request, call: RequestContext) -> Response:
    """Decline an offer."""
    await _respond(request, call, to_accept=False)
    return redirect("/account/offers")


async def _respond(request: Request, call: RequestContext, *, to_accept: bool) -> Transfer:
    channel = (await form_of(request)).text("channel")
    act = transfers.accept if to_accept else transfers.decline
    can_respond = partial(transfers.require_offer, now_ms=call.now_ms, to_accept=to_accept)
    return await in_transaction(
        call.write_channel(channel, can_respond),
        lambda tx: act(tx, call.now_ms, call.by, channel, notifier=call.parts.accounts),
    )
