"""Invitations to the user's email addresses, and channels whose ownership is offered to the user."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.channels import invitations, transfers
from seaway.channels.transfers import Transfer
from seaway.database.engine import Tx
from seaway.http.next_page import local_path
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext, in_transaction
from seaway.web.rendering import page, redirect_with_message
from seaway.web.user_pages import for_user


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show the pending invitations and offers."""

    def read(tx: Tx) -> dict[str, Any]:
        now_ms, user_id = call.now_ms, call.by.user_id or 0
        return {
            "offers": transfers.pending_for(tx, now_ms, user_id),
            "invitations": invitations.addressed_to(tx, now_ms, user_id),
        }

    return page(request, "account/offers.html", **await in_transaction(call.read(), read))


@for_user
async def accept(request: Request, call: RequestContext) -> Response:
    """Accept an offer: the user becomes the owner of the channel."""
    found = await _respond(request, call, to_accept=True)
    sentence = f"You own {found.channel} now. {found.offered_by} is a contributor."
    return redirect_with_message(request, f"/channels/{found.channel}", sentence)


@for_user
async def decline(request: Request, call: RequestContext) -> Response:
    """Decline an offer."""
    back = local_path((await form_of(request)).text("back"))
    found = await _respond(request, call, to_accept=False)
    return redirect_with_message(request, back, f"You declined the ownership of {found.channel}.")


async def _respond(request: Request, call: RequestContext, *, to_accept: bool) -> Transfer:
    channel = (await form_of(request)).text("channel")
    act = transfers.accept if to_accept else transfers.decline
    can_respond = partial(transfers.require_offer, now_ms=call.now_ms, to_accept=to_accept)
    return await in_transaction(
        call.write_channel(channel, can_respond),
        lambda tx: act(tx, call.now_ms, call.by, channel, outbox=call.parts.accounts.outbox),
    )
