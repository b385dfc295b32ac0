"""Channels."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import (
    ANONYMOUS_ALLOWED,
    DEFAULT_LIMIT,
    After,
    ApiRequestDep,
    ChannelName,
    Limit,
    SearchText,
)
from seaway.api.v1.quotas import StorageUse
from seaway.api.v1.schemas import Page, RequestBody, ResponseBody, page
from seaway.callers.rate_limits import Rate
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import channels, logos, permissions, quotas
from seaway.channels.channel import Channel, ChannelSettings, Description, Public
from seaway.channels.permissions import Verdict
from seaway.channels.roles import Action
from seaway.database.engine import Tx
from seaway.indexing import relations
from seaway.models import without_defaults
from seaway.packages import catalog
from seaway.publishing.logos import NewLogo as Logo
from seaway.users import users

router = APIRouter(tags=["channels"])

Confirm = Annotated[str, Query(description="The name of the channel, to confirm.", max_length=128)]
LogoAddress = Annotated[
    str,
    Field(
        description="URL of a GitHub avatar, such as `https://github.com/ada.png`, which is fetched once; empty for "
        "none. To upload a picture, use `PUT /api/v1/channels/{channel}/logo`.",
        max_length=300,
    ),
]

Neighbor = Annotated[
    str, Field(description="The name of a channel of this server that you can read; empty for none.", max_length=160)
]


class ChannelDetail(Channel):
    """A channel with its contents and your role."""

    files: int
    role: str | None = Field(description="Your role: viewer, contributor or owner; null if you are not a member.")
    storage: StorageUse | None = Field(
        description="Quota and storage use; null unless you are a member or a site admin."
    )


class NameAvailability(ResponseBody):
    """A channel name."""

    name: str = Field(examples=["robots"])
    free: bool


class ChannelCreate(RequestBody):
    """A channel to create."""

    name: str = Field(description="Lowercase letters and digits, with `-`, `_` and `.` between them.", max_length=128)
    public: Public = False
    description: Description = ""
    logo: LogoAddress = ""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "robots", "public": False}]})


class ChannelUpdate(ChannelSettings):
    """Fields to change; omitted fields stay unchanged."""

    logo: LogoAddress = ""

    model_config = ConfigDict(json_schema_extra=without_defaults)


class RelationsUpdate(RequestBody):
    """The relations of a channel (CEP 42). Omitting a field removes that relation."""

    base: Neighbor = ""
    overrides: Neighbor = ""

    model_config = ConfigDict(json_schema_extra={"examples": [{"base": "conda-forge", "overrides": ""}]})


class Relations(ResponseBody):
    """The relations of a channel."""

    base: str = Field(examples=["conda-forge"])
    overrides: str


@router.get("/channels", operation_id="listChannels", openapi_extra=ANONYMOUS_ALLOWED)
def list_channels(
    call: ApiRequestDep, q: SearchText = "", after: After = "", limit: Limit = DEFAULT_LIMIT
) -> Page[Channel]:
    """List the channels that you can read, by name; `q` searches names and descriptions."""
    call.count_list()
    with call.read() as tx:
        found = channels.visible_to(tx, call.by, q, after=after, limit=limit + 1)
    return page(found, limit, lambda channel: channel, lambda channel: channel.name)


@router.post("/channels", operation_id="createChannel", status_code=201)
def create_channel(call: ApiRequestDep, given: ChannelCreate) -> Channel:
    """Create a channel that you own, private by default. A key needs the mode MANAGE and access to all channels."""
    require_site(call.by, SiteAction.ADD_CHANNEL)
    call.count(Rate.CHANNEL_ADD, str(call.by.user_id))
    png = call.parts.logos.encode(call.by, Logo(url=given.logo)) if given.logo else b""
    with call.write_channel(given.name, SiteAction.ADD_CHANNEL) as tx:
        owner = users.get(tx, call.by.name)
        channels.add(
            tx, call.now_ms, call.by, given.name, owner, description=given.description, is_public=given.public
        )  # fmt: skip
    if png:
        call.parts.logos.store(call.by, given.name, png)
    with call.read() as tx:
        return channels.get(tx, given.name)


@router.get("/channels/{channel}", operation_id="getChannel", openapi_extra=ANONYMOUS_ALLOWED)
def get_channel(call: ApiRequestDep, channel: ChannelName) -> ChannelDetail:
    """Return a channel."""
    with call.read() as tx:
        access = call.require(tx, Action.READ, channel)
        found, files = channels.get(tx, channel), catalog.count_files(tx, access.channel_id)
        can_see_storage = permissions.decide(call.by, Action.SEE_MEMBERS, access) is Verdict.ALLOWED
        storage = StorageUse.model_validate(quotas.of_channel(tx, access.channel_id)) if can_see_storage else None
    role = None if access.role is None else access.role.value
    return ChannelDetail.model_construct(**dict(found), files=files, role=role, storage=storage)


@router.patch("/channels/{channel}", operation_id="changeChannel")
def change_channel(call: ApiRequestDep, channel: ChannelName, given: ChannelUpdate) -> Channel:
    """Change a channel; omitted fields stay unchanged."""

    def change_settings(tx: Tx) -> None:
        relations.change_settings(tx, call.parts.site, call.by, channel, given)

    with call.read() as tx:
        channels.require_change(tx, call.by, channel, given)
    if given.logo:
        call.parts.logos.put(call.by, channel, Logo(url=given.logo), also=change_settings)
    else:
        with call.write_channel(channel, Action.MANAGE) as tx:
            change_settings(tx)
            if "logo" in given.model_fields_set:
                logos.remove(tx, call.now_ms, call.by, channel)
    with call.read() as tx:
        call.require(tx, Action.READ, channel)
        return channels.get(tx, channel)


@router.put("/channels/{channel}/relations", operation_id="setRelations")
def set_relations(call: ApiRequestDep, channel: ChannelName, given: RelationsUpdate) -> Relations:
    """Set the relations of a channel, which its index contains for clients that support CEP 42."""
    changed = relations.change(call.parts.site, call.by, channel, base=given.base, overrides=given.overrides)
    return Relations(base=changed.base, overrides=changed.overrides)


@router.delete("/channels/{channel}", operation_id="deleteChannel", status_code=204)
def delete_channel(call: ApiRequestDep, channel: ChannelName, confirm: Confirm) -> None:
    """Delete a channel with everything in it. Owner only; requires a recent sign-in."""

    def delete() -> None:
        with call.write_channel(channel, Action.REMOVE) as tx:
            channels.remove(tx, call.now_ms, call.by, channel, typed=confirm)

    call.parts.site.reserve.retry_with_reserve(delete)


@router.get("/channel-names/{channel}", operation_id="checkChannelName")
def check_channel_name(call: ApiRequestDep, channel: ChannelName) -> NameAvailability:
    """Return whether you can create a channel with this name, without the reason. Rate-limited."""
    require_site(call.by, SiteAction.ADD_CHANNEL)
    call.count(Rate.CHANNEL_NAME, str(call.by.user_id))
    with call.read() as tx:
        return NameAvailability(name=channel, free=channels.is_free(tx, call.now_ms, call.by, channel))
