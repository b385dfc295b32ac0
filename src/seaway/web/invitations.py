"""
An invitation to a channel, as its letter opens it.

Looking uses nothing up: mail scanners open links. Accepting needs an account; declining needs none.
"""

from collections.abc import Callable

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts.parts import Accounts
from seaway.accounts.principal import Principal
from seaway.channels import channels, invitations
from seaway.channels.invitations import Invitation
from seaway.http.identity import check_own_form, principal_of
from seaway.http.next_page import with_next
from seaway.web.asking import accounts_of, for_person
from seaway.web.shell import page, see


async def show(request: Request) -> Response:
    """What one is asked, by whom, and a button for each answer."""
    await principal_of(request)
    secret = request.path_params["secret"]
    found, logo_path = await to_thread.run_sync(_look, accounts_of(request), secret)
    sign_in = with_next("/signin", f"/invitations/{secret}")
    return page(request, "invitation.html", invitation=found, logo_path=logo_path, secret=secret, sign_in=sign_in)


@for_person
async def accept(request: Request, by: Principal) -> Response:
    """Become a member."""
    found = await to_thread.run_sync(_answer, accounts_of(request), by, request, invitations.accept)
    return see(f"/channels/{found.channel}")


async def decline(request: Request) -> Response:
    """Say no."""
    by = await principal_of(request)
    if by.is_anonymous:
        await check_own_form(request)
    await to_thread.run_sync(_answer, accounts_of(request), by, request, invitations.decline)
    return see("/")


def _look(house: Accounts, secret: str) -> tuple[Invitation, str]:
    with house.database.read() as tx:
        found = invitations.look(tx, house.clock.now_ms(), secret)
        channel = channels.get(tx, found.channel)
    # The picture of a private channel is for its members, and this is none yet.
    return found, channel.logo_path if channel.is_public else ""


def _answer(house: Accounts, by: Principal, request: Request, act: Callable[..., Invitation]) -> Invitation:
    secret = request.path_params["secret"]
    channel = _look(house, secret)[0].channel
    with house.database.write_channel(channel) as tx:
        return act(tx, house.clock.now_ms(), by, secret, telling=house)
