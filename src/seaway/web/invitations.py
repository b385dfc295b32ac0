"""
Pages of the link in an invitation email.

Opening the link changes nothing, because mail scanners open links. Accepting requires an account; declining does not.
"""

from collections.abc import Callable

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import channels, invitations
from seaway.channels.invitations import Invitation
from seaway.http.caller import caller_of, check_anonymous_form
from seaway.http.next_page import with_next
from seaway.sign_in.parts import AccountParts
from seaway.web.rendering import page, redirect
from seaway.web.user_pages import accounts_of, for_user


async def show(request: Request) -> Response:
    """Show the invitation, with buttons to accept and to decline it."""
    await caller_of(request)
    secret = request.path_params["secret"]
    found, logo_path = await to_thread.run_sync(_look, accounts_of(request), secret)
    sign_in = with_next("/signin", f"/invitations/{secret}")
    return page(request, "invitation.html", invitation=found, logo_path=logo_path, secret=secret, sign_in=sign_in)


@for_user
async def accept(request: Request, by: Caller) -> Response:
    """Accept the invitation: the user becomes a member."""
    found = await to_thread.run_sync(_respond, accounts_of(request), by, request, invitations.accept)
    return redirect(f"/channels/{found.channel}")


async def decline(request: Request) -> Response:
    """Decline the invitation."""
    by = await caller_of(request)
    if by.is_anonymous:
        await check_anonymous_form(request)
    await to_thread.run_sync(_respond, accounts_of(request), by, request, invitations.decline)
    return redirect("/")


def _look(accounts: AccountParts, secret: str) -> tuple[Invitation, str]:
    with accounts.database.read() as tx:
        found = invitations.get_by_secret(tx, accounts.clock.now_ms(), secret)
        channel = channels.get(tx, found.channel)
    # The logo of a private channel is only for members, and the invited user is not one yet.
    return found, channel.logo_path if channel.is_public else ""


def _respond(accounts: AccountParts, by: Caller, request: Request, act: Callable[..., Invitation]) -> Invitation:
    secret = request.path_params["secret"]
    channel = _look(accounts, secret)[0].channel
    with accounts.database.write_channel(channel) as tx:
        return act(tx, accounts.clock.now_ms(), by, secret, telling=accounts)
