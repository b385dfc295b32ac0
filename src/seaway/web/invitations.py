"""
Pages of the link in an invitation email.

Opening the link changes nothing, because mail scanners open links. Accepting requires an account; declining does not.
"""

from typing import Any
from urllib.parse import urlencode

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1.invitations import Invitation as InvitationShown
from seaway.api.v1.invitations import (
    InvitationAnswer,
    InvitationResponse,
    answer_invitation,
    respond_to_invitation,
)
from seaway.channels import channels, invitations
from seaway.channels.invitations import Invitation
from seaway.errors import NotFound
from seaway.http.caller import check_anonymous_form
from seaway.http.next_page import local_path, with_next
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext, context_of
from seaway.web.link_over import link_over
from seaway.web.rendering import page, redirect_with_message
from seaway.web.user_pages import for_user


async def show(request: Request) -> Response:
    """Show the invitation, with buttons to accept and to decline it."""
    call, secret = await context_of(request), request.path_params["secret"]
    try:
        found, logo_path = await to_thread.run_sync(_find_invitation, call, secret)
    except NotFound as error:
        action, href = ("Home page", "/home") if call.by.is_person else ("Sign in", "/signin")
        return link_over(request, error, action, href)
    sign_up = f"/signup?{urlencode({'address': found.address})}" if call.parts.accounts.policy.sign_up_open else ""
    sign_in = with_next("/signin", f"/invitations/{secret}")
    values: dict[str, Any] = {"logo_path": logo_path, "secret": secret, "sign_in": sign_in, "sign_up": sign_up}
    return page(request, "invitation.html", invitation=found, **values)


@for_user
async def accept(request: Request, call: RequestContext) -> Response:
    """Accept the invitation: the user becomes a member."""
    found = await to_thread.run_sync(_respond, call, request.path_params["secret"], "accept")
    return _joined(request, found)


async def decline(request: Request) -> Response:
    """Decline the invitation."""
    call = await context_of(request)
    if call.by.is_anonymous:
        await check_anonymous_form(request)
    found = await to_thread.run_sync(_respond, call, request.path_params["secret"], "decline")
    return _declined(request, found, "/" if call.by.is_anonymous else "/home")


@for_user
async def accept_addressed(request: Request, call: RequestContext) -> Response:
    """Accept an invitation to an email address of the user, without its link."""
    return _joined(request, await _answer(request, call, "accept"))


@for_user
async def decline_addressed(request: Request, call: RequestContext) -> Response:
    """Decline an invitation to an email address of the user, without its link."""
    back = local_path((await form_of(request)).text("back"))
    return _declined(request, await _answer(request, call, "decline"), back)


def _joined(request: Request, invitation: InvitationShown) -> Response:
    sentence = f"You joined {invitation.channel} as a {invitation.role}."
    return redirect_with_message(request, f"/channels/{invitation.channel}", sentence)


def _declined(request: Request, invitation: InvitationShown, path: str) -> Response:
    return redirect_with_message(request, path, f"You declined the invitation to {invitation.channel}.")


def _find_invitation(call: RequestContext, secret: str) -> tuple[Invitation, str]:
    with call.read() as tx:
        found = invitations.get_by_secret(tx, call.now_ms, secret)
        channel = channels.get(tx, found.channel)
    # The logo of a private channel is only for members, and the invited user is not one yet.
    return found, channel.logo_path if channel.is_public else ""


def _respond(call: RequestContext, secret: str, response: str) -> InvitationShown:
    return respond_to_invitation(call, InvitationResponse.parse({"secret": secret, "response": response}))


async def _answer(request: Request, call: RequestContext, response: str) -> InvitationShown:
    number = (await form_of(request)).number("invitation")
    answer = InvitationAnswer.parse({"response": response})
    return await to_thread.run_sync(answer_invitation, call, number, answer)
