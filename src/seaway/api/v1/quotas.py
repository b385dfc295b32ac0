"""Storage quotas of channels and users."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep, ChannelName
from seaway.api.v1.members import UserName
from seaway.api.v1.schemas import RequestBody, ResponseBody
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import channels, quotas
from seaway.channels.quotas import MAX_QUOTA
from seaway.users import users

router = APIRouter(tags=["administration"])


class StorageUse(ResponseBody):
    """Quota and storage use."""

    quota: int | None = Field(description="Quota in bytes; null for unlimited.")
    used: int = Field(description="Used bytes.")


class QuotaUpdate(RequestBody):
    """A quota to set."""

    quota: Annotated[int, Field(ge=0, le=MAX_QUOTA)] | None = Field(
        description="Quota in bytes; null for unlimited or, for a user, for the setting `user_quota`. A quota below "
        "the current use deletes nothing."
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"quota": 10_000_000_000}]})


@router.patch("/channels/{channel}/quota", operation_id="changeChannelQuota")
def change_channel_quota(call: ApiRequestDep, channel: ChannelName, given: QuotaUpdate) -> StorageUse:
    """Set the quota of a channel. Site admins only; requires a recent sign-in."""
    with call.write_channel(channel, SiteAction.CHANGE_SITE) as tx:
        quotas.set_of_channel(tx, call.now_ms, call.by, channel, given.quota)
        return StorageUse.model_validate(quotas.of_channel(tx, channels.get(tx, channel).id))


@router.get("/users/{user}/quota", operation_id="getUserQuota")
def get_user_quota(call: ApiRequestDep, user: UserName) -> StorageUse:
    """Return the quota and total storage use of a user's channels. Site admins only; requires a session."""
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        return StorageUse.model_validate(quotas.of_user(tx, users.get(tx, user).id, call.parts.publishing.user_quota))


@router.patch("/users/{user}/quota", operation_id="changeUserQuota")
def change_user_quota(call: ApiRequestDep, user: UserName, given: QuotaUpdate) -> StorageUse:
    """Set the total quota of a user's channels. Site admins only; requires a recent sign-in."""
    with call.write_site() as tx:
        quotas.set_of_user(tx, call.now_ms, call.by, user, given.quota)
        return StorageUse.model_validate(quotas.of_user(tx, users.get(tx, user).id, call.parts.publishing.user_quota))
