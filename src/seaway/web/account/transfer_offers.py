"""Channels whose ownership is offered to the user."""

from collections.abc import Callable

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import transfers
from seaway.channels.transfers import Transfer
from seaway.http.page_forms import form_of
from seaway.sign_in.parts import AccountParts
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import accounts_of, for_user


@for_user
async def show(request: Request, by: Caller) -> Response:
    """Show the pending offers."""
    offers = await to_thread.run_sync(_waiting, accounts_of(request), by)
    return page(request, "account/offers.html", offers=offers)


@for_user
async def accept(request: Request, by: Caller) -> Response:
    """Accept an offer: the user becomes the owner of the channel."""
    found = await _respond(request, by, transfers.accept)
    return redirect(f"/channels/{found.channel}")


@for_user
async def decline(request: Request, by: Caller) -> Response:
    """Decline an offer."""
    await _respond(request, by, transfers.decline)
    return redirect("/account/offers")


def _waiting(accounts: AccountParts, by: Caller) -> list[Transfer]:
    with accounts.database.read() as tx:
        return transfers.pending_for(tx, accounts.clock.now_ms(), by.user_id or 0)


async def _respond(request: Request, by: Caller, act: Callable[..., Transfer]) -> Transfer:
    accounts, channel = accounts_of(request), (await form_of(request)).text("channel")

    def respond() -> Transfer:
        with accounts.database.write_channel(channel) as tx:
            return act(tx, accounts.clock.now_ms(), by, channel, telling=accounts)

    return await to_thread.run_sync(respond)
