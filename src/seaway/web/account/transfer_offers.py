"""Channels whose ownership is offered to the user."""

from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.channels import transfers
from seaway.channels.transfers import Transfer
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import for_user


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show the pending offers."""
    offers = await to_thread.run_sync(_waiting, call)
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


def _waiting(call: RequestContext) -> list[Transfer]:
    with call.read() as tx:
        return transfers.pending_for(tx, call.now_ms, call.by.user_id or 0)


async def _respond(request: Request, call: RequestContext, *, to_accept: bool) -> Transfer:
    channel = (await form_of(request)).text("channel")
    act = transfers.accept if to_accept else transfers.decline
    can_respond = partial(transfers.require_offer, now_ms=call.now_ms, to_accept=to_accept)

    def respond() -> Transfer:
        with call.write_channel(channel, can_respond) as tx:
            return act(tx, call.now_ms, call.by, channel, outbox=call.parts.accounts.outbox)

    return await to_thread.run_sync(respond)
