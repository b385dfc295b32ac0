"""
Pages of the link in an invitation email.

Opening the link changes nothing, because mail scanners open links. Accepting requires an account; declining does not.
"""

from collections.abc import Callable
from functools import partial
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
from seaway.channels import channels, invitations, members
from seaway.channels.invitations import Invitation
from seaway.channels.roles import Role
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http.caller import check_anonymous_form
from seaway.http.next_page import local_path, with_next
from seaway.http.page_forms import form_of
from seaway.http.request_context import RequestContext, context_of
from seaway.web.link_over import link_over
from seaway.web.page_message import Message
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
    secret = request.path_params["secret"]
    find = partial(invitations.get_by_secret, now_ms=call.now_ms, secret=secret)
    return await _accept(request, call, find, partial(_respond, call, secret, "accept"))


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
    number = (await form_of(request)).number("invitation")
    find = partial(invitations.get_addressed, now_ms=call.now_ms, by=call.by, invitation_id=number)
    return await _accept(request, call, find, partial(_answer, call, number, "accept"))


@for_user
async def decline_addressed(request: Request, call: RequestContext) -> Response:
    """Decline an invitation to an email address of the user, without its link."""
    form = await form_of(request)
    found = await to_thread.run_sync(_answer, call, form.number("invitation"), "decline")
    return _declined(request, found, local_path(form.text("back")))


async def _accept(
    request: Request, call: RequestContext, find: Callable[[Tx], Invitation], answer: Callable[[], InvitationShown]
) -> Response:
    before = await to_thread.run_sync(_role_before, call, find)
    found = await to_thread.run_sync(answer)
    return redirect_with_message(request, f"/channels/{found.channel}", _accepted(before, found))


def _role_before(call: RequestContext, find: Callable[[Tx], Invitation]) -> Role | None:
    with call.read() as tx:
        channel = channels.get(tx, find(tx).channel)
        return members.role_of(tx, channel.id, call.by.user_id or 0)


def _accepted(before: Role | None, invitation: InvitationShown) -> Message:
    """Return a sentence with the role after accepting, which never lowers it."""
    name, role = invitation.channel, invitation.role
    if before is None:
        return Message(f"You joined {name} as a {role}.")
    if before.value == role:
        return Message(
            f"You are already {'the owner' if before is Role.OWNER else f'a {role}'} of {name}.", is_change=False
        )
    return Message(f"You are now a {role} of {name}.")


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


def _answer(call: RequestContext, number: int, response: str) -> InvitationShown:
    return answer_invitation(call, number, InvitationAnswer.parse({"response": response}))
