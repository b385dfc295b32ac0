"""Invitations to become a member of a channel, sent to an email address."""

from typing import Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ANONYMOUS_ALLOWED, ApiRequestDep, ChannelName, Id
from seaway.api.v1.members import GivenRole, RoleName
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, single_page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import invitations
from seaway.channels.roles import Action, Role

router = APIRouter(tags=["invitations"])


class Invitation(ResponseBody):
    """An invitation, without the secret of its link, which is only in the email."""

    id: int
    channel: str
    address: str = Field(examples=["ada@example.com"])
    role: RoleName
    invited_by: str
    created_at: Moment
    expires_at: Moment


class InvitationCreate(RequestBody):
    """An invitation to send."""

    address: str = Field(max_length=254)
    role: GivenRole = "viewer"

    model_config = ConfigDict(json_schema_extra={"examples": [{"address": "ada@example.com", "role": "contributor"}]})


class InvitationResponse(RequestBody):
    """The response to an invitation."""

    secret: str = Field(description="The last part of the link in the email.", max_length=100)
    response: Literal["accept", "decline"]

    model_config = ConfigDict(json_schema_extra={"examples": [{"secret": "swy-inv-...", "response": "accept"}]})


class InvitationAnswer(RequestBody):
    """The response to an invitation that is addressed to you."""

    response: Literal["accept", "decline"]

    model_config = ConfigDict(json_schema_extra={"examples": [{"response": "accept"}]})


@router.get("/invitations", operation_id="listOwnInvitations")
def list_own_invitations(call: ApiRequestDep) -> Page[Invitation]:
    """List the pending invitations to your verified email addresses, newest first."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        found = invitations.addressed_to(tx, call.now_ms, call.by.user_id or 0)
    return single_page([Invitation.model_validate(invitation) for invitation in found])


@router.get("/channels/{channel}/invitations", operation_id="listInvitations")
def list_invitations(call: ApiRequestDep, channel: ChannelName) -> Page[Invitation]:
    """List the invitations of a channel, newest first; closed ones are listed for a month."""
    with call.read() as tx:
        return single_page(
            [Invitation.model_validate(invitation) for invitation in invitations.of_channel(tx, call.by, channel)]
        )


@router.post("/channels/{channel}/invitations", operation_id="sendInvitation", status_code=201)
def send_invitation(call: ApiRequestDep, channel: ChannelName, given: InvitationCreate) -> Invitation:
    """Send an invitation email with a link that expires in a week; it replaces an earlier invitation."""
    with call.write_channel(channel, Action.ADMIT) as tx:
        invitation, _ = invitations.invite(
            tx, call.now_ms, call.by, channel, given.address, Role(given.role), outbox=call.parts.accounts.outbox
        )
    return Invitation.model_validate(invitation)


@router.post("/channels/{channel}/invitations/{invitation}/resend", operation_id="resendInvitation")
def resend_invitation(call: ApiRequestDep, channel: ChannelName, invitation: Id) -> Invitation:
    """Send an invitation again with a new link; the old link becomes invalid."""
    with call.write_channel(channel, Action.ADMIT) as tx:
        resent, _ = invitations.resend(tx, call.now_ms, call.by, channel, invitation, outbox=call.parts.accounts.outbox)
    return Invitation.model_validate(resent)


@router.delete("/channels/{channel}/invitations/{invitation}", operation_id="withdrawInvitation", status_code=204)
def withdraw_invitation(call: ApiRequestDep, channel: ChannelName, invitation: Id) -> None:
    """Withdraw an invitation."""
    with call.write_channel(channel, Action.ADMIT) as tx:
        invitations.withdraw(tx, call.now_ms, call.by, channel, invitation)


@router.post("/invitations/response", operation_id="respondToInvitation", openapi_extra=ANONYMOUS_ALLOWED)
def respond_to_invitation(call: ApiRequestDep, given: InvitationResponse) -> Invitation:
    """
    Accept or decline an invitation. Accepting requires a session; declining requires only the secret.

    After accepting, `role` is the role that you have now: accepting never lowers it.
    """
    is_accepted = given.response == "accept"
    respond = invitations.accept if is_accepted else invitations.decline
    with call.read() as tx:
        channel = invitations.get_by_secret(tx, call.now_ms, given.secret).channel
    with call.write_channel(channel, SiteAction.JOIN if is_accepted else None) as tx:
        return Invitation.model_validate(
            respond(tx, call.now_ms, call.by, given.secret, outbox=call.parts.accounts.outbox)
        )


@router.post("/invitations/{invitation}/response", operation_id="answerInvitation")
def answer_invitation(call: ApiRequestDep, invitation: Id, given: InvitationAnswer) -> Invitation:
    """
    Accept or decline an invitation to one of your verified email addresses. Requires a session.

    After accepting, `role` is the role that you have now: accepting never lowers it.
    """
    answer = invitations.accept_addressed if given.response == "accept" else invitations.decline_addressed
    with call.read() as tx:
        channel = invitations.get_addressed(tx, call.now_ms, call.by, invitation).channel
    with call.write_channel(channel, SiteAction.JOIN) as tx:
        return Invitation.model_validate(
            answer(tx, call.now_ms, call.by, invitation, outbox=call.parts.accounts.outbox)
        )
