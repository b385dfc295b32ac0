"""How many bytes channels and users may hold: set by site admins who are signed in, a short while after a proof."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.accounts import users
from seaway.accounts.permissions import SiteAction, require_site
from seaway.api.v1.asking import Asked, ChannelName
from seaway.api.v1.members import UserName
from seaway.api.v1.shapes import Given, Shown
from seaway.channels import channels, quotas
from seaway.channels.quotas import MAX_QUOTA, Usage

router = APIRouter(tags=["administration"])


class Room(Shown):
    """How much there is, and how much there may be."""

    quota: int | None = Field(description="How many bytes there may be; null for as many as the site has room for.")
    used: int = Field(description="How many bytes there are.")


class QuotaGiven(Given):
    """How much there may be."""

    quota: Annotated[int, Field(ge=0, le=MAX_QUOTA)] | None = Field(
        description="How many bytes; null for as many as the site has room for, or for a user, as many as its "
        "`user_quota` says. What is there already stays."
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"quota": 10_000_000_000}]})


@router.patch("/channels/{channel}/quota", operation_id="changeChannelQuota")
def change_of_channel(call: Asked, channel: ChannelName, given: QuotaGiven) -> Room:
    """Say how many bytes a channel may hold; for site admins, signed in just now."""
    require_site(call.by, SiteAction.CHANGE_SITE)
    with call.write_channel(channel) as tx:
        quotas.set_of_channel(tx, call.now_ms, call.by, channel, given.quota)
        return room_of(quotas.of_channel(tx, channels.get(tx, channel).id))


@router.get("/users/{user}/quota", operation_id="getUserQuota")
def get_of_user(call: Asked, user: UserName) -> Room:
    """How many bytes the channels of a user hold together; for site admins who are signed in."""
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        return room_of(quotas.of_user(tx, users.get(tx, user).id, call.house.publishing.user_quota))


@router.patch("/users/{user}/quota", operation_id="changeUserQuota")
def change_of_user(call: Asked, user: UserName, given: QuotaGiven) -> Room:
    """Say how many bytes the channels of a user may hold together; for site admins, signed in just now."""
    require_site(call.by, SiteAction.CHANGE_SITE)
    with call.write_site() as tx:
        quotas.set_of_user(tx, call.now_ms, call.by, user, given.quota)
        return room_of(quotas.of_user(tx, users.get(tx, user).id, call.house.publishing.user_quota))


def room_of(usage: Usage) -> Room:
    """A quota and what is taken of it, as answers have it."""
    return Room(quota=usage.quota, used=usage.used)
