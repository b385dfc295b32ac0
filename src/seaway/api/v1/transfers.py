"""Transfers of a channel to one of its members, who becomes the owner by accepting."""

from functools import partial
from typing import Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep, ChannelName
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, single_page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import transfers
from seaway.channels.roles import Action

router = APIRouter(tags=["transfers"])


class Transfer(ResponseBody):
    """A pending transfer."""

    channel: str
    to_user: str = Field(examples=["ada"])
    offered_by: str
    offered_at: Moment
    expires_at: Moment


class TransferCreate(RequestBody):
    """The member to offer the channel to."""

    to_user: str = Field(max_length=39)

    model_config = ConfigDict(json_schema_extra={"examples": [{"to_user": "ada"}]})


class TransferResponse(RequestBody):
    """The response to a transfer."""

    response: Literal["accept", "decline"]

    model_config = ConfigDict(json_schema_extra={"examples": [{"response": "accept"}]})


@router.get("/transfers", operation_id="listTransfers")
def list_transfers(call: ApiRequestDep) -> Page[Transfer]:
    """List the channels that were offered to you."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        return single_page(
            [
                Transfer.model_validate(transfer)
                for transfer in transfers.pending_for(tx, call.now_ms, call.by.user_id or 0)
            ]
        )


@router.get("/channels/{channel}/transfer", operation_id="getTransfer")
def get_transfer(call: ApiRequestDep, channel: ChannelName) -> Page[Transfer]:
    """Return the pending transfer of a channel, if any. Owner only."""
    with call.read() as tx:
        access = call.require(tx, Action.MANAGE, channel)
        found = transfers.of_channel(tx, call.now_ms, access.channel_id)
    return single_page([] if found is None else [Transfer.model_validate(found)])


@router.post("/channels/{channel}/transfer", operation_id="offerTransfer", status_code=201)
def offer_transfer(call: ApiRequestDep, channel: ChannelName, given: TransferCreate) -> Transfer:
    """Offer a channel to one of its members. Owner only; requires a recent sign-in."""
    with call.write_channel(channel, Action.TRANSFER) as tx:
        return Transfer.model_validate(
            transfers.offer(tx, call.now_ms, call.by, channel, given.to_user, notifier=call.parts.accounts)
        )


@router.delete("/channels/{channel}/transfer", operation_id="cancelTransfer", status_code=204)
def cancel_transfer(call: ApiRequestDep, channel: ChannelName) -> None:
    """Cancel a pending transfer."""
    with call.write_channel(channel, Action.TRANSFER) as tx:
        transfers.cancel(tx, call.now_ms, call.by, channel)


@router.post("/channels/{channel}/transfer/response", operation_id="respondToTransfer")
def respond_to_transfer(call: ApiRequestDep, channel: ChannelName, given: TransferResponse) -> Transfer:
    """Accept or decline a channel that was offered to you."""
    is_accepted = given.response == "accept"
    respond = transfers.accept if is_accepted else transfers.decline
    can_respond = partial(transfers.require_offer, now_ms=call.now_ms, to_accept=is_accepted)
    with call.write_channel(channel, can_respond) as tx:
        return Transfer.model_validate(respond(tx, call.now_ms, call.by, channel, notifier=call.parts.accounts))
